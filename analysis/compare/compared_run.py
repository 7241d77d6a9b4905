"""One run of a comparison: each of its figures as an estimate that can be held against another run's."""

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
from ..sweep.sweep_result import SweepResult, sweep_result
from ..tables.cost import cost
from ..tables.run_tables import Tables
from ..tables.throughput import wall_s
from ..verdict.verdict import Verdict, judge
from . import differences
from .differences import Estimate, Values, stream

SEED = 1
USED = ["outcome", "phase", "scheduled_s", "done_s", "response_s", "service_s", "queue_s", "execution_s", "audio_s", "wer", "cold"]
"""Columns of the requests that a comparison looks at."""
LOWER, HIGHER = -1, 1
SETTINGS = "a sweep: its settings and the time between them would be mixed"


@dataclass(frozen=True)
class Series:
    """A series of values, one a request in order of the instants at which they were due; ``better`` is LOWER or HIGHER."""

    title: str
    unit: str
    better: int
    percents: tuple[int, ...]
    values: Callable[[ComparedRun], pd.Series[Any]]
    with_mean: bool = False


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """A run, its name in the comparison (``label``), and what it is: the base, or the candidate of a place."""

    run: Run
    label: str
    place: int

    @cached_property
    def tables(self) -> Tables:
        """The run's tables."""
        return Tables(self.run)

    @cached_property
    def verdict(self) -> Verdict:
        """May its figures be believed?"""
        return judge(self.run, self.tables)

    @cached_property
    def sweep(self) -> SweepResult | None:
        """The sweep that it is, if it is one."""
        return None if self.run.totals is not None else sweep_result(self.tables)

    @cached_property
    def requests(self) -> pd.DataFrame:
        """A row a request, in order of the instants at which they were due; of a sweep without its warm-up."""
        rows = self.tables.requests[USED].sort_values("scheduled_s", kind="stable")
        return rows if self.sweep is None else rows[rows["phase"] != "warm-up"]

    @cached_property
    def ok(self) -> pd.DataFrame:
        """Those answered ok."""
        return self.requests[self.requests["outcome"] == "ok"]

    @property
    def all_ok(self) -> bool:
        """Whether all that ended were answered ok, so that both samples of response time are one."""
        return bool((self.requests.loc[self.requests["response_s"].notna(), "outcome"] == "ok").all())

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """By key: ``response_ok.p95``, ``response_ok.mean``, ``throughput``, ``audio_rate``."""
        found: dict[str, Estimate] = {}
        for name, sample in SERIES.items():
            values = finite_values(sample.values(self))
            made = differences.quantiles(values, sample.percents, self._stream(name))
            found |= {f"{name}.p{percent}": of for percent, of in made.items()}
            if sample.with_mean:
                found[f"{name}.mean"] = differences.mean(values, self._stream(f"{name} mean"))
        return found | self._rates()

    def _rates(self) -> dict[str, Estimate]:
        if self.sweep is not None:
            return {name: Estimate(None, 0, why=SETTINGS) for name in RATES}
        span, ok = wall_s(self.requests), self.ok
        if span is None:
            return {name: Estimate(None, 0, why="no values") for name in RATES}
        start_s = float(self.requests["scheduled_s"].min())
        heard = ok[ok["audio_s"].notna()]
        weights = {"throughput": (ok, np.ones(len(ok))), "audio_rate": (heard, finite_values(heard["audio_s"]))}
        return {
            name: differences.rate(rows["done_s"].to_numpy(dtype=np.float64), many, start_s, start_s + span, self._stream(name))
            for name, (rows, many) in weights.items()
        }

    @cached_property
    def flags(self) -> dict[str, NDArray[np.bool_]]:
        """Shares of requests, as flags in order: ``ok``, each other outcome, and ``cold`` (of those of which it is known)."""
        outcome = self.requests["outcome"]
        known = self.requests["cold"].dropna()
        return {name: np.asarray(outcome == name) for name in OUTCOMES} | {"cold": known.to_numpy(dtype=np.bool_)}

    @cached_property
    def usd_per_1000(self) -> Estimate:
        """USD of 1,000 answers ok, an estimate without draws; the reason where it is not known."""
        found, ok = cost(self.tables), len(self.ok)
        if self.sweep is not None:
            return Estimate(None, ok, why=SETTINGS)
        if found.usd is None or not ok:
            return Estimate(None, ok, why=found.why or "nothing was ok")
        return Estimate(found.usd / ok * 1000, ok, why="one sum a run, which has no interval: repeat the run")

    def _stream(self, purpose: str) -> np.random.Generator:
        return stream(SEED, f"{self.place} {purpose}")


def finite_values(values: Any) -> Values:
    """``values`` as floats in their order, without empty and endless ones."""
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
