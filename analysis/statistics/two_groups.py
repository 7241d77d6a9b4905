"""Whether a sample is of two groups, such as warm and cold answers, between which its P95 lies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

LEAST_OF_TWO, CHANCE = 40, 0.02
"""Values below which no two groups are told, and the chance of an empty space between them that is taken for none."""
NARROW = (0.025, 0.10)
"""Share of the slow group within which half or twice as many of it carry P95 from one group to the other."""
MOST = 100_000
"""Values among which two groups are looked for: of more, every k-th in order of time, which has the same groups."""
Floats = NDArray[np.float64]


def two_groups_sentence(values: Any, cold: Any = None) -> str:
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
