"""Ends the worker processes when the emulator is gone, however it ended.

The emulator starts one (python -m coldburst.emulator.workers.orphan_reaper FOLDER) and writes to its standard input a line "+ID" for each
worker's process group that it has started and "-ID" for each that it saw end. When that pipe closes, be it by
kill -9, the reaper kills the groups that are left and removes FOLDER. It is a process of its own because a signal
on the parent's death (Linux's PR_SET_PDEATHSIG) does not reach a worker's own children: the SDK's ping process
would live on.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterable


def groups_left(lines: Iterable[str]) -> set[int]:
    """The process groups that were begun and not ended, once the lines are over."""
    groups: set[int] = set()
    for line in lines:
        (groups.add if line.startswith("+") else groups.discard)(int(line[1:]))
    return groups


def main() -> int:
    """Wait for the emulator's end; the exit code."""
    for group in groups_left(sys.stdin):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
