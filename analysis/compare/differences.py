"""Differences of two runs with 95 % intervals that hold although neighbouring requests are alike.

Behind a queue a slow request has slow neighbours, so that n requests tell less than n independent ones would. Each run is
therefore drawn again in *blocks* of neighbours (moving-block bootstrap: Künsch, Annals of Statistics 17, 1989), in order of the
instants at which the requests were due. With τ the correlation time (Sokal, Monte Carlo Methods in Statistical Mechanics, 1997, 3:
1 + 2 Σ r(k) over lags up to five times itself), n answers are worth n ÷ τ independent ones. A block is

    b = max(⌈n^(1/3)⌉, ⌈BLOCK_TIMES τ⌉, ⌈n ÷ MOST_BLOCKS⌉)

long: n^(1/3) is the order that suits a variance (Hall, Horowitz and Jing, Biometrika 82, 1995); the second keeps what a block cuts off
small, as a mean over blocks of b loses about τ ÷ 2b of its variance where correlations fade exponentially; the third saves time. Blocks may
start at each quarter of a block. With few blocks the draws vary too little: they are moved away from the figure by
sqrt(k ÷ (k − 1)) · t(k − 1) ÷ z, the two corrections for small samples of Hesterberg (What Teachers Should Know About the Bootstrap,
2015, 4). With fewer than LEAST_BLOCKS of them there is no interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.special import ndtri, stdtrit

from ..statistics.intervals import Interval
from ..statistics.percentiles import LEVEL, nearest_rank, smallest_sample

Values: TypeAlias = NDArray[np.float64]
Ends: TypeAlias = tuple[float, float] | tuple[None, None]
DRAWS = 1000
BLOCK_TIMES = 8.0
LEAST_BLOCKS, MOST_BLOCKS = 10, 400
LEAST = 20
STEPS = 4
GRID = 256
WINDOW = 5
PIECE = 8192
A_BIN, MOST_BINS = 5, 2000
"""A rate is counted in equal bins of time: about so many answers in each, and at most so many bins."""
_Z = float(ndtri((1 + LEVEL) / 2))


@dataclass(frozen=True, eq=False)
class Estimate:
    """A figure of one run.

    Attributes:
        value: the figure itself; None where there are no values.
        n: values that it is made of.
        draws: what it might as well have been, one a draw; None with the reason in ``why``.
    """

    value: float | None
    n: int
    draws: Values | None = None
    why: str = ""


@dataclass(frozen=True)
class Difference:
    """Candidate − base, with its 95 % interval.

    Attributes:
        absolute: in the figure's own unit; ``relative``: as a share of the base (0.3 is 30 % more).
        why: why no difference can be told; "" where it can.
    """

    base: float | None
    candidate: float | None
    absolute: Interval
    relative: Interval
    why: str = ""

    @property
    def shown(self) -> bool | None:
        """Whether the interval leaves out "no difference"; None where none can be told."""
        lower, upper = self.absolute.lower, self.absolute.upper
        return None if lower is None or upper is None else not lower <= 0 <= upper


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Randomness for one purpose: the same for the same two, whatever else is drawn."""
    return np.random.default_rng([seed, crc32(purpose.encode())])


def correlation_time(series: Any) -> float:
    """τ = 1 + 2 Σ r(k), in places of the series, at least 1; the sum ends at five times itself, and its largest part counts.

    A constant series has 1. In a short one the sum falls again because all autocorrelations together sum up to −½: the largest
    part sum is then nearer the truth than the last one. A long series is taken in pieces of PIECE, unless its window does not fit in.
    """
    away = np.asarray(series, dtype=np.float64)
    away = away - away.mean() if len(away) else away
    if len(away) < 2 or float(away @ away) <= 1e-12 * len(away):
        return 1.0
    for length in dict.fromkeys((min(len(away), PIECE), len(away))):
        sums = 2 * np.cumsum(_autocorrelations(away, length)) - 1
        enough = np.arange(length) >= WINDOW * sums
        last = int(enough.argmax()) if enough.any() else length - 1
        if last < length // 4:
            break
    return max(float(sums[: last + 1].max()), 1.0)


