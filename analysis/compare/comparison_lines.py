"""The lines of a comparison: a figure of both runs, the difference, and a word for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coldburst.lines import one_line
from coldburst.record.attempt import OUTCOMES

from ..runs import locust_csv
from ..runs.locust_csv import LocustTotals
from ..statistics.autocorrelation import correlation_time
from ..statistics.intervals import Interval, correlated_share, difference, relative_difference
from ..statistics.percentiles import correlated_percentiles
from ..sweep.setting_result import SettingResult
from .compared_run import HIGHER, LOWER, RATES, SERIES, ComparedRun, Estimate, finite_values

CANNOT_TELL, NOT_SHOWN = "cannot tell", "no difference shown"
WITHOUT_ROWS = "Locust's totals have no row per request, so the variation of a figure is unknown"


@dataclass(frozen=True)
class Difference:
    """Candidate − base, each with its own 95 % interval.

    Attributes:
        absolute: the difference in the figure's own unit.
        relative: the difference as a share of the base (0.3 is 30 % more).
        why: why there is no interval; "" if there is one.
    """

    base: float | None
    candidate: float | None
    absolute: Interval
    relative: Interval
    why: str = ""

    @property
    def shown(self) -> bool | None:
        """Whether the interval excludes "no difference"; None without an interval."""
        lower, upper = self.absolute.lower, self.absolute.upper
        return None if lower is None or upper is None else not lower <= 0 <= upper


@dataclass(frozen=True)
class ComparisonLine:
    """One figure of both runs.

    Attributes:
        key: its name for programs; ``group``: the title of its table; ``label``: its name in the table.
        unit: s, %, ×, or what is counted; for % the figures are shares of 1.
        better: LOWER or HIGHER.
        n: values in the base and in the candidate.
    """

    key: str
    group: str
    label: str
    unit: str
    better: int
    n: tuple[int, int]
    of: Difference

    @property
    def word(self) -> str:
        """better, worse, NOT_SHOWN or CANNOT_TELL."""
        if self.of.shown is None:
            return CANNOT_TELL
        if not self.of.shown:
            return NOT_SHOWN
        return "better" if (self.of.absolute.value or 0.0) * self.better > 0 else "worse"


def comparison_lines(base: ComparedRun, candidate: ComparedRun) -> list[ComparisonLine]:
    """Every figure that at least one of the two runs has."""
    if base.run.totals is not None and candidate.run.totals is not None:
        return list(_of_totals(base.run.totals, candidate.run.totals))
    if base.sweep is not None and candidate.sweep is not None:
        found = [*_shares(base, candidate), *_settings(base, candidate)]
    else:
        found = [*_shares(base, candidate), *_samples(base, candidate), *_rates(base, candidate)]
    return [line for line in found if line.of.base is not None or line.of.candidate is not None]


def _shares(base: ComparedRun, candidate: ComparedRun) -> Iterator[ComparisonLine]:
    for name in ("ok", *(name for name in OUTCOMES if name != "ok"), "cold"):
        one, other = base.flags[name], candidate.flags[name]
        if name in ("ok", "cold") or one.any() or other.any():
            label, better = "met a cold start" if name == "cold" else name, HIGHER if name == "ok" else LOWER
            n = (len(one), len(other))
            yield ComparisonLine(f"share.{name}", "Outcomes", label, "%", better, n, share_difference(one, other))


def _samples(base: ComparedRun, candidate: ComparedRun) -> Iterator[ComparisonLine]:
    left_out = "response_ended" if base.all_ok and candidate.all_ok else ""
    for name, sample in SERIES.items():
        if name == left_out:
            continue
        for what in (*(f"p{percent}" for percent in sample.percents), *(("mean",) if sample.with_mean else ())):
            one, other = base.estimates[f"{name}.{what}"], candidate.estimates[f"{name}.{what}"]
            label = what.upper() if what != "mean" else what
            yield _line(f"{name}.{what}", sample.title, label, sample.unit, sample.better, one, other)


def _rates(base: ComparedRun, candidate: ComparedRun) -> Iterator[ComparisonLine]:
    for name, (label, unit) in RATES.items():
        yield _line(name, "Throughput", label.lower(), unit, HIGHER, base.estimates[name], candidate.estimates[name])
    yield _line("usd_per_1000", "Cost", "1,000 answers ok", "USD", LOWER, base.usd_per_1000, candidate.usd_per_1000)


def _line(key: str, group: str, label: str, unit: str, better: int, base: Estimate, candidate: Estimate) -> ComparisonLine:
    return ComparisonLine(key, group, label, unit, better, (base.n, candidate.n), interval_difference(base.interval, candidate.interval))


def _settings(base: ComparedRun, candidate: ComparedRun) -> Iterator[ComparisonLine]:
    """Throughput, percentiles, word error rate and cost of the settings that both sweeps measured."""
    assert base.sweep is not None and candidate.sweep is not None
    others = {cell.name: cell for cell in candidate.sweep.deciding}
    for cell in base.sweep.deciding:
        if (other := others.get(cell.name)) is not None:
            yield from _setting(cell, other)


def _setting(base: SettingResult, candidate: SettingResult) -> Iterator[ComparisonLine]:
    name, n = one_line(base.name, 60), (len(base.ok), len(candidate.ok))

    def line(key: str, label: str, unit: str, better: int, of: Difference, n: tuple[int, int] = n) -> ComparisonLine:
        return ComparisonLine(f"{name}.{key}", f"Setting {name}", label, unit, better, n, of)

    yield line("throughput", "throughput", "ok per s", HIGHER, interval_difference(base.throughput, candidate.throughput))
    for percent in (50, 95):
        repeated = min(len(base.each), len(candidate.each)) > 1
        pair = (_percentile(cell, percent, repeated) for cell in (base, candidate))
        yield line(f"p{percent}", f"response time P{percent}", "s", LOWER, interval_difference(*pair))
    yield line("wer", "word error rate", "%", LOWER, interval_difference(base.wer, candidate.wer), (base.wer_n, candidate.wer_n))
    cost = unknown(base.usd_per_1000, candidate.usd_per_1000, "it follows from the throughput, and differs as that does")
    yield line("usd_per_1000", "1,000 answers ok", "USD", LOWER, cost)


def _percentile(cell: SettingResult, percent: int, repeated: bool) -> Interval:
    """Over the repeats if both sweeps have several; otherwise within the run."""
    if repeated:
        found = cell.percentile(percent)
        return Interval(found.value, found.lower, found.upper, found.remark)
    times_s = cell.ok.sort_values("scheduled_s")["response_s"] if len(cell.ok) else ()
    return correlated_percentiles(finite_values(times_s), (percent,))[percent]


def _of_totals(base: LocustTotals, candidate: LocustTotals) -> Iterator[ComparisonLine]:
    """The figures in Locust's totals."""
    one, other = locust_csv.aggregated(base), locust_csv.aggregated(candidate)
    n = (int(one["requests"]), int(other["requests"]))
    shown = {f"p{p}_s": (f"P{p}", "s", LOWER) for p in (50, 90, 95, 99)} | {"max_s": ("max", "s", LOWER), "mean_s": ("mean", "s", LOWER)}
    shown["requests_per_s"] = ("requests, failures included", "per s", HIGHER)
    failed = unknown(_share(one), _share(other), WITHOUT_ROWS)
    yield ComparisonLine("share.failed", "Locust's totals", "failed", "%", LOWER, n, failed)
    for key, (label, unit, better) in shown.items():
        pair = (_number(one, key), _number(other, key))
        if pair != (None, None):
            name = key.removesuffix("_s") if unit == "s" else key
            yield ComparisonLine(name, "Locust's totals", label, unit, better, n, unknown(*pair, WITHOUT_ROWS))


