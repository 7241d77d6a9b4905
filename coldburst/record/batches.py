"""Numbered batches of rows from a generator to the master, sent again until acknowledged. Standard library only."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LEVEL = 1
WINDOW = 8
"""Batches that are on their way at a time: after a gap they go again, the rest wait for their turn."""
MOST_BYTES = 4_000_000
"""Of one batch before it is packed: a backlog goes in several."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines of the tables, packed; ``counts``: what they change in the recorder's counts, by the name of each."""

    number: int
    tables: Mapping[str, bytes]
    counts: Mapping[str, Mapping[str, int]]

    def plain(self) -> dict[str, Any]:
        """For a message: ``Batch.read`` gives it back."""
        counts = {name: dict(changes) for name, changes in self.counts.items()}
        return {"number": self.number, "tables": dict(self.tables), "counts": counts}

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Batch:
        """A batch from ``plain``."""
        return cls(int(plain["number"]), dict(plain["tables"]), dict(plain["counts"]))

    def lines(self, table: str) -> str:
        """The lines of one table."""
        packed = self.tables.get(table)
        return zlib.decompress(packed).decode() if packed else ""


class Outbox:
    """Rows that the master has not acknowledged yet."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}
        self._counts: dict[str, Counter[str]] = {}
        self._size = 0
        self._packed: dict[int, Batch] = {}
        self._number = 0

    def add(self, table: str, line: str, counts: Mapping[str, Mapping[str, int]] | None = None) -> None:
        """A line that was written, and what it changes in which counts."""
        self._lines.setdefault(table, []).append(line)
        self._size += len(line)
        for name, changes in (counts or {}).items():
            self._counts.setdefault(name, Counter()).update(changes)
        if self._size >= MOST_BYTES:
            self._pack()

    def due(self) -> list[Batch]:
        """The batches to send now: those that were not acknowledged, in their order, and what has come since."""
        if self._lines:
            self._pack()
        return [self._packed[number] for number in sorted(self._packed)[:WINDOW]]

    def acknowledged(self, number: int) -> None:
        """The master has every batch up to this one."""
        for done in [known for known in self._packed if known <= number]:
            del self._packed[done]

    @property
    def empty(self) -> bool:
        """Whether the master has everything."""
        return not self._packed and not self._lines

    @property
    def last(self) -> int:
        """The number of the last batch that was packed."""
        return self._number

    def _pack(self) -> None:
        self._number += 1
        tables = {name: zlib.compress("".join(lines).encode(), LEVEL) for name, lines in self._lines.items()}
        self._packed[self._number] = Batch(self._number, tables, self._counts)
        self._lines, self._counts, self._size = {}, {}, 0


class Inbox:
    """What the master has of one generator: each batch is taken once, in order."""

    def __init__(self) -> None:
        self.number = 0

    def takes(self, batch: Batch) -> bool:
        """Whether this is the next one; a repeated one, or one after a gap, is not."""
        if batch.number != self.number + 1:
            return False
        self.number = batch.number
        return True
