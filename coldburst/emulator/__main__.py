"""``python -m coldburst.emulator``."""

import sys

from coldburst.emulator.command import main

if __name__ == "__main__":
    sys.exit(main())
