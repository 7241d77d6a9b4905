"""The Parquet copy beside a large CSV file of a run: made on all cores and out of memory, and read by later commands in its place.

It holds the columns that reports use, row by row as in the CSV file, and that file's size and time of change: a copy of another state of
the file is replaced. Nothing is lost with it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coldburst.lines import one_line

from .disk_columns import masked, unknown

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Bytes of a CSV file with a copy: some 200,000 attempts.
LARGE = 40_000_000
MEMORY = "300MB"
TEXTS = ("str", "category")
TYPES: Mapping[str, str] = {"Int64": "BIGINT", "Int32": "INTEGER", "float64": "DOUBLE", "boolean": "BOOLEAN"}
# Rows that pandas reads at a time.
ROWS = 100_000
# Groups of 2,048 values converted at a time.
VECTORS = 64
# Cells that DuckDB would read, and pandas refuses.
CHECKED = {
    "DOUBLE": "CASE WHEN isnan({0}) THEN error('not a number') ELSE {0} END",
    "BIGINT": "CASE WHEN {0} <> trunc({0}) THEN error('no whole number') ELSE {0}::BIGINT END",
    "INTEGER": "CASE WHEN {0} <> trunc({0}) THEN error('no whole number') ELSE {0}::INTEGER END",
}
READ_AS = {"BIGINT": "DOUBLE", "INTEGER": "DOUBLE"}
READ = "read_csv({0}, header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', columns = {{{1}}})"


@dataclass(frozen=True)
class CsvFile:
    """A CSV file of a run: the columns in its first line, the ``dtypes`` wanted, and its first ``end`` bytes, which are whole lines.

    ``blocks`` reads those bytes with pandas. It is called if DuckDB refuses the file, as it does rows with too few cells, bytes that are
    not UTF-8, and a torn last line.
    """

    path: Path
    names: list[str]
    dtypes: Mapping[str, str]
    end: int
    blocks: Callable[[], Iterable[pd.DataFrame]]

    @property
    def state(self) -> str:
        """What a copy was made of."""
        found = self.path.stat()
        return f"{found.st_size} {found.st_mtime_ns} {self.end} {dict(self.dtypes)}"


def read_copy(of: CsvFile) -> Iterator[tuple[str, Any]]:
    """The columns as ``read_columns`` has them, one at a time, from the copy, which is made if there is none of the file's present state.

    It is not kept in a directory that cannot be written.

    Raises:
        OSError: the file cannot be read, or there is no room.
        Exception: what ``blocks`` raises.
    """
    import duckdb  # noqa: PLC0415 -- only large runs need it

    copy = of.path.with_suffix(".parquet")
    with TemporaryDirectory(prefix="coldburst-") as scratch, duckdb.connect(f"{scratch}/rows", config={"memory_limit": MEMORY}) as database:
        try:
            if not _is_copy(database, copy, of.state):
                copy = _make(database, of, copy if os.access(copy.parent, os.W_OK) else Path(scratch, copy.name))
            yield from ((name, _column(database, copy, name, dtype)) for name, dtype in of.dtypes.items())
        except duckdb.OperationalError as error:
            raise OSError(errno.EIO, one_line(str(error))) from error


def _is_copy(database: DuckDBPyConnection, copy: Path, state: str) -> bool:
    if not copy.is_file():
        return False
    import duckdb  # noqa: PLC0415

    try:
        return database.execute("SELECT decode(value) FROM parquet_kv_metadata($1) WHERE key = 'csv'", [str(copy)]).fetchone() == (state,)
    except duckdb.Error:  # cut off, or another file
        return False


def _make(database: DuckDBPyConnection, of: CsvFile, copy: Path) -> Path:
    import duckdb  # noqa: PLC0415

    made, state = copy.with_name(f".{copy.name}.{os.getpid()}"), of.state
    try:
        torn = of.end < of.path.stat().st_size
        try:
            _write(database, "FROM read" if torn else _cells(of), made, state)
        except duckdb.OperationalError:  # no file, no room
            raise
        except duckdb.Error:
            _append(database, of)
            _write(database, "FROM read", made, state)
        return made.replace(copy)
    finally:
        made.unlink(missing_ok=True)


def _write(database: DuckDBPyConnection, rows: str, made: Path, state: str) -> None:
    options = f"FORMAT parquet, DICTIONARY_SIZE_LIMIT 1000, KV_METADATA {{csv: {_quoted(state)}}}"
    database.execute(f"COPY ({rows}) TO {_quoted(str(made))} ({options})")


def _cells(of: CsvFile) -> str:
    """The query that reads the file."""
    types = {name: TYPES.get(of.dtypes.get(name, "str"), "VARCHAR") for name in of.names}
    read = READ.format(_quoted(str(of.path)), ", ".join(f"{_quoted(name)}: '{READ_AS.get(kind, kind)}'" for name, kind in types.items()))
    cells = (CHECKED.get(types[name], "{0}").format(f'"{name}"') + f' AS "{name}"' for name in of.dtypes)
    return f"SELECT {', '.join(cells)} FROM {read}"


def _append(database: DuckDBPyConnection, of: CsvFile) -> None:
    kinds = (f'"{name}" {TYPES.get(dtype, "VARCHAR")}' for name, dtype in of.dtypes.items())
    database.execute(f"CREATE TABLE read ({', '.join(kinds)})")
    for block in of.blocks():
        database.append("read", block, by_name=True)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _column(database: DuckDBPyConnection, copy: Path, name: str, dtype: str) -> Any:
    """One column as a pandas or NumPy array."""
    cell, rows = f'"{name}"', f"FROM {_quoted(str(copy))}"
    n, known = database.execute(f"SELECT count(*), count({cell}) {rows}").fetchone() or (0, 0)
    if dtype in TEXTS:
        # DuckDB numbers them.
        database.execute(f"CREATE OR REPLACE TYPE texts AS ENUM (SELECT DISTINCT coalesce({cell}, '') {rows})")
        found = [text for (text,) in database.execute("SELECT unnest(enum_range(NULL::texts))::VARCHAR").fetchall()]
        one = len(found) == 1
        codes = np.zeros(n, dtype=np.int32) if one else _values(database, f"enum_code(coalesce({cell}, '')::texts) {rows}", n, np.int32)
        return categorical(found, codes, dtype)
    if dtype == "float64":
        return _values(database, f"{cell} {rows}", n, np.float64) if known else unknown(n)
    kind = np.dtype(dtype.lower() if dtype != "boolean" else bool)
    if known == n:
        return masked(_values(database, f"{cell} {rows}", n, kind), np.zeros(n, dtype=bool))
    values = _values(database, f"{cell}::DOUBLE {rows}", n, np.float64)
    missing = np.isnan(values)
    values[missing] = 0.0
    return masked(values.astype(kind), missing)


def _values(database: DuckDBPyConnection, rows: str, n: int, dtype: Any) -> NDArray[Any]:
    found, at, rest = np.empty(n, dtype), 0, database.execute(f"SELECT {rows}")
    while len(block := rest.fetch_df_chunk(VECTORS)):
        found[at : at + len(block)] = block.iloc[:, 0].to_numpy()
        at += len(block)
    return found


def categorical(names: Sequence[str], codes: NDArray[Any], dtype: str) -> Any:
    """Texts of which each is the name at its code, on one line: as a categorical with sorted categories, or for the dtype str plain."""
    lines = [*map(one_line, names)]
    kept = sorted(set(lines))
    places = {line: place for place, line in enumerate(kept)}
    ranks = np.array([places[line] for line in lines], dtype=np.min_scalar_type(-len(kept) - 1))
    plain = pd.CategoricalDtype(pd.Index(kept, dtype="str"))
    found = pd.Categorical.from_codes(ranks[codes], dtype=plain, validate=False)
    return found.astype("str") if dtype == "str" else found
