"""Checks what generators send before the master uses it. Standard library only, but for the record's columns."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from coldburst.distributed.assignment import BLOCK
from coldburst.record.attempt import COLUMNS, EVENTS, GENERATOR, OUTCOMES, value
from coldburst.record.batches import Batch
from coldburst.schedule.stages import Stage, planned

NUMBER = (int, float)
REPORT: Mapping[str, type | tuple[type, ...]] = {
    "session": str,
    "asked_s": NUMBER,
    "said_s": (*NUMBER, type(None)),
    "machine": str,
    "leaves": bool,
    "refused": str,
    "why": str,
    "run": str,
}
# Of a generator that takes part in a run.
PART: Mapping[str, type | tuple[type, ...]] = {"ended": int, "lateness_s": NUMBER, "wants": list, "asks": bool, "closed": bool}
COUNTS = ("dispatched", "sent", "in_flight", "held", "last")
TALLIES = {"requests", "attempts", "events"}
TABLES = {"attempts": COLUMNS, "events": EVENTS, "generator": GENERATOR}


def is_report(data: Any) -> bool:
    """Whether a generator's report has the fields and types that the master uses."""
    if not isinstance(data, dict):
        return False
    fields = {**REPORT, **PART} if data.get("run") else REPORT
    typed = all(isinstance(data.get(name), types) for name, types in fields.items())
    finite = all(math.isfinite(number) for number in data.values() if isinstance(number, float))
    return typed and finite and (not data["run"] or _is_part(data))


def _is_part(data: Mapping[str, Any]) -> bool:
    numbers = [data.get(name) for name in COUNTS] + data["wants"][1:]
    return len(data["wants"]) == 3 and all(type(number) is int and number >= 0 for number in numbers) and type(data["wants"][0]) is int


class RowChecker:
    """Checks the batches of one run: each request's rows are counted once, and there are no more requests than planned."""

    def __init__(self, stages: Sequence[Stage], seed: int) -> None:
        counts = [planned([stage], seed) for stage in stages]
        self._numbers = sum(BLOCK if count is None else count for count in counts)
        # A bit for each sequence number; pages that are never written take no memory.
        self._seen = bytearray(self._numbers // 8 + 1)

    def check(self, batch: Batch, generator: str) -> None:
        """Raises ValueError if the batch is not what that generator can have written; else notes its requests."""
        if not set(batch.tables) <= set(TABLES):
            raise ValueError(f"tables {sorted(batch.tables)}")
        tables = {name: _rows(name, batch.lines(name), generator) for name in batch.tables}
        attempts = tables.get("attempts", [])
        if not set(batch.counts) <= TALLIES or any(type(count) is not int for counts in batch.counts.values() for count in counts.values()):
            raise ValueError("counts that are not whole numbers of requests, attempts and events")
        outcomes = Counter(row["outcome"] for row in attempts)
        requests = batch.counts.get("requests", {})
        first = [row["seq"] for row in attempts if row["attempt"] == 1]
        fresh = set(first)
        right = {
            "attempts": dict(batch.counts.get("attempts", {})) == outcomes and set(outcomes) <= set(OUTCOMES),
            "requests": sum(requests.values()) == len(first) and all(count <= outcomes[name] for name, count in requests.items()),
            "events": dict(batch.counts.get("events", {})) == Counter(row["kind"] for row in tables.get("events", [])),
        }
        if wrong := [name for name, matches in right.items() if not matches]:
            raise ValueError(f"its rows and its counts of {', '.join(wrong)} differ")
        again = [row["seq"] for row in attempts if row["attempt"] != 1]
        if len(first) != len(fresh) or any(map(self._has, first)) or not all(seq in fresh or self._has(seq) for seq in again):
            raise ValueError("a request number is not planned, or was reported before")
        for seq in first:
            self._seen[seq // 8] |= 1 << seq % 8

    def _has(self, seq: int) -> bool:
        if not 0 <= seq < self._numbers:
            raise ValueError(f"request number {seq} is not planned")
        return bool(self._seen[seq // 8] >> seq % 8 & 1)


def _rows(table: str, text: str, generator: str) -> list[dict[str, Any]]:
    """The rows of whole lines; a ValueError says what is wrong."""
    lines, columns = text.split("\n"), TABLES[table]
    rows = list(csv.reader(lines[:-1], strict=True))
    if lines[-1] or len(rows) != len(lines) - 1 or any(len(row) != len(columns) for row in rows):
        raise ValueError(f"lines of {table}.csv that are not rows")
    found = [{column.name: value(column, cell) for column, cell in zip(columns, row, strict=True)} for row in rows]
    if any(row["generator"] != generator for row in found):
        raise ValueError(f"rows in {table}.csv of another generator")
    if any(isinstance(cell, float) and not math.isfinite(cell) for row in found for cell in row.values()):
        raise ValueError(f"a number in {table}.csv that is not finite")
    return found
