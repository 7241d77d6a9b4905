"""The formats of data sets: JSONL, CSV, Parquet, and a directory of files."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from coldburst.data.records import Records
from coldburst.data.row import DataError

TRANSCRIPTS = "transcripts.csv"
JSONL, CSV, PARQUET = (".jsonl", ".ndjson", ".json"), (".csv", ".tsv"), (".parquet", ".pq")
DELIMITERS = ",;\t"


class Source(Protocol):
    """Rows in a file.

    Attributes:
        columns: of the first row.
        folder: to which names of files are relative.
    """

    columns: Sequence[str]
    folder: Path

    def reach(self, count: int) -> int:
        """Number of rows, counted up to ``count`` at most."""

    def read(self, index: int) -> Mapping[str, Any]:
        """Row ``index``. Raises DataError with the reason alone."""

    def place(self, index: int) -> str:
        """File and line of a row, for messages."""


class JsonLines:
    """A file with one JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._records, self.folder = Records(path), path.parent
        self.columns: Sequence[str] = ()

    def reach(self, count: int) -> int:
        """See Source."""
        return self._records.reach(count)

    def read(self, index: int) -> Mapping[str, Any]:
        """See Source."""
        line = self._records.read(index)
        try:
            row = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            hint = "; one object a line is wanted: jq -c '.[]' FILE turns a list into lines" if line[:1] == b"[" and index == 0 else ""
            raise DataError(f"not JSON in UTF-8: {error}{hint}") from error
        if not isinstance(row, dict):
            raise DataError('not an object, as in {"prompt": "hi"}')
        return row

    def place(self, index: int) -> str:
        """See Source."""
        return self._records.place_of(index)


class CsvRows:
    """A CSV file whose first line names the columns; comma, semicolon or tab. All values are texts."""

    def __init__(self, path: Path) -> None:
        self._records, self.folder = Records(path, quoted=True), path.parent
        self.columns: Sequence[str] = ()
        self._delimiter = ","
        if self._records.reach(1):
            try:
                head = self._records.read(0).decode()
            except UnicodeDecodeError as error:
                raise DataError(f"'{path}', line 1: not UTF-8: save the file as 'CSV UTF-8'") from error
            self._delimiter = max(DELIMITERS, key=head.count)
            self.columns = self._cells(head)
            if twice := next((name for name in self.columns if self.columns.count(name) > 1), None):
                raise DataError(f"'{path}', line 1: two columns are called '{twice}': give each its own name")

    def reach(self, count: int) -> int:
        """See Source."""
        return max(0, self._records.reach(count + 1) - 1)

    def read(self, index: int) -> Mapping[str, Any]:
        """See Source."""
        try:
            cells = self._cells(self._records.read(index + 1).decode())
        except UnicodeDecodeError as error:
            raise DataError("not UTF-8: save the file as 'CSV UTF-8'") from error
        except csv.Error as error:
            raise DataError(f"not CSV: {error}") from error
        if len(cells) != len(self.columns):
            raise DataError(f"{len(cells)} cells, but the first line names {len(self.columns)} columns; quote a cell that contains a comma")
        return dict(zip(self.columns, cells, strict=True))

    def place(self, index: int) -> str:
        """See Source."""
        return self._records.place_of(index + 1)

    def _cells(self, record: str) -> list[str]:
        return next(csv.reader(io.StringIO(record, newline=""), delimiter=self._delimiter, strict=True), [])


class Folder:
    """The files below a directory, by name: columns ``path``, ``name``, and ``text`` where transcripts.csv has it (columns file,text)."""

    def __init__(self, path: Path) -> None:
        self.folder = path
        found = (Path(base, name) for base, _, names in os.walk(path) for name in names)
        self._names = sorted(str(file.relative_to(path)) for file in found if not file.name.startswith(".") and file.name != TRANSCRIPTS)
        self._texts = _texts(path / TRANSCRIPTS)
        self.columns: Sequence[str] = ("path", "name", "text") if self._texts else ("path", "name")

    def reach(self, count: int) -> int:
        """See Source."""
        return min(count, len(self._names))

    def read(self, index: int) -> Mapping[str, Any]:
        """See Source."""
        path = self._names[index]
        # A name that is not UTF-8 cannot be sent as it is.
        row = {"path": path, "name": Path(path).name.encode(errors="replace").decode()}
        return row | {"text": self._texts.get(path, "")} if self._texts else row

    def place(self, index: int) -> str:
        """See Source."""
        return f"'{self.folder / self._names[index]}'"


def _texts(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    rows = CsvRows(path)
    if not {"file", "text"} <= set(rows.columns):
        raise DataError(f"'{path}' has no columns file,text: its first line must be 'file,text'")
    texts = {}
    for index in range(rows.reach(2**40)):
        try:
            row = rows.read(index)
        except DataError as error:
            raise DataError(f"{rows.place(index)}: {error}") from error
        texts[row["file"]] = row["text"]
    return texts
