"""The lines of a comparison: each figure of the base beside the candidate's, the difference, and a word for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from coldburst.lines import one_line
from coldburst.record.attempt import OUTCOMES

from ..runs import locust_csv
from ..runs.locust_csv import LocustTotals
from ..statistics.intervals import Interval
from ..sweep.setting_result import SettingResult
from . import differences
from .compared_run import HIGHER, LOWER, RATES, SEED, SERIES, ComparedRun, finite_values
from .differences import Difference, Estimate

CANNOT_TELL, NOT_SHOWN = "cannot tell", "no difference shown"
WITHOUT_ROWS = "Locust's totals have no row a request, and without rows nothing tells how much a figure varies"


@dataclass(frozen=True)
class ComparisonLine:
    """One figure of both runs.

    Attributes:
        key: its name for programs; ``group`` the title of its table; ``label`` its name in there.
        unit: s, %, ×, or what is counted; of % the figures are shares of one.
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
        """better, worse, no difference shown or cannot tell."""
        if self.of.shown is None:
            return CANNOT_TELL
        if not self.of.shown:
            return NOT_SHOWN
        return "better" if (self.of.absolute.value or 0.0) * self.better > 0 else "worse"


def comparison_lines(base: ComparedRun, candidate: ComparedRun) -> list[ComparisonLine]:
    """Every figure that at least one of the two has."""
    if base.run.totals is not None and candidate.run.totals is not None:
        return list(_of_totals(base.run.totals, candidate.run.totals))
    if base.sweep is not None and candidate.sweep is not None:
        found = [*_shares(base, candidate), *_settings(base, candidate)]
    else:
        found = [*_shares(base, candidate), *_samples(base, candidate), *_rates(base, candidate), _cost(base, candidate)]
    return [line for line in found if line.of.base is not None or line.of.candidate is not None]


def _shares(base: ComparedRun, candidate: ComparedRun) -> Iterator[ComparisonLine]:
    group = "Outcomes"
    for name in ("ok", *(name for name in OUTCOMES if name != "ok")):
        one, other = base.flags[name], candidate.flags[name]
        if name == "ok" or one.any() or other.any():
            better = HIGHER if name == "ok" else LOWER
            yield ComparisonLine(
                f"share.{name}", group, name, "%", better, (len(one), len(other)), differences.share_difference(one, other)
            )
    one, other = base.flags["cold"], candidate.flags["cold"]
    yield ComparisonLine(
        "share.cold", group, "met a cold start", "%", LOWER, (len(one), len(other)), differences.share_difference(one, other)
    )


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


def _cost(base: ComparedRun, candidate: ComparedRun) -> ComparisonLine:
    return _line("usd_per_1000", "Cost", "1,000 answers ok", "USD", LOWER, base.usd_per_1000, candidate.usd_per_1000)


def _line(key: str, group: str, label: str, unit: str, better: int, base: Estimate, candidate: Estimate) -> ComparisonLine:
    return ComparisonLine(key, group, label, unit, better, (base.n, candidate.n), differences.estimate_difference(base, candidate))


def _settings(base: ComparedRun, candidate: ComparedRun) -> Iterator[ComparisonLine]:
    """Settings that both sweeps measured: throughput, P95 and word error rate of each, and its cost."""
    assert base.sweep is not None and candidate.sweep is not None
    others = {cell.name: cell for cell in candidate.sweep.deciding}
    for cell in base.sweep.deciding:
        if (other := others.get(cell.name)) is not None:
            yield from _setting(cell, other)


def _setting(base: SettingResult, candidate: SettingResult) -> Iterator[ComparisonLine]:
    name, group = one_line(base.name, 60), f"Setting {one_line(base.name, 60)}"
    n = (len(base.ok), len(candidate.ok))
    flow = differences.interval_difference(base.throughput, candidate.throughput)
    yield ComparisonLine(f"{name}.throughput", group, "throughput", "ok per s", HIGHER, n, flow)
    for percent in (50, 95):
        yield ComparisonLine(
            f"{name}.p{percent}", group, f"response time P{percent}", "s", LOWER, n, _cell_percentile(base, candidate, percent)
        )
    wer_n = (base.wer_n, candidate.wer_n)
    yield ComparisonLine(
        f"{name}.wer", group, "word error rate", "%", LOWER, wer_n, differences.interval_difference(base.wer, candidate.wer)
    )
    cost = differences.unknown(base.usd_per_1000, candidate.usd_per_1000, "it follows from the throughput, and differs as that does")
    yield ComparisonLine(f"{name}.usd_per_1000", group, "1,000 answers ok", "USD", LOWER, n, cost)


def _cell_percentile(base: SettingResult, candidate: SettingResult, percent: int) -> Difference:
    """Over the repeats where both have several; otherwise by blocks within the run."""
    if min(len(base.each), len(candidate.each)) > 1:
        return differences.interval_difference(*(_interval(cell, percent) for cell in (base, candidate)))
    one, other = (
        differences.quantile(
            finite_values(cell.ok.sort_values("scheduled_s")["response_s"] if len(cell.ok) else []),
            percent,
            differences.stream(SEED, f"{who} {cell.name} {percent}"),
        )
        for who, cell in (("base", base), ("candidate", candidate))
    )
    return differences.estimate_difference(one, other)


def _interval(cell: SettingResult, percent: int) -> Interval:
    found = cell.percentile(percent)
    return Interval(found.value, found.lower, found.upper, found.remark)


def _of_totals(base: LocustTotals, candidate: LocustTotals) -> Iterator[ComparisonLine]:
    """What Locust's totals have, as they stand."""
    one, other = locust_csv.aggregated(base), locust_csv.aggregated(candidate)
    n = (int(one["requests"]), int(other["requests"]))
    shown = {f"p{p}_s": (f"P{p}", "s", LOWER) for p in (50, 90, 95, 99)} | {"max_s": ("max", "s", LOWER), "mean_s": ("mean", "s", LOWER)}
    shown["requests_per_s"] = ("requests, failures included", "per s", HIGHER)
    failed = differences.unknown(_share(one), _share(other), WITHOUT_ROWS)
    yield ComparisonLine("share.failed", "Locust's totals", "failed", "%", LOWER, n, failed)
    for key, (label, unit, better) in shown.items():
        pair = (_number(one, key), _number(other, key))
        if pair != (None, None):
            name = key.removesuffix("_s") if unit == "s" else key
            yield ComparisonLine(name, "Locust's totals", label, unit, better, n, differences.unknown(*pair, WITHOUT_ROWS))


def _share(row: pd.Series[float]) -> float | None:
    return float(row["failures"]) / float(row["requests"]) if row["requests"] else None


def _number(row: pd.Series[float], key: str) -> float | None:
    return float(row[key]) if key in row and pd.notna(row[key]) else None
