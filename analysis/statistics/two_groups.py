"""Whether P95 lies between two groups of values, such as warm and cold answers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import bdtr

from .autocorrelation import Floats

# The smallest sample, and the chance that one group is taken for two.
LEAST_OF_TWO, CHANCE = 40, 0.02
# Share of the slow group within which half or twice as many slow values move P95 from one group to the other.
NARROW = (0.025, 0.10)
# Of more values than this, every k-th is used; it has the same groups.
MOST = 100_000


def two_groups_sentence(values: Any, cold: Any = None) -> str:
    """A sentence if P95 of ``values`` (seconds) lies between a quick and a slow group; otherwise "".

    ``cold`` marks the values that met a cold start. With a slow group of 2.5 to 10 %, a few slow answers more or less move P95 from
    one group to the other.
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
    return f"P95 lies between two groups: {groups}; it depends on the share of {of}, so look at both groups."


def _short(times_s: Floats) -> str:
    return f"{float(f'{np.median(times_s):.2g}'):,g} s"


def _valley(ascending: Floats) -> float | None:
    """The value (not its logarithm) between two groups of ``ascending`` logarithms; None if there may be only one group.

    Two means find the middles of the groups. The emptiest fifth between them is compared with the fullest window of the same width
    above it. In a single group, whose density falls after its peak, the former holds at least as many values. There are two
    groups if so few values would be there in less than CHANCE of samples (binomial).
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
