"""``python -m coldburst.planner``."""

import sys

from coldburst.planner.command import main

if __name__ == "__main__":
    sys.exit(main())
