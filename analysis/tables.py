"""The figures of a run, one function a table. Seconds throughout; percentiles are nearest rank over rows.

A *request* is a ``seq``; an *attempt* is a row. The outcome, end and answer of a request are its last attempt's, its lateness its first's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from analysis import cold, order
from analysis.load import Run
from analysis.models import PERCENTS, Percentile, ascending, likeness, percentile, percentiles
from analysis.order import Flags, Floats, floats
from analysis.rows import MOST
from analysis.starts import worker_starts
from coldburst.record.attempt import OUTCOMES, one_line
from coldburst.record.ledger import Ledger

ENDLESS = ("unfinished", "not_sent")
POLICIES: Mapping[str, str] = {"ok": "answered ok", "ended": "all that ended"}
COMMONEST = 3
T = TypeVar("T")


@dataclass(frozen=True)
class Times:
    """A sample of times in seconds: percentiles with intervals, and what the sample leaves out.

    Attributes:
        n: values in the sample.
        left_out: requests of the run that are not in it.
    """

    n: int
    left_out: int
    percentiles: tuple[Percentile, ...]
    maximum: float | None
    mean: float | None

    def at(self, percent: int) -> Percentile:
        """The percentile ``percent``, one of PERCENTS."""
        return self.percentiles[PERCENTS.index(percent)]


@dataclass(frozen=True)
class Throughput:
    """How much was offered and how much came back.

    Attributes:
        ok: requests answered ok.
        wall_s: from the first scheduled instant to the last end; None where nothing ended.
        per_s: ok ÷ wall_s.
        offered_per_s: planned arrivals ÷ the schedule's duration; None with the reason in ``not_offered``.
    """

    ok: int
    wall_s: float | None
    per_s: float | None
    offered_per_s: float | None
    not_offered: str


@dataclass(frozen=True)
class Audio:
    """Transcription: n rows answered ok whose audio length is known.

    Attributes:
        seconds: audio seconds of those rows.
        per_s: audio seconds ÷ wall second (higher is better).
        p50, p5: real-time factor, audio ÷ service time of the row itself (×, higher is faster).
        wer_mean, wer_max: word error rate; None where it was not measured. ``wer_n`` rows have it.
    """

    n: int
    seconds: float
    per_s: float | None
    p50: float | None
    p5: float | None
    wer_n: int
    wer_mean: float | None
    wer_max: float | None


@dataclass(frozen=True)
class Lateness:
    """How late the generator was, and how often the in-flight cap (which the user set) held an arrival back."""

    times: Times
    held: int
    of: int
    held_max_s: float


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
        """See ``requests``; with the columns of ``judged`` instead of the endpoint's own word on ``cold``."""
        return requests(self.attempts.assign(**{str(name): column for name, column in self.judged.items()}))

    @cached_property
    def cold_after_s(self) -> float:
        """From which wait on an attempt counts as queued, or, first on its worker, as cold: as run.json says, in seconds."""
        said = self.run.about.get("cold_after_s")
        return cold.COLD_AFTER_S if said is None else float(said)

    @cached_property
    def _judged(self) -> cold.Judged:
        return cold.judge(self.attempts, worker_starts(self.run.events, self.run.endpoint), self.cold_after_s)

    @property
    def judged(self) -> pd.DataFrame:
        """A row an attempt: see ``cold.judge``."""
        return self._judged.attempts

    @property
    def starts(self) -> pd.DataFrame:
        """A row a start of an endpoint worker: see ``starts.worker_starts`` and ``cold.Judged``."""
        return self._judged.starts

    @cached_property
    def ledger(self) -> Ledger:
        """See ``ledger``."""
        return ledger(self.run, self.requests)

    @cached_property
    def response(self) -> dict[str, Times]:
        """Response time under each of POLICIES."""
        return {policy: times(self.requests, "response_s", policy) for policy in POLICIES}

    @cached_property
    def likeness(self) -> float | None:
        """Lag-1 autocorrelation of the response times answered ok, in order of seq; None where it cannot be told."""
        rows = self.requests
        return likeness(rows.loc[rows["outcome"] == "ok", "response_s"])

    @cached_property
    def queue_and_execution(self) -> dict[str, Times]:
        """See ``queue_and_execution``."""
        return queue_and_execution(self.requests)

    @cached_property
    def service(self) -> dict[str, Times]:
        """Service time under each of POLICIES."""
        return {policy: times(self.requests, "service_s", policy) for policy in POLICIES}

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


