"""The rate measured with one number of workers, and its comparison with the smallest number."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pandas as pd

from ..runs import locust_csv
from ..runs.load import Run
from ..statistics.intervals import BY_DEFINITION, Interval, quotient, t_quantile
from ..sweep import ratios
from ..sweep.sweep_result import SATURATED
from ..text.number_format import number, percent, plural, seconds

# A usable history lasts LEAST_S; an interval needs batches of BATCH_S, because a Locust worker reports every 3 s.
LEAST_S, BATCH_S, LEAST_BATCHES, MOST_BATCHES = 5.0, 5.0, 5, 20
GOODPUT, THROUGHPUT = "goodput", "throughput"


@dataclass(frozen=True)
class LevelRate:
    """A rate and its window; None means unknown.

    Attributes:
        per_s: requests per second, without failures if it is goodput.
        all_per_s: requests per second including failures.
        mean_s, users: mean time of a request, and Locust's users, in the window.
        n: requests that ended in the window, including failures.
        span_s: length of the window; None if the rate is Locust's own.
        source: where the rate comes from, in words.
        failed: share of the n that failed.
        most_users: the largest number of users in the run.
    """

    per_s: Interval
    all_per_s: float
    mean_s: float | None
    users: float | None
    n: int
    span_s: float | None
    source: str
    failed: float
    most_users: float | None = None


@dataclass(frozen=True, eq=False)
class WorkerLevel:
    """A number of workers, as given on the command line, and the totals measured with it."""

    workers: int
    run: Run
    flow: LevelRate
    row: pd.Series[float] = field(repr=False)

    @property
    def requests(self) -> int:
        """Requests that ended, including failures."""
        return int(self.row["requests"])

    @property
    def failures(self) -> int:
        """Requests that failed."""
        return int(self.row["failures"])

    @property
    def in_flight(self) -> float | None:
        """Mean requests in flight: rate × mean time (Little)."""
        return None if self.flow.mean_s is None else ratios.in_flight(self.flow.all_per_s, self.flow.mean_s)

    def percentile_s(self, percent: int) -> float | None:
        """A percentile of the whole run, rounded by Locust, including failures."""
        value = float(self.row.get(f"p{percent}_s", math.nan))
        return None if math.isnan(value) else value


def measured_level(workers: int, run: Run, column: str) -> WorkerLevel:
    """The level measured by ``run`` (plain Locust input); ``column`` is GOODPUT or THROUGHPUT."""
    assert run.totals is not None
    row = locust_csv.aggregated(run.totals)
    return WorkerLevel(workers, run, _of_history(locust_csv.history(run.totals), column) or _of_totals(row, column), row)


def _of_history(history: pd.DataFrame, column: str) -> LevelRate | None:
    known = history.dropna(subset=["at_s", "requests", "failures"])
    rows = _steadiest(known)
    if len(rows) < 2 or not rows["at_s"].is_monotonic_increasing or not rows["requests"].is_monotonic_increasing:
        return None
    first, last = rows.iloc[0], rows.iloc[-1]
    span_s, n = float(last["at_s"] - first["at_s"]), float(last["requests"] - first["requests"])
    if span_s < LEAST_S or n <= 0:
        return None
    done = rows["requests"] - rows["failures"] if column == GOODPUT else rows["requests"]
    mean_s = (last["mean_s"] * last["requests"] - _zero(first["mean_s"] * first["requests"])) / n
    users = float(rows["users"].max())
    return LevelRate(
        _interval(rows["at_s"].tolist(), done.tolist()),
        n / span_s,
        None if math.isnan(mean_s) else float(mean_s),
        None if math.isnan(users) else users,
        int(n),
        span_s,
        f"{int(n):,} requests in {number(span_s)} s of the history",
        float(last["failures"] - first["failures"]) / n,
        None if math.isnan(users) else float(known["users"].max()),
    )


def _steadiest(known: pd.DataFrame) -> pd.DataFrame:
    if known.empty:
        return known
    users = known["users"].ffill().bfill().fillna(-1)
    stretch = (users != users.shift()).cumsum().rename("stretch")
    stretches = known.groupby(stretch)
    lengths = pd.DataFrame({"span_s": stretches["at_s"].max() - stretches["at_s"].min(), "users": stretches["users"].max()})
    # Without users nothing is sent.
    lengths["span_s"] = lengths["span_s"].mask(lengths["users"] == 0, -1)
    longest = int(lengths.sort_values(["span_s", "users"], ascending=False, kind="stable").index[0])
    return known.loc[stretch.eq(longest)]


def _zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _interval(at_s: Sequence[float], done: Sequence[float]) -> Interval:
    """The rate with Student's t over equal batches, at least as wide as the rounding of times to a second."""
    span_s, value = at_s[-1] - at_s[0], (done[-1] - done[0]) / (at_s[-1] - at_s[0])
    many = min(int(span_s // BATCH_S), MOST_BATCHES)
    if many < LEAST_BATCHES or value <= 0:
        least = BATCH_S * LEAST_BATCHES
        return Interval(value, None, None, f"no interval: the history is shorter than {least:.0f} s" if value > 0 else "none was ok")
    ends = [min(range(len(at_s)), key=lambda place: abs(at_s[place] - (at_s[0] + span_s * k / many))) for k in range(many + 1)]
    rates = pd.Series([(done[b] - done[a]) / (at_s[b] - at_s[a]) for a, b in pairwise(ends) if at_s[b] > at_s[a]])
    if len(rates) < LEAST_BATCHES:
        return Interval(value, None, None, "no interval: the history has too few rows")
    half = max(t_quantile(len(rates) - 1) * float(rates.std()) / math.sqrt(len(rates)), value / span_s)
    return Interval(value, max(value - half, 0.0), value + half, "within each run only")


def _of_totals(row: pd.Series[float], column: str) -> LevelRate:
    per_s, n = float(row.get("requests_per_s", math.nan)), float(row["requests"])
    good = 1 - float(row["failures"]) / n if column == GOODPUT and n else 1.0
    mean_s = float(row.get("mean_s", math.nan))
    known = n > 0 and per_s > 0
    value = per_s * good if known else None
    basis = "no interval: there is no history" if known else "Locust gives no rate"
    return LevelRate(
        Interval(value, None, None, basis),
        per_s if known else 0.0,
        None if math.isnan(mean_s) else mean_s,
        None,
        int(n),
        None,
        "Locust's own figure",
        float(row["failures"]) / n if n else 0.0,
    )


def saturation_doubt(of: WorkerLevel, per_worker: int | None) -> str:
    """Why an efficiency of this level would be wrong or unknown, or "".

    Given the concurrency ``per_worker``, SATURATED of all places must be full on average, as in sweeps. Otherwise one per worker is
    assumed; and if requests take about as long as the fastest, none waited for a worker, so more users might give a higher rate.
    """
    flow = of.flow
    if not flow.per_s.value:
        return "no request was ok" if of.requests else "no request ended"
    if of.in_flight is None:
        return "the number of requests in flight is unknown, because the files have no mean time"
    needed = of.workers * (per_worker or 1)
    if of.in_flight < SATURATED * needed:
        least = "" if per_worker else " or more"
        workers = f"{plural(of.workers, 'worker')} can take {needed}{least}"
        return f"the load did not saturate the workers: {number(of.in_flight)} requests in flight on average, and {workers}"
    if per_worker is not None:
        return ""
    assert of.run.totals is not None and flow.mean_s is not None
    least_s = locust_csv.floor_s(of.run.totals)
    if least_s is None or least_s < SATURATED * flow.mean_s:
        return ""
    loop = (
        f"; {number(flow.users)} users ÷ that gives {number(flow.users / least_s)}/s, and {number(flow.all_per_s)}/s were measured"
        if flow.users
        else ""
    )
    return f"the load may not saturate the workers: a request takes {seconds(flow.mean_s)}, the fastest {seconds(least_s)}{loop}"


# With a larger share of failures a rate does not show what the workers can do.
MOSTLY_FAILED = 0.50
# A larger efficiency is impossible, even with noise.
IMPOSSIBLE = 1.10
HELD_BACK = "the baseline was probably held back (failures, cold starts, a throttled client), or the runs differ in workers, users or work"


@dataclass(frozen=True)
class LevelShare:
    """A level compared with the smallest.

    Attributes:
        multiplier: throughput ÷ that of the smallest level.
        efficiency: multiplier ÷ (n ÷ n_1); no value if there is a ``doubt``.
        doubt: why there is no efficiency, or "".
        unjudged: why the efficiency gets no verdict although it is correct, or "".
        impossible: whether the efficiency is above IMPOSSIBLE.
    """

    multiplier: Interval
    efficiency: Interval
    doubt: str
    unjudged: str = ""
    impossible: bool = False


def level_share(one: WorkerLevel, base: WorkerLevel, per_worker: int | None) -> LevelShare:
    """``one`` compared with ``base``; ``per_worker`` as in ``saturation_doubt``."""
    doubt, its = saturation_doubt(one, per_worker), base_doubt(base, per_worker)
    if its:
        doubt = its if one is base else doubt or f"the baseline of {plural(base.workers, 'worker')}: {its}"
    times = quotient(one.flow.per_s, base.flow.per_s)
    if one is base and times.value is not None:
        times = Interval(1.0, 1.0, 1.0, BY_DEFINITION)
    by = one.workers / base.workers
    impossible = not doubt and times.value is not None and times.value / by > IMPOSSIBLE
    if impossible:
        assert times.value is not None
        gave = f"{number(by, '×')} the workers gave {number(times.value, '×')} the rate"
        doubt = f"{percent(times.value / by)} is impossible ({gave}); {HELD_BACK}"
    value, lower, upper = (None if end is None or doubt else end / by for end in (times.value, times.lower, times.upper))
    unjudged = "" if one is base else "; ".join(_unlike(one, base))
    return LevelShare(times, Interval(value, lower, upper, doubt or times.basis), doubt, unjudged, impossible)


def base_doubt(base: WorkerLevel, per_worker: int | None) -> str:
    """Why nothing can be compared with ``base``, or ""."""
    return saturation_doubt(base, per_worker) or (
        f"{percent(base.flow.failed)} of its requests failed, so its rate does not show what its workers can do"
        if mostly_failed(base)
        else ""
    )


def mostly_failed(of: WorkerLevel) -> bool:
    """Whether more requests of the rate failed than were ok."""
    return of.flow.failed > MOSTLY_FAILED


def _unlike(one: WorkerLevel, base: WorkerLevel) -> Iterator[str]:
    users, its = one.flow.users, base.flow.users
    if users is not None and its is not None and users != its:
        yield f"{its:,.0f} users at {plural(base.workers, 'worker')} and {users:,.0f} at {one.workers:,} are not the same load"
    if mostly_failed(one):
        yield f"{percent(one.flow.failed)} of the requests at {plural(one.workers, 'worker')} failed"
