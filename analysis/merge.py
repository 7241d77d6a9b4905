"""Adds the rows that a lost generator kept on its own disk to the run that misses them."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from analysis.load import RunError
from rig.attempt import complete

TABLES = ("attempts", "events", "generator")
KEYS = {"attempts": ("generator", "seq", "attempt")}
"""What makes a row the same one; of the other tables the whole row does."""


def merge(run: Path, parts: Sequence[Path]) -> str:
    """Appends what is in the generators' directories (or their attempts.csv) and not in the run yet; a sentence on what that was.

    Doing it twice adds nothing twice. The ledger in run.json is counted anew.

    Raises:
        RunError: it is no run, or a part is not one of its generators'; nothing has been changed then.
        OSError: a file cannot be written.
    """
    about = _about(run)
    folders = [part.parent if part.name == "attempts.csv" else part for part in parts]
    for folder in folders:
        owner = _about(folder).get("part_of")
        if owner != about["id"]:
            why = f"it belongs to {owner}" if owner else "it is no generator's directory"
            raise RunError(f"{folder} is no part of {about['id']}: {why}")
    added = Counter({table: _add(run, folders, table) for table in TABLES})
    rows = list(_rows(run / "attempts.csv"))
    last = {row["seq"]: row["outcome"] for row in sorted(rows, key=lambda row: int(row["attempt"] or 0))}
    counts, book = Counter(last.values()), about.get("ledger") or {"planned": about.get("planned") or len(last)}
    planned = max(int(book["planned"]), len(last)) if about.get("planned") is None else int(book["planned"])
    about["ledger"] = {"planned": planned, "counts": dict(counts), "missing": planned - len(last)}
    about["merged"] = sorted({*about.get("merged", []), *(folder.name for folder in folders)})
    new = run / "run.json.new"
    new.write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    new.replace(run / "run.json")
    return f"{added['attempts']} attempts added, {planned - len(last)} of {planned} planned requests are still missing"


def _about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{folder} is no run: its run.json cannot be read ({error})") from error
    if not isinstance(about, dict) or "id" not in about:
        raise RunError(f"{folder} is no run: its run.json has no id")
    return about


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """Whole rows by column; none of a file that is not there."""
    if path.is_file():
        yield from csv.DictReader(complete(path)[0].splitlines())


def _key(table: str, row: dict[str, str]) -> tuple[str, ...]:
    return tuple(str(row.get(name)) for name in KEYS.get(table, tuple(row)))


def _add(run: Path, folders: Sequence[Path], table: str) -> int:
    """Appends the rows of one table that the run has not; how many."""
    path = run / f"{table}.csv"
    known = {_key(table, row) for row in _rows(path)}
    content = complete(path)[0]
    columns = next(csv.reader([content.partition("\n")[0]]), [])
    fresh: list[dict[str, str]] = []
    for folder in folders:
        for row in _rows(folder / f"{table}.csv"):
            if (key := _key(table, row)) not in known:
                known.add(key)
                fresh.append(row)
    if fresh:
        with path.open("r+", encoding="utf-8", newline="") as file:
            file.truncate(len(content.encode()))  # a torn last line would swallow the first row
            file.seek(0, os.SEEK_END)
            csv.DictWriter(file, columns, restval="", extrasaction="ignore", lineterminator="\n").writerows(fresh)
    return len(fresh)
