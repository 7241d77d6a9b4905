"""One run of a comparison: its figures with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coldburst.record.attempt import OUTCOMES

from ..runs.load import Run
from ..statistics.autocorrelation import Floats
from ..statistics.intervals import NO_VALUES, Interval, correlated_mean, correlated_rate
from ..statistics.percentiles import correlated_percentiles
from ..sweep.sweep_result import SweepResult, sweep_result
from ..tables.cost import cost
from ..tables.run_tables import Tables
from ..tables.throughput import wall_s
from ..verdict.verdict import Verdict, judge

# Columns of the requests that a comparison uses.
USED = ["outcome", "phase", "scheduled_s", "done_s", "response_s", "service_s", "queue_s", "execution_s", "audio_s", "wer", "cold"]
LOWER, HIGHER = -1, 1
SETTINGS = "this run is a sweep: the figure would mix its settings and the time between them"


@dataclass(frozen=True)
class Series:
    """One value per request; ``better`` is LOWER or HIGHER."""

    title: str
    unit: str
    better: int
    percents: tuple[int, ...]
    values: Callable[[ComparedRun], pd.Series[Any]]
    with_mean: bool = False


@dataclass(frozen=True)
class Estimate:
    """A figure of one run with its interval, from ``n`` values."""

    interval: Interval
    n: int


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """A run and its name in the comparison; ``place`` 0 is the base."""

    run: Run
    label: str
    place: int

    @cached_property
    def tables(self) -> Tables:
        """The run's tables."""
        return Tables(self.run)

    @cached_property
    def verdict(self) -> Verdict:
        """The run's verdict."""
        return judge(self.run, self.tables)

    @cached_property
    def sweep(self) -> SweepResult | None:
        """The result of the sweep; None if the run is not a sweep."""
        return None if self.run.totals is not None else sweep_result(self.tables)

    @cached_property
    def requests(self) -> pd.DataFrame:
        """A row per request, in the order in which they were due; for a sweep without its warm-up."""
        rows = self.tables.requests[USED].sort_values("scheduled_s", kind="stable")
        return rows if self.sweep is None else rows[rows["phase"] != "warm-up"]

    @cached_property
    def ok(self) -> pd.DataFrame:
        """The requests answered ok."""
        return self.requests[self.requests["outcome"] == "ok"]

    @property
    def all_ok(self) -> bool:
        """Whether all requests that ended were ok, so that both samples of response time are the same."""
        return bool((self.requests.loc[self.requests["response_s"].notna(), "outcome"] == "ok").all())

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """By key: ``response_ok.p95``, ``response_ok.mean``, ``throughput``, ``audio_rate``."""
        found: dict[str, Estimate] = {}
        for name, sample in SERIES.items():
            values = finite_values(sample.values(self))
            made = correlated_percentiles(values, sample.percents)
            found |= {f"{name}.p{percent}": Estimate(of, len(values)) for percent, of in made.items()}
            if sample.with_mean:
                found[f"{name}.mean"] = Estimate(correlated_mean(values), len(values))
        return found | self._rates()

    def _rates(self) -> dict[str, Estimate]:
        span, ok = wall_s(self.requests), self.ok
        if self.sweep is not None or span is None:
            why = NO_VALUES if self.sweep is None else SETTINGS
            return {name: Estimate(Interval(None, None, None, why), 0) for name in RATES}
        start_s = float(self.requests["scheduled_s"].min())
        heard = ok[ok["audio_s"].notna()]
        weights = {"throughput": (ok, np.ones(len(ok))), "audio_rate": (heard, finite_values(heard["audio_s"]))}
        return {
            name: Estimate(correlated_rate(rows["done_s"].to_numpy(dtype=np.float64), many, start_s, start_s + span), len(rows))
            for name, (rows, many) in weights.items()
        }

    @cached_property
    def flags(self) -> dict[str, NDArray[np.bool_]]:
        """A flag per request, in order: for each outcome whether it ended so, and ``cold`` of those for which this is known."""
        outcome = self.requests["outcome"]
        known = self.requests["cold"].dropna()
        return {name: np.asarray(outcome == name) for name in OUTCOMES} | {"cold": known.to_numpy(dtype=np.bool_)}

    @cached_property
    def usd_per_1000(self) -> Estimate:
        """USD per 1,000 answers ok, without an interval."""
        found, ok = cost(self.tables), len(self.ok)
        if self.sweep is not None or found.usd is None or not ok:
            why = SETTINGS if self.sweep is not None else found.why or "no answer was ok"
            return Estimate(Interval(None, None, None, why), ok)
        return Estimate(Interval(found.usd / ok * 1000, None, None, "a run has one cost, so there is no interval: repeat the run"), ok)


def finite_values(values: Any) -> Floats:
    """``values`` as floats in their order, without NaN and infinity."""
    found = np.asarray(values, dtype=np.float64)
    return found[np.isfinite(found)]


def _starts(of: ComparedRun) -> pd.Series[Any]:
    starts = of.tables.starts
    return starts[starts["at_s"] >= 0].sort_values("at_s")["cold_start_s"]


SERIES: Mapping[str, Series] = {
    "response_ok": Series("Response time, answered ok", "s", LOWER, (50, 90, 95, 99), lambda of: of.ok["response_s"], with_mean=True),
    "response_ended": Series("Response time, all that ended", "s", LOWER, (50, 95), lambda of: of.requests["response_s"]),
    "service_ok": Series("Service time, answered ok", "s", LOWER, (50, 95), lambda of: of.ok["service_s"]),
    "queue": Series("Queue delay, answered ok", "s", LOWER, (50, 95), lambda of: of.ok["queue_s"]),
    "execution": Series("Execution time, answered ok", "s", LOWER, (50, 95), lambda of: of.ok["execution_s"]),
    "cold_start": Series("Cold-start time", "s", LOWER, (50, 95), _starts),
    "real_time_factor": Series("Real-time factor", "×", HIGHER, (50, 5), lambda of: of.ok["audio_s"] / of.ok["service_s"]),
    "wer": Series("Word error rate", "%", LOWER, (), lambda of: of.ok["wer"], with_mean=True),
}
RATES: Mapping[str, tuple[str, str]] = {"throughput": ("Throughput", "ok per s"), "audio_rate": ("Audio throughput", "audio s per s")}
