"""Numbered batches of rows from a generator to the master, sent until acknowledged. Standard library only."""

from __future__ import annotations

import csv
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, overload

from coldburst.record.attempt import EVENTS, Attempt, read_rows, value

LEVEL = 1
# Batches sent at a time, so that a long gap does not send everything at once.
WINDOW = 8
# Size of a batch before compression.
MOST_BYTES = 4_000_000
# Limit after decompression: a character takes up to four bytes, and the last line may exceed MOST_BYTES.
MOST_UNPACKED_BYTES = 20_000_000
# Events of this kind are left out for listeners: there is up to one per request, and no live view uses them.
LEFT_OUT = "queued"


@dataclass(frozen=True, slots=True)
class Batch:
    """Compressed lines of the tables, and their changes to the recorder's counts by name."""

    number: int
    tables: Mapping[str, bytes]
    counts: Mapping[str, Mapping[str, int]]

    def plain(self) -> dict[str, Any]:
        """The content of a message, from which ``Batch.read`` restores the batch."""
        return asdict(self) | {"counts": {name: dict(changes) for name, changes in self.counts.items()}}

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Batch:
        """The batch in a message."""
        return cls(int(plain["number"]), dict(plain["tables"]), dict(plain["counts"]))

    def lines(self, table: str) -> str:
        """The lines of one table; ValueError or zlib.error if they cannot be unpacked."""
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(self.tables.get(table, b""), MOST_UNPACKED_BYTES).decode()
        if unpacker.unconsumed_tail:
            raise ValueError(f"more than {MOST_UNPACKED_BYTES:,} bytes in a table of a batch")
        return text


class Outbox:
    """Rows that the master has not acknowledged yet."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}
        self._counts: dict[str, Counter[str]] = {}
        self._size = 0
        self._packed: dict[int, Batch] = {}
        self.last = 0

    def add(self, table: str, line: str, counts: Mapping[str, Mapping[str, int]] | None = None) -> None:
        """Adds a written line and its changes to the counts."""
        self._lines.setdefault(table, []).append(line)
        self._size += len(line)
        for name, changes in (counts or {}).items():
            self._counts.setdefault(name, Counter()).update(changes)
        if self._size >= MOST_BYTES:
            self._pack()

    def due(self) -> list[Batch]:
        """The next batches to send, in order: first those that were not acknowledged."""
        if self._lines:
            self._pack()
        return [self._packed[number] for number in sorted(self._packed)[:WINDOW]]

    def acknowledged(self, number: int) -> None:
        """Drops every batch up to this one; the master has them."""
        for done in [known for known in self._packed if known <= number]:
            del self._packed[done]

    @property
    def empty(self) -> bool:
        """Whether the master has everything."""
        return not self._packed and not self._lines

    def _pack(self) -> None:
        self.last += 1
        tables = {name: zlib.compress("".join(lines).encode(), LEVEL) for name, lines in self._lines.items()}
        self._packed[self.last] = Batch(self.last, tables, self._counts)
        self._lines, self._counts, self._size = {}, {}, 0


class Inbox:
    """Accepts each batch of one generator once, in order."""

    def __init__(self) -> None:
        self.number = 0

    def takes(self, batch: Batch) -> bool:
        """Whether this is the next batch: not a repeated one, nor one after a gap."""
        if batch.number != self.number + 1:
            return False
        self.number = batch.number
        return True


class RowBatch(Sequence[Attempt]):
    """The rows in whole lines of attempts.csv, parsed only when they are read.

    No cell contains a line break (see ``lines.one_line``), so lines can be counted without parsing.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _lines(self) -> list[str]:
        return self._text.split("\n")[:-1]

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, place: int) -> Attempt: ...
    @overload
    def __getitem__(self, place: slice) -> RowBatch: ...
    def __getitem__(self, place: int | slice) -> Attempt | RowBatch:
        if isinstance(place, slice):
            return RowBatch("".join(f"{line}\n" for line in self._lines[place]))
        return next(read_rows(f"{self._lines[place]}\n"))

    def __iter__(self) -> Iterator[Attempt]:
        return read_rows(self._text)


def read_events(text: str) -> Iterator[dict[str, Any]]:
    """The rows in whole lines of events.csv by column, "" for an empty cell; without LEFT_OUT."""
    lines = (line for line in text.split("\n")[:-1] if line.split(",", 2)[1] != LEFT_OUT)
    for cells in csv.reader(lines):
        yield {column.name: cell and value(column, cell) for column, cell in zip(EVENTS, cells, strict=True)}
