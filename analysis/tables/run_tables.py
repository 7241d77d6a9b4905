"""The tables of a run: its requests with their times, the ledger, and the figures made of them when first asked for.

Seconds throughout; percentiles are nearest rank over rows.

A *request* is a ``seq``; an *attempt* is a row. The outcome, end and answer of a request are its last attempt's, its lateness its first's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coldburst.record.attempt import OUTCOMES
from coldburst.record.ledger import Ledger

from ..runs.csv_columns import Places, floats, integers
from ..runs.load import Run, begin_of_last, sorting_places
from ..statistics.autocorrelation import lag1_autocorrelation
from ..statistics.percentiles import TimeSummary, time_summary
from . import cold_start_rule
from .audio import Audio, audio
from .lateness import Lateness, lateness
from .throughput import Throughput, throughput
from .worker_starts import worker_starts

ENDLESS = ("unfinished", "not_sent")
POLICIES: Mapping[str, str] = {"ok": "answered ok", "ended": "all that ended"}
T = TypeVar("T")


@dataclass(frozen=True)
class Tables:
    """Every table of one run with rows of its own; each is made when first asked for."""

    run: Run

    @cached_property
    def attempts(self) -> pd.DataFrame:
        """The run's rows; empty for plain Locust input."""
        return self.run.attempts if self.run.attempts is not None else pd.DataFrame()

    @cached_property
    def requests(self) -> pd.DataFrame:
        """See ``requests``; with the columns of ``cold_judgement`` instead of the endpoint's own word on ``cold``."""
        return requests(self.attempts.assign(**{str(name): column for name, column in self.cold_judgement.items()}))

    @cached_property
    def cold_after_s(self) -> float:
        """From which wait on an attempt counts as queued, or, first on its worker, as cold: as run.json says, in seconds."""
        said = self.run.about.get("cold_after_s")
        return cold_start_rule.COLD_AFTER_S if said is None else float(said)

    @cached_property
    def _judged(self) -> cold_start_rule.ColdStartJudgement:
        return cold_start_rule.judge_cold_starts(self.attempts, worker_starts(self.run.events, self.run.endpoint), self.cold_after_s)

    @property
    def cold_judgement(self) -> pd.DataFrame:
        """A row an attempt: see ``cold_start_rule.judge_cold_starts``."""
        return self._judged.attempts

    @property
    def starts(self) -> pd.DataFrame:
        """A row a start of an endpoint worker: see ``worker_starts.worker_starts`` and ``ColdStartJudgement``."""
        return self._judged.starts

    @cached_property
    def ledger(self) -> Ledger:
        """See ``ledger``."""
        return ledger(self.run, self.requests)

    @cached_property
    def response(self) -> dict[str, TimeSummary]:
        """Response time under each of POLICIES."""
        return {policy: request_times(self.requests, "response_s", policy) for policy in POLICIES}

    @cached_property
    def lag1_autocorrelation(self) -> float | None:
        """Lag-1 autocorrelation of the response times answered ok, in order of seq; None where it cannot be told."""
        rows = self.requests
        return lag1_autocorrelation(rows.loc[rows["outcome"] == "ok", "response_s"])

    @cached_property
    def queue_and_execution(self) -> dict[str, TimeSummary]:
        """See ``queue_and_execution``."""
        return queue_and_execution(self.requests)

    @cached_property
    def service(self) -> dict[str, TimeSummary]:
        """Service time under each of POLICIES."""
        return {policy: request_times(self.requests, "service_s", policy) for policy in POLICIES}

    @cached_property
    def throughput(self) -> Throughput:
        """See ``throughput``."""
        return throughput(self.run, self.requests)

    @cached_property
    def audio(self) -> Audio | None:
        """See ``audio``."""
        return audio(self.requests)

    @cached_property
    def lateness(self) -> Lateness:
        """See ``lateness``."""
        return lateness(self.requests)


def cached_table(table: Callable[[Tables], T]) -> Callable[[Tables], T]:
    """``table``, worked out when first asked for and then kept with the Tables that it is of."""

    @wraps(table)
    def kept(of: Tables) -> T:
        name = f"{table.__module__}.{table.__qualname__}"
        if name not in of.__dict__:
            of.__dict__[name] = table(of)
        found: T = of.__dict__[name]
        return found

    return kept


