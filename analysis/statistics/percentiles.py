"""Percentiles: where P50, P90, P95 and P99 are computed, with their 95 % intervals."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, stdtrit

from .autocorrelation import effective_sample_size, sample_suffices

PERCENTS = (50, 90, 95, 99)
LEVEL = 0.95
BLOCKS = 5
"""Blocks of a run whose percentiles make an interval where neighbours are alike: few and long, so that they differ as runs would."""
TIED = "neighbours alike: repeat the run"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Percentile:
    """One percentile of a sample of ``n`` values, in the values' own unit.

    Attributes:
        percent: 50 is the median.
        value: the nearest-rank percentile; None where there is no value at all.
        lower, upper: the interval's ends; None where n cannot support a two-sided interval.
        maximum: whether the rank is n, so that the "percentile" is the largest value seen.
        alike: whether neighbours are alike, so that the interval stands on blocks of time, or there is none where the run is short.
    """

    percent: int
    n: int
    value: float | None
    lower: float | None
    upper: float | None
    maximum: bool
    alike: bool = False

    @property
    def remark(self) -> str:
        """What a reader must know beside the figure; "" where the interval says it all."""
        if self.value is None:
            return "no values"
        if self.maximum:
            return f"n = {self.n}: this is the maximum"
        if self.lower is not None:
            return ""
        return TIED if self.alike else "n too small"


def nearest_rank(n: int, percent: int) -> int:
    """The nearest rank of a percentile among ``n`` values, from 1: ceil(n · percent / 100), exact."""
    return max(-(-n * percent // 100), 1)


def order_statistic_ranks(n: int, percent: int) -> tuple[float, float] | None:
    """Ranks (from 1, with a fraction) of the two values that enclose the true percentile with LEVEL, if values are independent.

    With B ~ Binomial(n, p) the chance that the r-th value in ascending order is above the percentile is π(r) = P(B <= r - 1),
    whatever the distribution (David and Nagaraja, Order Statistics, 3rd ed., 7.1). No whole rank has (1 - LEVEL) / 2 exactly: the
    end lies a part λ of the way from the last rank r below it to the next, λ = 1 ÷ (1 + r (1 - p) (π(r+1) - a) ÷ ((n - r) p (a - π(r))))
    with a = (1 - LEVEL) / 2, and the upper end likewise from above (Nyblom, Note on interpolated order statistics, Statistics and
    Probability Letters 14, 1992; for the median, Hettmansperger and Sheather, the same journal 4, 1986). None where no rank can hold
    a side: for P95 below n = 72, for P99 below n = 368.
    """
    lower, upper = _lower_rank(n, percent, (1 - LEVEL) / 2), _lower_rank(n, 100 - percent, (1 - LEVEL) / 2)
    return None if lower is None or upper is None else (lower, n + 1 - upper)


def _lower_rank(n: int, percent: int, side: float) -> float | None:
    p = percent / 100

    def above(r: int) -> float:
        return float(bdtr(r - 1, n, p))

    r = bisect_right(range(1, n + 1), side, key=above)
    if r < 1:
        return None
    if r == n:
        return float(n)
    short, over = side - above(r), above(r + 1) - side
    return r + short * (n - r) * p / (short * (n - r) * p + over * r * (1 - p))


def value_at_rank(ascending: NDArray[Any], place: float) -> float:
    """The value at a rank from 1; between two ranks, in a straight line from one value to the next."""
    whole = int(place)
    first, part = float(ascending[whole - 1]), place - whole
    return first + part * (float(ascending[whole]) - first) if part else first


def percentile(ascending: NDArray[Any], percent: int) -> Percentile:
    """A nearest-rank percentile, with the interval of independent values; ``ascending`` is sorted, without NaN."""
    n = len(ascending)
    if n == 0:
        return Percentile(percent, 0, None, None, None, False)
    place = nearest_rank(n, percent)
    ends = order_statistic_ranks(n, percent)
    lower, upper = (value_at_rank(ascending, ends[0]), value_at_rank(ascending, ends[1])) if ends else (None, None)
    return Percentile(percent, n, float(ascending[place - 1]), lower, upper, place == n)


def smallest_sample(percent: int) -> int:
    """The least n with a two-sided interval for ``percent`` >= 50: p^n <= (1 - LEVEL) / 2."""
    return math.ceil(math.log((1 - LEVEL) / 2) / math.log(percent / 100))


def percentiles(values: Any, ordered: Floats | None = None) -> tuple[Percentile, ...]:
    """PERCENTS of ``values``, which stand in order of time (NaN is left out), with intervals that know whether neighbours are alike.

    Where they are not: those of independent values. Where they are: of BLOCKS blocks of time, if the run is worth BEYOND values
    beyond the percentile; otherwise none. ``ordered`` is what ``ascending`` makes of them, where it is at hand.
    """
    plain = np.asarray(values, dtype=np.float64)
    empty = np.isnan(plain)
    plain = plain[~empty] if empty.any() else plain
    whole = np.sort(plain) if ordered is None else ordered
    found = tuple(percentile(whole, percent) for percent in PERCENTS)
    worth = effective_sample_size([plain])
    return found if worth is None else tuple(_tied(plain, of, worth) for of in found)


def _tied(values: Floats, of: Percentile, worth: float) -> Percentile:
    """``of`` with its interval from blocks of ``values``, or none; one that n is too small for stays as it is."""
    if of.lower is None or of.value is None:
        return of
    enough = sample_suffices(worth, of.percent)
    lower, upper = sectioned_interval(np.array_split(values, BLOCKS), of.percent, of.value) if enough else (None, None)
    return replace(of, lower=lower, upper=upper, alike=True)


def sectioned_interval(parts: Sequence[Floats], percent: int, value: float) -> tuple[float, float]:
    """The interval of a percentile ``value`` of all from the percentiles of its parts: repeats of a run, or blocks of one.

    value ± t(k - 1) · sqrt(sum of (q[i] - value)^2 ÷ (k - 1) ÷ k), on logarithms where all are above 0, because slow stretches
    are slow by a factor. Source: sectioning, Asmussen and Glynn, Stochastic Simulation, III.5a; the differences are taken from the
    value of all and not from the parts' mean, which brings the parts' own bias into the width.
    """
    each = np.array([np.partition(part, place := nearest_rank(len(part), percent) - 1)[place] for part in parts if len(part)])
    return t_interval(each, value)


def t_interval(each: Floats, value: float, *, factors: bool | None = None) -> tuple[float, float]:
    """``value`` ± t · standard error, from the same figure of each of k >= 2 parts; as factors where told, or where all are above 0."""
    k = len(each)
    scaled = bool((each > 0).all()) and value > 0 if factors is None else factors
    away = np.log(each / value) if scaled else each - value
    half = float(stdtrit(k - 1, (1 + LEVEL) / 2)) * math.sqrt(float(away @ away) / (k - 1) / k)
    half = min(half, 700.0) if scaled else half  # what a float can hold
    return (value * math.exp(-half), value * math.exp(half)) if scaled else (value - half, value + half)


def ascending(values: Any) -> NDArray[np.float64]:
    """``values`` (a Series or sequence) as sorted floats without the empty ones."""
    plain = np.asarray(values, dtype=np.float64)
    known: NDArray[np.float64] = plain[~np.isnan(plain)]
    known.sort()
    return known


def percentiles_over_repeats(runs: Sequence[Floats]) -> tuple[Percentile, ...]:
    """PERCENTS of all values of two or more repeats, each in order of time and without NaN, with intervals over the repeats.

    Where neighbours are alike and the repeats together are worth less than BEYOND values beyond the percentile, there is none.
    """
    whole = np.sort(np.concatenate(runs))
    worth = effective_sample_size(runs)
    return tuple(_over(runs, percentile(whole, percent), worth) for percent in PERCENTS)


def _over(runs: Sequence[Floats], of: Percentile, worth: float | None) -> Percentile:
    if of.value is None:
        return of
    enough = worth is None or sample_suffices(worth, of.percent)
    lower, upper = sectioned_interval(runs, of.percent, of.value) if enough else (None, None)
    return replace(of, lower=lower, upper=upper, alike=worth is not None)


@dataclass(frozen=True)
class TimeSummary:
    """A sample of times in seconds: percentiles with intervals, and what the sample leaves out.

    Attributes:
        n: values in the sample.
        left_out: requests of the run that are not in it.
    """

    n: int
    left_out: int
    percentiles: tuple[Percentile, ...]
    maximum: float | None
    mean: float | None

    def at(self, percent: int) -> Percentile:
        """The percentile ``percent``, one of PERCENTS."""
        return self.percentiles[PERCENTS.index(percent)]


def time_summary(values: Any, total: int) -> TimeSummary:
    """Percentiles, maximum and mean of ``values`` in order of time, without the empty ones, out of ``total`` requests."""
    sample = np.asarray(values, dtype=np.float64)
    sample = sample[~np.isnan(sample)]
    sample.sort()
    found = len(sample) > 0
    return TimeSummary(
        len(sample),
        total - len(sample),
        percentiles(values, ordered=sample),
        float(sample[-1]) if found else None,
        float(sample.mean()) if found else None,
    )
