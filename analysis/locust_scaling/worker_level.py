"""One number of endpoint workers, as one prefix of Locust's CSV files tells of it."""

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

LEAST_S, BATCH_S, LEAST_BATCHES, MOST_BATCHES = 5.0, 5.0, 5, 20
"""A history is used from the first on; an interval takes batches as long as the second (a worker reports each 3 s), so many of them."""
GOODPUT, THROUGHPUT = "goodput", "throughput"


@dataclass(frozen=True)
class LevelRate:
    """A rate and what it is made of.

    Attributes:
        per_s: requests a second, failures among them unless it is goodput.
        all_per_s: the same, failures always among them.
        mean_s: mean time of a request within the window; None where it is not known.
        users: Locust's users within the window; None where it is not known.
        n: requests that ended within the window, failures among them.
        span_s: length of the window; None where it is Locust's own.
        source: how the rate was found, in words.
        failed: share of these n that failed.
        most_users: Locust's users when there were most, within the window or not; None where it is not known.
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
    """A number of endpoint workers, as the command line says, and the totals that were measured with it."""

    workers: int
    run: Run
    flow: LevelRate
    row: pd.Series[float] = field(repr=False)

    @property
    def requests(self) -> int:
        """All requests that ended, failures among them."""
        return int(self.row["requests"])

    @property
    def failures(self) -> int:
        """Those that failed."""
        return int(self.row["failures"])

    @property
    def in_flight(self) -> float | None:
        """Requests in flight on average: rate × mean time (Little)."""
        return None if self.flow.mean_s is None else ratios.in_flight(self.flow.all_per_s, self.flow.mean_s)

    def percentile_s(self, percent: int) -> float | None:
        """A percentile of the whole run as Locust rounds it, failures included."""
        value = float(self.row.get(f"p{percent}_s", math.nan))
        return None if math.isnan(value) else value


def measured_level(workers: int, run: Run, column: str) -> WorkerLevel:
    """The level that ``run`` (plain Locust input) measured; ``column`` is GOODPUT or THROUGHPUT."""
    assert run.totals is not None
    row = locust_csv.aggregated(run.totals)
    return WorkerLevel(workers, run, _of_history(locust_csv.history(run.totals), column) or _of_totals(row, column), row)


def _of_history(history: pd.DataFrame, column: str) -> LevelRate | None:
    """Counts ÷ time, over the longest time with one number of users (all rows where none tells users); None where it cannot tell."""
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
    """The rows of the longest time with one number of users; of equal times the one with more users, then the first."""
    if known.empty:
        return known
    users = known["users"].ffill().bfill().fillna(-1)
    stretch = (users != users.shift()).cumsum().rename("stretch")
    stretches = known.groupby(stretch)
    lengths = pd.DataFrame({"span_s": stretches["at_s"].max() - stretches["at_s"].min(), "users": stretches["users"].max()})
    # before the start and after the end nobody sends
    lengths["span_s"] = lengths["span_s"].mask(lengths["users"] == 0, -1)
    longest = int(lengths.sort_values(["span_s", "users"], ascending=False, kind="stable").index[0])
    return known.loc[stretch.eq(longest)]


def _zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _interval(at_s: Sequence[float], done: Sequence[float]) -> Interval:
    """The rate with Student's t over equal batches of time, never narrower than the second by which the history's times are rounded."""
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
    """Locust's own figure: all requests ÷ the time from its start to the last of them, the start-up of users included."""
    per_s, n = float(row.get("requests_per_s", math.nan)), float(row["requests"])
    good = 1 - float(row["failures"]) / n if column == GOODPUT and n else 1.0
    mean_s = float(row.get("mean_s", math.nan))
    known = n > 0 and per_s > 0
    value = per_s * good if known else None
    basis = "no interval: there is no history to take one from" if known else "Locust gives no rate"
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
    """Why an efficiency of this level would be false, or cannot be told; "" where nothing speaks against it.

    With the number of requests that each endpoint worker takes at a time (``per_worker``) it is the rule of the sweeps: SATURATED of
    the places full on average. Without it, one a worker is the least there can be; and where requests take about as long as the
    fastest do, none is seen to wait for a worker: the users' own loop bounds the rate, and more of them might give more.
    """
    flow = of.flow
    if not flow.per_s.value:
        return "no request was ok" if of.requests else "no request ended"
    if of.in_flight is None:
        return "the files tell no mean time, so how many requests were in flight is not known"
    needed = of.workers * (per_worker or 1)
    if of.in_flight < SATURATED * needed:
        least = "" if per_worker else " or more"
        held = f"{number(of.in_flight)} requests in flight on average"
        return f"{held}, and {plural(of.workers, 'worker')} take {needed}{least}: the load did not saturate them"
    if per_worker is not None:
        return ""
    assert of.run.totals is not None and flow.mean_s is not None
    least_s = locust_csv.floor_s(of.run.totals)
    if least_s is None or least_s < SATURATED * flow.mean_s:
        return ""
    loop = (
        f"; {number(flow.users)} users ÷ that is {number(flow.users / least_s)}/s, and {number(flow.all_per_s)}/s came"
        if flow.users
        else ""
    )
    return f"cannot tell whether the load saturates: a request takes {seconds(flow.mean_s)}, and the fastest {seconds(least_s)}{loop}"


