"""Adds rows that a lost generator kept on its own disk to the run that misses them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coldburst.record import run_json

from ..tables.run_tables import Tables
from . import csv_columns
from .csv_cells import csv_cells
from .load import Run, RunError, load

TABLES = ("attempts", "events", "generator")
# The columns that identify a row; in other tables all columns do.
KEYS = {"attempts": ("generator", "seq", "attempt")}


@dataclass(frozen=True)
class _Addition:
    path: Path
    end: int
    columns: list[str]
    fresh: list[dict[str, str]]


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
    additions = [_missing(run, folders, table) for table in TABLES]
    for addition in additions:
        _append(addition)
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
    return f"{len(additions[0].fresh)} attempts added, {missing} of {planned} planned requests are still missing"


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
            text = file.read(csv_columns.whole_lines(path)[0]).decode("utf-8", errors="surrogateescape")
        yield from csv_cells(text.removeprefix("\ufeff"))


def _rows(path: Path) -> Iterator[dict[str, str]]:
    found = whole_rows(path)
    head = next(found, [])
    yield from (dict(zip(head, row, strict=False)) for row in found if row)


def _key(table: str, row: dict[str, str]) -> tuple[str, ...]:
    return tuple(str(row.get(name)) for name in KEYS.get(table, tuple(row)))


def _missing(run: Path, folders: Sequence[Path], table: str) -> _Addition:
    path = run / f"{table}.csv"
    known = {_key(table, row) for row in _rows(path)}
    fresh: list[dict[str, str]] = []
    for folder in folders:
        for row in _rows(folder / f"{table}.csv"):
            if (key := _key(table, row)) not in known:
                known.add(key)
                fresh.append(row)
    columns = next(whole_rows(path), [])
    return _Addition(
        path,
        csv_columns.whole_lines(path)[0] if columns else 0,
        columns or list(dict.fromkeys(name for row in fresh for name in row)),
        fresh,
    )


def _append(of: _Addition) -> None:
    if not of.fresh:
        return
    lines = io.StringIO()
    writer = csv.DictWriter(lines, of.columns, restval="", extrasaction="ignore", lineterminator="\n")
    if not of.end:
        writer.writeheader()
    writer.writerows(of.fresh)
    with of.path.open("ab") as file:
        file.truncate(of.end)  # a torn last line would run into the first new row
        file.write(lines.getvalue().encode("utf-8", errors="surrogateescape"))
