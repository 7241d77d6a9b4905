"""The process that makes a run's report. It imports pandas and matplotlib while the last answers are awaited, then waits for the rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from coldburst.record.provenance import environment


def room_beside_the_load() -> bool:
    """Whether the process may start while answers are awaited: on a single CPU its imports would delay them."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cpus > 1


class ReportProcess:
    """A process of its own, as pandas would disturb the load; it prints ledger, verdict and table.

    It ends without a report when this process ends before ``begin``.

    Args:
        folder: the run directory.
        figures: "yes" or "no".
        module: that of the reports.
    """

    def __init__(self, folder: Path, figures: str, module: str) -> None:
        command = [sys.executable, "-P", "-m", module, "report", str(folder), "--figures", figures, "--after-line"]
        self._process = subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, start_new_session=True)

    def begin(self) -> None:
        """Lets it read the rows, which are complete."""
        self._close(b"\n")

    def cancel(self) -> None:
        """Ends it without a report, unless it began."""
        self._close(b"")
        self._process.wait()

    def terminate(self) -> None:
        """Ends it in the middle of the report, with the processes that draw for it."""
        if self._process.poll() is None:
            # Its session, and so its process group, is its own.
            os.killpg(self._process.pid, signal.SIGTERM)

    def wait(self) -> int:
        """Its exit code; 0 if the report was made."""
        return self._process.wait()

    def _close(self, line: bytes) -> None:
        stdin = self._process.stdin
        if stdin is None or stdin.closed:
            return
        try:
            stdin.write(line)
            stdin.close()
        except BrokenPipeError:
            # It ended early, which its exit code tells.
            return
