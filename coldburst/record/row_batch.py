"""Rows that came as lines of CSV from another generator. Attempts are parsed only when somebody looks at them. Standard library only."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, overload

from coldburst.record.attempt import EVENTS, Attempt, read_rows, value

# Up to one a request, and of no use to those who follow a run.
LEFT_OUT = "queued"


class RowBatch(Sequence[Attempt]):
    """The rows of whole lines of attempts.csv, in their order.

    No cell holds a line break (see ``lines.one_line``), so the lines can be told apart without parsing them.
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
    """The rows of whole lines of events.csv by the names of their columns, "" where a cell is empty; without LEFT_OUT ones."""
    lines = (line for line in text.split("\n")[:-1] if line.split(",", 2)[1] != LEFT_OUT)
    for cells in csv.reader(lines):
        yield {column.name: cell and value(column, cell) for column, cell in zip(EVENTS, cells, strict=True)}
