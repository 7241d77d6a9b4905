"""The difference of one figure between two runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..statistics.autocorrelation import correlation_time
from ..statistics.intervals import Interval, correlated_share, difference, relative_difference


@dataclass(frozen=True)
class Difference:
    """Candidate − base, each with its own 95 % interval.

    Attributes:
        absolute: the difference in the figure's own unit.
        relative: the difference as a share of the base (0.3 is 30 % more).
        why: why there is no interval; "" if there is one.
    """

    base: float | None
    candidate: float | None
    absolute: Interval
    relative: Interval
    why: str = ""

    @property
    def shown(self) -> bool | None:
        """Whether the interval excludes "no difference"; None without an interval."""
        lower, upper = self.absolute.lower, self.absolute.upper
        return None if lower is None or upper is None else not lower <= 0 <= upper


def interval_difference(base: Interval, candidate: Interval) -> Difference:
    """The difference of a figure of two independent runs, from its interval in each."""
    absolute, relative = difference(candidate, base), relative_difference(candidate, base)
    whys = ["" if of.lower is not None else of.basis for of in (base, candidate)]
    why = whys[0] if whys[0] == whys[1] else "; ".join(f"{run}: {why}" for run, why in zip(("base", "candidate"), whys, strict=True) if why)
    return Difference(base.value, candidate.value, absolute, relative, why)


def share_difference(base: NDArray[np.bool_], candidate: NDArray[np.bool_]) -> Difference:
    """The difference of two shares, each of flags in order of time.

    Both use the longer correlation time, because flags that are all equal have none of their own.
    """
    time = max(correlation_time(base), correlation_time(candidate))
    return interval_difference(correlated_share(base, time), correlated_share(candidate, time))


def unknown(base: float | None, candidate: float | None, why: str) -> Difference:
    """A difference without an interval."""
    return interval_difference(Interval(base, None, None, why), Interval(candidate, None, None, why))
