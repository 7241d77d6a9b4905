"""Offset between the clocks of two machines, from the times of requests and answers. Standard library only.

As in the clock filter of NTP (RFC 5905, section 10): the answer with the shortest round trip counts, and
its error is at most half of that round trip.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

KEPT = 8


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One request and its answer, in seconds: ``asked_s`` and ``answered_s`` by our clock, ``theirs_s`` by the other one."""

    asked_s: float
    theirs_s: float
    answered_s: float

    @property
    def round_trip_s(self) -> float:
        """From request to answer."""
        return self.answered_s - self.asked_s

    @property
    def offset_s(self) -> float:
        """Their clock − ours, if both directions took equally long."""
        return self.theirs_s - (self.asked_s + self.answered_s) / 2


class ClockOffset:
    """The last KEPT readings, and the best of them."""

    def __init__(self) -> None:
        self._readings: deque[ClockReading] = deque(maxlen=KEPT)

    def add(self, reading: ClockReading) -> None:
        """Adds a reading."""
        self._readings.append(reading)

    def __len__(self) -> int:
        return len(self._readings)

    @property
    def best(self) -> ClockReading:
        """The reading with the shortest round trip; ValueError before the first."""
        return min(self._readings, key=lambda reading: reading.round_trip_s)
