"""Where a warm-up ends in a series: the marginal standard error rule (MSER-5; White, Cobb and Spratt, 2000)."""

from __future__ import annotations

import math

from .autocorrelation import Floats

# MSER-5 takes means of five values. A warm-up is at most half of the series, and shorter series have too few means.
BATCH, LEAST = 5, 20
# The rule alone finds a start in any noise. It counts if the means differ by this share and by this many standard errors.
APART, ERRORS = 0.05, 4.0


def warm_up_end(values: Floats) -> int:
    """The number of values at the start that belong to a warm-up, or 0.

    The rule leaves out the d means for which the standard error of the others' mean, var ÷ (k − d), is smallest.
    """
    k = len(values) // BATCH
    if len(values) < LEAST:
        return 0
    means = values[: k * BATCH].reshape(k, BATCH).mean(axis=1)
    d = min(range(k // 2 + 1), key=lambda d: float(means[d:].var()) / (k - d))
    if not d:
        return 0
    start, rest = means[:d], means[d:]
    apart = abs(float(start.mean() - rest.mean()))
    error = float(rest.std(ddof=1)) * math.sqrt(1 / d + 1 / len(rest))
    return d * BATCH if apart > APART * abs(float(rest.mean())) and apart > ERRORS * error else 0
