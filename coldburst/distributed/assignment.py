"""Which generator sends which arrival. Standard library only, no clock.

The master assigns arrivals to the live generators, and does so again when one is lost, joins or comes
back. An assignment holds from an instant on that is later than every lease given before it: a generator
sends only what is due within its lease, so two generators never follow different assignments.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from coldburst.schedule.stages import Stage

LEASE_S = 4.0
"""How far ahead of now the master lets a generator send. Without a new word from the master it stops when that is over."""
BLOCK = 100_000_000
"""Numbers kept for a closed loop bounded by time, of which nobody knows beforehand how many it needs."""
SLOTS = 10_000
"""Generators that one run can have, the lost ones included."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Arrivals that are due from ``from_s`` on (seconds from second 0) go to ``members`` in turn."""

    from_s: float
    members: tuple[str, ...]


class Assignments:
    """The assignments of a run, each in force until the next."""

    def __init__(self, assignments: Iterable[Assignment] = ()) -> None:
        self._assignments: list[Assignment] = []
        for assignment in assignments:
            self.add(assignment)

    def add(self, assignment: Assignment) -> None:
        """Adds the next assignment.

        Raises:
            ValueError: no members, or earlier than the assignment before it.
        """
        if not assignment.members or (self._assignments and assignment.from_s < self._assignments[-1].from_s):
            raise ValueError(
                f"{assignment} cannot follow {self._assignments[-1:]}: an assignment needs members, and an instant after the one before"
            )
        self._assignments.append(assignment)

    def at(self, due_s: float) -> Assignment:
        """The assignment in force for what is due then; the first one for what is due before it."""
        return self._assignments[max(bisect_right(self._assignments, due_s, key=lambda assignment: assignment.from_s) - 1, 0)]

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
    def last(self) -> Assignment:
        """The newest assignment."""
        return self._assignments[-1]

    def plain(self) -> list[list[Any]]:
        """For a message: ``Assignments.read`` gives them back."""
        return [[assignment.from_s, list(assignment.members)] for assignment in self._assignments]

    @classmethod
    def read(cls, plain: Sequence[Sequence[Any]]) -> Assignments:
        """Assignments from ``plain``."""
        return cls(Assignment(float(from_s), tuple(members)) for from_s, members in plain)


class SequencePool:
    """The numbers of a closed loop bounded by a count, given out as they are asked for, each of them once.

    What was given to a generator that is lost is missing where no row tells of it; all the rest is the others'.
    """

    def __init__(self, numbers: range) -> None:
        self._left = numbers
        self._given: dict[str, SequenceLease] = {}

    @property
    def dry(self) -> bool:
        """Whether every number is given out."""
        return not self._left

    def give(self, name: str, whole: int) -> None:
        """Gives ``name`` what it lacks of ``whole`` numbers since the beginning, as far as there are any."""
        given = self._given.setdefault(name, SequenceLease())
        lacking = max(whole - given.end, 0)
        if part := self._left[:lacking]:
            given.parts.append(part)
            given.end += len(part)
            self._left = self._left[len(part) :]

    def rest(self, name: str) -> None:
        """Gives ``name`` every number that is left."""
        self.give(name, self._given.get(name, SequenceLease()).end + len(self._left))

    def after(self, name: str, got: int) -> tuple[int, list[list[int]]]:
        """What was given to ``name`` and not confirmed: how many numbers come before it, and its stretches (first, last + 1).

        Args:
            got: how many it has confirmed; what is wholly among those is forgotten here.
        """
        given = self._given.setdefault(name, SequenceLease())
        while given.parts and given.begin + len(given.parts[0]) <= got:
            given.begin += len(given.parts.popleft())
        return given.begin, [[part.start, part.stop] for part in given.parts]


@dataclass(slots=True)
class SequenceLease:
    """Numbers ``begin`` to ``end`` (counted, not named) of those that one generator was given."""

    begin: int = 0
    end: int = 0
    parts: deque[range] = field(default_factory=deque)


class LeasedNumbers:
    """What one generator was given of the pool, as the master's words tell; one stage at a time."""

    def __init__(self) -> None:
        self.stage, self.got, self.taken = -1, 0, 0
        self._parts: deque[range] = deque()
        self._dry = False

    def hear(self, stage: int, before: int, parts: Sequence[Sequence[int]], dry: bool) -> None:
        """The master's word: see ``Pool.after``. What was heard before is left out."""
        if stage > self.stage:
            self.stage, self.got, self.taken = stage, 0, 0
            self._parts.clear()
        elif stage < self.stage:
            return
        for first, end in parts:
            fresh = range(first, end)[max(self.got - before, 0) :]
            before += end - first
            if fresh:
                self._parts.append(fresh)
                self.got += len(fresh)
        self._dry = dry

    def dry(self, stage: int) -> bool:
        """Whether no more will come for that stage."""
        return stage < self.stage or (stage == self.stage and self._dry)

    def left(self, stage: int) -> int:
        """Numbers of that stage that were given and not taken."""
        return self.got - self.taken if stage == self.stage else 0

    def take(self, stage: int) -> int | None:
        """The next number of that stage; None where there is none now."""
        if not self.left(stage):
            return None
        self.taken += 1
        first, more = self._parts[0][0], self._parts[0][1:]
        if more:
            self._parts[0] = more
        else:
            self._parts.popleft()
        return first


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
