"""The result of a sweep: settings compared with the baseline, knee, scalability law, reasons against a setting."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np

from ..statistics.intervals import BY_DEFINITION, Interval, difference, interval_over_repeats, mean_interval, quotient, share_interval
from ..tables.run_tables import Tables
from ..text.number_format import brief, percent, plural
from . import ratios, usl
from .drift import drift
from .setting_result import SettingResult, failures_text, pooled_mean, sum_and_count
from .stage_result import HEALTH, StageResult, stage_results
from .sweep_settings import SweepSettings, sweep_settings

SATURATED = 0.8
# Workers that nobody saw are doubted if each adds less than this share of the first one's throughput.
LEAST_GAIN = 0.1
# A word error rate is worse if the difference exceeds the first and its interval excludes 0; with few rows or no interval, a point.
WER_LEAST, WER_SMALL_N, WER_POINT = 0.001, 30, 0.01


@dataclass(frozen=True)
class RelativeResult:
    """A setting compared with the baseline.

    Attributes:
        share: its size ÷ that of the baseline; None if unknown.
        multiplier: throughput ÷ baseline throughput, with its interval.
        efficiency: scaling efficiency; without a value if ``refusal`` says why it would be wrong.
        claim: that the number of workers is only what the user said, or "".
        nothing_gained: refused because more workers gave no more throughput, and nobody saw them.
    """

    share: float | None
    multiplier: Interval
    contention: float | None
    worth: bool | None
    efficiency: Interval
    refusal: str
    claim: str = ""
    nothing_gained: bool = False


@dataclass(frozen=True, eq=False)
class SweepResult:
    """The settings of a sweep in order of size, compared with the smallest, the baseline."""

    settings: SweepSettings
    stages: tuple[StageResult, ...]
    cells: tuple[SettingResult, ...]

    @cached_property
    def baseline(self) -> SettingResult | None:
        """The smallest setting planned, if it was measured."""
        return self.smallest if self.smallest is not None and self.smallest.decides else None

    @property
    def smallest(self) -> SettingResult | None:
        """The smallest setting planned."""
        return next((cell for cell in self.cells if cell.name in self.settings.cells), None)

    @cached_property
    def deciding(self) -> tuple[SettingResult, ...]:
        """The settings that were measured completely."""
        return tuple(cell for cell in self.cells if cell.decides)

    @cached_property
    def worse_words(self) -> dict[str, str]:
        """Settings with a worse word error rate than the baseline, each with a sentence."""
        return {cell.name: said for cell in self.deciding if (said := self._worse(cell))}

    @cached_property
    def failing(self) -> dict[str, str]:
        """Settings with too many failures to win, each with a sentence; an objective on success replaces this limit."""
        if any(limit.metric == "success" for limit in self.settings.objectives):
            return {}
        most, lost = self.settings.failures, {cell.name: 1 - (cell.success or 0.0) for cell in self.deciding}
        told = f"of its requests failed (limit {percent(most)})."
        return {name: f"{name} cannot win: {percent(share)} {told}" for name, share in lost.items() if share > most + 1e-9}

    @cached_property
    def perhaps_failing(self) -> dict[str, str]:
        """Of the failing settings, those whose interval includes the limit, each with its figures."""
        known = {cell.name: cell for cell in self.deciding}
        lost = {name: share_interval(known[name].n - len(known[name].ok), known[name].n) for name in self.failing}
        return {name: failures_text(known[name]) for name, of in lost.items() if (of.lower or 0.0) <= self.settings.failures}

    def may_fail(self, cell: SettingResult) -> bool:
        """Whether requests failed, and the interval of their share goes beyond the limit."""
        if any(limit.metric == "success" for limit in self.settings.objectives):
            return False
        lost = cell.n - len(cell.ok)
        return lost > 0 and (share_interval(lost, cell.n).upper or 0.0) > self.settings.failures

    @cached_property
    def drift(self) -> str:
        """That service times changed within the stages in one direction, so that later settings look better or worse, or ""."""
        return drift([window.services for window in self.deciding_stages])

    @property
    def deciding_stages(self) -> list[StageResult]:
        """The stages of all settings that decide."""
        return [window for cell in self.deciding for window in cell.done]

    @property
    def unfit(self) -> dict[str, str]:
        """Settings that cannot win however fast they are, each with a sentence."""
        return self.worse_words | self.failing

    @cached_property
    def relative(self) -> dict[str, RelativeResult]:
        """Each measured setting compared with the baseline, by name; empty without a baseline."""
        return {cell.name: self._relative(cell, self.baseline) for cell in self.deciding} if self.baseline else {}

    @cached_property
    def knee(self) -> SettingResult | None:
        """The smallest setting with a throughput within ``gain`` of the best; None with a single setting."""
        if len(self.deciding) < 2:
            return None
        best = max((cell.throughput.value or 0.0 for cell in self.deciding), default=0.0)
        return next((cell for cell in self.deciding if (cell.throughput.value or 0.0) >= (1 - self.settings.gain) * best > 0), None)

    @cached_property
    def law(self) -> usl.Usl | str:
        """The Universal Scalability Law fitted to the stages, with N the achieved concurrency or (scaling) the workers; or why not."""
        points = [(float(cell.size or 0) if self.settings.by_workers else window.in_flight or 0.0, window.per_s or 0.0)
                  for cell in self.deciding for window in cell.done]  # fmt: skip
        return usl.fit([n for n, _ in points], [per_s for _, per_s in points])

    def _relative(self, cell: SettingResult, base: SettingResult) -> RelativeResult:
        times = multiplier(cell, base)
        share = cell.size / base.size if cell.size and base.size else None
        refusal = efficiency_refusal(cell, base) if self.settings.by_workers else "only a scaling sweep has one"
        claim = unverified(cell, base) if self.settings.by_workers and not refusal else ""
        idle = bool(claim) and share is not None and share > 1 and (times.value or 0.0) < 1 + LEAST_GAIN * (share - 1)
        if idle:
            refusal, claim = f"adding workers changed nothing ({brief(times.value or 0.0)} × {base.name}): are they there?", ""
        none = Interval(None, None, None, refusal)
        if times.value is None or share is None:
            return RelativeResult(share, times, None, None, none, refusal or "the number of workers is unknown")
        scaled = Interval(times.value / share, _over(times.lower, share), _over(times.upper, share), times.basis)
        worth = None if self.settings.by_workers and refusal else ratios.worth_it(times.value, share, self.settings.worth)
        return RelativeResult(share, times, ratios.contention(times.value, share), worth, none if refusal else scaled, refusal, claim, idle)

    def _worse(self, cell: SettingResult) -> str:
        base = self.baseline
        if base is None or cell is base or cell.wer.value is None or base.wer.value is None:
            return ""
        apart = wer_difference(cell, base)
        few = min(cell.wer_n, base.wer_n) < WER_SMALL_N or apart.lower is None  # no interval: repeated clips are correlated
        worse = (apart.value or 0.0) > (WER_POINT if few else WER_LEAST)
        if not worse or not (few or (apart.lower or 0.0) > 0):
            return ""
        points = f"{(apart.value or 0.0) * 100:.2g} points above that of {base.name}"
        both = f"{cell.wer.value * 100:.3g} % and {base.wer.value * 100:.3g} %"
        return f"{cell.name} cannot win: its word error rate is {points} ({both})."


def sweep_result(of: Tables) -> SweepResult | None:
    """The result of a sweep; None for other runs."""
    asked = sweep_settings(of.run.about)
    if asked is None or of.run.attempts is None:
        return None
    found = stage_results(of, asked)
    names = list(dict.fromkeys([*asked.cells, *(window.cell for window in found)]))
    cells = [SettingResult(name, tuple(w for w in found if w.cell == name), asked.price, asked.by_workers) for name in names]
    cells.sort(key=lambda cell: cell.size if cell.size is not None else math.inf)  # stable: unknown sizes last, in the plan's order
    return SweepResult(asked, tuple(found), tuple(cells))


def multiplier(cell: SettingResult, base: SettingResult) -> Interval:
    """Throughput ÷ baseline throughput, with an interval over the repeats that both have."""
    pairs = [(one.per_s, two.per_s) for one, two in _paired(cell, base) if one.per_s and two.per_s]
    apart = quotient(cell.throughput, base.throughput)
    if cell is base:
        return Interval(apart.value, apart.value, apart.value, BY_DEFINITION)
    if len(pairs) < 2 or apart.value is None:
        return apart
    found = interval_over_repeats(pairs, lambda picked: float(np.mean([a for a, _ in picked]) / np.mean([b for _, b in picked])), 0.0)
    return Interval(apart.value, found.lower, found.upper, found.basis)


def wer_difference(cell: SettingResult, base: SettingResult) -> Interval:
    """Word error rate minus the baseline's, with its interval over common repeats or independent rows."""
    pairs = [(one.ok["wer"].dropna().to_list(), two.ok["wer"].dropna().to_list()) for one, two in _paired(cell, base)]
    pairs = [(mine, its) for mine, its in pairs if len(mine) and len(its)]
    if len(pairs) > 1:
        sums = [(sum_and_count(mine), sum_and_count(its)) for mine, its in pairs]
        return interval_over_repeats(
            sums, lambda picked: pooled_mean([mine for mine, _ in picked]) - pooled_mean([its for _, its in picked])
        )
    return difference(mean_interval([*chain(*cell.wers)]), mean_interval([*chain(*base.wers)]))


