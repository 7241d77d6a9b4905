"""Percentiles and their intervals."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

PERCENTS = (50, 90, 95, 99)
LEVEL = 0.95


@dataclass(frozen=True)
class Percentile:
    """One percentile of a sample of ``n`` values, in the values' own unit.

    Attributes:
        percent: 50 is the median.
        value: the nearest-rank percentile; None where there is no value at all.
        lower, upper: the interval's ends; None where n cannot support a two-sided interval.
        maximum: whether the rank is n, so that the "percentile" is the largest value seen.
    """

    percent: int
    n: int
    value: float | None
    lower: float | None
    upper: float | None
    maximum: bool

    @property
    def remark(self) -> str:
        """What a reader must know beside the figure; "" where the interval says it all."""
        if self.value is None:
            return "no values"
        if self.maximum:
            return f"n = {self.n}: this is the maximum"
        return "n too small" if self.lower is None else ""


def rank(n: int, percent: int) -> int:
    """The nearest rank of a percentile among ``n`` values, from 1: ceil(n · percent / 100), exact."""
    return max(-(-n * percent // 100), 1)


def order_statistic_ranks(n: int, percent: int, level: float = LEVEL) -> tuple[int, int] | None:
    """Ranks (from 1) of the two order statistics that enclose the true percentile with at least ``level``.

    With B ~ Binomial(n, p), P(X(l) <= q < X(u)) = P(l <= B <= u - 1), whatever the distribution of
    X, as long as the values are independent. Each side may err by (1 - level) / 2. None where no
    rank can hold a side: for P95 below n = 72, for P99 below n = 368.

    Source: David and Nagaraja, Order Statistics, 3rd ed., 7.1.
    """

    def below(k: int) -> float:
        return float(bdtr(k, n, percent / 100))

    if n < 1:
        return None
    side = (1 - level) / 2
    lower = bisect_left(range(n + 1), side, key=below)
    upper = bisect_left(range(n + 1), 1 - side, key=below) + 1
    return (lower, upper) if lower >= 1 and upper <= n else None


def percentile(ascending: NDArray[Any], percent: int, level: float = LEVEL) -> Percentile:
    """A nearest-rank percentile with its order-statistic interval; ``ascending`` is sorted, without NaN."""
    n = len(ascending)
    if n == 0:
        return Percentile(percent, 0, None, None, None, False)
    place = rank(n, percent)
    ends = order_statistic_ranks(n, percent, level)
    lower, upper = (float(ascending[ends[0] - 1]), float(ascending[ends[1] - 1])) if ends else (None, None)
    return Percentile(percent, n, float(ascending[place - 1]), lower, upper, place == n)


def smallest_sample(percent: int, level: float = LEVEL) -> int:
    """The least n with a two-sided interval for ``percent`` >= 50: p^n <= (1 - level) / 2."""
    return math.ceil(math.log((1 - level) / 2) / math.log(percent / 100))


def likeness(values: Any) -> float | None:
    """Lag-1 autocorrelation of ``values`` in their order, -1 to 1; None below 20 values, or where all are equal.

    r = sum of (x[i] - m)(x[i+1] - m) over sum of (x[i] - m)^2. Independent values give 0 give or
    take 2 / sqrt(n) (Box, Jenkins, Reinsel and Ljung, Time Series Analysis, 2.1).
    """
    plain = np.asarray(values, dtype=np.float64)
    away = plain - plain.mean() if len(plain) else plain
    whole = float(away @ away)
    return float(away[:-1] @ away[1:]) / whole if len(plain) >= 20 and whole > 0 else None


def ascending(values: Any) -> NDArray[np.float64]:
    """``values`` (a Series or sequence) as sorted floats without the empty ones."""
    plain = np.asarray(values, dtype=np.float64)
    return np.sort(plain[~np.isnan(plain)])
