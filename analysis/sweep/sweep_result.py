"""A sweep: its settings against the baseline, its knee, its law, and what to know before one decides by them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np

from ..statistics.intervals import BY_DEFINITION, Interval, difference, interval_over_repeats, mean_interval, quotient
from ..tables.run_tables import Tables
from ..text.number_format import brief, percent
from . import ratios, usl
from .setting_result import SettingResult, pooled_mean, sum_and_count
from .stage_result import StageResult, stage_results
from .sweep_settings import SweepSettings, sweep_settings

SATURATED = 0.8
WER_LEAST, WER_SMALL_N, WER_POINT = 0.001, 30, 0.01
"""Worse: the interval of the difference excludes 0 and it is above the first; of fewer rows, or with no interval, above a point."""


@dataclass(frozen=True)
class RelativeResult:
    """A setting against the baseline.

    Attributes:
        share: by how much it is larger: c ÷ c of the baseline, or n ÷ n of the baseline; None where a size is not known.
        multiplier: throughput ÷ baseline throughput, with its interval.
        efficiency: of scaling; no value where ``refusal`` says why it would be false.
    """

    share: float | None
    multiplier: Interval
    contention: float | None
    worth: bool | None
    efficiency: Interval
    refusal: str


@dataclass(frozen=True, eq=False)
class SweepResult:
    """A sweep's settings in the order of their sizes, and how each stands to the smallest, the baseline."""

    settings: SweepSettings
    stages: tuple[StageResult, ...]
    cells: tuple[SettingResult, ...]

    @cached_property
    def baseline(self) -> SettingResult | None:
        """The smallest setting planned, where it was measured, in whatever order they were."""
        return self.smallest if self.smallest is not None and self.smallest.decides else None

    @property
    def smallest(self) -> SettingResult | None:
        """The smallest setting planned."""
        return next((cell for cell in self.cells if cell.name in self.settings.cells), None)

    @cached_property
    def deciding(self) -> tuple[SettingResult, ...]:
        """The settings that were measured whole."""
        return tuple(cell for cell in self.cells if cell.decides)

    @cached_property
    def worse_words(self) -> dict[str, str]:
        """Settings whose word error rate is worse than the baseline's, and the sentence that says so."""
        return {cell.name: said for cell in self.deciding if (said := self._worse(cell))}

    @cached_property
    def failing(self) -> dict[str, str]:
        """Settings with more failures than any may win with, and the sentence that says so; an objective for success takes its place."""
        if any(limit.metric == "success" for limit in self.settings.objectives):
            return {}
        most, lost = self.settings.failures, {cell.name: 1 - (cell.success or 0.0) for cell in self.deciding}
        told = f"of its requests did not end ok (at most {percent(most)})."
        return {name: f"{name} does not win: {percent(share)} {told}" for name, share in lost.items() if share > most + 1e-9}

    @property
    def unfit(self) -> dict[str, str]:
        """Settings that do not win, however fast they are, and why."""
        return self.worse_words | self.failing

    @cached_property
    def relative(self) -> dict[str, RelativeResult]:
        """Each measured setting against the baseline, by its name; empty without a baseline."""
        return {cell.name: self._relative(cell, self.baseline) for cell in self.deciding} if self.baseline else {}

    @cached_property
    def knee(self) -> SettingResult | None:
        """The smallest setting whose throughput is within ``gain`` of the best; of one setting alone there is none."""
        if len(self.deciding) < 2:
            return None
        best = max((cell.throughput.value or 0.0 for cell in self.deciding), default=0.0)
        return next((cell for cell in self.deciding if (cell.throughput.value or 0.0) >= (1 - self.settings.gain) * best > 0), None)

    @cached_property
    def law(self) -> usl.Usl | str:
        """The Universal Scalability Law through each stage's throughput, or why there is none.

        N is the concurrency achieved; in a scaling sweep endpoint workers, as asked for.
        """
        points = [(float(cell.size or 0) if self.settings.by_workers else window.in_flight or 0.0, window.per_s or 0.0)
                  for cell in self.deciding for window in cell.done]  # fmt: skip
        return usl.fit([n for n, _ in points], [per_s for _, per_s in points])

    def _relative(self, cell: SettingResult, base: SettingResult) -> RelativeResult:
        times = multiplier(cell, base)
        share = cell.size / base.size if cell.size and base.size else None
        refusal = efficiency_refusal(cell, base) if self.settings.by_workers else "only a scaling sweep has one"
        none = Interval(None, None, None, refusal)
        if times.value is None or share is None:
            return RelativeResult(share, times, None, None, none, refusal or "the number of endpoint workers is not known")
        scaled = Interval(times.value / share, _over(times.lower, share), _over(times.upper, share), times.basis)
        worth = None if self.settings.by_workers and refusal else ratios.worth_it(times.value, share, self.settings.worth)
        return RelativeResult(share, times, ratios.contention(times.value, share), worth, none if refusal else scaled, refusal)

    def _worse(self, cell: SettingResult) -> str:
        base = self.baseline
        if base is None or cell is base or cell.wer.value is None or base.wer.value is None:
            return ""
        apart = wer_difference(cell, base)
        few = min(cell.wer_n, base.wer_n) < WER_SMALL_N or apart.lower is None  # neighbours alike, as clips that come round are
        worse = (apart.value or 0.0) > (WER_POINT if few else WER_LEAST)
        if not worse or not (few or (apart.lower or 0.0) > 0):
            return ""
        points = f"{(apart.value or 0.0) * 100:.2g} points above {base.name}'s"
        both = f"{cell.wer.value * 100:.3g} % against {base.wer.value * 100:.3g} %"
        return f"{cell.name} does not win: its word error rate is {points} ({both})."