def _share(row: pd.Series[float]) -> float | None:
    return float(row["failures"]) / float(row["requests"]) if row["requests"] else None


def _number(row: pd.Series[float], key: str) -> float | None:
    return float(row[key]) if key in row and pd.notna(row[key]) else None


def interval_difference(base: Interval, candidate: Interval) -> Difference:
    """The difference of a figure of two independent runs, from its interval in each."""
    absolute, relative = difference(candidate, base), relative_difference(candidate, base)
    whys = ["" if of.lower is not None else of.basis for of in (base, candidate)]
    why = whys[0] if whys[0] == whys[1] else "; ".join(f"{run}: {why}" for run, why in zip(("base", "candidate"), whys, strict=True) if why)
    return Difference(base.value, candidate.value, absolute, relative, why)


def share_difference(base: NDArray[np.bool_], candidate: NDArray[np.bool_]) -> Difference:
    """The difference of two shares, each of flags in order of time.

    Both use the longer correlation time, because flags that are all equal have none of their own.
    """
    time = max(correlation_time(base), correlation_time(candidate))
    return interval_difference(correlated_share(base, time), correlated_share(candidate, time))


def unknown(base: float | None, candidate: float | None, why: str) -> Difference:
    """A difference without an interval."""
    return interval_difference(Interval(base, None, None, why), Interval(candidate, None, None, why))
