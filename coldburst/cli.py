"""The command ``coldburst``: hands each verb to the module that does it."""

from __future__ import annotations

import sys
from importlib import import_module

VERBS = {
    "restore": "coldburst.control.restore",
    "emulator": "coldburst.emulator.command",
    "transcriber": "coldburst.transcriber.command",
}


def main() -> int:
    """Runs one verb; returns its exit code."""
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb not in VERBS:
        print(f"usage: coldburst {{{','.join(VERBS)}}} ...", file=sys.stderr)
        return 2
    del sys.argv[1]
    return int(import_module(VERBS[verb]).main())
