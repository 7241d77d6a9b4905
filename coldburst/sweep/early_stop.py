"""Whether a sweep's higher levels are worth trying, from what became of the lower ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

from coldburst.record.attempt import Attempt

GAIN, LEVELS = 0.05, 2
"""Two levels in a row that bring less than 5 % more than the best before them: nothing higher is tried."""


@dataclass(slots=True)
class LevelOutcome:
    """What has become of a stage so far; instants in seconds from second 0."""

    ended: int = 0
    ok: int = 0
    unfinished: int = 0
    first_s: float = math.inf
    last_s: float = 0.0

    def add(self, row: Attempt) -> None:
        """Counts an attempt that was sent; further tries at a request are the same request."""
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
        """Throughput: ok answers ÷ wall time, first sent to last done."""
        return self.ok / (self.last_s - self.first_s) if self.last_s > self.first_s else 0.0


class EarlyStop:
    """Whether higher levels are worth trying: not after too many failures, nor after LEVELS levels without a gain.

    A level below one that was tried before tells nothing of gains: its lower throughput is no reason to stop.
    """

    def __init__(self, most_failures: float) -> None:
        self._most, self._best, self._without, self._highest = most_failures, 0.0, 0, 0

    def after(self, cell: str, level: int, tally: LevelOutcome) -> str:
        """Why nothing higher is to be tried after this level; "" where it is."""
        failed = 1 - tally.ok / tally.ended if tally.ended else 1.0
        if failed > self._most:
            return f"{failed:.0%} of {cell} did not end ok, more than {self._most:.0%}"
        if level < self._highest:
            return ""
        self._without = 0 if tally.per_s > self._best * (1 + GAIN) else self._without + 1
        self._best, self._highest = max(self._best, tally.per_s), level
        return f"{LEVELS} levels in a row, up to {cell}, brought less than {GAIN:.0%} more" if self._without >= LEVELS else ""
