"""Child processes: an end for those whose parent is gone, and a free port for one. Standard library only.

``python -m coldburst.child_processes FOLDER`` is the reaper. Its parent writes to its standard input "+ID" for each process group that
it starts and "-ID" for each that ended. When that pipe closes, also by kill -9 of the parent, the reaper kills the groups that are left
and removes FOLDER. Linux's PR_SET_PDEATHSIG would not reach the children's own children.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from coldburst.installation import python_path


class OrphanReaper:
    """Kills process groups of this process and removes ``folder``, however this process ends."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "coldburst.child_processes", str(folder)],
            env=os.environ | {"PYTHONPATH": python_path()},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def started(self, group: int) -> None:
        """A process group was started."""
        self._write(f"+{group}\n")

    def ended(self, group: int) -> None:
        """A process group has ended."""
        self._write(f"-{group}\n")

    def close(self) -> None:
        """End what is left, and the reaper."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()


def groups_left(lines: Iterable[str]) -> set[int]:
    """The process groups that were started and did not end."""
    groups: set[int] = set()
    for line in lines:
        (groups.add if line.startswith("+") else groups.discard)(int(line[1:]))
    return groups


def free_port() -> int:
    """A loopback port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    for left in groups_left(sys.stdin):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(left, signal.SIGKILL)
    shutil.rmtree(sys.argv[1], ignore_errors=True)
