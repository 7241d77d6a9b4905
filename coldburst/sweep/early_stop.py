"""Decides whether a sweep tries higher levels, from the results of the lower ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

from coldburst.record.attempt import Attempt

# A sweep ends after two levels in a row that gain less than 5 % over the best one before.
GAIN, LEVELS = 0.05, 2


@dataclass(slots=True)
class LevelOutcome:
    """Counts of one stage; times in seconds from second 0."""

    ended: int = 0
    ok: int = 0
    unfinished: int = 0
    first_s: float = math.inf
    last_s: float = 0.0

    def add(self, row: Attempt) -> None:
        """Counts an attempt that was sent. A retry belongs to the same request."""
        if row.sent_s is None:
            return
        if row.outcome == "unfinished":
            self.unfinished += 1
            return
        self.ended += row.attempt == 1
        self.ok += row.outcome == "ok"
        self.first_s = min(self.first_s, row.sent_s)
        self.last_s = max(self.last_s, row.done_s or 0.0)

    @property
    def per_s(self) -> float:
        """Throughput: ok responses ÷ wall time from the first sent to the last done."""
        return self.ok / (self.last_s - self.first_s) if self.last_s > self.first_s else 0.0


class EarlyStop:
    """Ends a sweep after too many failures, or after LEVELS levels without a gain.

    A level below one that was already tried is not checked for gains: its throughput is lower by nature.
    """

    def __init__(self, most_failures: float) -> None:
        self._most, self._best, self._without, self._highest = most_failures, 0.0, 0, 0

    def after(self, cell: str, level: int, tally: LevelOutcome) -> str:
        """Why no higher level is tried after this one; "" to go on."""
        failed = 1 - tally.ok / tally.ended if tally.ended else 1.0
        if failed > self._most:
            return f"{failed:.0%} of {cell} did not end ok, more than {self._most:.0%}"
        if level < self._highest:
            return ""
        self._without = 0 if tally.per_s > self._best * (1 + GAIN) else self._without + 1
        self._best, self._highest = max(self._best, tally.per_s), level
        return f"{LEVELS} levels in a row, up to {cell}, gained less than {GAIN:.0%}" if self._without >= LEVELS else ""
