"""Reads the complete lines of a run's CSV file by columns with given types."""

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

from . import parquet_copy
from .disk_columns import is_large, release
from .parquet_copy import TEXTS, CsvFile, categorical

BLOCK = 1 << 24
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


def read_columns(path: Path, end: int, dtypes: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """The columns of ``dtypes``, all of which must exist, from the first ``end`` bytes: names and pandas or NumPy arrays, one at a time.

    A dtype is Int64, Int32, float64, boolean, str or category (sorted). An empty cell is missing, or "" for texts. Bytes that are
    not UTF-8 become U+FFFD, and texts are cut to one line of ERROR_LENGTH characters, as the recorder writes them. Of a large file
    the Parquet copy is read.

    Raises:
        ValueError, TypeError, ArithmeticError: a cell or a line cannot be read.
        OSError: the file cannot be read.
    """
    if end >= parquet_copy.LARGE:
        names = column_names(path, end)
        yield from parquet_copy.read_copy(CsvFile(path, names, dtypes, end, lambda: _blocks(path, end, dtypes, parquet_copy.ROWS)))
        return
    (rows,) = _blocks(path, end, dtypes, None)
    yield from ((name, _array(rows[name].array, dtype)) for name, dtype in dtypes.items())


def _blocks(path: Path, end: int, dtypes: Mapping[str, str], rows: int | None) -> Iterator[pd.DataFrame]:
    """All rows at once, or ``rows`` at a time."""
    plain = {name: "category" if dtype == "str" else dtype for name, dtype in dtypes.items()}
    empty = {name: [""] for name, dtype in dtypes.items() if dtype not in TEXTS}
    with path.open("rb") as file, np.errstate(invalid="raise", over="raise"):  # 1e20 for a whole number
        lines = first_bytes(file, end, "replace")
        read = pd.read_csv(lines, dtype=plain, usecols=list(plain), keep_default_na=False, na_values=empty, chunksize=rows)
        yield from [read] if isinstance(read, pd.DataFrame) else read


def _array(column: Any, dtype: str) -> Any:
    if dtype not in TEXTS:
        return column.to_numpy() if dtype == "float64" else column
    cells = column if (column.codes >= 0).all() else column.add_categories("").fillna("")  # a short row lacks some
    return categorical(cells.categories, cells.codes, dtype)


def first_bytes(file: BinaryIO, end: int, errors: str) -> io.TextIOWrapper:
    """The lines in the first ``end`` bytes of a file."""
    return io.TextIOWrapper(io.BufferedReader(_Start(file, end)), "utf-8-sig", errors, "")


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


Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]
Places = NDArray[np.intp]


def integers(column: Any) -> Numbers:
    """A column of whole numbers without gaps as an array, a view if possible."""
    if is_large(column):
        release()
    values: Numbers = pd.Series(column, copy=False).to_numpy(dtype=np.int64)
    return values


def floats(column: pd.Series[Any]) -> Floats:
    """A column of numbers as an array with NaN for empty cells, a view if possible."""
    if is_large(column):
        release()
    values: Floats = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return values
