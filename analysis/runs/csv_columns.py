"""Reads the complete lines of a run's CSV file by columns with given types.

pyarrow reads the file in blocks on all cores, without holding it as text. Files that it refuses (rows with too few cells, ``1e3`` as
a whole number) are read by pandas, or refused with its message.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute
from pyarrow import csv as arrow

from coldburst.lines import ERROR_LENGTH, one_line

# The largest magnitude of a time, count or size; whole numbers up to it are exact as floats.
MOST = 1e15
BLOCK = 1 << 24
# Characters per cell; the default limit of csv is 131,072.
WIDEST = 1 << 28
# The spellings that pandas reads as booleans.
TRUE, FALSE = ["True", "TRUE", "true", "1", "1.0"], ["False", "FALSE", "false", "0", "0.0"]
_TYPES: Mapping[str, pa.DataType] = {
    "Int64": pa.int64(),
    "Int32": pa.int32(),
    "float64": pa.float64(),
    "boolean": pa.bool_(),
    "str": pa.large_string(),
    "category": pa.dictionary(pa.int32(), pa.string()),
}


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


class AmbiguousCell(ValueError):
    """pyarrow accepted a cell that pandas may read differently."""


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
    try:
        return dict(_taken(_parsed(path, end, dtypes), dtypes))
    except (pa.ArrowException, AmbiguousCell):
        return read_by_pandas(path, end, dtypes)


def reorder(columns: dict[str, Any], order: Any) -> None:
    """Reorders the rows of ``columns`` one column at a time, to save memory."""
    for name, column in columns.items():
        columns[name] = column.take(order)
        del column
        pa.default_memory_pool().release_unused()


class _Clean(io.RawIOBase):
    """The first ``left`` bytes of a file, with U+FFFD for bytes that are not UTF-8."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file, self._left = file, left
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills ``buffer``; an invalid byte becomes the three bytes of U+FFFD."""
        block = self._file.read(min(len(buffer) // 3 - 4, self._left))
        self._left -= len(block)
        clean = self._decoder.decode(block, final=not self._left).encode()
        buffer[: len(clean)] = clean
        return len(clean)


def _parsed(path: Path, end: int, dtypes: Mapping[str, str]) -> pa.Table:
    try:
        with pa.OSFile(os.fsencode(path)) as file:
            return _by_arrow(file.get_stream(0, end), dtypes)
    except pa.ArrowInvalid as error:
        if "UTF8" not in str(error):
            raise
    with path.open("rb") as plain:
        return _by_arrow(_Clean(plain, end), dtypes)


def _by_arrow(stream: Any, dtypes: Mapping[str, str]) -> pa.Table:
    types = {name: _TYPES[dtype] for name, dtype in dtypes.items()}
    return arrow.read_csv(
        stream,
        read_options=arrow.ReadOptions(block_size=BLOCK),
        parse_options=arrow.ParseOptions(newlines_in_values=True),
        convert_options=arrow.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=[""],
            strings_can_be_null=False,
            true_values=TRUE,
            false_values=FALSE,
        ),
    )


def _taken(table: pa.Table, dtypes: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """The columns as arrays, each released before the next is converted, to save memory."""
    columns = {name: table.column(name) for name in dtypes}
    del table
    for name, dtype in dtypes.items():
        yield name, _ARRAYS[dtype](columns.pop(name))
        pa.default_memory_pool().release_unused()


def _floats(column: pa.ChunkedArray) -> Any:
    values = column.to_numpy()
    if np.count_nonzero(np.isnan(values)) != column.null_count:
        raise AmbiguousCell
    return values


def _integers(column: pa.ChunkedArray) -> Any:
    empty = column.is_null().to_numpy()
    return pd.arrays.IntegerArray(column.fill_null(0).to_numpy(), empty)


def _booleans(column: pa.ChunkedArray) -> Any:
    empty = column.is_null().to_numpy()
    return pd.arrays.BooleanArray(column.fill_null(False).to_numpy(), empty)


def _texts(column: pa.ChunkedArray) -> Any:
    if len(column) and column[-1].as_py().endswith("\n"):
        raise AmbiguousCell
    texts = pd.array(column.combine_chunks(), dtype="str")
    plain = compute.and_(compute.utf8_is_printable(column), compute.less_equal(compute.utf8_length(column), ERROR_LENGTH))
    return texts if compute.all(plain).as_py() else _short(pd.Series(texts)).array


def _short(texts: pd.Series[str]) -> pd.Series[str]:
    return texts.map({text: one_line(text) for text in texts.unique()}).astype("str")


def _categories(column: pa.ChunkedArray) -> Any:
    if len(column) and column[-1].as_py().endswith("\n"):
        raise AmbiguousCell
    whole = column.unify_dictionaries().combine_chunks()
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    names = [one_line(name) for name in whole.dictionary.to_pylist()]
    kept = sorted(set(names))
    places = {name: place for place, name in enumerate(kept)}
    codes = np.array([places[name] for name in names], dtype=np.min_scalar_type(-len(kept) - 1))[whole.indices.to_numpy()]
    return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(pd.Index(kept, dtype="str")))


_ARRAYS = {"Int64": _integers, "Int32": _integers, "float64": _floats, "boolean": _booleans, "str": _texts, "category": _categories}


def read_by_pandas(path: Path, end: int, dtypes: Mapping[str, str]) -> dict[str, Any]:
    """The same as ``read_columns``, by pandas and in memory."""
    with path.open("rb") as file:
        text = io.StringIO(file.read(end).decode("utf-8-sig", errors="replace"))
    plain = {name: "str" if dtype == "category" else dtype for name, dtype in dtypes.items()}
    empty = {name: [""] for name, dtype in plain.items() if dtype != "str"}
    with np.errstate(invalid="raise", over="raise"):  # 1e20 for a whole number
        table = pd.read_csv(text, dtype=plain, usecols=list(plain), keep_default_na=False, na_values=empty)
    read = {name: _short(table[name]) if dtype == "str" else table[name] for name, dtype in plain.items()}
    return {name: read[name].astype("category").array if dtype == "category" else read[name].array for name, dtype in dtypes.items()}


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
