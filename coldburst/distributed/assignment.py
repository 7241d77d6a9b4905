"""Which generator sends which arrival. Standard library only, no clock.

The master assigns arrivals to the live generators, and again whenever one is lost, joins or comes back.
A new assignment starts after the end of every lease given before it. A generator only sends what is due
within its lease, so two generators never follow different assignments.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from coldburst.schedule.stages import Stage

# How far ahead of now a generator may send. Without a new message from the master it stops at the lease's end.
LEASE_S = 4.0
# Sequence numbers reserved for a closed loop with a duration, whose number of requests is not known in advance. Each generator has
# one in SLOTS of them.
BLOCK = 1_000_000_000_000
# Generators in one run at most, the lost ones included.
SLOTS = 10_000


@dataclass(frozen=True, slots=True)
class Assignment:
    """From ``from_s`` on (seconds from second 0) arrivals go to ``members`` in turn."""

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
        """The generator's share of ``whole`` places (of a closed loop, or of the in-flight cap) at that instant."""
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
        """Plain lists for a message; ``read`` is the inverse."""
        return [[assignment.from_s, list(assignment.members)] for assignment in self._assignments]

    @classmethod
    def read(cls, plain: Sequence[Sequence[Any]]) -> Assignments:
        """Assignments from ``plain``."""
        return cls(Assignment(float(from_s), tuple(members)) for from_s, members in plain)


class SequencePool:
    """Sequence numbers of a closed loop with a count; each is given to one generator, on request.

    Numbers given to a generator that is then lost are missing if it sent no rows for them. The others get all the rest.
    """

    def __init__(self, numbers: range) -> None:
        self._left = numbers
        self._given: dict[str, SequenceLease] = {}

    @property
    def dry(self) -> bool:
        """Whether all numbers are given out."""
        return not self._left

    def give(self, name: str, whole: int) -> None:
        """Gives ``name`` numbers until it has had ``whole`` in total, as far as there are any."""
        given = self._given.setdefault(name, SequenceLease())
        lacking = max(whole - given.end, 0)
        if part := self._left[:lacking]:
            given.parts.append(part)
            given.end += len(part)
            self._left = self._left[len(part) :]

    def rest(self, name: str) -> None:
        """Gives ``name`` every number that is left."""
        self.give(name, self._given.get(name, SequenceLease()).end + len(self._left))

    def close(self) -> int:
        """Gives out no more numbers; returns how many were left."""
        left, self._left = len(self._left), range(0)
        return left

    def after(self, name: str, got: int) -> tuple[int, list[list[int]]]:
        """Unconfirmed numbers of ``name``: how many come before them, and their ranges as [first, last + 1].

        Args:
            got: how many it has confirmed; ranges within those are dropped.
        """
        given = self._given.setdefault(name, SequenceLease())
        while given.parts and given.begin + len(given.parts[0]) <= got:
            given.begin += len(given.parts.popleft())
        return given.begin, [[part.start, part.stop] for part in given.parts]


@dataclass(slots=True)
class SequenceLease:
    """The unconfirmed numbers of one generator: from the ``begin``-th to the ``end``-th that it was given."""

    begin: int = 0
    end: int = 0
    parts: deque[range] = field(default_factory=deque)


class LeasedNumbers:
    """The numbers that a generator was given from the master's pool; one stage at a time."""

    def __init__(self) -> None:
        self.stage, self.got, self.taken = -1, 0, 0
        self._parts: deque[range] = deque()
        self._dry = False

    def receive(self, stage: int, before: int, parts: Sequence[Sequence[int]], dry: bool) -> None:
        """Adds the numbers of a beat that are new (see ``SequencePool.after``)."""
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
        """How many numbers of that stage are not taken yet."""
        return self.got - self.taken if stage == self.stage else 0

    def take(self, stage: int) -> int | None:
        """The next number of that stage; None if there is none now."""
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
        counts: how many requests each stage plans; None for a closed loop with a duration.
    """
    found, base = [], 0
    for _, count in zip(stages, counts, strict=True):
        found.append(base)
        base += BLOCK if count is None else count
    return found
