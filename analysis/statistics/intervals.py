"""95 % intervals of means, rates and shares, and of quotients and differences of two figures. Percentiles: ``percentiles``.

Over repeats: Student's t on the repeats' own figures, as in batch means with a repeat for a batch (Law, Simulation Modeling and
Analysis, 9.5.3). Within one run: batch means over time, which do not include what differs from run to run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from scipy.special import betaincinv, ndtri, stdtrit

from .autocorrelation import LEAST_ALIKE, Floats, correlation_time, effective_sample_size, sample_suffices

T = TypeVar("T")
LEVEL = 0.95
Z = float(ndtri((1 + LEVEL) / 2))
# Few and long blocks of a run, so that they differ as runs would.
BLOCKS = 5
# At most this many batches of at least this many answers; below five batches the answers are counted as random events.
BATCHES, A_BATCH = 20, 5
# Independent values that a mean or percentile of correlated values needs: with fewer, the correlation time is too uncertain.
LEAST_INDEPENDENT = 72
# A rate is counted in at most MOST_BINS equal bins of time, of about A_BIN answers each.
A_BIN, MOST_BINS = 5, 2000
WITHIN = "within this run only"
PREDICTED = "from the prediction of the next run"
BY_DEFINITION = "by definition"
NO_VALUES = "no values"
TOO_FEW = "n too small for an interval"
TIED = "values are correlated: repeat the run"


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % interval; ``basis`` says what the interval covers, or why there is none."""

    value: float | None
    lower: float | None
    upper: float | None
    basis: str

    def overlaps(self, other: Interval) -> bool:
        """Whether the two intervals overlap; True if one of them is missing."""
        if self.lower is None or self.upper is None or other.lower is None or other.upper is None:
            return True
        return self.lower <= other.upper and other.lower <= self.upper


def exact(value: float) -> Interval:
    """A figure that is known exactly, such as a setting."""
    return Interval(value, value, value, "exact")


def t_quantile(degrees: float) -> float:
    """The two-sided 95 % quantile of Student's t."""
    return float(stdtrit(degrees, (1 + LEVEL) / 2))


def t_interval(each: Floats, value: float, *, factors: bool | None = None) -> tuple[float, float]:
    """``value`` ± t · standard error, from the same figure of each of k >= 2 parts; as factors by default if all are positive."""
    k = len(each)
    scaled = bool((each > 0).all()) and value > 0 if factors is None else factors
    away = np.log(each / value) if scaled else each - value
    half = t_quantile(k - 1) * math.sqrt(float(away @ away) / (k - 1) / k)
    half = min(half, 700.0) if scaled else half  # exp(700) is still a float
    return (value * math.exp(-half), value * math.exp(half)) if scaled else (value - half, value + half)


def interval_over_repeats(repeats: Sequence[T], statistic: Callable[[Sequence[T]], float | None], least: float = -math.inf) -> Interval:
    """The interval of ``statistic`` over two or more repeats; its lower end is at least ``least``.

    Each repeat's own figure is compared with that of all: as a factor if the figure cannot be negative.
    """
    value = statistic(repeats)
    each = [of for repeat in repeats if (of := statistic([repeat])) is not None]
    if value is None or len(each) < 2:
        return Interval(value, None, None, NO_VALUES)
    lower, upper = t_interval(np.array(each), value, factors=None if least >= 0 else False)
    return Interval(value, max(lower, least), upper, f"over {len(repeats)} repeats")


