"""Estimates the offset between the clocks of two machines from request and answer times. Standard library only.

After D. Mills' clock filter (RFC 5905, section 10): of the last answers the one with the shortest round
trip counts; its error is at most half of that.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

KEPT = 8


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One question and its answer, in seconds: asked and answered by the asker's clock, and between the two the other's."""

    asked_s: float
    theirs_s: float
    answered_s: float

    @property
    def round_trip_s(self) -> float:
        """From question to answer."""
        return self.answered_s - self.asked_s

    @property
    def offset_s(self) -> float:
        """Theirs − ours, if both ways took equally long."""
        return self.theirs_s - (self.asked_s + self.answered_s) / 2


class ClockOffset:
    """The best reading of the last ones."""

    def __init__(self) -> None:
        self._readings: deque[ClockReading] = deque(maxlen=KEPT)

    def add(self, reading: ClockReading) -> None:
        """Another question was answered."""
        self._readings.append(reading)

    def __len__(self) -> int:
        return len(self._readings)

    @property
    def best(self) -> ClockReading:
        """The reading with the shortest round trip; ValueError before the first."""
        return min(self._readings, key=lambda reading: reading.round_trip_s)
