"""Percentiles, their intervals, and what a sample says of itself: whether neighbours are alike, and whether it is of two kinds."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, chdtri, stdtrit

PERCENTS = (50, 90, 95, 99)
LEVEL = 0.95
LEAST_ALIKE = 20
"""Values below which nothing is said of their neighbours."""
ROUNDING = 1e-6
"""Share of the largest value below which values do not differ but by what floats and clocks round off."""
STRETCHES, SURE = 10, 0.01
"""Stretches of a run by whose means neighbours are called alike, and the share of independent samples of which that is said in error."""
BLOCKS = 5
"""Blocks of a run whose percentiles make an interval where neighbours are alike: few and long, so that they differ as runs would."""
BEYOND = 25
"""Values beyond a percentile that a run must be worth for such an interval. With fewer, the runs that look long enough are those that
happened to see no slow stretch, and their intervals miss (tests/test_intervals.py)."""
TIED = "neighbours alike: repeat the run"
LEAST_OF_TWO, CHANCE = 40, 0.02
"""Values below which no two groups are told, and the chance of an empty space between them that is taken for none."""
NARROW = (0.025, 0.10)
"""Share of the slow group within which half or twice as many of it carry P95 from one group to the other."""
MOST = 100_000
"""Values among which two groups are looked for: of more, every k-th in order of time, which has the same groups."""
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


def rank(n: int, percent: int) -> int:
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


def at_rank(ascending: NDArray[Any], place: float) -> float:
    """The value at a rank from 1; between two ranks, in a straight line from one value to the next."""
    whole = int(place)
    first, part = float(ascending[whole - 1]), place - whole
    return first + part * (float(ascending[whole]) - first) if part else first


def percentile(ascending: NDArray[Any], percent: int) -> Percentile:
    """A nearest-rank percentile, with the interval of independent values; ``ascending`` is sorted, without NaN."""
    n = len(ascending)
    if n == 0:
        return Percentile(percent, 0, None, None, None, False)
    place = rank(n, percent)
    ends = order_statistic_ranks(n, percent)
    lower, upper = (at_rank(ascending, ends[0]), at_rank(ascending, ends[1])) if ends else (None, None)
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
    worth = independent([plain])
    return found if worth is None else tuple(_tied(plain, of, worth) for of in found)


def _tied(values: Floats, of: Percentile, worth: float) -> Percentile:
    """``of`` with its interval from blocks of ``values``, or none; one that n is too small for stays as it is."""
    if of.lower is None or of.value is None:
        return of
    enough = bears(worth, of.percent)
    lower, upper = sections(np.array_split(values, BLOCKS), of.percent, of.value) if enough else (None, None)
    return replace(of, lower=lower, upper=upper, alike=True)


def bears(worth: float, percent: int) -> bool:
    """Whether so many independent values hold BEYOND of them beyond a percentile."""
    return worth * min(percent, 100 - percent) / 100 >= BEYOND


def sections(parts: Sequence[Floats], percent: int, value: float) -> tuple[float, float]:
    """The interval of a percentile ``value`` of all from the percentiles of its parts: repeats of a run, or blocks of one.

    value ± t(k - 1) · sqrt(sum of (q[i] - value)^2 ÷ (k - 1) ÷ k), on logarithms where all are above 0, because slow stretches
    are slow by a factor. Source: sectioning, Asmussen and Glynn, Stochastic Simulation, III.5a; the differences are taken from the
    value of all and not from the parts' mean, which brings the parts' own bias into the width.
    """
    each = np.array([np.partition(part, place := rank(len(part), percent) - 1)[place] for part in parts if len(part)])
    return spread(each, value)


def spread(each: Floats, value: float, *, factors: bool | None = None) -> tuple[float, float]:
    """``value`` ± t · standard error, from the same figure of each of k >= 2 parts; as factors where told, or where all are above 0."""
    k = len(each)
    scaled = bool((each > 0).all()) and value > 0 if factors is None else factors
    away = np.log(each / value) if scaled else each - value
    half = float(stdtrit(k - 1, (1 + LEVEL) / 2)) * math.sqrt(float(away @ away) / (k - 1) / k)
    half = min(half, 700.0) if scaled else half  # what a float can hold
    return (value * math.exp(-half), value * math.exp(half)) if scaled else (value - half, value + half)


def likeness(values: Any) -> float | None:
    """Lag-1 autocorrelation of ``values`` in their order, -1 to 1; None below LEAST_ALIKE, or where all are equal but for ROUNDING.

    r = sum of (x[i] - m)(x[i+1] - m) over sum of (x[i] - m)^2. Independent values give 0 give or
    take 2 / sqrt(n) (Box, Jenkins, Reinsel and Ljung, Time Series Analysis, 2.1).
    """
    plain = np.asarray(values, dtype=np.float64)
    away = plain - plain.mean() if len(plain) else plain
    whole = float(away @ away)
    return float(away[:-1] @ away[1:]) / whole if _long(plain) and whole > 0 else None


def _long(values: Floats) -> bool:
    """Whether something can be said of neighbours: there are enough values, and they differ."""
    if len(values) < LEAST_ALIKE:
        return False
    least, most = float(values.min()), float(values.max())
    return most - least > ROUNDING * max(abs(least), abs(most))


def independent(runs: Sequence[Floats]) -> float | None:
    """How many independent values those of one or several runs, each in order of time, are worth; None where they look independent.

    n ÷ f, with f = m · variance of the means of STRETCHES stretches of m values ÷ variance of the values: 1 if they are independent.
    Of logarithms, where all are above 0: else the one slow stretch that a run happened to see, or not, decides. They do not look
    independent where f is above what SURE of such samples reach (chi square), or likeness above its noise, 2 ÷ sqrt(n).
    """
    long = [run for run in runs if _long(run)]
    n = sum(map(len, long))
    if not n:
        return None
    degrees = (STRETCHES - 1) * len(long)
    with np.errstate(all="ignore"):  # values near the ends of what a float holds look independent
        factor = float(np.mean([_inflation(run) for run in long]))
        alike = float(np.mean([likeness(run) or 0.0 for run in long]))
    tied = factor > float(chdtri(degrees, SURE)) / degrees or alike > 2 / math.sqrt(n)
    return sum(map(len, runs)) / max(factor, 1.0) if tied else None


def _inflation(values: Floats) -> float:
    of = np.log(values) if values.min() > 0 else values
    m = len(of) // STRETCHES
    means = of[: m * STRETCHES].reshape(STRETCHES, m).mean(axis=1)
    return float(m * means.var(ddof=1) / of.var())


def ascending(values: Any) -> NDArray[np.float64]:
    """``values`` (a Series or sequence) as sorted floats without the empty ones."""
    plain = np.asarray(values, dtype=np.float64)
    known: NDArray[np.float64] = plain[~np.isnan(plain)]
    known.sort()
    return known


def over_runs(runs: Sequence[Floats]) -> tuple[Percentile, ...]:
    """PERCENTS of all values of two or more repeats, each in order of time and without NaN, with intervals over the repeats.

    Where neighbours are alike and the repeats together are worth less than BEYOND values beyond the percentile, there is none.
    """
    whole = np.sort(np.concatenate(runs))
    worth = independent(runs)
    return tuple(_over(runs, percentile(whole, percent), worth) for percent in PERCENTS)


def _over(runs: Sequence[Floats], of: Percentile, worth: float | None) -> Percentile:
    if of.value is None:
        return of
    enough = worth is None or bears(worth, of.percent)
    lower, upper = sections(runs, of.percent, of.value) if enough else (None, None)
    return replace(of, lower=lower, upper=upper, alike=worth is not None)


def between_modes(values: Any, cold: Any = None) -> str:
    """The sentence that tells of P95 (of times in s) between two groups, such as warm and cold answers; "" where there are none.

    ``cold`` marks the values that met a cold start, in the same order. P95 is between them where it is above the middle of the quick
    group and below that of the slow one, and would be in the slow one if that were twice as large: a slow group of 2.5 to 10 %. Then
    a few slow answers more or less move it from one to the other.
    """
    plain = np.asarray(values, dtype=np.float64)
    marks = np.zeros(len(plain), dtype=bool) if cold is None else np.asarray(cold, dtype=bool)
    known = (plain > 0) & np.isfinite(plain)
    plain, marks = plain[known], marks[known]
    cut = _valley(np.sort(np.log(plain[:: len(plain) // MOST + 1])))
    if cut is None:
        return ""
    slow = plain > cut
    share = float(slow.mean())
    if not NARROW[0] <= share <= NARROW[1]:
        return ""
    groups = f"{100 * (1 - share):.0f} % around {_short(plain[~slow])}, {100 * share:.0f} % around {_short(plain[slow])}"
    of = "cold starts" if marks[slow].mean() > 0.5 > marks[~slow].mean() else "slow answers"
    return f"P95 lies between two groups: {groups}; it moves with the share of {of}, look at both."


def _short(times_s: Floats) -> str:
    return f"{float(f'{np.median(times_s):.2g}'):,g} s"


def _valley(ascending: Floats) -> float | None:
    """The value (not its logarithm) between two groups of ``ascending`` logarithms; None where they may as well be one group.

    The middles of the groups are those of the two that differ most (two means). The emptiest fifth of the way from one to the other
    is held against the fullest window of the same width above it. Of one group, whose density falls from its peak on, it holds as
    many or more: the groups are two where so few would be there in 1 of 50 samples even if it held as many (binomial).
    """
    n = len(ascending)
    if n < LEAST_OF_TWO or ascending[0] == ascending[-1]:
        return None
    below, upto = np.arange(1, n), np.cumsum(ascending)
    apart = below * (n - below) * ((upto[-1] - upto[:-1]) / (n - below) - upto[:-1] / below) ** 2
    split = int(np.argmax(apart)) + 1
    first, last = ascending[(split - 1) // 2], ascending[split + (n - split - 1) // 2]
    width = (last - first) / 5
    starts = np.linspace(first, last - width, 17)
    inside = np.searchsorted(ascending, starts + width) - np.searchsorted(ascending, starts)
    emptiest = int(np.argmin(inside))
    cut = starts[emptiest] + width / 2
    slow = ascending[np.searchsorted(ascending, cut, side="right") :]
    fullest = int((np.searchsorted(slow, slow + width, side="right") - np.arange(len(slow))).max())
    few = int(inside[emptiest])
    return math.exp(cut) if bdtr(few, few + fullest, 0.5) < CHANCE else None
