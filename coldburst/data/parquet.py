"""Parquet files as data sets, by pyarrow, which is installed with the report."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any

from coldburst.data.row import DataError


class ParquetRows:
    """A Parquet file. One group of rows at a time is in memory.

    Raises:
        DataError: pyarrow is not installed, or the file is not Parquet.
    """

    def __init__(self, path: Path) -> None:
        if find_spec("pyarrow") is None:
            raise DataError(f"'{path}' needs pyarrow: pip install 'coldburst[report]', or save it as JSONL or CSV")
        # Only runs with a Parquet file need it.
        import pyarrow.parquet  # noqa: PLC0415

        self._path, self.folder = path, path.parent
        try:
            self._file = pyarrow.parquet.ParquetFile(path, memory_map=True)
        except pyarrow.ArrowInvalid as error:
            raise DataError(f"'{path}' is not a Parquet file: {error}") from error
        about = self._file.metadata
        self._ends = list(accumulate(about.row_group(number).num_rows for number in range(about.num_row_groups)))
        self.columns: Sequence[str] = tuple(self._file.schema_arrow.names)
        self._group = -1
        self._table: Any = None

    @property
    def groups(self) -> int:
        """Number of row groups."""
        return len(self._ends)

    def reach(self, count: int) -> int:
        """See Source."""
        return min(count, self._ends[-1] if self._ends else 0)

    def read(self, index: int) -> Mapping[str, Any]:
        """See Source."""
        group = bisect_right(self._ends, index)
        if group != self._group:
            self._group, self._table = group, self._file.read_row_group(group, use_threads=False)
        first = self._ends[group - 1] if group else 0
        row: dict[str, Any] = self._table.slice(index - first, 1).to_pylist()[0]
        return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}

    def place(self, index: int) -> str:
        """See Source."""
        return f"'{self._path}', row {index + 1}"