def once(table: Callable[[Tables], T]) -> Callable[[Tables], T]:
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
    rows, tried = order.last(attempts)
    done_s, scheduled_s, held_s = floats(rows["done_s"]), *(order.first(rows, tried, name) for name in ("scheduled_s", "held_s"))
    endless = np.asarray(rows["outcome"].isin(ENDLESS)) & ~np.isnan(done_s)
    done_s = np.where(endless, np.nan, done_s) if endless.any() else done_s
    unknown = order.first(rows, tried, "attempt") != 1
    held_s = np.where(unknown, np.nan, held_s) if unknown.any() else held_s
    lateness_s = order.first(rows, tried, "sent_s") - scheduled_s
    lateness_s -= np.where(np.isnan(held_s), 0.0, held_s)
    lateness_s[unknown] = np.nan
    changed = {"scheduled_s": scheduled_s, "done_s": done_s, "held_s": held_s}
    return rows.set_index("seq").assign(
        **{name: values for name, values in changed.items() if not np.shares_memory(values, floats(rows[name]))},
        tries=order.sent(rows, tried),
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


def times(rows: pd.DataFrame, column: str, policy: str = "ended") -> Times:
    """``column`` of ``requests`` under a policy: ``ok`` = outcome ok only; ``ended`` = every request with an end."""
    values = floats(rows[column])
    return summary(values if policy == "ended" else values[(rows["outcome"] == "ok").to_numpy()], len(rows))


def summary(values: Any, total: int) -> Times:
    """Percentiles, maximum and mean of ``values`` in order of time, without the empty ones, out of ``total`` requests."""
    sample = np.asarray(values, dtype=np.float64)
    sample = sample[~np.isnan(sample)]
    sample.sort()
    found = len(sample) > 0
    return Times(
        len(sample),
        total - len(sample),
        percentiles(values, ordered=sample),
        float(sample[-1]) if found else None,
        float(sample.mean()) if found else None,
    )


def wall_s(rows: pd.DataFrame) -> float | None:
    """Measured wall time: from the first scheduled instant to the last end; None where nothing ended or took time."""
    return _span(floats(rows["scheduled_s"]), floats(rows["done_s"]))


def _span(scheduled_s: Floats, done_s: Floats) -> float | None:
    span = float(np.fmax.reduce(done_s) - scheduled_s.min()) if len(done_s) else 0.0
    return span if span > 0 else None  # NaN, where nothing ended, is not above 0


def throughput(run: Run, rows: pd.DataFrame) -> Throughput:
    """Completed ok ÷ measured wall time, and the offered rate: planned arrivals ÷ the schedule's duration."""
    ok, span = int((rows["outcome"] == "ok").sum()), wall_s(rows)
    offered, reason = offered_per_s(run)
    return Throughput(ok, span, ok / span if span else None, offered, reason)


def offered_per_s(run: Run) -> tuple[float | None, str]:
    """The schedule's own rate in arrivals per second, or None and why it has none."""
    stages = planned_stages(run)
    if not stages:
        return None, "no schedule is known"
    if any(stage.get("closed") for stage in stages):
        return None, "closed loop: completions decide when requests are sent"
    duration_s = sum(stage.get("duration_s") or 0.0 for stage in stages)
    count = run.about.get("planned")
    if duration_s <= 0:
        return None, "all at once"
    return (None, "no number was planned") if count is None else (count / duration_s, "")


def planned_stages(run: Run) -> list[dict[str, Any]]:
    """The run's stages as run.json has them: name, planned, duration_s, closed; what is no such stage is left out."""
    kinds = {"name": str, "planned": int | None, "duration_s": int | float | None, "closed": bool}
    stages = [stage for stage in run.about.get("stages") or () if isinstance(stage, dict)]
    stages = [stage for stage in stages if all(isinstance(stage.get(key), kind) for key, kind in kinds.items())]
    good = [stage for stage in stages if all(0 <= (stage.get(key) or 0) <= MOST for key in ("planned", "duration_s"))]
    return [{**stage, "name": one_line(stage["name"])} for stage in good]


def audio(rows: pd.DataFrame) -> Audio | None:
    """Audio seconds per wall second, and each row's real-time factor; None where no ok row has an audio length."""
    heard = ((rows["outcome"] == "ok") & rows["audio_s"].notna()).to_numpy()
    if not heard.any():
        return None
    audio_s, factors = (floats(rows[name])[heard] for name in ("audio_s", "service_s"))
    n, seconds, span = len(audio_s), float(audio_s.sum()), wall_s(rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        np.divide(audio_s, factors, out=factors)
    del audio_s  # a column of millions of rows
    factors[~np.isfinite(factors)] = np.nan
    factors, wer = ascending(factors), floats(rows["wer"])
    wer = wer[heard & ~np.isnan(wer)]
    return Audio(
        n,
        seconds,
        seconds / span if span else None,
        percentile(factors, 50).value,
        percentile(factors, 5).value,
        len(wer),
        float(wer.mean()) if len(wer) else None,
        float(wer.max()) if len(wer) else None,
    )


def lateness(rows: pd.DataFrame) -> Lateness:
    """Lateness = sent − scheduled − held, over the requests that were sent; and who was held at the cap."""
    held = rows["held_s"].fillna(0.0)
    return Lateness(summary(rows["lateness_s"], len(rows)), int((held > 0).sum()), len(rows), float(held.max()) if len(rows) else 0.0)


def by_outcome(attempts: pd.DataFrame) -> pd.DataFrame:
    """A row an outcome, in the order of OUTCOMES, over attempts (a retried failure shows here).

    Columns: attempts; first_s and last_s (scheduled_s of the first and the last one seen); statuses
    and errors, each ``[(value, count), …]`` with the commonest first, at most COMMONEST.
    """
    groups = ((name, attempts.loc[(attempts["outcome"] == name).to_numpy(), ["scheduled_s", "status", "error"]]) for name in OUTCOMES)
    rows = {name: _outcome(found) for name, found in groups if len(found)}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["attempts", "first_s", "last_s", "statuses", "errors"])


def _outcome(rows: pd.DataFrame) -> tuple[Any, ...]:
    due = rows["scheduled_s"]
    return len(rows), float(due.min()), float(due.max()), _commonest(rows["status"]), _commonest(rows["error"])


def _commonest(values: pd.Series[Any]) -> list[tuple[Any, int]]:
    """Of equally common ones those that came first."""
    codes, names = pd.factorize(values)
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    common = [place for place in np.argsort(-counts, kind="stable") if names[place] != ""]
    return [(names[place], int(counts[place])) for place in common[:COMMONEST]]


def by_stage(run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    """A row a stage, in the order in which they came.

    Columns: planned (None where completions decide it), requests, ok, p50_s and p95_s (response time
    of answered ok), throughput_per_s (ok ÷ the stage's own wall time).
    """
    expected = _planned_by_stage(run)
    codes, seen = _coded(rows["stage"])
    due = pd.Series(floats(rows["scheduled_s"]))
    first = due.groupby(codes).idxmin()  # the place of the first one due, of several the first row
    places = [int(code) for code in np.lexsort((first, due[first]))] if len(seen) else []
    codes_of, ok = {str(seen[code]): code for code in places}, (rows["outcome"] == "ok").to_numpy()
    found = {name: _stage(rows, codes == codes_of.get(name, -1), ok) for name in dict.fromkeys([*expected, *codes_of])}
    return pd.DataFrame([{"stage": name, "planned": expected.get(name), **stage} for name, stage in found.items()])


def _coded(texts: pd.Series[str]) -> tuple[np.typing.NDArray[np.int32], pd.Index[str]]:
    """Each text as its place among those that occur, in half the room that pandas takes."""
    codes, seen = pd.factorize(texts)
    return codes.astype(np.int32), pd.Index(seen)


def _planned_by_stage(run: Run) -> dict[str, int | None]:
    return {stage["name"]: stage.get("planned") for stage in planned_stages(run)}


def _stage(rows: pd.DataFrame, within: Flags, ok: Flags) -> dict[str, float | int | None]:
    n, span = int(np.count_nonzero(within)), _span(floats(rows["scheduled_s"])[within], floats(rows["done_s"])[within])
    response = summary(floats(rows["response_s"])[within & ok], n)
    return {
        "requests": n,
        "ok": response.n,
        "p50_s": response.at(50).value,
        "p95_s": response.at(95).value,
        "throughput_per_s": response.n / span if span else None,
    }


def queue_and_execution(rows: pd.DataFrame) -> dict[str, Times]:
    """Queue delay and execution time of answered ok, as the endpoint tells them; only those that some row has."""
    names = {"queue delay": "queue_s", "execution time": "execution_s"}
    found = {label: times(rows, column, "ok") for label, column in names.items()}
    return {label: sample for label, sample in found.items() if sample.n}


def events(run: Run) -> pd.DataFrame:
    """A row a kind of hook event: count, total_s and longest_s (0 where the kind has no duration)."""
    if run.events is None:
        return pd.DataFrame(columns=["kind", "count", "total_s", "longest_s"])
    seconds = run.events.assign(seconds=run.events["seconds"].fillna(0.0)).groupby("kind")["seconds"]
    return seconds.agg(count="size", total_s="sum", longest_s="max").reset_index()
