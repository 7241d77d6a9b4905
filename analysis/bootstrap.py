"""Intervals of a figure: over the repeats of a setting, or, with one repeat, within the run alone.

Over repeats: the bootstrap draws whole repeats with replacement (every draw there is, where they are few). With two or three
repeats its own ends are the smallest and the largest value seen, which cover far less than 95 %; they are moved away from the figure
by sqrt(r / (r − 1)) · t(r − 1) ÷ z, the two corrections for small samples that the plain bootstrap lacks (Hesterberg, What
Teachers Should Know About the Bootstrap, 2015, 4). Within one run: batch means over time (Law, Simulation Modeling and
Analysis, 9.5.3), which know nothing of what differs from run to run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeVar

import numpy as np
from scipy.special import betaincinv, ndtri, stdtrit

from analysis.models import LEVEL

T = TypeVar("T")
WITHIN = "within this run only"
MOST_DRAWS = 1000
BATCHES, A_BATCH = 20, 5
"""At most so many batches, with at least so many answers each; with fewer than five batches the number of answers alone is gone by."""
TOO_FEW = "n too small for an interval"


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % interval; ``basis`` says what the interval covers, or why there is none."""

    value: float | None
    lower: float | None
    upper: float | None
    basis: str

    def overlaps(self, other: Interval) -> bool:
        """Whether the two may be the same; without an interval no difference is shown."""
        if self.lower is None or self.upper is None or other.lower is None or other.upper is None:
            return True
        return self.lower <= other.upper and other.lower <= self.upper


def exactly(value: float) -> Interval:
    """A figure that is known, such as a number that was set."""
    return Interval(value, value, value, "exact")


def over(n: int) -> str:
    """What an interval over ``n`` repeats covers, in words."""
    return f"over {n} repeats"


def t_quantile(degrees: float, level: float = LEVEL) -> float:
    """The two-sided quantile of Student's t."""
    return float(stdtrit(degrees, (1 + level) / 2))


def over_repeats(repeats: Sequence[T], statistic: Callable[[Sequence[T]], float | None], least: float = -math.inf) -> Interval:
    """The interval of ``statistic`` over whole repeats, of which there are at least two; its lower end is at least ``least``."""
    value, n = statistic(repeats), len(repeats)
    found = [of for pick in _picks(n) if (of := statistic([repeats[place] for place in pick])) is not None]
    if value is None or not found:
        return Interval(value, None, None, "no values")
    stretch = math.sqrt(n / (n - 1)) * t_quantile(n - 1) / float(ndtri((1 + LEVEL) / 2))
    lower, upper = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf")
    lowest = max(value + (min(float(lower), value) - value) * stretch, least)
    return Interval(value, lowest, value + (max(float(upper), value) - value) * stretch, over(n))


def _picks(n: int) -> Iterator[Any]:
    """Which repeats a draw takes: each possible draw once, or MOST_DRAWS at random where there are more."""
    if n**n <= MOST_DRAWS:
        return product(range(n), repeat=n)
    return iter(np.random.default_rng(n).integers(0, n, (MOST_DRAWS, n)))


def batch_means(done_s: Sequence[float], start_s: float, stop_s: float, value: float | None) -> Interval:
    """The interval of a rate within one run: answers in equal batches of the time from ``start_s`` to ``stop_s``.

    ``value`` is the rate itself, which also counts what came after ``stop_s``; the half-width is the batches', in proportion.
    Where there are too few for five batches it is that of as many random events (value × 1.96 ÷ √n), which is wide.
    It is never narrower than one answer: a window's edge may take one in or leave one out, however even they come.
    """
    inside = [at for at in done_s if start_s < at <= stop_s]
    many = min(BATCHES, len(inside) // A_BATCH)
    if value is None or len(done_s) < A_BATCH:
        return Interval(value, None, None, TOO_FEW)
    if many < 5:
        half = value * float(ndtri((1 + LEVEL) / 2)) / math.sqrt(len(done_s))
        return Interval(value, max(value - half, 0.0), value + half, f"{WITHIN}, as if its {len(done_s)} answers came at random")
    counts = np.histogram(inside, bins=many, range=(start_s, stop_s))[0]
    half = value * t_quantile(many - 1) * float(counts.std(ddof=1)) / math.sqrt(many) / float(counts.mean())
    half = max(half, value / len(done_s))
    return Interval(value, max(value - half, 0.0), value + half, WITHIN)


def of_mean(values: Sequence[float]) -> Interval:
    """The mean of independent values within one run, with Student's t."""
    if not len(values):
        return Interval(None, None, None, "no values")
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, None, None, TOO_FEW)
    half = t_quantile(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half, WITHIN)


def share(part: int, whole: int) -> Interval:
    """A share of independent trials with the interval of Clopper and Pearson, which covers at least 95 %."""
    if not whole:
        return Interval(None, None, None, "no values")
    side = (1 - LEVEL) / 2
    lower = float(betaincinv(part, whole - part + 1, side)) if part else 0.0
    upper = float(betaincinv(part + 1, whole - part, 1 - side)) if part < whole else 1.0
    return Interval(part / whole, lower, upper, WITHIN)


def quotient(above: Interval, below: Interval) -> Interval:
    """The quotient above ÷ below of two independent figures: relative half-widths add up in squares."""
    if above.value is None or not below.value:
        return Interval(None, None, None, "no values")
    value, widths = above.value / below.value, (_half(above), _half(below))
    if widths[0] is None or widths[1] is None:
        return Interval(value, None, None, above.basis if widths[0] is None else below.basis)
    half = value * math.hypot(widths[0] / above.value if above.value else 0.0, widths[1] / below.value)
    return Interval(value, max(value - half, 0.0), value + half, above.basis if above.basis == below.basis else WITHIN)


def difference(of: Interval, minus: Interval) -> Interval:
    """The difference of − minus of two independent figures: half-widths add up in squares."""
    if of.value is None or minus.value is None:
        return Interval(None, None, None, "no values")
    value, own, other = of.value - minus.value, _half(of), _half(minus)
    if own is None or other is None:
        return Interval(value, None, None, of.basis if own is None else minus.basis)
    half = math.hypot(own, other)
    return Interval(value, value - half, value + half, of.basis if of.basis == minus.basis else WITHIN)


def _half(of: Interval) -> float | None:
    return None if of.lower is None or of.upper is None else (of.upper - of.lower) / 2
