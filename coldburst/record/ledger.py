"""The ledger of a run: planned = ok + … + not_sent + missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from coldburst.record.attempt import OUTCOMES, Attempt


@dataclass(frozen=True, slots=True)
class Ledger:
    """planned = ok + … + not_sent + missing. Counts requests: a retried one counts with its last attempt."""

    planned: int
    counts: Mapping[str, int]

    @property
    def missing(self) -> int:
        """Planned requests that no row tells of; below zero where there are more rows than were planned."""
        return self.planned - sum(self.counts.values())

    @property
    def balanced(self) -> bool:
        """Whether each planned request ended in exactly one outcome."""
        return self.missing == 0

    def __str__(self) -> str:
        """One line, in the order of OUTCOMES."""
        parts = [f"{self.counts[name]} {name}" for name in OUTCOMES if self.counts.get(name)]
        if self.missing:
            parts.append(f"{self.missing} missing")
        return f"{self.planned} planned = {' + '.join(parts) or '0'}"


def ledger(planned: int, attempts: Iterable[Attempt]) -> Ledger:
    """The ledger of ``attempts`` against the number ``planned``."""
    last: dict[int, Attempt] = {}
    for row in attempts:
        if row.seq not in last or row.attempt >= last[row.seq].attempt:
            last[row.seq] = row
    return Ledger(planned, Counter(row.outcome for row in last.values()))
