"""What waits for workers, as the scaler sees it."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Load(NamedTuple):
    """How many wait, and how many are at workers; without jobs of low priority."""

    waiting: int
    working: int


class Line(Protocol):
    """What the workers are for: the job queue, or the balancer's requests."""

    def load(self) -> Load:
        """Its present load."""

    def oldest_s(self) -> float | None:
        """Since when the first of those that wait has waited, jobs of low priority aside; None where none does."""
