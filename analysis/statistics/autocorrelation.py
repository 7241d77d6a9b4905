"""Correlation between consecutive values, and the number of independent values that a sample is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

# Below this many values nothing is said about correlation.
LEAST_ALIKE = 20
# Values that differ by less than this share of the largest one are equal: floats and clocks round.
ROUNDING = 1e-6
# Stretches of a run whose means show correlation, and the share of independent samples that is reported as correlated by mistake.
STRETCHES, SURE = 10, 0.01
# Independent values beyond a percentile that a run must be worth. With fewer, a run looks long enough only if it happened to see
# no slow stretch, and its interval misses (tests/analysis/test_intervals.py).
BEYOND = 25
# The correlation time sums autocorrelations up to this many times itself (Sokal).
WINDOW = 5
Floats = NDArray[np.float64]


def sample_suffices(worth: float, percent: int) -> bool:
    """Whether ``worth`` independent values have BEYOND of them beyond the percentile."""
    return worth * min(percent, 100 - percent) / 100 >= BEYOND


def lag1_autocorrelation(values: Any) -> float | None:
    """Lag-1 autocorrelation of ``values``, -1 to 1; None for fewer than LEAST_ALIKE values or if all are equal.

    r = sum of (x[i] - m)(x[i+1] - m) over sum of (x[i] - m)^2. Independent values give 0 ± 2 / sqrt(n)
    (Box, Jenkins, Reinsel and Ljung, Time Series Analysis, 2.1).
    """
    plain = np.asarray(values, dtype=np.float64)
    away = plain - plain.mean() if len(plain) else plain
    whole = float(away @ away)
    return float(away[:-1] @ away[1:]) / whole if _varies(plain) and whole > 0 else None


def _varies(values: Floats) -> bool:
    """Whether there are at least LEAST_ALIKE values and they differ."""
    if len(values) < LEAST_ALIKE:
        return False
    least, most = float(values.min()), float(values.max())
    return most - least > ROUNDING * max(abs(least), abs(most))


def effective_sample_size(runs: Sequence[Floats]) -> float | None:
    """How many independent values one or several runs, each in order of time, are worth; None if the values look independent.

    n ÷ f, with f = m · variance of the means of STRETCHES stretches of m values ÷ variance of the values: 1 if they are independent.
    Computed on logarithms if all values are positive; otherwise one slow stretch decides. Values look dependent if f is larger than
    in 1 - SURE of independent samples (chi square), or if the lag-1 autocorrelation exceeds its noise, 2 ÷ sqrt(n).
    """
    long = [run for run in runs if _varies(run)]
    n = sum(map(len, long))
    if not n:
        return None
    degrees = (STRETCHES - 1) * len(long)
    with np.errstate(all="ignore"):  # values near the limits of a float look independent
        factor = float(np.mean([_inflation(run) for run in long]))
        alike = float(np.mean([lag1_autocorrelation(run) or 0.0 for run in long]))
    dependent = factor > float(chdtri(degrees, SURE)) / degrees or alike > 2 / math.sqrt(n)
    return sum(map(len, runs)) / max(factor, 1.0) if dependent else None


def _inflation(values: Floats) -> float:
    scaled = np.log(values) if values.min() > 0 else values
    m = len(scaled) // STRETCHES
    means = scaled[: m * STRETCHES].reshape(STRETCHES, m).mean(axis=1)
    return float(m * means.var(ddof=1) / scaled.var())


def correlation_time(series: Any) -> float:
    """τ = 1 + 2 Σ r(k) over lags k up to WINDOW · τ, in places of the series; at least 1, and 1 for a constant series.

    Source: Sokal, Monte Carlo Methods in Statistical Mechanics, 1997, 3. In a short series the sum falls again, because all
    autocorrelations add up to -½; the largest partial sum is then nearer the truth than the last one.
    """
    away = np.asarray(series, dtype=np.float64)
    away = away - away.mean() if len(away) else away
    if len(away) < 2 or float(away @ away) <= 1e-12 * len(away):
        return 1.0
    from scipy import fft  # noqa: PLC0415 -- only sweeps and comparisons need it

    padded = fft.next_fast_len(2 * len(away), real=True)
    spectrum = fft.rfft(away, padded)
    covariances = fft.irfft(spectrum.real**2 + spectrum.imag**2, padded)[: len(away)]
    sums = 2 * np.cumsum(covariances / covariances[0]) - 1
    beyond = np.arange(len(sums)) >= WINDOW * sums
    last = int(beyond.argmax()) if beyond.any() else len(sums) - 1
    return max(float(sums[: last + 1].max()), 1.0)
