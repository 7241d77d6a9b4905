"""``python -m coldburst.emulator``."""

import sys

from coldburst.installation import require

if __name__ == "__main__":
    require("emulator")
    from coldburst.emulator.command import main

    sys.exit(main())
