"""Checks what generators send before the master uses it. Standard library only, but for the record's columns."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any

from coldburst.distributed.assignment import BLOCK, SLOTS
from coldburst.record.attempt import COLUMNS, EVENTS, GENERATOR, OUTCOMES
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
# Small, because a page is all that a row with a far number costs.
PAGE_BITS = 512
TALLIES = {"requests", "attempts", "events"}
# The columns whose values are compared with the counts.
KEPT = {"attempts": ("seq", "attempt", "outcome"), "events": ("kind",)}
# The cells of each type, as the recorder writes them.
CELLS = {
    int: r"-?\d{1,18}",
    float: r"-?\d{1,18}(?:\.\d{1,18})?(?:e-?\+?\d{1,3})?",
    bool: "true|false",
    str: r'[^",\n\r]+|"(?:[^"\n\r]|"")*"',
}
# Cells that are never empty.
PATTERNS = {"seq": r"\d{1,18}", "attempt": r"[1-9]\d{0,8}", "scheduled_s": CELLS[float], "outcome": "|".join(OUTCOMES), "kind": r"\w+"}
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
    """Checks the batches of one run: each request is counted once, and there are no more requests than planned."""

    def __init__(self, stages: Sequence[Stage], seed: int) -> None:
        counts = [planned([stage], seed) for stage in stages]
        self._numbers = sum(BLOCK if count is None else count for count in counts)
        self._seen = SequenceNumbers()

    def check(self, batch: Batch, generator: str) -> None:
        """Raises ValueError if the batch is not what that generator can have written; else notes its requests."""
        if not set(batch.tables) <= set(TABLES):
            raise ValueError(f"tables {sorted(batch.tables)}")
        if not set(batch.counts) <= TALLIES or any(type(count) is not int for counts in batch.counts.values() for count in counts.values()):
            raise ValueError("counts that are not whole numbers of requests, attempts and events")
        tables = {name: _rows(name, batch.lines(name), generator) for name in batch.tables}
        attempts, requests = tables.get("attempts", []), batch.counts.get("requests", {})
        outcomes = Counter(outcome for _, _, outcome in attempts)
        first = [int(seq) for seq, number, _ in attempts if number == "1"]
        right = {
            "attempts": batch.counts.get("attempts", {}) == outcomes,
            "requests": sum(requests.values()) == len(first) and all(count <= outcomes[name] for name, count in requests.items()),
            "events": batch.counts.get("events", {}) == Counter(tables.get("events", [])),
        }
        if wrong := [name for name, matches in right.items() if not matches]:
            raise ValueError(f"its rows and its counts of {', '.join(wrong)} differ")
        fresh = set(first)
        again = {int(seq) for seq, number, _ in attempts if number != "1"} - fresh if len(first) < len(attempts) else set()
        if any(seq >= self._numbers for seq in fresh | again):
            raise ValueError("a request number is not planned")
        if len(fresh) < len(first) or any(map(self._seen.__contains__, fresh)) or not all(map(self._seen.__contains__, again)):
            raise ValueError("a request is counted twice, or its first attempt is missing")
        self._seen.update(first)


class SequenceNumbers:
    """A set of sequence numbers, a bit each: those that follow each other, or are SLOTS apart as in a closed loop, share pages."""

    def __init__(self) -> None:
        self._pages: defaultdict[tuple[int, int], bytearray] = defaultdict(partial(bytearray, PAGE_BITS // 8))

    def __contains__(self, seq: int) -> bool:
        number, slot = divmod(seq, SLOTS)
        page = self._pages.get((slot, number // PAGE_BITS))
        return page is not None and page[number % PAGE_BITS >> 3] >> (number & 7) & 1 == 1

    def update(self, seqs: Iterable[int]) -> None:
        """Adds the numbers."""
        for seq in seqs:
            number, slot = divmod(seq, SLOTS)
            self._pages[slot, number // PAGE_BITS][number % PAGE_BITS >> 3] |= 1 << (number & 7)


@cache
def _line(table: str, generator: str) -> re.Pattern[str]:
    """Matches a whole line of a table by that generator; its groups are the columns of KEPT."""
    cells = []
    for column in TABLES[table]:
        if column.name == "generator":
            cell = re.escape(generator)
        elif column.name in PATTERNS:
            cell = PATTERNS[column.name]
        else:
            cell = f"(?:{CELLS[column.kind]})?"
        cells.append(f"({cell})" if column.name in KEPT.get(table, ()) else cell)
    return re.compile(f"^{','.join(cells)}\n", re.MULTILINE)


def _rows(table: str, text: str, generator: str) -> list[Any]:
    """What each line has in the columns of KEPT; a regular expression is five times as fast as the csv module and conversions."""
    found = _line(table, generator).findall(text)
    if len(found) != text.count("\n") or not text.endswith("\n"):
        raise ValueError(f"lines of {table}.csv that are not rows of {generator}")
    return found
