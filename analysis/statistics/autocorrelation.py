"""Whether neighbouring values are alike, and how many independent values a sample is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

LEAST_ALIKE = 20
"""Values below which nothing is said of their neighbours."""
ROUNDING = 1e-6
"""Share of the largest value below which values do not differ but by what floats and clocks round off."""
STRETCHES, SURE = 10, 0.01
"""Stretches of a run by whose means neighbours are called alike, and the share of independent samples of which that is said in error."""
BEYOND = 25
"""Values beyond a percentile that a run must be worth for such an interval. With fewer, the runs that look long enough are those that
happened to see no slow stretch, and their intervals miss (tests/analysis/test_intervals.py)."""
Floats = NDArray[np.float64]


def sample_suffices(worth: float, percent: int) -> bool:
    """Whether so many independent values hold BEYOND of them beyond a percentile."""
    return worth * min(percent, 100 - percent) / 100 >= BEYOND


def lag1_autocorrelation(values: Any) -> float | None:
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


def effective_sample_size(runs: Sequence[Floats]) -> float | None:
    """How many independent values those of one or several runs, each in order of time, are worth; None where they look independent.

    n ÷ f, with f = m · variance of the means of STRETCHES stretches of m values ÷ variance of the values: 1 if they are independent.
    Of logarithms, where all are above 0: else the one slow stretch that a run happened to see, or not, decides. They do not look
    independent where f is above what SURE of such samples reach (chi square), or the lag-1 autocorrelation above its noise, 2 ÷ sqrt(n).
    """
    long = [run for run in runs if _long(run)]
    n = sum(map(len, long))
    if not n:
        return None
    degrees = (STRETCHES - 1) * len(long)
    with np.errstate(all="ignore"):  # values near the ends of what a float holds look independent
        factor = float(np.mean([_inflation(run) for run in long]))
        alike = float(np.mean([lag1_autocorrelation(run) or 0.0 for run in long]))
    tied = factor > float(chdtri(degrees, SURE)) / degrees or alike > 2 / math.sqrt(n)
    return sum(map(len, runs)) / max(factor, 1.0) if tied else None


def _inflation(values: Floats) -> float:
    of = np.log(values) if values.min() > 0 else values
    m = len(of) // STRETCHES
    means = of[: m * STRETCHES].reshape(STRETCHES, m).mean(axis=1)
    return float(m * means.var(ddof=1) / of.var())
