"""The ledger of a run: planned = ok + … + not_sent + missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from coldburst.record.attempt import OUTCOMES


@dataclass(frozen=True, slots=True)
class Ledger:
    """planned = ok + … + not_sent + missing. Counts requests; a retried one counts with its last attempt."""

    planned: int
    counts: Mapping[str, int]

    @property
    def missing(self) -> int:
        """Planned requests without a row; negative if there are more rows than planned requests."""
        return self.planned - sum(self.counts.values())

    @property
    def balanced(self) -> bool:
        """Whether each planned request has exactly one outcome."""
        return self.missing == 0

    def __str__(self) -> str:
        parts = [f"{self.counts[name]} {name}" for name in OUTCOMES if self.counts.get(name)]
        if self.missing:
            parts.append(f"{self.missing} missing")
        return f"{self.planned} planned = {' + '.join(parts) or '0'}"