def requests(attempts: pd.DataFrame) -> pd.DataFrame:
    """One row a seq, in order of seq: the last attempt's columns, and four that are derived.

    * ``scheduled_s``: of the first attempt; ``tries``: how many were sent
    * ``response_s`` = done_s − scheduled_s, to the end of the last attempt
    * ``service_s`` = done_s − sent_s, of the last attempt alone
    * ``lateness_s`` = sent_s − scheduled_s − held_s, of the first attempt; an empty held_s is 0

    Rows that are ``unfinished`` or ``not_sent`` have no end: their times are NaN. Where the row of a first attempt
    was lost, its lateness and what held it back are unknown: another try is late on purpose.
    """
    rows, tried = last_attempts(attempts)
    done_s, scheduled_s, held_s = floats(rows["done_s"]), *(first_attempt_values(rows, tried, name) for name in ("scheduled_s", "held_s"))
    endless = np.asarray(rows["outcome"].isin(ENDLESS)) & ~np.isnan(done_s)
    done_s = np.where(endless, np.nan, done_s) if endless.any() else done_s
    unknown = first_attempt_values(rows, tried, "attempt") != 1
    held_s = np.where(unknown, np.nan, held_s) if unknown.any() else held_s
    lateness_s = first_attempt_values(rows, tried, "sent_s") - scheduled_s
    lateness_s -= np.where(np.isnan(held_s), 0.0, held_s)
    lateness_s[unknown] = np.nan
    changed = {"scheduled_s": scheduled_s, "done_s": done_s, "held_s": held_s}
    return rows.set_index("seq").assign(
        **{name: values for name, values in changed.items() if not np.shares_memory(values, floats(rows[name]))},
        tries=attempts_sent(rows, tried),
        response_s=done_s - scheduled_s,
        service_s=done_s - floats(rows["sent_s"]),
        lateness_s=lateness_s,
    )


def ledger(run: Run, rows: pd.DataFrame) -> Ledger:
    """The ledger: planned = each outcome + missing, over requests.

    A closed loop that a duration bounds plans no number (``planned`` is null): its ledger is held
    against the number that was dispatched, and in a run without an end against its rows.
    """
    counts = {str(name): int(count) for name, count in rows["outcome"].value_counts().items() if count}
    promised = run.about.get("planned")
    promised = run.about.get("dispatched") if promised is None else promised
    return Ledger(len(rows) if promised is None else int(promised), {name: counts[name] for name in OUTCOMES if name in counts})


def request_times(rows: pd.DataFrame, column: str, policy: str = "ended") -> TimeSummary:
    """``column`` of ``requests`` under a policy: ``ok`` = outcome ok only; ``ended`` = every request with an end."""
    values = floats(rows[column])
    return time_summary(values if policy == "ended" else values[(rows["outcome"] == "ok").to_numpy()], len(rows))


def queue_and_execution(rows: pd.DataFrame) -> dict[str, TimeSummary]:
    """Queue delay and execution time of answered ok, as the endpoint tells them; only those that some row has."""
    names = {"queue delay": "queue_s", "execution time": "execution_s"}
    found = {label: request_times(rows, column, "ok") for label, column in names.items()}
    return {label: sample for label, sample in found.items() if sample.n}


def last_attempts(attempts: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The last attempt of each request, in order of seq, and the attempts before those; no copies where they stand in order."""
    order = sorting_places(attempts["seq"], attempts["attempt"])
    rows = attempts if order is None else attempts.take(order)
    begin = begin_of_last(integers(rows["seq"]))
    return rows.iloc[begin:], rows.iloc[:begin]


def first_attempt_values(rows: pd.DataFrame, tried: pd.DataFrame, name: str) -> NDArray[Any]:
    """A column of numbers of the first attempt at each of ``rows``, both tables from ``last_attempts``. A view where that can be."""
    values, before = (floats(table[name]) if table[name].dtype == np.float64 else integers(table[name]) for table in (rows, tried))
    places = _places(rows, tried)
    begins = np.append(True, places[1:] != places[:-1])[: len(places)]
    if np.array_equal(values[places[begins]], before[begins], equal_nan=True):
        return values
    values = values.copy()
    values[places[begins]] = before[begins]
    return values


def attempts_sent(rows: pd.DataFrame, tried: pd.DataFrame) -> NDArray[np.int32]:
    """How many attempts at each of ``rows`` were sent."""
    counts = (~np.isnan(floats(rows["sent_s"]))).astype(np.int32)
    np.add.at(counts, _places(rows, tried)[~np.isnan(floats(tried["sent_s"]))], 1)
    return counts


def _places(rows: pd.DataFrame, tried: pd.DataFrame) -> Places:
    return np.searchsorted(integers(rows["seq"]), integers(tried["seq"]))
