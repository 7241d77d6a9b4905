"""``python -m coldburst``."""

import sys

from coldburst.cli import main

if __name__ == "__main__":
    sys.exit(main())
