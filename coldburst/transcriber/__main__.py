"""``python -m coldburst.transcriber``."""

import sys

from coldburst.installation import require

if __name__ == "__main__":
    require("emulator")
    from coldburst.transcriber.command import main

    sys.exit(main())
