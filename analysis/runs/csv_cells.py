"""The cells of a CSV text as texts, and how large a number in one may be."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator

# The largest magnitude of a time, count or size; whole numbers up to it are exact as floats.
MOST = 1e15
# Characters per cell; the default limit of csv is 131,072.
WIDEST = 1 << 28


def csv_cells(lines: Iterable[str], separator: str = ",") -> Iterator[list[str]]:
    """The rows of lines of CSV, with cells of any length; raises csv.Error if they are not CSV."""
    before = csv.field_size_limit(WIDEST)
    try:
        yield from csv.reader(lines, delimiter=separator)
    finally:
        csv.field_size_limit(before)
