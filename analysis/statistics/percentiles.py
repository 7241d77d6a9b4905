"""Nearest-rank percentiles with 95 % intervals."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from .autocorrelation import Floats, correlation_time, effective_sample_size, sample_suffices
from .intervals import BLOCKS, LEAST_INDEPENDENT, LEVEL, NO_VALUES, TIED, WITHIN, Interval, t_interval, too_few

PERCENTS = (50, 90, 95, 99)
# Correlated values of one run that blocks of time need. Shorter runs are taken for long enough when they happen to see no slow
# stretch, and their intervals miss (bench/coverage.py).
LEAST_OF_BLOCKS = 100_000

# The correlation time of a busy queue is estimated too short by chance: from TIED_FROM on it counts UNSURE times,
# the smallest of 1, 1.2, 1.4, 1.6 and 2 with which equal queues differ in at most 5 of 100 pairs (tests/analysis/test_compare.py).
TIED_FROM, UNSURE = 2.0, 1.4


@dataclass(frozen=True)
class Percentile:
    """One percentile of a sample of ``n`` values, in the unit of the values.

    Attributes:
        percent: 50 is the median.
        value: the nearest-rank percentile; None if there are no values.
        lower, upper: the ends of the interval; None if n is too small for one.
        maximum: whether the rank is n, so that the "percentile" is the largest value.
        alike: whether consecutive values are correlated. Then there is no interval within one run, unless it is very long.
        at_least, at_most: one-sided bounds, each with LEVEL, where independent values are too few for an interval (Wilks, Annals of
            Mathematical Statistics 12, 1941): P95 has an upper one from n = 59.
    """

    percent: int
    n: int
    value: float | None
    lower: float | None
    upper: float | None
    maximum: bool
    alike: bool = False
    at_least: float | None = None
    at_most: float | None = None

    @property
    def remark(self) -> str:
        """Why there is no interval; "" if there is one."""
        if self.value is None:
            return NO_VALUES
        if self.maximum:
            return f"n = {self.n}: this is the maximum"
        if self.lower is not None:
            return ""
        return TIED if self.alike else "n too small"


@dataclass(frozen=True)
class TimeSummary:
    """A sample of ``n`` times in seconds; ``left_out`` requests of the run are not in it."""

    n: int
    left_out: int
    percentiles: tuple[Percentile, ...]
    maximum: float | None
    mean: float | None

    def at(self, percent: int) -> Percentile:
        """The percentile ``percent``, one of PERCENTS."""
        return self.percentiles[PERCENTS.index(percent)]


def time_summary(values: Any, total: int) -> TimeSummary:
    """Percentiles, maximum and mean of ``values`` in order of time, without NaN, out of ``total`` requests."""
    known = _known(values)
    n = len(known)
    return TimeSummary(n, total - n, percentiles(known), float(known.max()) if n else None, float(known.mean()) if n else None)


def ascending(values: Any) -> Floats:
    """``values`` as sorted floats, without NaN."""
    return np.sort(_known(values))


def nearest(values: Any, percents: Sequence[int]) -> tuple[float, ...]:
    """Nearest-rank percentiles of ``values`` without NaN; empty if there are none."""
    known = _known(values)
    if not len(known):
        return ()
    places = [nearest_rank(len(known), percent) - 1 for percent in percents]
    found = np.partition(known, sorted(set(places)))
    return tuple(float(found[place]) for place in places)


def _known(values: Any) -> Floats:
    plain: Floats = np.asarray(values, dtype=np.float64)
    empty = np.isnan(plain)
    return plain[~empty] if empty.any() else plain


def percentiles(values: Any) -> tuple[Percentile, ...]:
    """PERCENTS of ``values``, which are in order of time; NaN is left out.

    Intervals assume independent values, or use BLOCKS blocks of time if consecutive values are correlated and the run is long enough.
    """
    plain = _known(values)
    whole = _at_their_ranks(plain)
    found = tuple(percentile(whole, percent) for percent in PERCENTS)
    del whole  # a column of millions of rows
    worth = effective_sample_size([plain])
    return found if worth is None else tuple(_by_blocks(plain, of, worth) for of in found)


def _at_their_ranks(values: Floats) -> Floats:
    """``values`` sorted as far as ``percentile`` reads them for PERCENTS: of many values, in a quarter of the time."""
    n = len(values)
    ends = [order_statistic_ranks(n, percent) for percent in PERCENTS] if n else [None]
    if None in ends:
        return np.sort(values)
    read = {nearest_rank(n, percent) for percent in PERCENTS}
    read |= {int(end) + more for pair in ends if pair for end in pair for more in (0, 1)}
    return np.partition(values, [rank - 1 for rank in sorted(read) if rank <= n])


def percentiles_over_repeats(runs: Sequence[Floats]) -> tuple[Percentile, ...]:
    """PERCENTS of all values of two or more repeats, each in order of time and without NaN, with intervals over the repeats."""
    whole = np.sort(np.concatenate(runs))
    worth = effective_sample_size(runs)
    return tuple(_with_parts(percentile(whole, percent), runs, worth) for percent in PERCENTS)


def _by_blocks(values: Floats, of: Percentile, worth: float) -> Percentile:
    if of.lower is None or len(values) < LEAST_OF_BLOCKS:
        return replace(of, lower=None, upper=None, alike=True, at_least=None, at_most=None)
    return _with_parts(of, np.array_split(values, BLOCKS), worth)


def _with_parts(of: Percentile, parts: Sequence[Floats], worth: float | None) -> Percentile:
    """``of`` with its interval from ``parts``; without one if correlated values are worth too few independent ones."""
    if of.value is None:
        return of
    enough = worth is None or sample_suffices(worth, of.percent)
    lower, upper = _sectioned(parts, of.percent, of.value) if enough else (None, None)
    return replace(of, lower=lower, upper=upper, alike=worth is not None, at_least=None, at_most=None)


def _sectioned(parts: Sequence[Floats], percent: int, value: float) -> tuple[float, float]:
    """The interval of a percentile ``value`` of all from the percentiles of its parts: repeats, or blocks of one run.

    Source: sectioning, Asmussen and Glynn, Stochastic Simulation, III.5a. Differences are taken from the value of all and not from
    the mean of the parts, so that the bias of the parts widens the interval.
    """
    each = np.array([np.partition(part, place := nearest_rank(len(part), percent) - 1)[place] for part in parts if len(part)])
    return t_interval(each, value)


def percentile(ascending: NDArray[Any], percent: int) -> Percentile:
    """A nearest-rank percentile with the interval of independent values; ``ascending`` is sorted, without NaN."""
    n = len(ascending)
    if n == 0:
        return Percentile(percent, 0, None, None, None, False)
    place = nearest_rank(n, percent)
    ends = order_statistic_ranks(n, percent)
    lower, upper = (value_at_rank(ascending, ends[0]), value_at_rank(ascending, ends[1])) if ends else (None, None)
    least, most = (None, None) if ends else _bounds(ascending, percent)
    return Percentile(percent, n, float(ascending[place - 1]), lower, upper, place == n, at_least=least, at_most=most)


def _bounds(ascending: NDArray[Any], percent: int) -> tuple[float | None, float | None]:
    n = len(ascending)
    lower, upper = _lower_rank(n, percent, 1 - LEVEL), _lower_rank(n, 100 - percent, 1 - LEVEL)
    least = None if lower is None else value_at_rank(ascending, lower)
    return least, None if upper is None else value_at_rank(ascending, n + 1 - upper)


def nearest_rank(n: int, percent: int) -> int:
    """The nearest rank of a percentile among ``n`` values, from 1: ceil(n · percent / 100), exact."""
    return max(-(-n * percent // 100), 1)


def smallest_sample(percent: int) -> int:
    """The smallest n with a two-sided interval for ``percent`` >= 50: p^n <= (1 - LEVEL) / 2."""
    return math.ceil(math.log((1 - LEVEL) / 2) / math.log(percent / 100))


@lru_cache(maxsize=1024)
def order_statistic_ranks(n: int, percent: int) -> tuple[float, float] | None:
    """Ranks (from 1, with a fraction) of the two values that enclose the true percentile with LEVEL, if values are independent.

    With B ~ Binomial(n, p) the chance that the r-th smallest value is above the percentile is π(r) = P(B <= r - 1), for any
    distribution (David and Nagaraja, Order Statistics, 3rd ed., 7.1). No whole rank has exactly a = (1 - LEVEL) / 2: the end
    is a part λ of the way from the last rank r below it to the next, λ = 1 ÷ (1 + r (1 - p) (π(r+1) - a) ÷ ((n - r) p (a - π(r)))),
    and the upper end likewise from above (Nyblom, Note on interpolated order statistics, Statistics and Probability Letters 14,
    1992; for the median, Hettmansperger and Sheather, ibid. 4, 1986). None for P95 below n = 72, for P99 below n = 368.
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
    """The value at a rank from 1, interpolated between two ranks."""
    whole = int(place)
    first, part = float(ascending[whole - 1]), place - whole
    return first + part * (float(ascending[whole]) - first) if part else first


