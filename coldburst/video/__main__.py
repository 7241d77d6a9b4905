"""``python -m coldburst.video``."""

import sys

from coldburst.installation import require

if __name__ == "__main__":
    require("emulator")
    from coldburst.video.command import main

    sys.exit(main())
