"""Parquet files as data sets, by DuckDB, which is the extra ``parquet``."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any

from coldburst.data.row import DataError

# Rows fetched at a time: a fetch takes about a millisecond, of one row or of these.
ROWS = 64
# The position in the file has a name that no column has.
COPY = """CREATE OR REPLACE TEMP TABLE part AS SELECT * EXCLUDE (file_row_number)
FROM read_parquet($1, file_row_number = true) WHERE file_row_number >= $2 AND file_row_number < $3"""
COUNTS = "SELECT DISTINCT row_group_id, row_group_num_rows FROM parquet_metadata($1) ORDER BY row_group_id"


class ParquetRows:
    """A Parquet file. One group of rows at a time is in memory.

    Raises:
        DataError: DuckDB is not installed, or the file is not Parquet.
    """

    def __init__(self, path: Path) -> None:
        if find_spec("duckdb") is None:
            raise DataError(f"'{path}' needs DuckDB: pip install 'coldburst[parquet]', or save it as JSONL or CSV")
        # Only runs with a Parquet file need it.
        import duckdb  # noqa: PLC0415

        self._path, self.folder = path, path.parent
        # More threads would take CPU from the dispatcher.
        self._database = duckdb.connect(config={"threads": 1})
        try:
            counts = self._database.execute(COUNTS, [str(path)]).fetchall()
            head = self._database.execute("SELECT * FROM read_parquet($1) LIMIT 0", [str(path)]).description
        except duckdb.Error as error:
            raise DataError(f"'{path}' is not a Parquet file: {str(error).splitlines()[0]}") from error
        self._ends = list(accumulate(count for _, count in counts))
        self.columns: Sequence[str] = tuple(name for name, *_ in head)
        self._group = self._begin = -1
        self._rows: list[tuple[Any, ...]] = []

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
        first = self._ends[group - 1] if group else 0
        if group != self._group:
            self._database.execute(COPY, [str(self._path), first, self._ends[group]])
            self._group, self._begin = group, -1
        place, begin = (index - first) % ROWS, (index - first) // ROWS * ROWS
        if begin != self._begin:
            rows = self._database.execute("SELECT * FROM part WHERE rowid >= $1 AND rowid < $1 + $2", [begin, ROWS])
            self._begin, self._rows = begin, rows.fetchall()
        row = zip(self.columns, self._rows[place], strict=True)
        return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row}

    def place(self, index: int) -> str:
        """See Source."""
        return f"'{self._path}', row {index + 1}"