def correlated_percentiles(values: Floats, percents: Sequence[int]) -> dict[int, Interval]:
    """Nearest-rank percentiles of ``values``, in order of time and without NaN, with intervals for correlated values.

    The interval of m = ⌊n ÷ τ⌋ independent values, at the same shares of the sample. τ is the correlation time of "above the
    percentile", or of "above the median" if that is longer.
    """
    if not len(values):
        return dict.fromkeys(percents, Interval(None, None, None, NO_VALUES))
    ordered = np.sort(values)
    time = correlation_time(values > ordered[nearest_rank(len(values), 50) - 1])
    return {percent: _correlated(values, ordered, percent, time) for percent in percents}


def _correlated(values: Floats, ordered: Floats, percent: int, time: float) -> Interval:
    n = len(values)
    value = float(ordered[nearest_rank(n, percent) - 1])
    time = max(correlation_time(values > value), time)
    least = max(smallest_sample(max(percent, 100 - percent)), LEAST_INDEPENDENT)
    time = time * UNSURE if time > TIED_FROM else time
    why, m = too_few(n, time, least, f"P{percent}"), int(n / time)
    if why or (ranks := order_statistic_ranks(m, percent)) is None:
        return Interval(value, None, None, why)
    lower, upper = (float(end) for end in np.quantile(ordered, [(rank - 1) / (m - 1) for rank in ranks]))
    return Interval(value, lower, upper, WITHIN)
