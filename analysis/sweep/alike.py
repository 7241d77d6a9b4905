"""The settings of a sweep that its data cannot tell apart, and how many repeats would.

A setting is left out only if another is shown to give more: the upper end of its rate ÷ the other's is below 1 − ``gain``. Several
comparisons share the 5 % (Bonferroni), so the best setting is in the set in 95 of 100 sweeps. Rates are compared as logarithms. Their
variance is that within each run plus, with repeats, what repeats differ by beyond it, pooled over all settings, because two or three
repeats of one setting say little (Law, Simulation Modeling and Analysis, 9.5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from ..statistics.intervals import BATCHES, t_quantile
from .setting_result import SettingResult

LEVEL = 0.95
# More repeats than this are not asked for: the settings are as good as equal.
MOST_REPEATS = 20
# Degrees of freedom left for the noise, from which on the difference of the repeats is taken out.
LEAST_DEGREES = 4


@dataclass(frozen=True, eq=False)
class Alike:
    """Settings that cannot be told apart, in order of size.

    Attributes:
        cells: the set; its first is the smallest setting, its last the largest.
        best: the setting with the highest rate.
        equal: the rates of all are shown to be within ``gain`` of each other's best: a plateau, not a lack of data.
        most_less: the largest loss that the smallest setting may have against another of the set, as a share.
        repeats: repeats that would probably tell the smallest from the best, or None if too many or none are needed.
    """

    cells: tuple[SettingResult, ...]
    best: SettingResult
    equal: bool
    most_less: float
    repeats: int | None

    @property
    def smallest(self) -> SettingResult:
        """The pick where cost or response time counts."""
        return self.cells[0]

    @property
    def largest(self) -> SettingResult:
        """The pick where only throughput counts."""
        return self.cells[-1]


def alike(cells: Sequence[SettingResult], gain: float, per: Sequence[float] | None = None) -> Alike:
    """The settings among ``cells`` (one or more, in order of size) that may have the highest rate, or one within ``gain`` of it.

    ``per``: what each setting's rate is divided by, such as its number of workers.
    """
    scale = [1.0] * len(cells) if per is None else list(per)
    logs = [math.log((cell.throughput.value or 1e-12) / each) for cell, each in zip(cells, scale, strict=True)]
    errors, degrees = _errors(cells)
    times = _quantile(degrees, len(cells))
    limit = math.log1p(-gain)

    def apart(one: int, other: int) -> tuple[float, float]:
        half = times * math.hypot(errors[one], errors[other]) if one != other else 0.0
        return logs[one] - logs[other] - half, logs[one] - logs[other] + half

    kept = [i for i in range(len(cells)) if all(apart(i, j)[1] >= limit for j in range(len(cells)))]
    best = max(kept, key=lambda i: logs[i])
    least = min(apart(kept[0], j)[0] for j in kept)
    away = abs(logs[kept[0]] - logs[best] - limit)
    needed = repeats_to_tell(cells, times * math.hypot(errors[kept[0]], errors[best]), away) if len(kept) > 1 and least < limit else None
    return Alike(tuple(cells[i] for i in kept), cells[best], least >= limit, -math.expm1(least), needed)


def _errors(cells: Sequence[SettingResult]) -> tuple[list[float], float]:
    """The standard error of each setting's logarithm of its rate, and their degrees of freedom."""
    inside = [_inside(cell) for cell in cells]
    several = [(np.log(cell.each), here) for cell, here in zip(cells, inside, strict=True) if len(cell.each) > 1]
    factor, repeats = 1.0, {len(logs) for logs, _ in several}
    if len(several) == len(cells) and len(repeats) == 1 and (len(cells) - 1) * (next(iter(repeats)) - 1) >= LEAST_DEGREES:
        # What all settings of a repeat have in common, such as a slow hour, changes no ratio.
        common, factor = np.mean([logs for logs, _ in several], axis=0), len(cells) / (len(cells) - 1)
        several = [(logs - common, here) for logs, here in several]
    spread = [(float(logs.var(ddof=1)) * factor, (len(logs) - 1) / factor, here) for logs, here in several]
    degrees = sum(free for _, free, _ in spread)
    if not degrees:
        return inside, BATCHES - 1.0
    known = [(found, free, here) for found, free, here in spread if math.isfinite(here)]
    beyond = sum(free * (found - here**2) for found, free, here in known) / degrees
    # Repeats may also agree better than the interval within a run, which allows for a whole answer at its edges.
    less = min(sum(free * found / here**2 for found, free, here in known) / degrees, 1.0) if known else 1.0
    variances = [here**2 * (1.0 if beyond > 0 else less) + max(beyond, 0.0) for here in inside]
    return [math.sqrt(one / len(cell.each)) for cell, one in zip(cells, variances, strict=True)], degrees


def _inside(cell: SettingResult) -> float:
    """The standard error of one run's logarithm of the rate, from its interval within the run."""
    found = [window.within for window in cell.done]
    halves = [(of.upper - of.lower) / 2 / of.value for of in found if of.lower is not None and of.upper is not None and of.value]
    return float(np.mean(halves)) / t_quantile(BATCHES - 1) if halves else math.inf


def _quantile(degrees: float, settings: int) -> float:
    return float(stdtrit(degrees, 1 - (1 - LEVEL) / max(settings - 1, 1)))


def repeats_to_tell(cells: Sequence[SettingResult], half: float, away: float) -> int | None:
    """Repeats after which an interval of that half width would probably leave out a value that far away; None if too many."""
    now = max(len(cell.each) for cell in cells)
    needed = now * (half / away) ** 2 if away > 0 else math.inf
    return max(math.ceil(needed), now + 1, 3) if needed <= MOST_REPEATS else None