def sweep_result(of: Tables) -> SweepResult | None:
    """The sweep of a run; None where the run is none."""
    asked = sweep_settings(of.run.about)
    if asked is None or of.run.attempts is None:
        return None
    found = stage_results(of, asked)
    names = list(dict.fromkeys([*asked.cells, *(window.cell for window in found)]))
    cells = [SettingResult(name, tuple(w for w in found if w.cell == name), asked.price, asked.by_workers) for name in names]
    cells.sort(key=lambda cell: cell.size if cell.size is not None else math.inf)  # stable: unknown sizes last, in the plan's order
    return SweepResult(asked, tuple(found), tuple(cells))


def multiplier(cell: SettingResult, base: SettingResult) -> Interval:
    """Multiplier: throughput ÷ baseline throughput; the interval over the repeats that both have, which are neighbours in time."""
    pairs = [(one.per_s, two.per_s) for one, two in _paired(cell, base) if one.per_s and two.per_s]
    apart = quotient(cell.throughput, base.throughput)
    if cell is base:
        return Interval(apart.value, apart.value, apart.value, BY_DEFINITION)
    if len(pairs) < 2 or apart.value is None:
        return apart
    found = interval_over_repeats(pairs, lambda picked: float(np.mean([a for a, _ in picked]) / np.mean([b for _, b in picked])), 0.0)
    return Interval(apart.value, found.lower, found.upper, found.basis)


def wer_difference(cell: SettingResult, base: SettingResult) -> Interval:
    """Word error rate less the baseline's, with its interval: over the repeats that both have, or of independent rows."""
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
    """Why a scaling efficiency of ``cell`` would be false: the number of endpoint workers or the load was another; "" where it was not."""
    for of in (cell,) if cell is base else (base, cell):
        said = next((said for window in of.done if (said := _refused(window))), "")
        if said:
            return said if of is cell else f"the baseline {base.name}: {said}"
    return ""


def _refused(window: StageResult) -> str:
    asked, seen = window.workers, window.seen
    if asked is None:
        return "the run asked for no number of endpoint workers"
    if seen is None:
        return f"{asked} workers asked for, and neither the answers nor the control tell how many there were"
    if (seen != asked) if window.ids else (seen < asked):
        return f"{asked} worker{'' if asked == 1 else 's'} asked for, {seen} seen"
    if window.concurrency is None or window.per_worker is None:
        return "how many requests at a time each worker takes is not known, so whether the load sufficed is not"
    needed = asked * window.per_worker
    if window.concurrency < needed:
        return f"{window.concurrency} requests at a time do not fill {asked} × {window.per_worker}: the load did not saturate the workers"
    if (window.in_flight or 0.0) < SATURATED * needed:
        return f"{brief(window.in_flight or 0.0)} of {needed} requests in flight: the load did not saturate the workers"
    return ""


def _over(value: float | None, share: float) -> float | None:
    return None if value is None else value / share