def batch_means(done_s: Sequence[float], start_s: float, stop_s: float, value: float | None) -> Interval:
    """The interval of a rate within one run, from equal batches of the time from ``start_s`` to ``stop_s``.

    ``value`` is the rate, which may also count answers after ``stop_s``; the half-width is proportional to it. With too few answers
    for five batches the interval is that of as many random events (value × 1.96 ÷ √n). It is never narrower than one answer,
    because the edge of a window may include or exclude one.
    """
    inside = [at for at in done_s if start_s < at <= stop_s]
    many = min(BATCHES, len(inside) // A_BATCH)
    if value is None or len(done_s) < A_BATCH:
        return Interval(value, None, None, TOO_FEW)
    if many < 5:
        half = value * Z / math.sqrt(len(done_s))
        return Interval(value, max(value - half, 0.0), value + half, f"{WITHIN}, as if its {len(done_s)} answers came at random")
    counts = np.histogram(inside, bins=many, range=(start_s, stop_s))[0]
    half = value * t_quantile(many - 1) * float(counts.std(ddof=1)) / math.sqrt(many) / float(counts.mean())
    half = max(half, value / len(done_s))
    return Interval(value, max(value - half, 0.0), value + half, WITHIN)


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean of a run's values, in order of time, with Student's t: over the values, or over blocks of time if they are correlated.

    There is no interval if a correlated run is too short. The limit is that of a P75, because slow answers move a mean.
    """
    plain = np.asarray(values, dtype=np.float64)
    if not len(plain):
        return Interval(None, None, None, NO_VALUES)
    mean = float(plain.mean())
    if len(plain) < 2:
        return Interval(mean, None, None, TOO_FEW)
    worth = effective_sample_size([plain])
    if worth is not None and not sample_suffices(worth, 75):
        return Interval(mean, None, None, TIED)
    each = plain if worth is None else np.array([block.mean() for block in np.array_split(plain, BLOCKS)])
    return Interval(mean, *t_interval(each, mean, factors=None if worth is not None else False), WITHIN)


def share_interval(part: int, whole: int) -> Interval:
    """A share of independent trials with the interval of Clopper and Pearson, which covers at least 95 %."""
    if not whole:
        return Interval(None, None, None, NO_VALUES)
    side = (1 - LEVEL) / 2
    lower = float(betaincinv(part, whole - part + 1, side)) if part else 0.0
    upper = float(betaincinv(part + 1, whole - part, 1 - side)) if part < whole else 1.0
    return Interval(part / whole, lower, upper, WITHIN)


def wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's interval of a share of ``n`` trials, a number that need not be whole (J. Am. Stat. Assoc. 22, 1927)."""
    middle, below = share + Z**2 / (2 * n), 1 + Z**2 / n
    half = Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return max((middle - half) / below, 0.0), min((middle + half) / below, 1.0)


def correlated_share(flags: Any, time: float) -> Interval:
    """The share of ``flags`` whose correlation time is ``time``: Wilson's interval with n ÷ τ in place of n."""
    n = len(flags)
    if not n:
        return Interval(None, None, None, NO_VALUES)
    share, why = float(np.mean(flags)), too_few(n, time, LEAST_ALIKE, "a share")
    return Interval(share, None, None, why) if why else Interval(share, *wilson(share, n / time), WITHIN)


def correlated_mean(values: Floats) -> Interval:
    """The mean of ``values`` in order of time: ± Student's t · s ÷ sqrt(n ÷ τ), with n ÷ τ - 1 degrees of freedom."""
    if not len(values):
        return Interval(None, None, None, NO_VALUES)
    mean, worth = float(values.mean()), len(values) / correlation_time(values)
    if why := too_few(len(values), len(values) / worth, LEAST_INDEPENDENT, "a mean"):
        return Interval(mean, None, None, why)
    half = t_quantile(worth - 1) * float(values.std()) / math.sqrt(worth)
    return Interval(mean, mean - half, mean + half, WITHIN)


def correlated_rate(at_s: Floats, weights: Floats, start_s: float, stop_s: float) -> Interval:
    """Σ ``weights`` ÷ (``stop_s`` - ``start_s``), as a mean over equal bins of the time; ``at_s``: when each weight counts."""
    n, least = len(at_s), LEAST_INDEPENDENT * A_BIN
    if not n or stop_s <= start_s:
        return Interval(None, None, None, NO_VALUES)
    value = float(weights.sum()) / (stop_s - start_s)
    if n < least:
        return Interval(value, None, None, f"n too small: {n:,} answers, a rate needs {least:,}")
    bins = min(n // A_BIN, MOST_BINS)
    found = correlated_mean(np.histogram(at_s, bins=bins, range=(start_s, stop_s), weights=weights)[0])
    if found.lower is None or found.upper is None or not found.value:
        return Interval(value, None, None, found.basis.replace("values", "bins of time"))
    return Interval(value, found.lower / found.value * value, found.upper / found.value * value, WITHIN)


def too_few(n: int, time: float, least: int, what: str) -> str:
    """Why ``n`` values with correlation time ``time`` do not suffice; "" if n ÷ τ is ``least`` or more."""
    if n < least:
        return f"n too small: {n:,} values, {what} needs {least:,}"
    if n / time < least:
        return f"values are correlated: {n:,} are worth {n / time:,.0f} independent ones, {what} needs {least:,}; run longer"
    return ""


def quotient(above: Interval, below: Interval) -> Interval:
    """The quotient above ÷ below of two independent figures: relative half-widths add up in squares."""
    if above.value is None or not below.value:
        return Interval(None, None, None, NO_VALUES)
    value, widths = above.value / below.value, (_half(above), _half(below))
    if widths[0] is None or widths[1] is None:
        return Interval(value, None, None, above.basis if widths[0] is None else below.basis)
    half = value * math.hypot(widths[0] / above.value if above.value else 0.0, widths[1] / below.value)
    return Interval(value, max(value - half, 0.0), value + half, above.basis if above.basis == below.basis else WITHIN)


def _half(of: Interval) -> float | None:
    return None if of.lower is None or of.upper is None else (of.upper - of.lower) / 2


def difference(of: Interval, minus: Interval) -> Interval:
    """The difference of two independent figures: the distances to the ends that matter add up in squares.

    Method of variance estimates recovery (Zou and Donner, Statistics in Medicine 27, 2008); of two Wilson intervals it is
    Newcombe's (Statistics in Medicine 17, 1998, method 10).
    """
    if of.value is None or minus.value is None:
        return Interval(None, None, None, NO_VALUES)
    value = of.value - minus.value
    if of.lower is None or of.upper is None or minus.lower is None or minus.upper is None:
        return Interval(value, None, None, of.basis if of.lower is None else minus.basis)
    lower = value - math.hypot(of.value - of.lower, minus.upper - minus.value)
    upper = value + math.hypot(of.upper - of.value, minus.value - minus.lower)
    return Interval(value, lower, upper, of.basis if of.basis == minus.basis else WITHIN)


def relative_difference(of: Interval, to: Interval) -> Interval:
    """``of`` ÷ ``to`` - 1 of two independent figures, by the difference of their logarithms; no interval if an end is not positive."""
    if of.value is None or not to.value:
        return Interval(None, None, None, NO_VALUES)
    if of.lower is None or to.lower is None or min(of.value, of.lower, to.lower) <= 0:
        return Interval(of.value / to.value - 1, None, None, of.basis if of.lower is None else to.basis)
    apart = difference(_logarithms(of), _logarithms(to))
    assert apart.lower is not None and apart.upper is not None
    return Interval(of.value / to.value - 1, math.expm1(apart.lower), math.expm1(apart.upper), apart.basis)


def ratio_to_predicted(value: float, before: float, ends: tuple[float, float]) -> Interval:
    """``value`` ÷ ``before`` − 1, with the interval that follows from what the next value may be, ``ends``, if nothing changed."""
    lower, upper = ends
    if min(value, before, lower) <= 0:
        return Interval(None, None, None, NO_VALUES)
    return Interval(value / before - 1, value / upper - 1, value / lower - 1, PREDICTED)


def _logarithms(of: Interval) -> Interval:
    value, lower, upper = (math.log(end) for end in (of.value, of.lower, of.upper) if end is not None)
    return Interval(value, lower, upper, of.basis)
