"""The last samples of an endpoint's own status (rows of endpoint.csv), kept while a run goes. Standard library only."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
KEPT = 3000


class EndpointSamples:
    """The last samples, oldest first.

    Attributes:
        refused: why /health is not asked any more; "" while it is.
    """

    def __init__(self) -> None:
        self.refused = ""
        self._samples: deque[Row] = deque(maxlen=KEPT)

    def add(self, sample: Row) -> None:
        """Takes the newest sample."""
        self._samples.append(sample)

    @property
    def latest(self) -> Row | None:
        """The last answer of /health; None before the first."""
        return next((sample for sample in reversed(self._samples) if sample["view"] == "health" and not sample["error"]), None)

    def between(self, from_s: float, to_s: float) -> list[Row]:
        """The samples of that stretch of time, and the last one of /health before it."""
        found: list[Row] = []
        for sample in reversed(self._samples):
            if sample["at_s"] <= to_s:
                found.append(sample)
            if sample["at_s"] < from_s and sample["view"] == "health":
                break
        return found[::-1]
