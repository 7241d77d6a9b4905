"""A row of a data set as the values of a request's placeholders.

{{column}}         the row's value; alone in a text it keeps its JSON type
{{row}}            the whole row, an object
{{file:column}}    the base64 of the file that the column names
{{json:column}}    the column's text, read as JSON: numbers and lists in a CSV file
{{words:column}}   a text of as many words as the column says; the same row always has the same text
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

# Before a colon and a column in a placeholder; a target also asks for a file's path and bytes.
COMPUTED = ("file", "json", "words")
_KINDS = (*COMPUTED, "path", "bytes")
# What a request fills in itself, unless a column has that name.
_OF_REQUEST = ("seq", "name", "uuid")
MOST_WORDS = 1_000_000
# Larger files are read again each time; so many smaller ones are kept.
KEEP_BYTES, KEEP_FILES = 1_000_000, 16
# Common words, most of them one token in the usual tokenizers.
_WORDS = """\
the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one you were all her
she there would their we him been has when who will no more if out so up said what its about than into them can only other time new
some could these two may first then do any like my now over such our man me even most made after also did many off before must well
back through years much where your way down should because long each just state those people too mr how little good world make very"""


class DataError(ValueError):
    """A data set cannot be used; the message names file, line and reason."""


class Origin(NamedTuple):
    """Where a row is.

    Attributes:
        place: gives file and line, for messages; it may read the file.
        number: of the row in the file, from 0.
        folder: the directory to which names of files are relative.
        confined: whether files outside ``folder`` are refused.
    """

    place: Callable[[], str]
    number: int
    folder: Path
    confined: bool


class Row(Mapping[str, Any]):
    """The values of a row by column, and those computed from them. ``columns`` are the row's own."""

    __slots__ = ("_origin", "columns")

    def __init__(self, columns: Mapping[str, Any], origin: Origin) -> None:
        self.columns, self._origin = columns, origin

    def __getitem__(self, key: str) -> Any:
        """Raises DataError for a column that the row does not have, or whose value does not fit."""
        columns = self.columns
        if key in columns:
            return columns[key]
        kind, colon, column = key.partition(":")
        if colon and kind in _KINDS:
            return getattr(self, f"_{kind}")(column)
        if key == "row":
            return columns
        raise self.error(f"no column '{key}'")

    def __contains__(self, key: object) -> bool:
        """Whether the row must have it: a missing column is an error of the row's."""
        return key in self.columns or key not in _OF_REQUEST

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def place(self) -> str:
        """File and line."""
        return self._origin.place()

    def error(self, reason: str) -> DataError:
        """An error about this row."""
        return DataError(f"{self._origin.place()}: {reason}")

    def size(self, key: str) -> int:
        """Bytes that the value will have in a body, about; a file is not read. Raises DataError as ``row[key]`` does."""
        kind, colon, column = key.partition(":")
        if colon and kind in ("file", "bytes") and key not in self.columns:
            path = self._path(column)
            try:
                with path.open("rb"):
                    return path.stat().st_size * (4 if kind == "file" else 3) // 3
            except OSError as error:
                raise self._unreadable(column, error) from error
        value = self[key]
        return len(value) if isinstance(value, str | bytes) else len(msgspec.json.encode(value))

    def _text(self, column: str) -> str:
        value = self[column]
        if not isinstance(value, str):
            raise self.error(f"column '{column}' is {_shown(value)}, not a text")
        return value

    def _path(self, column: str) -> Path:
        name = self._text(column)
        folder = self._origin.folder
        if not name or "\0" in name:
            raise self.error(f"column '{column}' names no file")
        path = folder / name
        if self._origin.confined and not path.resolve().is_relative_to(folder.resolve()):
            raise self.error(f"the file '{name}' in column '{column}' is outside '{folder}': only files in it are sent from the web form")
        return path

    def _bytes(self, column: str) -> bytes:
        path = self._path(column)
        try:
            return path.read_bytes()
        except OSError as error:
            raise self._unreadable(column, error) from error

    def _file(self, column: str) -> bytes:
        path = self._path(column)
        try:
            return _encoded(path)
        except OSError as error:
            raise self._unreadable(column, error) from error

    def _unreadable(self, column: str, error: OSError) -> DataError:
        return self.error(f"cannot read '{self.columns.get(column)}', the file in column '{column}': {error.strerror}")

    def _json(self, column: str) -> Any:
        value = self[column]
        if not isinstance(value, str):
            return value
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError) as error:
            raise self.error(f"column '{column}' is {_shown(value)}, which is not JSON ({error})") from error

    def _words(self, column: str) -> str:
        value = self[column]
        try:
            count = int(value)
        except (TypeError, ValueError):
            count = -1
        if not 0 <= count <= MOST_WORDS:
            raise self.error(f"column '{column}' is {_shown(value)}, not a number of words from 0 to {MOST_WORDS:,}")
        return words(count, self._origin.number)


def words(count: int, index: int) -> str:
    """``count`` words, the same for the same ``index``; texts of different indexes begin differently."""
    pool = _pool()
    start = random.Random(f"words of row {index}").randrange(len(pool))
    found = pool[start : start + count]
    while len(found) < count:
        found += pool[: count - len(found)]
    return " ".join(found)


@lru_cache
def _pool() -> list[str]:
    return random.Random("words").choices(_WORDS.split(), k=20_000)


def _encoded(path: Path) -> bytes:
    stat = path.stat()
    if stat.st_size > KEEP_BYTES:
        return base64.b64encode(path.read_bytes())
    return _kept(path, stat.st_mtime_ns)


@lru_cache(maxsize=KEEP_FILES)
def _kept(path: Path, _changed: int) -> bytes:
    return base64.b64encode(path.read_bytes())


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return f"'{text[:40]}'"
