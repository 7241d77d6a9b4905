"""What was last written to a run's files, read again as it grows: answers and their times, cold starts, and what went wrong why."""

from __future__ import annotations

import csv
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from coldburst.record.attempt import COLUMNS, EVENTS, OUTCOMES, Column

LAST = 200
"""Answers of which the present percentiles are, and cold starts that are listed."""
MOST_BYTES = 65536
"""Read of attempts.csv at most in one go, from its end: enough for LAST answers, and a millisecond at most for the generator."""


class Tail:
    """The whole lines that were added to a CSV file since it was last asked.

    Args:
        columns: of the file.
        wanted: names of those that are read.
        most_bytes: read at most, from the file's end; None = all that is new.
        skip: lines that hold this are passed over unread.
    """

    def __init__(self, path: Path, columns: Sequence[Column], wanted: Sequence[str], most_bytes: int | None = None, skip: str = "") -> None:
        self._path, self._wanted, self._most, self._skip = path, wanted, most_bytes, skip
        self._width = len(columns)
        names = [column.name for column in columns]
        self._pick = itemgetter(*(names.index(name) for name in wanted))
        self._read = 0

    def rows(self) -> Iterator[Mapping[str, str]]:
        """The new rows, their wanted columns by name; none where the file is not there (any more)."""
        lines = (line for line in self._lines() if not (self._skip and self._skip in line))
        return (dict(zip(self._wanted, self._pick(row), strict=True)) for row in csv.reader(lines) if len(row) == self._width)

    def _lines(self) -> list[str]:
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                from_byte = self._read if self._most is None else max(self._read, size - self._most)
                file.seek(from_byte)
                content = file.read(size - from_byte)
        except OSError:
            return []
        end = content.rfind(b"\n") + 1
        cut = from_byte > self._read or from_byte == 0  # within a line, or before the names of the columns
        self._read = from_byte + end
        return content[:end].decode("utf-8", errors="replace").split("\n")[1 if cut else 0 : -1]


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Nearest-rank percentiles of the last ``n`` values, seconds; None where there is none."""

    n: int
    p50_s: float | None
    p95_s: float | None


def quantiles(values: Sequence[float]) -> Quantiles:
    """The spread of ``values``."""
    ordered = sorted(values)
    p50, p95 = (ordered[math.ceil(share * len(ordered)) - 1] if ordered else None for share in (0.50, 0.95))
    return Quantiles(len(ordered), p50, p95)


class RecentAnswers:
    """The last answers ok of a run: response time (done - scheduled) and queue delay."""

    def __init__(self, folder: Path) -> None:
        self._tail = Tail(folder / "attempts.csv", COLUMNS, ("outcome", "scheduled_s", "done_s", "queue_s"), MOST_BYTES)
        self._response: deque[float] = deque(maxlen=LAST)
        self._queue: deque[float] = deque(maxlen=LAST)

    def read(self) -> None:
        """Takes what is new."""
        for row in self._tail.rows():
            if row["outcome"] == "ok" and row["done_s"]:
                self._response.append(float(row["done_s"]) - float(row["scheduled_s"]))
                if row["queue_s"]:
                    self._queue.append(float(row["queue_s"]))

    @property
    def response_s(self) -> Quantiles:
        """Response times."""
        return quantiles(self._response)

    @property
    def queue_s(self) -> Quantiles:
        """Queue delays, of those that tell it."""
        return quantiles(self._queue)


@dataclass(slots=True)
class Problem:
    """Attempts that ended in one outcome from one cause: how many, the first and last instant, and what the last one said."""

    outcome: str
    cause: str
    count: int
    first_s: float | None
    last_s: float | None
    detail: str


class RecentEvents:
    """What events.csv tells of a run so far.

    Attributes:
        cold_starts: the last of them, newest last, as rows of events.csv; one an endpoint worker.
        mishaps: by outcome and cause.
    """

    def __init__(self, folder: Path) -> None:
        self._tail = Tail(folder / "events.csv", EVENTS, [column.name for column in EVENTS], skip=",queued,")
        self.cold_starts: deque[Mapping[str, str]] = deque(maxlen=LAST)
        self.mishaps: dict[tuple[str, str], Problem] = {}
        self._started: set[str] = set()

    def read(self) -> None:
        """Takes what is new."""
        for row in self._tail.rows():
            if row["kind"] == "cold_start":
                if row["worker_id"] not in self._started:  # each generator tells of the first answer that it has seen
                    self._started.add(row["worker_id"])
                    self.cold_starts.append(row)
            elif row["kind"] in OUTCOMES:
                self._add(row)

    def _add(self, row: Mapping[str, str]) -> None:
        at_s = float(row["at_s"]) if row["at_s"] else None
        new = Problem(row["kind"], row["cause"], 0, at_s, at_s, "")
        mishap = self.mishaps.setdefault((new.outcome, new.cause), new)
        mishap.count += 1
        mishap.last_s, mishap.detail = at_s, row["detail"]
