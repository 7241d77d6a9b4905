"""Adds rows that a lost generator kept on its own disk to the run that misses them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from coldburst.record import run_json

from ..tables.run_tables import Tables
from . import csv_columns
from .csv_cells import csv_cells
from .load import Run, RunError, load

TABLES = ("attempts", "events", "generator")
# The columns that identify an attempt; in other tables all columns do.
KEY = ("generator", "seq", "attempt")


class _Keys:
    """The keys of rows so far, in little memory: a bit for each seq of attempts, and 16 bytes for each row of other tables."""

    def __init__(self, table: str) -> None:
        self._attempts, self._seqs, self._rows = table == "attempts", dict[tuple[str, str, int], int](), set[bytes]()

    def add(self, row: dict[str, str]) -> bool:
        """Whether the row is new."""
        if not self._attempts:
            key = blake2b(repr([*row.items()]).encode(), digest_size=16).digest()
            is_new = key not in self._rows
            self._rows.add(key)
            return is_new
        generator, seq, attempt = (str(row.get(name)) for name in KEY)
        block, place = divmod(int(float(seq)), 1024)
        seen = self._seqs.get((generator, attempt, block), 0)
        self._seqs[generator, attempt, block] = seen | 1 << place
        return not seen >> place & 1


def merge(run: Path, parts: Sequence[Path]) -> str:
    """Adds the rows that the run misses from generators' directories (or their attempts.csv), recounts the ledger, and reports on it.

    Raises:
        RunError: not a run, or a part belongs to another run or cannot be read; nothing was changed.
        OSError: a file cannot be written.
    """
    whole = _recorded(run)
    folders = [part.parent if part.name == "attempts.csv" else part for part in parts]
    for folder in folders:
        owner = _recorded(folder).about.get("part_of")
        if owner != whole.about["id"]:
            why = f"it belongs to {owner}" if owner else "it is not a generator's directory"
            raise RunError(f"{folder} is not part of {whole.id}: {why}")
    added = {table: append(run / f"{table}.csv", [folder / f"{table}.csv" for folder in folders]) for table in TABLES}
    book, before = Tables(load(run)).ledger, whole.about.get("merged")
    timed = whole.about.get("planned") is None
    planned = max(book.planned, book.planned - book.missing) if timed else book.planned
    missing = book.missing + planned - book.planned
    merged = {name for name in before if isinstance(name, str)} if isinstance(before, list) else set()
    _record(
        run / "run.json",
        {
            "ledger": {"planned": planned, "counts": dict(book.counts), "missing": missing},
            "merged": sorted({*merged, *(folder.absolute().name for folder in folders)}),
        }
        | ({"dispatched": planned} if timed else {}),
    )
    return f"{added['attempts']} attempts added, {missing} of {planned} planned requests are still missing"


def _recorded(folder: Path) -> Run:
    if not (folder / "run.json").is_file():
        raise RunError(f"{folder} is not a run: it has no run.json")
    found = load(folder)
    if "id" not in found.about:
        raise RunError(f"{folder} is not a run: its run.json has no id")
    return found


def _record(path: Path, changed: dict[str, Any]) -> None:
    content = json.loads(path.read_text(encoding="utf-8-sig")) | changed
    run_json.write(path.parent, content)


def whole_rows(path: Path) -> Iterator[list[str]]:
    """The complete rows of a CSV file and its first line, or nothing if it is missing. Bytes that are not UTF-8 become lone surrogates."""
    if path.is_file():
        with path.open("rb") as file:
            yield from csv_cells(csv_columns.first_bytes(file, csv_columns.whole_lines(path)[0], "surrogateescape"))


def _rows(path: Path) -> Iterator[dict[str, str]]:
    found = whole_rows(path)
    head = next(found, [])
    yield from (dict(zip(head, row, strict=False)) for row in found if row)


def append(path: Path, parts: Sequence[Path]) -> int:
    """Adds the rows of ``parts`` that ``path`` misses, one after the other; returns how many."""
    keys = _Keys(path.stem)
    for row in _rows(path):
        keys.add(row)
    fresh = (row for part in parts for row in _rows(part) if keys.add(row))
    first = next(fresh, None)
    if first is None:
        return 0
    own = next(whole_rows(path), [])
    columns = own or list(dict.fromkeys(name for part in parts for name in next(whole_rows(part), [])))
    end = csv_columns.whole_lines(path)[0] if own else 0
    with path.open("a", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.truncate(end)  # a torn last line would run into the first new row
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore", lineterminator="\n")
        if not own:
            writer.writeheader()
        writer.writerow(first)
        return 1 + sum(1 for row in fresh if writer.writerow(row))
