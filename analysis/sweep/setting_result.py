"""The result of one setting of a sweep, over its repeats."""

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
from ..text.number_format import percent
from . import ratios
from .stage_result import StageResult
from .sweep_settings import SweepObjective

UNSENT = ("skipped", "not reached")
SPLIT = ("queue_s", "cold_s", "execution_s", "other_s")


@dataclass(frozen=True, eq=False)
class SettingResult:
    """One setting with its measure stages. Figures use completed stages; without any, those cut short, for display only."""

    name: str
    stages: tuple[StageResult, ...]
    price: Price | None
    by_workers: bool

    @cached_property
    def done(self) -> tuple[StageResult, ...]:
        """The stages that were measured completely."""
        return tuple(window for window in self.stages if window.state == "done" and window.per_s is not None)

    @cached_property
    def shown(self) -> tuple[StageResult, ...]:
        """The stages that figures are computed from; skipped stages never count."""
        return self.done or tuple(window for window in self.stages if window.state not in UNSENT and len(window.requests))

    @property
    def decides(self) -> bool:
        """Whether it takes part in the decision: a stage was completed with an answer ok."""
        return bool(self.done) and bool(self.throughput.value)

    @property
    def state(self) -> str:
        """Done (with the number of repeats if some are missing), cut, skipped or not reached."""
        if self.done:
            lost = len(self.stages) - len(self.done)
            return f"done, {len(self.done)} of {len(self.stages)} repeats" if lost else "done"
        states = [window.state for window in self.stages]
        return next((state for state in ("cut", "skipped", "not reached") if state in states), "nothing ended")

    @property
    def why(self) -> str:
        """Why a repeat was cut or skipped, or ""."""
        return "; ".join(dict.fromkeys(window.why for window in self.stages if window.why))

    def _first(self, value: Callable[[StageResult], int | None]) -> int | None:
        return next((found for window in self.stages if (found := value(window)) is not None), None)

    @cached_property
    def concurrency(self) -> int | None:
        """Requested concurrency of the whole endpoint."""
        return self._first(lambda window: window.concurrency)

    @cached_property
    def per_worker(self) -> int | None:
        """Requested concurrency per worker."""
        return self._first(lambda window: window.per_worker)

    @cached_property
    def workers_asked(self) -> int | None:
        """Requested number of endpoint workers."""
        return self._first(lambda window: window.workers)

    @cached_property
    def workers(self) -> int | None:
        """Endpoint workers to pay for: as requested, otherwise as seen."""
        return self.workers_asked or self._first(lambda window: window.seen)

    @cached_property
    def size(self) -> int | None:
        """What the settings differ by: workers, or concurrency (per worker in a matrix)."""
        return self.workers_asked if self.by_workers else self.per_worker or self.concurrency

    @cached_property
    def seen(self) -> tuple[int, ...]:
        """The distinct numbers of workers seen in the repeats; empty if unknown."""
        return tuple(sorted({window.seen for window in self.shown if window.seen is not None}))

    @cached_property
    def requests(self) -> pd.DataFrame:
        """Requests of the stages shown."""
        return _joined([window.requests for window in self.shown])

    @cached_property
    def ok(self) -> pd.DataFrame:
        """Requests answered ok."""
        return _joined([window.ok for window in self.shown])

    @property
    def n(self) -> int:
        """Number of requests."""
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
        """Mean requests in flight, as achieved."""
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
        """Mean throughput with its interval over repeats, or by batch means within the only one."""
        if len(self.each) > 1:
            return interval_over_repeats(self.each, lambda found: float(np.mean(found)), 0.0)
        return self.shown[0].within if self.shown else Interval(None, None, None, "nothing was measured")

    def percentile(self, percent: int) -> Percentile:
        """Nearest-rank percentile of response times answered ok, all repeats together."""
        return self._percentiles[percent]

    @cached_property
    def _percentiles(self) -> dict[int, Percentile]:
        runs = [run for window in self.shown if len(run := window.ok.sort_index()["response_s"].dropna().to_numpy())]
        found = percentiles_over_repeats(runs) if len(runs) > 1 else percentiles(runs[0] if runs else ())
        return {of.percent: of for of in found}

    def metric(self, name: str) -> float | None:
        """The value of an objective's metric: p50 … p99, max and mean in s (response time answered ok), success and wer as shares."""
        if name == "success":
            return self.success
        if name == "wer":
            return self.wer.value
        times = ascending(self.ok["response_s"])
        if name in ("max", "mean"):
            return (float(times.max()) if name == "max" else float(times.mean())) if len(times) else None
        return self.percentile(int(name[1:])).value

    def interval(self, name: str) -> Interval:
        """The value of an objective's metric with its 95 % interval; the maximum has none."""
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
        """The objectives that it misses."""
        return [objective for objective in objectives if not objective.met(self.metric(objective.metric))]

    @cached_property
    def wers(self) -> list[list[float]]:
        """Word error rates of requests answered ok, one list per repeat that has any."""
        return [found for window in self.shown if (found := window.ok["wer"].dropna().to_list())]

    @property
    def wer_n(self) -> int:
        """Number of answers with a word error rate."""
        return sum(map(len, self.wers))

    @cached_property
    def wer(self) -> Interval:
        """Mean word error rate with its interval, over repeats or over independent rows."""
        if len(self.wers) > 1:
            return interval_over_repeats([sum_and_count(found) for found in self.wers], pooled_mean, 0.0)
        found = mean_interval(self.wers[0] if self.wers else [])
        return found if found.lower is None else Interval(found.value, max(found.lower, 0.0), found.upper, found.basis)

    @cached_property
    def cold(self) -> tuple[int, int]:
        """Requests that met a cold start, and requests for which this is known."""
        known = self.requests["cold"]
        return int(known.fillna(False).sum()), int(known.notna().sum())

    @cached_property
    def told(self) -> pd.DataFrame:
        """Requests answered ok with both queue delay and execution time."""
        return self.ok[self.ok["queue_s"].notna() & self.ok["execution_s"].notna() & self.ok["service_s"].notna()]

    @cached_property
    def split(self) -> dict[str, float]:
        """Mean seconds of ``told`` by part (SPLIT), or {}; other_s is the network, the platform and polling."""
        told = self.told
        if told.empty:
            return {}
        cold = np.minimum(told[PARTS[1]].fillna(0.0), told["queue_s"])
        other = (told["service_s"] - told["queue_s"] - told["execution_s"]).clip(lower=0.0)
        parts = ((told["queue_s"] - cold).mean(), cold.mean(), told["execution_s"].mean(), other.mean())
        return {name: float(part) for name, part in zip(SPLIT, parts, strict=True)}

    @property
    def steady(self) -> bool | None:
        """Whether all stages were steady, or None if unknown."""
        told = [window.steady.yes for window in self.shown if window.steady is not None]
        return all(told) if told else None

    @property
    def worker_seconds(self) -> float | None:
        """Endpoint workers × mean wall time."""
        return self.workers * self.wall_s if self.workers and self.wall_s else None

    @property
    def effort(self) -> float | None:
        """Worker-seconds per answer ok, the cost without a price; an unknown number of workers counts as one."""
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


def failures_text(cell: SettingResult) -> str:
    """``4 % of its requests failed, 95 % 1.1 % to 9.9 %``."""
    lost = share_interval(cell.n - len(cell.ok), cell.n)
    return f"{percent(lost.value)} failed, 95 % {percent(lost.lower)} to {percent(lost.upper)}"


def sum_and_count(values: Sequence[float]) -> tuple[float, int]:
    """Sum and count of a repeat's values, for ``pooled_mean``."""
    return math.fsum(values), len(values)


def pooled_mean(repeats: Sequence[tuple[float, int]]) -> float:
    """The mean over all values of the repeats."""
    return sum(total for total, _ in repeats) / sum(n for _, n in repeats)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return float(np.mean(known)) if known else None


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(frames) if len(frames) > 1 else frames[0] if frames else NOTHING


NOTHING = pd.DataFrame(
    {
        name: pd.Series(dtype="float64")
        for name in ("response_s", "service_s", "queue_s", "execution_s", "wer", "audio_s", "done_s", "tts_s", "video_s", *PARTS)
    }
    | {"outcome": pd.Series(dtype="str"), "cold": pd.Series(dtype="boolean")}
)
