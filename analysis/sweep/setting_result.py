"""A setting of a sweep, over its repeats."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from coldburst.record.prices import Price

from ..statistics.intervals import Interval, interval_over_repeats, mean_interval, share_interval
from ..statistics.percentiles import Percentile, ascending, percentiles, percentiles_over_repeats
from ..tables.cold_start_rule import PARTS
from . import ratios
from .stage_result import StageResult
from .sweep_settings import SweepObjective

UNSENT = ("skipped", "not reached")
SPLIT = ("queue_s", "cold_s", "execution_s", "other_s")
"""Where the service time of an answer goes: see ``SettingResult.split``."""


@dataclass(frozen=True, eq=False)
class SettingResult:
    """One setting: all its measure stages. Figures are over those that were done; where none was, over what was cut, for show."""

    name: str
    stages: tuple[StageResult, ...]
    price: Price | None
    by_workers: bool

    @cached_property
    def done(self) -> tuple[StageResult, ...]:
        """The stages that were measured whole."""
        return tuple(window for window in self.stages if window.state == "done" and window.per_s is not None)

    @cached_property
    def shown(self) -> tuple[StageResult, ...]:
        """The stages that the figures are over: of a stage that was skipped there are none, whatever was refused in it."""
        return self.done or tuple(window for window in self.stages if window.state not in UNSENT and len(window.requests))

    @property
    def decides(self) -> bool:
        """Whether it takes part in the decision: at least one stage was measured whole, and something was ok."""
        return bool(self.done) and bool(self.throughput.value)

    @property
    def state(self) -> str:
        """done; done, with the repeats that were not; cut; skipped; not reached."""
        if self.done:
            lost = len(self.stages) - len(self.done)
            return f"done, {len(self.done)} of {len(self.stages)} repeats" if lost else "done"
        states = [window.state for window in self.stages]
        return next((state for state in ("cut", "skipped", "not reached") if state in states), "nothing ended")

    @property
    def why(self) -> str:
        """Why it, or one of its repeats, was cut or skipped; "" where all went well."""
        return "; ".join(dict.fromkeys(window.why for window in self.stages if window.why))

    def _first(self, value: Callable[[StageResult], int | None]) -> int | None:
        return next((found for window in self.stages if (found := value(window)) is not None), None)

    @cached_property
    def concurrency(self) -> int | None:
        """Requests at a time asked for, whole endpoint."""
        return self._first(lambda window: window.concurrency)

    @cached_property
    def per_worker(self) -> int | None:
        """Requests at a time asked for, each endpoint worker."""
        return self._first(lambda window: window.per_worker)

    @cached_property
    def workers_asked(self) -> int | None:
        """Endpoint workers asked for."""
        return self._first(lambda window: window.workers)

    @cached_property
    def workers(self) -> int | None:
        """Endpoint workers that are paid for: as asked; where nothing was asked, as seen."""
        return self.workers_asked or self._first(lambda window: window.seen)

    @cached_property
    def size(self) -> int | None:
        """What the settings differ by: endpoint workers, or requests at a time (for each endpoint worker in a matrix)."""
        return self.workers_asked if self.by_workers else self.per_worker or self.concurrency

    @cached_property
    def seen(self) -> tuple[int, ...]:
        """Endpoint workers seen in each repeat, distinct numbers; empty where nobody can tell."""
        return tuple(sorted({window.seen for window in self.shown if window.seen is not None}))

    @cached_property
    def requests(self) -> pd.DataFrame:
        """The requests of the stages shown."""
        return _joined([window.requests for window in self.shown])

    @cached_property
    def ok(self) -> pd.DataFrame:
        """Those answered ok."""
        return _joined([window.ok for window in self.shown])

    @property
    def n(self) -> int:
        """Requests."""
        return len(self.requests)

    @property
    def success(self) -> float | None:
        """Share of requests answered ok."""
        return len(self.ok) / self.n if self.n else None

    @cached_property
    def wall_s(self) -> float | None:
        """Mean wall time of a stage."""
        return _mean([window.wall_s for window in self.shown])

    @cached_property
    def in_flight(self) -> float | None:
        """Mean in flight, as achieved."""
        return _mean([window.in_flight for window in self.shown])

    @cached_property
    def audio_per_s(self) -> float | None:
        """Audio seconds per second, mean over repeats."""
        return _mean([window.audio_per_s for window in self.shown])

    @cached_property
    def each(self) -> tuple[float, ...]:
        """Throughput of each repeat."""
        return tuple(window.per_s for window in self.shown if window.per_s is not None)

    @cached_property
    def throughput(self) -> Interval:
        """Throughput, mean over repeats; the interval over repeats, or with one of them by batch means within it."""
        if len(self.each) > 1:
            return interval_over_repeats(self.each, lambda found: float(np.mean(found)), 0.0)
        return self.shown[0].within if self.shown else Interval(None, None, None, "nothing was measured")

    def percentile(self, percent: int) -> Percentile:
        """Response time of answered ok, one of PERCENTS: nearest rank over rows of all repeats; the interval over these, or within one."""
        return self._percentiles[percent]

    @cached_property
    def _percentiles(self) -> dict[int, Percentile]:
        runs = [run for window in self.shown if len(run := window.ok.sort_index()["response_s"].dropna().to_numpy())]
        found = percentiles_over_repeats(runs) if len(runs) > 1 else percentiles(runs[0] if runs else ())
        return {of.percent: of for of in found}

    def metric(self, name: str) -> float | None:
        """What an objective names: p50 … p99, max and mean in s (response time of answered ok), success and wer as shares."""
        if name == "success":
            return self.success
        if name == "wer":
            return self.wer.value
        times = ascending(self.ok["response_s"])
        if name in ("max", "mean"):
            return (float(times.max()) if name == "max" else float(times.mean())) if len(times) else None
        return self.percentile(int(name[1:])).value

    def interval(self, name: str) -> Interval:
        """What an objective names, with its 95 % interval: as in the tables; of a success rate that of independent requests.

        The largest value has none.
        """
        if name == "wer":
            return self.wer
        if name == "success":
            return share_interval(len(self.ok), self.n)
        if name == "mean":
            return mean_interval(self.ok["response_s"].dropna().to_list())
        if name == "max":
            return Interval(self.metric(name), None, None, "the largest value seen")
        found = self.percentile(int(name[1:]))
        return Interval(found.value, found.lower, found.upper, found.remark)

    def misses(self, objectives: Sequence[SweepObjective]) -> list[SweepObjective]:
        """The objectives that it does not meet."""
        return [objective for objective in objectives if not objective.met(self.metric(objective.metric))]

    @cached_property
    def wers(self) -> list[list[float]]:
        """Word error rates of answered ok, a list a repeat that has any."""
        return [found for window in self.shown if (found := window.ok["wer"].dropna().to_list())]

    @property
    def wer_n(self) -> int:
        """Answers whose word error rate is known."""
        return sum(map(len, self.wers))

    @cached_property
    def wer(self) -> Interval:
        """Word error rate, mean over rows; the interval over repeats, or of independent rows within this run."""
        if len(self.wers) > 1:
            return interval_over_repeats([sum_and_count(found) for found in self.wers], pooled_mean, 0.0)
        found = mean_interval(self.wers[0] if self.wers else [])
        return found if found.lower is None else Interval(found.value, max(found.lower, 0.0), found.upper, found.basis)

    @cached_property
    def cold(self) -> tuple[int, int]:
        """Requests that met a cold start, and those of which it is known."""
        known = self.requests["cold"]
        return int(known.fillna(False).sum()), int(known.notna().sum())

    @cached_property
    def told(self) -> pd.DataFrame:
        """Requests answered ok that tell both queue delay and execution time."""
        return self.ok[self.ok["queue_s"].notna() & self.ok["execution_s"].notna() & self.ok["service_s"].notna()]

    @cached_property
    def split(self) -> dict[str, float]:
        """Mean seconds of an answer by part, of those ``told``; empty where there are none.

        ``cold_s`` is the part of the queue delay that was a cold start (0 where none is known), ``queue_s`` the rest of it,
        ``other_s`` what neither explains: the network, the platform, polling.
        """
        told = self.told
        if told.empty:
            return {}
        cold = np.minimum(told[PARTS[1]].fillna(0.0), told["queue_s"])
        other = (told["service_s"] - told["queue_s"] - told["execution_s"]).clip(lower=0.0)
        parts = ((told["queue_s"] - cold).mean(), cold.mean(), told["execution_s"].mean(), other.mean())
        return {name: float(part) for name, part in zip(SPLIT, parts, strict=True)}

    @property
    def steady(self) -> bool | None:
        """Whether each stage was; None where none can tell."""
        told = [window.steady.yes for window in self.shown if window.steady is not None]
        return all(told) if told else None

    @property
    def worker_seconds(self) -> float | None:
        """Endpoint workers × mean wall time."""
        return self.workers * self.wall_s if self.workers and self.wall_s else None

    @property
    def effort(self) -> float | None:
        """Worker-seconds an answer ok, by which settings are cheap or dear whatever the price; one worker where none is known."""
        per_s = self.throughput.value
        return (self.workers or 1) / per_s if per_s else None

    @property
    def usd(self) -> float | None:
        """USD of a stage: worker-seconds × price."""
        return None if self.price is None or self.worker_seconds is None else self.worker_seconds * self.price.usd_per_s

    @property
    def usd_per_hour(self) -> float | None:
        """USD of an hour of this endpoint."""
        return None if self.price is None or not self.workers else ratios.usd_per_hour(self.price.usd_per_s, self.workers)

    @property
    def usd_per_1000(self) -> float | None:
        """USD of 1,000 answers ok."""
        per_s = self.throughput.value
        return (
            None if self.price is None or not (self.workers and per_s) else ratios.usd_per_1000(self.price.usd_per_s, self.workers, per_s)
        )

    @property
    def usd_per_audio_hour(self) -> float | None:
        """USD of an hour of audio."""
        heard = self.audio_per_s
        return (
            None
            if self.price is None or not (self.workers and heard)
            else ratios.usd_per_audio_hour(self.price.usd_per_s, self.workers, heard)
        )


def sum_and_count(values: Sequence[float]) -> tuple[float, int]:
    """Sum and number of a repeat's values, of which ``pooled`` makes means."""
    return math.fsum(values), len(values)


def pooled_mean(repeats: Sequence[tuple[float, int]]) -> float:
    """The mean over all rows of the repeats."""
    return sum(total for total, _ in repeats) / sum(n for _, n in repeats)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return float(np.mean(known)) if known else None


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(frames) if len(frames) > 1 else frames[0] if frames else NOTHING


NOTHING = pd.DataFrame(
    {name: pd.Series(dtype="float64") for name in ("response_s", "service_s", "queue_s", "execution_s", "wer", "audio_s", "done_s", *PARTS)}
    | {"outcome": pd.Series(dtype="str"), "cold": pd.Series(dtype="boolean")}
)
"""Requests of a stage that has none."""