MOSTLY_FAILED = 0.50
"""Above this share of failures a rate is no measure of what the workers can do."""
IMPOSSIBLE = 1.10
"""Above this efficiency n times the workers gave more than n times the rate, by more than noise explains."""
HELD_BACK = (
    "likely the baseline was held back (failures, cold starts, a throttled client), "
    "or the workers, the users or the work were not those of the other run"
)


@dataclass(frozen=True)
class LevelShare:
    """A level against the smallest.

    Attributes:
        multiplier: throughput ÷ that of the smallest level.
        efficiency: multiplier ÷ (n ÷ n_1), which has no value where ``doubt`` says why.
        doubt: why there is no efficiency; "" where there is one.
        unjudged: why the efficiency cannot be held against the marks, though its figure is true; "" where it can.
        impossible: whether more came out than n times the workers can give.
    """

    multiplier: Interval
    efficiency: Interval
    doubt: str
    unjudged: str = ""
    impossible: bool = False


def level_share(one: WorkerLevel, base: WorkerLevel, per_worker: int | None) -> LevelShare:
    """``one`` against ``base``; ``per_worker`` is as ``saturation_doubt`` has it."""
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
        doubt = f"{percent(times.value / by)} is impossible: {gave}; {HELD_BACK}"
    value, lower, upper = (None if end is None or doubt else end / by for end in (times.value, times.lower, times.upper))
    unjudged = "" if one is base else "; ".join(_unlike(one, base))
    return LevelShare(times, Interval(value, lower, upper, doubt or times.basis), doubt, unjudged, impossible)


def base_doubt(base: WorkerLevel, per_worker: int | None) -> str:
    """Why nothing can be held against ``base``; "" where nothing speaks against it."""
    return saturation_doubt(base, per_worker) or (
        f"{percent(base.flow.failed)} of its requests failed, so its rate does not show what its workers can do"
        if mostly_failed(base)
        else ""
    )


def mostly_failed(of: WorkerLevel) -> bool:
    """Whether more of the requests that the rate is made of failed than were ok."""
    return of.flow.failed > MOSTLY_FAILED


def _unlike(one: WorkerLevel, base: WorkerLevel) -> Iterator[str]:
    users, its = one.flow.users, base.flow.users
    if users is not None and its is not None and users != its:
        yield f"{its:,.0f} users at {plural(base.workers, 'worker')} and {users:,.0f} at {one.workers:,} are not the same load"
    if mostly_failed(one):
        yield f"{percent(one.flow.failed)} of the requests at {plural(one.workers, 'worker')} failed"
