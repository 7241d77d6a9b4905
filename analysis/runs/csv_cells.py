"""The cells of a CSV text as texts, and how large a number in one may be."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

# The largest magnitude of a time, count or size; whole numbers up to it are exact as floats.
MOST = 1e15
# Characters per cell; the default limit of csv is 131,072.
WIDEST = 1 << 28


def csv_cells(text: str, separator: str = ",") -> Iterator[list[str]]:
    """The rows of a CSV text, with cells of any length; raises csv.Error if it is not CSV."""
    before = csv.field_size_limit(WIDEST)
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    finally:
        csv.field_size_limit(before)
