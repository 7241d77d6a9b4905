"""The wall clock during a run, which may be changed meanwhile. Standard library only."""

from __future__ import annotations

import logging
import time
from typing import Protocol

logger = logging.getLogger("coldburst")
# A smaller difference is the usual drift or correction of a clock.
STEP_S = 1.0


class Notes(Protocol):
    """What takes notes for run.json."""

    def note(self, key: str, value: float, /) -> None:
        """Adds a value to run.json."""


class WallClock:
    """The wall clock as it was at the start of a run."""

    def __init__(self) -> None:
        self._ahead_s = time.time() - time.perf_counter()

    def at(self, instant_s: float) -> float:
        """Seconds since 1970 of an instant by ``time.perf_counter``."""
        return self._ahead_s + instant_s

    def report_step(self, notes: Notes) -> None:
        """Reports whether the wall clock was changed since the start; no time of a run goes by it but ``second_0``."""
        step_s = time.time() - time.perf_counter() - self._ahead_s
        if abs(step_s) >= STEP_S:
            notes.note("wall_clock_step_s", round(step_s, 3))
            logger.warning("The wall clock was changed by %+.1f s during the run; second_0 in run.json is by the clock before that", step_s)
