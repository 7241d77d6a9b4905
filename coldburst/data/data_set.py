"""A data set: a row for each request, in order or shuffled, over and over."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from coldburst.data.order import shuffled
from coldburst.data.parquet import ParquetRows
from coldburst.data.row import DataError, Origin, Row
from coldburst.data.sources import CSV, JSONL, PARQUET, CsvRows, Folder, JsonLines, Source

# Rows and bytes of them that are checked before a run: less than a second of CPU. Later rows are checked when they are due.
CHECKED_ROWS, CHECKED_BYTES = 20_000, 50_000_000
# Shuffled rows come from everywhere in the file, so that all of it must be in memory.
MOST_SHUFFLED_GROUPS = 1
_EDGE_BYTES = 1 << 20
_ALL = 1 << 62
_NAME_ONE = "name a file of rows, or a directory, as in --data prompts.jsonl"


class DataSet:
    """The rows of a file or directory.

    Args:
        order: "rows" or "shuffle".
        confined: whether rows may name only files beside the data file.
        positions: of recorded arrivals: the row of each request; None where ``order`` decides.

    Attributes:
        columns: of the first row.
        checked: requests whose rows were checked before the run.

    Raises:
        DataError: the file cannot be used; one sentence.
    """

    def __init__(
        self, path: Path, *, order: str = "rows", seed: int = 1, confined: bool = False, positions: Sequence[int] | None = None
    ) -> None:
        self.path, self._seed, self._confined, self._positions = path, seed, confined, positions
        self._source = _source(path)
        self._count: int | None = None
        self.checked = 0
        if not self._source.reach(1):
            raise DataError(f"'{path}' has no rows: give it at least one{', below the names of its columns' if path.suffix in CSV else ''}")
        self.columns: Sequence[str] = self._source.columns or tuple(self._read(0).columns)
        self.order = order
        if order == "shuffle":
            if isinstance(self._source, ParquetRows) and self._source.groups > MOST_SHUFFLED_GROUPS:
                raise DataError(
                    f"'{path}' has {self._source.groups} row groups and cannot be shuffled: use --data-order rows, or save it as JSONL"
                )
            self._count = self._source.reach(_ALL)

    def row(self, seq: int) -> Row:
        """The row of request ``seq``. Raises DataError with file, line and reason."""
        return self._read(self._index(seq))

    def check(self, planned: int | None, check: Callable[[Row], int]) -> None:
        """Calls ``check``, which returns a row's bytes, with the rows that a run sends, as far as the budget goes.

        Args:
            planned: requests of the run; None = not known.

        Raises:
            DataError: from ``check``, or a row cannot be read.
        """
        most, spent = CHECKED_ROWS if planned is None else min(planned, CHECKED_ROWS), 0
        self.checked = 0
        while self.checked < most and spent <= CHECKED_BYTES and not self._seen(self.checked):
            spent += check(self.row(self.checked))
            self.checked += 1

    def about(self) -> dict[str, Any]:
        """What run.json says about it; ``rows`` is None if the file was not read to its end."""
        return {"file": str(self.path), "order": self.order, "rows": self._count, "checked": self.checked, "id": self.fingerprint()}

    def fingerprint(self) -> str:
        """Changes when the file does: of its size and the bytes at both ends, of a directory's names and sizes."""
        digest = hashlib.sha256()
        if self.path.is_dir():
            for index in range(self._source.reach(_ALL)):
                name = self._source.read(index)["path"]
                digest.update(f"{name}\0{(self.path / name).stat().st_size}\n".encode(errors="surrogateescape"))
            return digest.hexdigest()[:16]
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            digest.update(f"{size}\n".encode() + file.read(_EDGE_BYTES))
            file.seek(max(0, size - _EDGE_BYTES))
            digest.update(file.read(_EDGE_BYTES))
        return digest.hexdigest()[:16]

    def _seen(self, seq: int) -> bool:
        """Whether request ``seq`` repeats a row of an earlier one."""
        self._index(seq)
        return self._positions is None and self._count is not None and seq >= self._count

    def _index(self, seq: int) -> int:
        if self._positions is not None:
            index = self._positions[seq % len(self._positions)]
            self._source.reach(index + 1)
            return index
        if self._count is None:
            if (known := self._source.reach(seq + 1)) > seq:
                return seq
            self._count = known
        return shuffled(seq, self._count, self._seed) if self.order == "shuffle" else seq % self._count

    def _read(self, index: int) -> Row:
        source = self._source
        try:
            columns = source.read(index)
        except DataError as error:
            raise DataError(f"{source.place(index)}: {error}") from error
        return Row(columns, Origin(partial(source.place, index), index, source.folder, self._confined))


def _source(path: Path) -> Source:
    ending = path.suffix.lower()
    try:
        if path.is_dir():
            return Folder(path)
        if ending in PARQUET:
            return ParquetRows(path)
        if ending in CSV:
            return CsvRows(path)
        if ending in JSONL:
            return JsonLines(path)
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror}; {_NAME_ONE}") from error
    if not path.exists():
        raise DataError(f"cannot read '{path}': no such file; {_NAME_ONE}")
    raise DataError(f"'{path}' does not end in {', '.join((*JSONL, *CSV, *PARQUET))}: rename it to what it is, or save it as JSONL")
