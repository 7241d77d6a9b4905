"""The tables of a run: its requests with their times, the ledger, and further figures. Times are in seconds.

A *request* is a ``seq``; an *attempt* is a row. A request has the outcome, end and answer of its last attempt, and the lateness of its
first.
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
from ..runs.disk_columns import on_disk, release
from ..runs.load import Run, begin_of_last, sorting_places
from ..statistics.autocorrelation import lag1_autocorrelation
from ..statistics.percentiles import TimeSummary, time_summary
from . import cold_start_rule
from .object_transfers import ObjectTransfers, object_transfers
from .throughput import Audio, Throughput, audio, by_stage, throughput
from .tokens import Tokens, tokens
from .worker_list import worker_list
from .worker_starts import worker_starts

RATE_LIMIT = "the endpoint's rate limit"
ENDLESS = ("unfinished", "not_sent")
POLICIES: Mapping[str, str] = {"ok": "answered ok", "ended": "all that ended"}
T = TypeVar("T")


@dataclass(frozen=True)
class Lateness:
    """Send delay of the generator, and how many ``held`` of ``of`` requests the in-flight cap, or another limit (``by``), delayed."""

    times: TimeSummary
    held: int
    of: int
    held_max_s: float
    by: str


@dataclass(frozen=True)
class Tables:
    """The tables of one run, each computed on first use; ``others``: those of runs of the same kind that are pooled with it."""

    run: Run
    others: tuple[Tables, ...] = ()

    @cached_property
    def attempts(self) -> pd.DataFrame:
        """The run's rows; empty for plain Locust input."""
        return self.run.attempts if self.run.attempts is not None else pd.DataFrame()

    @cached_property
    def requests(self) -> pd.DataFrame:
        """See ``requests``; ``cold`` and the columns with it come from ``cold_judgement``."""
        judged = {str(name): column for name, column in self.cold_judgement.items()}
        return requests(self.attempts.assign(**judged))

    @cached_property
    def cold_after_s(self) -> float:
        """The shortest wait, in seconds, of an attempt that counts as queued, or as cold if it is the first on its worker."""
        own = self.run.about.get("cold_after_s")
        return cold_start_rule.COLD_AFTER_S if own is None else float(own)

    @cached_property
    def _judged(self) -> cold_start_rule.ColdStartJudgement:
        starts = worker_starts(self.run.events, self.run.endpoint)
        listed = worker_list(self.run.about, self.run.endpoint)
        # Behind a balancer a queue delay is that of the worker's own server: the time for which RunPod held the request is not in it.
        rows = self.attempts.assign(queue_s=np.nan) if self.run.kind == "balancer" else self.attempts
        return cold_start_rule.judge_cold_starts(rows, starts, self.cold_after_s, listed)

    @property
    def cold_judgement(self) -> pd.DataFrame:
        """A row per attempt: see ``cold_start_rule.judge_cold_starts``."""
        return self._judged.attempts

    @property
    def starts(self) -> pd.DataFrame:
        """A row per start of an endpoint worker: see ``cold_start_rule.worker_starts`` and ``ColdStartJudgement``."""
        return self._judged.starts

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger: planned = each outcome + missing, over requests.

        A closed loop limited by time has no planned number (``planned`` is null): its ledger uses the number dispatched, or the rows
        of a run without an end.
        """
        counts = {str(name): int(count) for name, count in self.requests["outcome"].value_counts().items() if count}
        planned = self.run.about.get("planned")
        planned = self.run.about.get("dispatched") if planned is None else planned
        known = {name: counts[name] for name in OUTCOMES if name in counts}
        return Ledger(len(self.requests) if planned is None else int(planned), known)

    @cached_property
    def response(self) -> dict[str, TimeSummary]:
        """Response time under each of POLICIES."""
        return {policy: request_times(self.requests, "response_s", policy) for policy in POLICIES}

    @cached_property
    def lag1_autocorrelation(self) -> float | None:
        """Lag-1 autocorrelation of the response times of answered ok, in order of seq; None if unknown."""
        rows = self.requests
        return lag1_autocorrelation(rows.loc[rows["outcome"] == "ok", "response_s"])

    @cached_property
    def queue_and_execution(self) -> dict[str, TimeSummary]:
        """Queue delay and execution time of answered ok, as the endpoint reports them; only those that some row has."""
        names = {"queue delay": "queue_s", "execution time": "execution_s"}
        found = {label: request_times(self.requests, column, "ok") for label, column in names.items()}
        return {label: sample for label, sample in found.items() if sample.n}

    @cached_property
    def service(self) -> dict[str, TimeSummary]:
        """Service time under each of POLICIES."""
        return {policy: request_times(self.requests, "service_s", policy) for policy in POLICIES}

    @cached_property
    def throughput(self) -> Throughput:
        """See ``throughput``."""
        return throughput(self.run, self.requests)

    @cached_property
    def stages(self) -> pd.DataFrame:
        """See ``by_stage``."""
        return by_stage(self.run, self.requests)

    @cached_property
    def audio(self) -> Audio | None:
        """See ``audio``."""
        return audio(self.requests)

    @cached_property
    def tokens(self) -> Tokens | None:
        """See ``tokens``."""
        return tokens(self.requests)

    @cached_property
    def object_transfers(self) -> ObjectTransfers | None:
        """See ``object_transfers``."""
        return object_transfers(self.requests, self.run.events)

    @cached_property
    def lateness(self) -> Lateness:
        """Lateness = sent − scheduled − held − upload, of the requests that were sent."""
        rows = self.requests
        held = rows["held_s"].fillna(0.0)
        most = float(held.max()) if len(rows) else 0.0
        told = self.run.events is not None and bool((self.run.events["kind"] == "rate_limited").any())
        by = RATE_LIMIT if told else "the in-flight cap"
        return Lateness(time_summary(rows["lateness_s"], len(rows)), int((held > 0).sum()), len(rows), most, by)


def cached_table(table: Callable[[Tables], T]) -> Callable[[Tables], T]:
    """``table``, computed on first use and stored in its Tables."""

    @wraps(table)
    def kept(of: Tables) -> T:
        name = f"{table.__module__}.{table.__qualname__}"
        if name not in of.__dict__:
            release()
            of.__dict__[name] = table(of)
        found: T = of.__dict__[name]
        return found

    return kept


def requests(attempts: pd.DataFrame) -> pd.DataFrame:
    """One row per seq, in order of seq: the columns of the last attempt, and derived ones.

    * ``scheduled_s``: of the first attempt; ``tries``: how many were sent
    * ``response_s`` = done_s − scheduled_s − upload_s, to the end of the last attempt; unknown if it was not sent
    * ``service_s`` = done_s − sent_s, of the last attempt alone
    * ``lateness_s`` = sent_s − scheduled_s − held_s − upload_s, of the first attempt; an empty held_s or upload_s is 0

    Rows that are ``unfinished`` or ``not_sent`` have no end: their times are NaN. If the row of a first attempt was lost, its
    ``lateness_s`` and ``held_s`` are unknown, because retries are late on purpose.
    """
    rows, tried = last_attempts(attempts)
    done_s, scheduled_s, held_s = floats(rows["done_s"]), *(first_attempt_values(rows, tried, name) for name in ("scheduled_s", "held_s"))
    endless = np.asarray(rows["outcome"].isin(ENDLESS)) & ~np.isnan(done_s)
    done_s = on_disk(np.where(endless, np.nan, done_s)) if endless.any() else done_s
    unknown = first_attempt_values(rows, tried, "attempt") != 1
    held_s = on_disk(np.where(unknown, np.nan, held_s)) if unknown.any() else held_s
    lateness_s = first_attempt_values(rows, tried, "sent_s") - scheduled_s
    for part_s in (held_s, first_attempt_values(rows, tried, "upload_s")):
        np.subtract(lateness_s, part_s, out=lateness_s, where=~np.isnan(part_s))
    lateness_s[unknown] = np.nan
    lateness_s = on_disk(lateness_s)  # each at once, so that the pages of what it was made of are released
    upload_s, response_s = floats(rows["upload_s"]), done_s - scheduled_s
    np.subtract(response_s, upload_s, out=response_s, where=~np.isnan(upload_s))
    response_s[np.isnan(floats(rows["sent_s"]))] = np.nan
    response_s = on_disk(response_s)
    service_s = on_disk(done_s - floats(rows["sent_s"]))
    columns = {name: rows[name].array for name in rows if name != "seq"}
    columns |= {"scheduled_s": scheduled_s, "done_s": done_s, "held_s": held_s, "tries": on_disk(attempts_sent(rows, tried))}
    columns |= {"response_s": response_s, "service_s": service_s, "lateness_s": lateness_s}
    return pd.DataFrame(columns, pd.Index(rows["seq"], name="seq"), copy=False)  # assign() would copy


def request_times(rows: pd.DataFrame, column: str, policy: str = "ended") -> TimeSummary:
    """``column`` of ``requests`` under a policy: ``ok`` = outcome ok only; ``ended`` = every request with an end."""
    values = floats(rows[column])
    return time_summary(values if policy == "ended" else values[(rows["outcome"] == "ok").to_numpy()], len(rows))


def last_attempts(attempts: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The last attempt of each request, in order of seq, and the earlier attempts; views if the rows are in order."""
    order = sorting_places(attempts["seq"], attempts["attempt"])
    rows = attempts if order is None else attempts.take(order)
    begin = begin_of_last(integers(rows["seq"]))
    return rows.iloc[begin:], rows.iloc[:begin]


def first_attempt_values(rows: pd.DataFrame, tried: pd.DataFrame, name: str) -> NDArray[Any]:
    """A column of the first attempt of each of ``rows`` (both tables are from ``last_attempts``); a view if possible."""
    values, before = (floats(table[name]) if table[name].dtype == np.float64 else integers(table[name]) for table in (rows, tried))
    places = _places(rows, tried)
    begins = np.append(True, places[1:] != places[:-1])[: len(places)]
    if np.array_equal(values[places[begins]], before[begins], equal_nan=True):
        return values
    values = values.copy()
    values[places[begins]] = before[begins]
    return on_disk(values)


def attempts_sent(rows: pd.DataFrame, tried: pd.DataFrame) -> NDArray[np.int32]:
    """How many attempts of each of ``rows`` were sent."""
    counts = (~np.isnan(floats(rows["sent_s"]))).astype(np.int32)
    np.add.at(counts, _places(rows, tried)[~np.isnan(floats(tried["sent_s"]))], 1)
    return counts


def _places(rows: pd.DataFrame, tried: pd.DataFrame) -> Places:
    return np.searchsorted(integers(rows["seq"]), integers(tried["seq"]))
