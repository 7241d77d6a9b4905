"""``python -m coldburst.transcriber``."""

import sys

from coldburst.transcriber.command import main

if __name__ == "__main__":
    sys.exit(main())
