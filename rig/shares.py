"""Who sends what, where several load generators share a schedule. Standard library only, no clock.

The master deals arrivals over the generators that live, and deals again when one is lost, joins or comes
back. A deal holds from an instant on, and that instant is later than every lease given before it: a
generator sends only what is due within its lease, so that at no instant two of them follow different deals.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rig.schedule import Stage

LEASE_S = 4.0
"""How far ahead of now the master lets a generator send. Without a new word from the master it stops when that is over."""
BLOCK = 100_000_000
"""Numbers kept for a closed loop bounded by time, of which nobody knows beforehand how many it needs."""
SLOTS = 10_000
"""Generators that one run can have, the lost ones included."""


@dataclass(frozen=True, slots=True)
class Deal:
    """Arrivals that are due from ``from_s`` on (seconds from second 0) are dealt over ``members``, like cards."""

    from_s: float
    members: tuple[str, ...]


class Deals:
    """The deals of a run, each in force until the next."""

    def __init__(self, deals: Iterable[Deal] = ()) -> None:
        self._deals: list[Deal] = []
        for deal in deals:
            self.add(deal)

    def add(self, deal: Deal) -> None:
        """Another deal.

        Raises:
            ValueError: nobody to deal to, or earlier than the deal before it.
        """
        if not deal.members or (self._deals and deal.from_s < self._deals[-1].from_s):
            raise ValueError(f"{deal} cannot follow {self._deals[-1:]}: a deal needs members, and an instant after the one before")
        self._deals.append(deal)

    def at(self, due_s: float) -> Deal:
        """The deal in force for what is due then; the first one for what is due before it."""
        return self._deals[max(bisect_right(self._deals, due_s, key=lambda deal: deal.from_s) - 1, 0)]

    def owner(self, seq: int, due_s: float) -> str:
        """The generator that sends arrival ``seq``."""
        members = self.at(due_s).members
        return members[seq % len(members)]

    def places(self, name: str, due_s: float, whole: int) -> range:
        """The generator's own of ``whole`` places (of a closed loop, or at the in-flight cap) at that instant."""
        members = self.at(due_s).members
        if name not in members:
            return range(0)
        index, (each, left) = members.index(name), divmod(whole, len(members))
        first = index * each + min(index, left)
        return range(first, first + each + (index < left))

    @property
    def last(self) -> Deal:
        """The newest deal."""
        return self._deals[-1]

    def plain(self) -> list[list[Any]]:
        """For a message: ``Deals.read`` gives them back."""
        return [[deal.from_s, list(deal.members)] for deal in self._deals]

    @classmethod
    def read(cls, plain: Sequence[Sequence[Any]]) -> Deals:
        """Deals from ``plain``."""
        return cls(Deal(float(from_s), tuple(members)) for from_s, members in plain)


def bases(stages: Sequence[Stage], counts: Sequence[int | None]) -> list[int]:
    """The first number of each stage, the same for every generator.

    Args:
        counts: how many requests each stage plans; None where a closed loop's duration decides it.
    """
    found, base = [], 0
    for _, count in zip(stages, counts, strict=True):
        found.append(base)
        base += BLOCK if count is None else count
    return found
