"""Reads the complete lines of a run's CSV file by columns with given types, some thousand rows at a time."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coldburst.lines import one_line

# The largest magnitude of a time, count or size; whole numbers up to it are exact as floats.
MOST = 1e15
BLOCK = 1 << 24
# Rows parsed at a time: text and intermediate values of more are not in memory.
ROWS = 100_000
# Characters per cell; the default limit of csv is 131,072.
WIDEST = 1 << 28
# The dtypes of texts.
TEXTS = ("str", "category")
# The spellings that pandas reads as booleans.
TRUE, FALSE = ["True", "TRUE", "true", "1", "1.0"], ["False", "FALSE", "false", "0", "0.0"]


def first_odd_cell(path: Path, dtypes: Mapping[str, str]) -> str:
    """The first cell that does not fit its column's type, as part of a sentence, or ""."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        found = csv.reader(file)
        head = next(found, [])
        for number, row in enumerate(found, start=2):
            for name, cell in zip(head, row, strict=False):
                if cell and not _fits(cell, dtypes.get(name, "str")):
                    return f"row {number} has {one_line(cell, 30)!r} as its {name!r}"
    return ""


def _fits(cell: str, dtype: str) -> bool:
    if dtype == "boolean":
        return cell in (*TRUE, *FALSE)
    if dtype not in ("Int64", "Int32", "float64"):
        return True
    try:
        value = float(cell)
    except ValueError:
        return False
    return not math.isnan(value) and (dtype == "float64" or (value.is_integer() and abs(value) < 2.0 ** (int(dtype[3:]) - 1)))


def csv_cells(text: str, separator: str = ",") -> Iterator[list[str]]:
    """The rows of a CSV text, with cells of any length; raises csv.Error if it is not CSV."""
    before = csv.field_size_limit(WIDEST)
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    finally:
        csv.field_size_limit(before)


def whole_lines(path: Path) -> tuple[int, str]:
    """The number of bytes of complete lines, and a sentence on a torn last line or ""."""
    with path.open("rb") as file:
        start, torn, found = file.seek(0, os.SEEK_END), b"", 0
        while start and not found:
            stop, start = start, max(start - BLOCK, 0)
            file.seek(start)
            block = file.read(stop - start)
            found = block.rfind(b"\n") + 1
            torn = block[found:] + torn
    characters = len(torn.decode("utf-8", errors="replace"))
    told = f"{path.name}: the last line is incomplete ({characters} characters) and was left out" if torn else ""
    return start + found, told


def column_names(path: Path, end: int) -> list[str]:
    """The names in the first line; empty if the first ``end`` bytes are blank."""
    with path.open("rb") as file:
        first = file.readline(end).decode("utf-8-sig", errors="replace").strip()
        blank = not first and not any(line.strip() for line in iter(lambda: file.readline(max(end - file.tell(), 0)), b""))
    return [] if blank else first.split(",")


def read_columns(path: Path, end: int, dtypes: Mapping[str, str]) -> dict[str, Any]:
    """Reads the columns of ``dtypes``, all of which must exist, from the first ``end`` bytes into pandas or NumPy arrays.

    A dtype is Int64, Int32, float64, boolean, str or category (sorted). An empty cell is missing, or "" for texts. Bytes that are
    not UTF-8 become U+FFFD, and texts are cut to one line of ERROR_LENGTH characters, as the recorder writes them.

    Raises:
        ValueError, TypeError, ArithmeticError: a cell or a line cannot be read.
        OSError: the file cannot be read.
    """
    plain = {name: "category" if dtype == "str" else dtype for name, dtype in dtypes.items()}
    empty = {name: [""] for name, dtype in dtypes.items() if dtype not in TEXTS}
    with path.open("rb") as file, np.errstate(invalid="raise", over="raise"):  # 1e20 for a whole number
        lines = io.TextIOWrapper(io.BufferedReader(_Start(file, end)), "utf-8-sig", "replace", "")
        blocks = pd.read_csv(lines, dtype=plain, usecols=list(plain), keep_default_na=False, na_values=empty, chunksize=ROWS)
        parts = [{name: block[name].array for name in plain} for block in blocks]
    return {name: _whole([part.pop(name) for part in parts], dtype) for name, dtype in dtypes.items()}


def reorder(columns: dict[str, Any], order: Any) -> None:
    """Reorders the rows of ``columns`` one column at a time, to save memory."""
    for name, column in columns.items():
        columns[name] = column.take(order)


class _Start(io.RawIOBase):
    """The first ``left`` bytes of a file."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file, self._left = file, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills ``buffer``."""
        block = self._file.read(min(len(buffer), self._left))
        self._left -= len(block)
        buffer[: len(block)] = block
        return len(block)


def _whole(parts: list[Any], dtype: str) -> Any:
    """One column from its blocks."""
    if dtype in TEXTS:
        return _categories(parts) if dtype == "category" else _categories(parts).astype("str")
    return pd.concat([pd.Series(part, copy=False) for part in parts], ignore_index=True).array


def _categories(parts: list[Any]) -> Any:
    """One categorical of several, with sorted categories, each on one line; a cell that a short row lacks is ""."""
    names = [[*map(one_line, part.categories), *([""] if (part.codes < 0).any() else [])] for part in parts]
    kept = sorted(set().union(*names))
    places = {name: place for place, name in enumerate(kept)}
    width = np.min_scalar_type(-len(kept) - 1)
    codes = [np.array([places[name] for name in of], dtype=width)[part.codes] for of, part in zip(names, parts, strict=True)]
    return pd.Categorical.from_codes(np.concatenate(codes), dtype=pd.CategoricalDtype(pd.Index(kept, dtype="str")))


Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]
Places = NDArray[np.intp]


def integers(column: Any) -> Numbers:
    """A column of whole numbers without gaps as an array, a view if possible."""
    values: Numbers = pd.Series(column, copy=False).to_numpy(dtype=np.int64)
    return values


def floats(column: pd.Series[Any]) -> Floats:
    """A column of numbers as an array with NaN for empty cells, a view if possible."""
    values: Floats = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return values
