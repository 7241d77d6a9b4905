"""The last answers and events of a run: percentiles of times, cold starts, failures by outcome and cause."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coldburst.record.attempt import OUTCOMES, Attempt, response_s

# Answers in the percentiles, and cold starts that are listed.
LAST = 200
# Rows read at a time: enough for LAST ok answers if half of the attempts fail.
MOST_ROWS = 2 * LAST


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Nearest-rank percentiles of the last ``n`` values in seconds; None without values."""

    n: int
    p50_s: float | None
    p95_s: float | None


def quantiles(values: Sequence[float]) -> Quantiles:
    """The P50 and P95 of ``values``."""
    ordered = sorted(values)
    p50, p95 = (ordered[math.ceil(share * len(ordered)) - 1] if ordered else None for share in (0.50, 0.95))
    return Quantiles(len(ordered), p50, p95)


class RecentAnswers:
    """Response times (done - scheduled) and queue delays of the last ok answers.

    Rows are read once a second, and only the last MOST_ROWS of them: rows of other generators are parsed only when they are read, so
    10,000 rows per second cost a few milliseconds.

    Attributes:
        add: takes new rows; see Recorder.attempt_listeners.
    """

    def __init__(self) -> None:
        self._new: deque[Sequence[Attempt]] = deque(maxlen=MOST_ROWS)
        self.add = self._new.append
        self._response: deque[float] = deque(maxlen=LAST)
        self._queue: deque[float] = deque(maxlen=LAST)

    def update(self) -> None:
        """Reads the rows that were added since the last call."""
        found: list[Sequence[Attempt]] = []
        room = MOST_ROWS
        while self._new and room > 0:
            rows = self._new.pop()
            found.append(rows[-room:])
            room -= len(rows)
        self._new.clear()
        for row in (row for rows in reversed(found) for row in rows):
            if row.outcome == "ok" and (took_s := response_s(row)) is not None:
                self._response.append(took_s)
                if row.queue_s is not None:
                    self._queue.append(row.queue_s)

    @property
    def response_s(self) -> Quantiles:
        """Percentiles of the response times."""
        return quantiles(self._response)

    @property
    def queue_s(self) -> Quantiles:
        """Percentiles of the queue delays that are known."""
        return quantiles(self._queue)


@dataclass(slots=True)
class Problem:
    """Attempts with the same outcome and cause: their number, the first and last time, and the last message."""

    outcome: str
    cause: str
    count: int
    first_s: float | None
    last_s: float | None
    detail: str


class RecentEvents:
    """Cold starts and failures of a run so far.

    Attributes:
        cold_starts: the last ones as rows of events.csv, newest last, one for each endpoint worker.
        problems: by outcome and cause.
    """

    def __init__(self) -> None:
        self.cold_starts: deque[Mapping[str, Any]] = deque(maxlen=LAST)
        self.problems: dict[tuple[str, str], Problem] = {}
        self._started: set[str] = set()

    def add(self, row: Mapping[str, Any]) -> None:
        """Adds a row of events.csv."""
        # Each generator reports the first answer that it saw of a worker.
        if row["kind"] == "cold_start" and row["worker_id"] not in self._started:
            self._started.add(row["worker_id"])
            self.cold_starts.append(row)
        elif row["kind"] in OUTCOMES:
            at_s = None if row["at_s"] == "" else float(row["at_s"])
            new = Problem(row["kind"], row["cause"], 0, at_s, at_s, "")
            problem = self.problems.setdefault((new.outcome, new.cause), new)
            problem.count += 1
            problem.last_s, problem.detail = at_s, row["detail"]
