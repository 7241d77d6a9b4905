"""Intervals of a figure: over the repeats of a setting, or, with one repeat, within the run alone.

Over repeats: Student's t on the repeats' own figures, as batch means have it, with a repeat for a batch (Law, Simulation Modeling and
Analysis, 9.5.3; ``percentiles.t_interval``). A bootstrap of few repeats has the smallest and the largest of them for its ends and covers
less. Within one run: batch means over time, which know nothing of what differs from run to run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.special import betaincinv, ndtri, stdtrit

from .autocorrelation import effective_sample_size, sample_suffices
from .percentiles import BLOCKS, LEVEL, TIED, t_interval

T = TypeVar("T")
WITHIN = "within this run only"
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


BY_DEFINITION = "by definition"
"""The basis of what a baseline is to itself."""


def exact(value: float) -> Interval:
    """A figure that is known, such as a number that was set."""
    return Interval(value, value, value, "exact")


def repeats_basis(n: int) -> str:
    """What an interval over ``n`` repeats covers, in words."""
    return f"over {n} repeats"


def t_quantile(degrees: float) -> float:
    """The two-sided quantile of Student's t."""
    return float(stdtrit(degrees, (1 + LEVEL) / 2))


def interval_over_repeats(repeats: Sequence[T], statistic: Callable[[Sequence[T]], float | None], least: float = -math.inf) -> Interval:
    """The interval of ``statistic`` over whole repeats, of which there are at least two; its lower end is at least ``least``.

    Each repeat's own figure is held against that of all. What cannot be below 0 is compared by factors.
    """
    value = statistic(repeats)
    each = [of for repeat in repeats if (of := statistic([repeat])) is not None]
    if value is None or len(each) < 2:
        return Interval(value, None, None, "no values")
    lower, upper = t_interval(np.array(each), value, factors=None if least >= 0 else False)
    return Interval(value, max(lower, least), upper, repeats_basis(len(repeats)))


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


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean of a run's values, in order of time, with Student's t: of the values, or where neighbours are alike of blocks of time.

    None where the run is too short for such blocks: as for a P75, because a mean moves with the slow answers.
    """
    plain = np.asarray(values, dtype=np.float64)
    if not len(plain):
        return Interval(None, None, None, "no values")
    mean = float(plain.mean())
    if len(plain) < 2:
        return Interval(mean, None, None, TOO_FEW)
    worth = effective_sample_size([plain])
    if worth is not None and not sample_suffices(worth, 75):
        return Interval(mean, None, None, TIED)
    each = plain if worth is None else np.array([block.mean() for block in np.array_split(plain, BLOCKS)])
    lower, upper = t_interval(each, mean, factors=None if worth is not None else False)
    return Interval(mean, lower, upper, WITHIN)


def share_interval(part: int, whole: int) -> Interval:
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
