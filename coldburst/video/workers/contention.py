"""How jobs on one GPU slow each other down: with n at a time, each takes 1 + contention × (n − 1) times as long.

With a contention of 0.15, two workers give 2 ÷ 1.15 = 1.74 times the throughput of one, and three 3 ÷ 1.3 = 2.31 times: Amdahl's law
with a serial share of 0.15.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# A wait is this long at most, so that a job that was cancelled ends soon.
LOOK_S = 0.25


def slowdown(contention: float, busy: int) -> float:
    """How many times as long a job takes while ``busy`` jobs run, itself included."""
    return 1 + contention * max(busy - 1, 0)


class Progress:
    """Work that advances at the speed that the number of running jobs allows; ``left_s`` in seconds of undisturbed work."""

    def __init__(self, work_s: float) -> None:
        self.left_s = work_s

    def advance(self, elapsed_s: float, slow: float) -> None:
        """``elapsed_s`` have passed at a slow-down of ``slow``."""
        self.left_s -= elapsed_s / slow

    def ends_in_s(self, slow: float) -> float:
        """Time until the end if the slow-down stays ``slow``."""
        return max(self.left_s, 0.0) * slow


class SharedGpu:
    """Waits in the threads of a worker process as a job with fixed times takes on a shared GPU."""

    def __init__(self, contention: float) -> None:
        self._contention, self._busy = contention, 1
        self._changed = threading.Condition()

    def set_busy(self, busy: int) -> None:
        """So many jobs run now, in all processes."""
        with self._changed:
            self._busy = busy
            self._changed.notify_all()

    def work(self, work_s: float, check: Callable[[], None]) -> None:
        """Return when ``work_s`` of work are done; ``check`` is called now and then, and may raise."""
        progress, at_s = Progress(work_s), time.monotonic()
        with self._changed:
            while True:
                check()
                slow = slowdown(self._contention, self._busy)
                if (ends_in_s := progress.ends_in_s(slow)) <= 0:
                    return
                self._changed.wait(min(ends_in_s, LOOK_S))
                now_s = time.monotonic()
                progress.advance(now_s - at_s, slow)
                at_s = now_s