def _autocorrelations(away: Values, length: int) -> Values:
    """r(k) for k < ``length``, over all whole pieces of that length together; of one piece the usual one, which falls towards its end."""
    pieces = away[: len(away) // length * length].reshape(-1, length)
    padded = fft.next_fast_len(2 * length, real=True)
    spectrum = fft.rfft(pieces, padded, axis=1)
    sums = fft.irfft(spectrum.real**2 + spectrum.imag**2, padded, axis=1)[:, :length].sum(axis=0)
    pairs = np.arange(length, 0, -1) / length if len(pieces) > 1 else 1.0
    return np.asarray(sums / sums[0] / pairs)


def block_length(n: int, time: float) -> int:
    """Length of a block of ``n`` values whose correlation time is ``time``: see above."""
    return max(math.ceil(round(math.cbrt(n), 9)), math.ceil(BLOCK_TIMES * time), -(-n // MOST_BLOCKS))


def quantile(values: Values, percent: int, random: np.random.Generator) -> Estimate:
    """See ``quantiles``."""
    return quantiles(values, (percent,), random)[percent]


def quantiles(values: Values, percents: Sequence[int], random: np.random.Generator) -> dict[int, Estimate]:
    """Nearest-rank percentiles of ``values``, which stand in order of time, without empty ones.

    τ is that of "above the percentile or not", or of "above the median or not" where that is longer. n ÷ τ must allow a two-sided
    interval of the percentile: 72 for P95, 368 for P99.
    """
    if not len(values):
        return {percent: Estimate(None, 0, why="no values") for percent in percents}
    ordered = np.sort(values)
    time = correlation_time(values > ordered[nearest_rank(len(values), 50) - 1])
    return {percent: _quantile(values, ordered, percent, time, random) for percent in percents}


def _quantile(values: Values, ordered: Values, percent: int, time: float, random: np.random.Generator) -> Estimate:
    n = len(values)
    value = float(ordered[nearest_rank(n, percent) - 1])
    above = values > value
    time = max(correlation_time(above), time)
    why = _refusal(n, time, max(smallest_sample(max(percent, 100 - percent)), LEAST), f"P{percent}")
    if why:
        return Estimate(value, n, why=why)
    block = block_length(n, time)
    cells = _cells(n, block)
    spread = _error(np.add.reduceat(above, cells[:-1], dtype=np.float64), n)
    grid = _grid(ordered, percent / 100, spread)
    columns = len(grid) + 1
    place = np.repeat(np.arange(len(cells) - 1) * columns, np.diff(cells)) + np.searchsorted(grid, values)
    counts = np.bincount(place, minlength=(len(cells) - 1) * columns).reshape(-1, columns).cumsum(axis=1)
    drawn = _drawn(counts.astype(np.float64), random)
    found = (drawn >= np.ceil(drawn[:, -1:] * percent / 100 - 1e-6)).argmax(axis=1)
    return Estimate(value, n, _apart(grid[np.minimum(found, len(grid) - 1)], value, n // block))


def mean(values: Values, random: np.random.Generator) -> Estimate:
    """The mean of ``values``, which stand in order of time, without empty ones."""
    n = len(values)
    if not n:
        return Estimate(None, 0, why="no values")
    value, time = float(values.mean()), correlation_time(values)
    why = _refusal(n, time, LEAST, "a mean")
    if why:
        return Estimate(value, n, why=why)
    block = block_length(n, time)
    cells = _cells(n, block)
    drawn = _drawn(np.column_stack([np.add.reduceat(values, cells[:-1]), np.diff(cells).astype(np.float64)]), random)
    return Estimate(value, n, _apart(drawn[:, 0] / drawn[:, 1], value, n // block))


def rate(at_s: Values, weights: Values, start_s: float, stop_s: float, random: np.random.Generator) -> Estimate:
    """Σ ``weights`` ÷ (``stop_s`` − ``start_s``): what came at ``at_s``, counted in equal bins of time, is the series."""
    many, n = min(len(at_s) // A_BIN, MOST_BINS), len(at_s)
    if not n or stop_s <= start_s:
        return Estimate(None, n, why="no values")
    value = float(weights.sum()) / (stop_s - start_s)
    if many < LEAST:
        return Estimate(value, n, why=f"n too small: {n:,} answers, a rate needs {LEAST * A_BIN}")
    of = mean(np.histogram(at_s, bins=many, range=(start_s, stop_s), weights=weights)[0], random)
    draws = None if of.draws is None or not of.value else of.draws / of.value * value
    return Estimate(value, n, draws, of.why.replace("values", "bins of time"))


def own_interval(of: Estimate) -> Interval:
    """The figure with its own 95 % interval within its run."""
    lower, upper = (None, None) if of.draws is None else _ends(of.draws)
    return Interval(of.value, lower, upper, of.why)


def estimate_difference(base: Estimate, candidate: Estimate) -> Difference:
    """Candidate − base, of runs that are independent of each other: each draw of the one with a draw of the other."""
    if base.value is None or candidate.value is None or base.draws is None or candidate.draws is None:
        return _told(base.value, candidate.value, None, None, _both(base.why, candidate.why))
    apart = _ends(candidate.draws - base.draws)
    positive = base.value > 0 and float(base.draws.min()) > 0
    return _told(base.value, candidate.value, apart, _ends(candidate.draws / base.draws - 1) if positive else None, "")


def share_difference(base: NDArray[np.bool_], candidate: NDArray[np.bool_]) -> Difference:
    """The difference of two shares, each of flags in order of time: Newcombe's interval with n ÷ τ in the place of n.

    From Wilson's intervals of both (Newcombe, Statistics in Medicine 17, 1998, method 10), so that a share of none or all has a width too.
    τ is the longer one of both runs', as flags that are all alike do not tell theirs.
    """
    if not len(base) or not len(candidate):
        return _told(None, None, None, None, "no values")
    time = max(correlation_time(base), correlation_time(candidate))
    one, other = float(base.mean()), float(candidate.mean())
    if why := _both(*(_few(len(of), time, LEAST, "a share") for of in (base, candidate))):
        return _told(one, other, None, None, why)
    ends = _of_two(Interval(one, *_wilson(one, len(base) / time), ""), Interval(other, *_wilson(other, len(candidate) / time), ""))
    return _told(one, other, ends, None, "")


def interval_difference(base: Interval, candidate: Interval) -> Difference:
    """The difference of two figures that have intervals of their own, such as those over a setting's repeats.

    Method of variance estimates recovery (Zou and Donner, Statistics in Medicine 27, 2008); for the ratio the same of logarithms.
    """
    if base.lower is None or candidate.lower is None or base.value is None or candidate.value is None:
        without = base if base.lower is None or base.value is None else candidate
        return _told(base.value, candidate.value, None, None, without.basis)
    positive = min(base.lower, candidate.lower) > 0
    ratio = _of_two(_log(base), _log(candidate)) if positive else None
    shares = None if ratio is None else (math.expm1(ratio[0]), math.expm1(ratio[1]))
    return _told(base.value, candidate.value, _of_two(base, candidate), shares, "")


def unknown(base: float | None, candidate: float | None, why: str) -> Difference:
    """A difference without an interval."""
    return _told(base, candidate, None, None, why)


def _both(base: str, candidate: str) -> str:
    """Why nothing can be told, of one run or of both."""
    if base and candidate:
        return base if base == candidate else f"base: {base}; candidate: {candidate}"
    return f"base: {base}" if base else f"candidate: {candidate}" if candidate else ""


def _few(n: int, time: float, least: int, what: str) -> str:
    """Why ``n`` values are too few; "" where they are not."""
    if n < least:
        return f"n too small: {n:,} values, {what} needs {least:,}"
    if n / time < least:
        return f"neighbours alike: {n:,} values are worth {n / time:,.0f} independent ones, {what} needs {least:,}; run longer"
    return ""


def _refusal(n: int, time: float, least: int, what: str) -> str:
    """Why ``n`` values do not do for a bootstrap; "" where they do."""
    if few := _few(n, time, least, what):
        return few
    blocks = n // block_length(n, time)
    return "" if blocks >= LEAST_BLOCKS else f"neighbours alike: {blocks} independent blocks, {LEAST_BLOCKS} are needed; run longer"


def _cells(n: int, block: int) -> NDArray[np.intp]:
    """Edges of quarters of blocks, equal but for one value."""
    return np.linspace(0, n, STEPS * (n // block) + 1).astype(np.intp)


def _starts(cells: Values) -> Values:
    """Sums over each block, from the sums over its quarters; one row a place where a block may start."""
    upto = np.concatenate([np.zeros((1, cells.shape[1])), np.cumsum(cells, axis=0)])
    return np.asarray(upto[STEPS:] - upto[:-STEPS])


def _drawn(cells: Values, random: np.random.Generator) -> Values:
    """DRAWS times the sums over as many blocks as the series has, drawn with replacement; a row a draw."""
    blocks, k = _starts(cells), len(cells) // STEPS
    picked = random.integers(0, len(blocks), (DRAWS, k)) + np.arange(DRAWS)[:, None] * len(blocks)
    often = np.bincount(picked.ravel(), minlength=DRAWS * len(blocks)).reshape(DRAWS, -1)
    return np.asarray(often.astype(np.float64) @ blocks)


def _error(above: Values, n: int) -> float:
    """Standard error of the share above a percentile, from the blocks."""
    sums = _starts(above[:, None])[:, 0]
    return float(sums.std() * math.sqrt(len(above) // STEPS)) / n


def _grid(ordered: Values, p: float, error: float) -> Values:
    """Order statistics within eight standard errors of the percentile's rank, at most GRID, and both extremes: where draws may end."""
    n = len(ordered)
    lower, upper = max(math.floor(n * (p - 8 * error)) - 2, 0), min(math.ceil(n * (p + 8 * error)) + 2, n - 1)
    places = np.linspace(lower, upper, min(GRID, upper - lower + 1)).astype(np.intp)
    return np.unique(ordered[np.concatenate([[0], places, [n - 1]])])


def _apart(draws: Values, value: float, blocks: int) -> Values:
    """``draws`` moved away from ``value`` as few blocks demand; in proportion where all are above zero."""
    by = math.sqrt(blocks / (blocks - 1)) * float(stdtrit(blocks - 1, (1 + LEVEL) / 2)) / _Z
    if value > 0 and float(draws.min()) > 0:
        return np.asarray(value * (draws / value) ** by)
    return value + by * (draws - value)


def _ends(draws: Values) -> tuple[float, float]:
    lower, upper = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(lower), float(upper)


def _wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's interval of a share of ``n`` independent trials (Journal of the American Statistical Association 22, 1927)."""
    middle, below = share + _Z**2 / (2 * n), 1 + _Z**2 / n
    half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return max((middle - half) / below, 0.0), min((middle + half) / below, 1.0)


def _of_two(base: Interval, candidate: Interval) -> tuple[float, float]:
    """Ends of candidate − base from the ends of both: the distances on the sides that matter add up in squares."""
    assert base.value is not None and base.lower is not None and base.upper is not None
    assert candidate.value is not None and candidate.lower is not None and candidate.upper is not None
    apart = candidate.value - base.value
    lower = math.hypot(candidate.value - candidate.lower, base.upper - base.value)
    return apart - lower, apart + math.hypot(candidate.upper - candidate.value, base.value - base.lower)


def _log(of: Interval) -> Interval:
    assert of.value is not None and of.lower is not None and of.upper is not None
    return Interval(math.log(of.value), math.log(of.lower), math.log(of.upper), of.basis)


def _told(base: float | None, candidate: float | None, apart: Ends | None, ratio: Ends | None, why: str) -> Difference:
    known = base is not None and candidate is not None
    absolute = candidate - base if base is not None and candidate is not None else None
    relative = candidate / base - 1 if known and base and candidate is not None else None
    apart, ratio = apart or (None, None), ratio or (None, None)
    return Difference(base, candidate, Interval(absolute, apart[0], apart[1], why), Interval(relative, ratio[0], ratio[1], why), why)
