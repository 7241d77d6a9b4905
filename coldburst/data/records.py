"""Finds the records of a large text file: lines, or rows of CSV, whose quoted cells may contain line breaks.

Only the start of each record is kept in memory (8 bytes), and a file is read no further than the run needs.
"""

from __future__ import annotations

import os
import weakref
from array import array
from pathlib import Path

from coldburst.data.row import DataError

# The largest body that any endpoint accepts has 30 MB.
MOST_BYTES = 40_000_000
BLOCK_BYTES = 1 << 20
BOM = b"\xef\xbb\xbf"


class Records:
    """The records of ``path``, without empty lines.

    Args:
        quoted: whether a line break inside double quotes belongs to the record (CSV).

    Attributes:
        complete: whether the end of the file was reached, so that ``known`` is the number of records.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, quoted: bool = False) -> None:
        self._path, self._quoted = path, quoted
        self._file = path.open("rb", buffering=BLOCK_BYTES)
        weakref.finalize(self, self._file.close)
        self._starts = array("Q")
        self._scanned = len(BOM) if self._file.read(len(BOM)) == BOM else 0
        self._file.seek(self._scanned)
        self.complete = False

    @property
    def known(self) -> int:
        """Number of records found so far."""
        return len(self._starts)

    def reach(self, count: int) -> int:
        """Finds records until ``count`` are known or the file ends; returns how many are known, at most ``count``."""
        starts, readline, at = self._starts, self._file.readline, self._scanned
        while len(starts) < count and not self.complete:
            line = readline(MOST_BYTES)
            if self._quoted and line.count(b'"') % 2:
                line = self._to_closing_quote(line)
            if len(line) >= MOST_BYTES:
                raise DataError(f"{self.place(at)}: longer than {MOST_BYTES / 1e6:g} MB; is each row on a line of its own?")
            if not line:
                self.complete = True
            elif not line.isspace():
                starts.append(at)
            at += len(line)
            self._scanned = at
        return min(count, len(starts))

    def read(self, index: int) -> bytes:
        """Record ``index``, which must be known, and empty lines after it."""
        start = self._starts[index]
        end = self._starts[index + 1] if index + 1 < len(self._starts) else self._scanned
        return os.pread(self._file.fileno(), end - start, start)

    def place_of(self, index: int) -> str:
        """File and line of record ``index``, for messages."""
        return self.place(self._starts[index])

    def place(self, offset: int) -> str:
        """File and line of the byte at ``offset``; reads the file up to it."""
        number = 1
        with self._path.open("rb") as file:
            while offset > 0 and (block := file.read(min(offset, BLOCK_BYTES))):
                number += block.count(b"\n")
                offset -= len(block)
        return f"'{self._path}', line {number}"

    def _to_closing_quote(self, begun: bytes) -> bytes:
        pieces, size, odd = [begun], len(begun), True
        while odd and size < MOST_BYTES and (line := self._file.readline(MOST_BYTES)):
            pieces.append(line)
            size += len(line)
            odd = bool(line.count(b'"') % 2) != odd
        return b"".join(pieces)
