"""Reads the complete lines of a run's CSV file by columns with given types, some thousand rows at a time."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coldburst.lines import one_line

from .disk_columns import GrowingColumn, column_on_disk, is_large, masked, on_disk, release

BLOCK = 1 << 24
# Rows parsed at a time: text and intermediate values of more are not in memory.
ROWS = 100_000
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
        columns = {name: _growing(dtype) for name, dtype in dtypes.items()}
        for block in blocks:
            for name, column in columns.items():
                column.append(block[name].array)
    return {name: columns.pop(name).whole() for name in dtypes}


def reorder(columns: dict[str, Any], order: Any) -> None:
    """Reorders the rows of ``columns`` one column at a time, to save memory."""
    for name, column in columns.items():
        columns[name] = column_on_disk(column.take(order))
        release()


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


class _Numbers:
    """Numbers and flags; a dtype with a capital letter, and boolean, may miss some."""

    def __init__(self, dtype: str) -> None:
        self._plain = np.dtype(dtype.lower() if dtype != "boolean" else bool)
        self._values, self._missing = GrowingColumn(self._plain), None if dtype == "float64" else GrowingColumn(bool)

    def append(self, block: Any) -> None:
        """Adds a block."""
        if self._missing is None:
            self._values.append(block.to_numpy())
        else:
            self._values.append(block.to_numpy(self._plain, na_value=self._plain.type(0)))
            self._missing.append(block.isna())

    def whole(self) -> Any:
        """All values."""
        return self._values.whole() if self._missing is None else masked(self._values.whole(), self._missing.whole())


class _Texts:
    """Texts, each on one line, as a categorical with sorted categories; a cell that a short row lacks is ""."""

    def __init__(self, dtype: str) -> None:
        self._plain, self._places, self._codes = dtype == "str", dict[str, int](), GrowingColumn(np.int32)

    def append(self, block: Any) -> None:
        """Adds a block."""
        names = [*map(one_line, block.categories), *([""] if (block.codes < 0).any() else [])]
        places = [self._places.setdefault(name, len(self._places)) for name in names]
        self._codes.append(np.array(places, dtype=np.int32)[block.codes])

    def whole(self) -> Any:
        """All texts."""
        kept = sorted(self._places)
        ranks = np.empty(len(kept), dtype=np.min_scalar_type(-len(kept) - 1))
        ranks[[self._places[name] for name in kept]] = np.arange(len(kept))
        codes = on_disk(ranks[self._codes.whole()])
        found = pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(pd.Index(kept, dtype="str")), validate=False)
        return found.astype("str") if self._plain else found


def _growing(dtype: str) -> _Numbers | _Texts:
    return _Texts(dtype) if dtype in TEXTS else _Numbers(dtype)


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