def _paired(cell: SettingResult, base: SettingResult) -> Iterator[tuple[StageResult, StageResult]]:
    others = {window.repeat: window for window in base.done}
    yield from ((window, others[window.repeat]) for window in cell.done if window.repeat in others)


def efficiency_refusal(cell: SettingResult, base: SettingResult) -> str:
    """Why a scaling efficiency would be wrong (another number of workers, or too little load), or ""."""
    for of in (cell,) if cell is base else (base, cell):
        said = next((said for window in of.done if (said := _refused(window))), "")
        if said:
            return said if of is cell else f"the baseline {base.name}: {said}"
    return ""


def unverified(cell: SettingResult, base: SettingResult) -> str:
    """That nothing shows the workers of one of the two settings, or ""."""
    if all(window.seen is not None for of in (cell, base) for window in of.done):
        return ""
    return f"as you said: {plural(cell.workers_asked or 0, 'worker')}, not verified"


def _refused(window: StageResult) -> str:
    asked, seen = window.workers, window.seen
    if asked is None:
        return "no number of workers was requested"
    if seen is not None and ((seen != asked) if window.ids or window.seen_by == HEALTH else (seen < asked)):
        by = f" in answers of /{HEALTH}" if window.seen_by == HEALTH else ""
        return f"{plural(asked, 'worker')} requested, {seen} seen{by}"
    if window.concurrency is None or window.per_worker is None:
        return "the concurrency per worker is unknown, so the load may have been too low"
    needed = asked * window.per_worker
    if window.concurrency < needed:
        return f"{window.concurrency} requests at a time cannot saturate {asked} × {window.per_worker}"
    if window.at_endpoint is not None and window.at_endpoint < SATURATED * needed <= (window.in_flight or 0.0):
        there = f"{brief(window.at_endpoint)} of {needed} requests at the endpoint"
        return f"the load did not saturate the workers: {there}, the rest in the network"
    if (window.in_flight or 0.0) < SATURATED * needed:
        return f"the load did not saturate the workers: {brief(window.in_flight or 0.0)} of {needed} requests in flight"
    return ""


def _over(value: float | None, share: float) -> float | None:
    return None if value is None else value / share
