"""``python -m coldburst.transcriber``."""

import sys

from coldburst.transcriber.server import main

if __name__ == "__main__":
    sys.exit(main())
