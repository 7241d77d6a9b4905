"""Columns of large runs in files without a name, mapped into memory where they are used.

A run of ten million rows has 2 GB of columns. A report uses a few of them at a time, and ``release`` lets the system take back the
pages of the others, which stay in the file. Nothing else changes: a mapped column is a NumPy array.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable
from typing import IO, Any
from weakref import WeakSet

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# Shorter columns stay in memory: 300 MB for all columns of so many rows.
ROWS_IN_MEMORY = 1_000_000
# Of ``on_disk``: values written at a time.
BLOCK = 1 << 20
_MASKED = {"boolean": bool, "Int32": np.int32, "Int64": np.int64}
_maps: WeakSet[mmap.mmap] = WeakSet()


def _write(file: IO[bytes], blocks: Iterable[NDArray[Any]]) -> None:
    try:
        for block in blocks:
            file.write(block.view(np.uint8).data)
    except OSError as error:
        room = f"{error.strerror} in {tempfile.gettempdir()}: set TMPDIR to a directory with room for twice the size of attempts.csv"
        raise OSError(error.errno, room) from error


def _mapped(file: IO[bytes], dtype: np.dtype[Any]) -> NDArray[Any]:
    file.flush()
    pages = mmap.mmap(file.fileno(), 0)
    file.close()
    _maps.add(pages)
    return np.frombuffer(pages, dtype)


def is_large(column: Any) -> bool:
    """Whether a column has so many values that it belongs on disk."""
    return len(column) >= ROWS_IN_MEMORY


def on_disk(values: NDArray[Any]) -> NDArray[Any]:
    """``values`` on disk if they are many, unless they are there already; otherwise the same array."""
    if not is_large(values) or is_mapped(values) or 0 in values.strides:
        return values
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- it lives as long as its map
    _write(file, (np.ascontiguousarray(values[start : start + BLOCK]) for start in range(0, len(values), BLOCK)))
    release()
    return _mapped(file, values.dtype)


def unknown(rows: int) -> NDArray[np.float64]:
    """A column without a value, which takes no room."""
    return np.broadcast_to(np.nan, rows)


def is_mapped(values: Any) -> bool:
    """Whether an array is, or is a view of, a mapped column."""
    while isinstance(values, np.ndarray):
        values = values.base
    return isinstance(values, mmap.mmap) or (isinstance(values, memoryview) and isinstance(values.obj, mmap.mmap))


def in_order(column: Any, places: Any) -> Any:
    """The values of a pandas array at ``places``, on disk if they are many; None: as they are."""
    is_alike = isinstance(column, np.ndarray) and 0 in column.strides
    return column_on_disk(column if places is None or is_alike else column.take(places))


def column_on_disk(column: Any) -> Any:
    """A pandas array with its values on disk if they are many; texts, and other arrays without plain values, stay in memory."""
    if not is_large(column):
        return column
    if isinstance(column, np.ndarray | pd.arrays.NumpyExtensionArray):
        plain = np.asarray(column)
        return column if plain.dtype == object else on_disk(plain)
    if isinstance(column, pd.Categorical):
        return pd.Categorical.from_codes(on_disk(column.codes), dtype=column.dtype, validate=False)
    kind = _MASKED.get(str(column.dtype))
    return masked(on_disk(column.to_numpy(kind, na_value=0)), on_disk(column.isna())) if kind else column


def masked(values: NDArray[Any], missing: NDArray[np.bool_]) -> Any:
    """A pandas array of whole numbers or flags, some of which are missing."""
    return (pd.arrays.BooleanArray if values.dtype == bool else pd.arrays.IntegerArray)(values, missing)


def rows_at(frame: pd.DataFrame, places: Any) -> pd.DataFrame:
    """The rows at a few places; column by column, as the system reads the surroundings of each value too."""
    columns = {}
    for name in frame:
        columns[name] = frame[name].array.take(places)
        release()
    return pd.DataFrame(columns, frame.index.take(places))


def release() -> None:
    """Lets the system take back the pages of all mapped columns; the next access reads them from the file again."""
    for pages in list(_maps):
        if hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)
