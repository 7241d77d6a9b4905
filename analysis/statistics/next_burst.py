"""What the next burst of the same size may show, from one burst: its queue is replayed with resampled service times.

The response times of a burst share one queue, so intervals for independent values do not apply to them. The parts that differ from
burst to burst are resampled instead: when each slot of the endpoint begins to work, and how long it is occupied by each request.
Each replay first draws a sample of the same size from the observed parts, so that the interval includes what one burst leaves
unknown of them (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, 8 and 25). It assumes that the workers are alike and
are the same in number in the next burst.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .autocorrelation import Floats
from .intervals import LEVEL, Z, t_quantile
from .percentiles import PERCENTS, nearest_rank

REPLAYS = 1000
# A burst with fewer answers says too little about the service times.
LEAST = 10
# Replays times requests times slots that are computed at most: about a second.
MOST_WORK = 200_000_000
FEWEST_REPLAYS = 200
# Silverman's rule for the width of a normal kernel, times n^(-1/5) standard deviations.
BANDWIDTH = 1.06
# A single start does not show how starts differ: standard deviation of its logarithm that is assumed (20 %, as hosts differ).
ONE_START = 0.2
# Begins of slots that differ by more than this factor are of ready workers and of ones that started: they have no common scale.
MOST_FACTOR = 5.0
# The fewer requests share a slot, the more the P95 depends on the largest service times, of which a sample shows too little: the spread
# of their logarithms varies from replay to replay by a factor, whose logarithm has this standard deviation times slots ÷ requests
# (bench/next_burst.py).
EXTREME = 0.2
# Requests of one slot seem to overlap by up to this share of the median service, because the begin includes network delays.
OVERLAP = 0.1
# Times that are taken for this long if they are shorter, in seconds: they have logarithms then.
LEAST_S = 1e-4


@dataclass(frozen=True)
class Slots:
    """How a burst was served, in seconds from the burst.

    Attributes:
        begins: when each slot (one place for a request in an endpoint worker) began its first request.
        busy: how long each request occupied its slot, until the next one began there; of the last one, until its end.
        tails: from the beginning of each request to its response, in the order of ``busy``.
    """

    begins: Floats
    busy: Floats
    tails: Floats


def slots(workers: Sequence[object], begun_s: Floats, ended_s: Floats, done_s: Floats) -> Slots:
    """The slots of a burst, from each request's worker, and its begin and end there.

    A request takes the slot of its worker that was free last; if none is free, the worker has one more.
    """
    free: dict[object, list[int]] = {}
    begins: list[float] = []
    last: list[int] = []
    busy = ended_s - begun_s
    overlap_s = OVERLAP * float(np.median(busy)) if len(busy) else 0.0
    for at in np.argsort(begun_s, kind="stable"):
        own = free.setdefault(workers[at], [])
        waiting = [slot for slot in own if ended_s[last[slot]] <= begun_s[at] + overlap_s]
        if waiting:
            slot = max(waiting, key=lambda one: float(ended_s[last[one]]))
            busy[last[slot]] = begun_s[at] - begun_s[last[slot]]
            last[slot] = int(at)
        else:
            own.append(len(begins))
            begins.append(float(begun_s[at]))
            last.append(int(at))
    return Slots(np.array(begins), np.maximum(busy, 0.0), done_s - begun_s)


def next_burst(of: Slots, seed: int = 1) -> dict[int, tuple[float, float]]:
    """For each of PERCENTS, the 95 % prediction interval of the nearest-rank percentile of the next burst; empty if n < LEAST."""
    n, places = len(of.busy), len(of.begins)
    if n < LEAST:
        return {}
    replays = int(min(REPLAYS, max(MOST_WORK / (n * places), FEWEST_REPLAYS)))
    draw = np.random.default_rng(seed)
    if places > 1:
        free = np.sort(_resampled(of.begins[None, :], replays, places, draw, logs=bool(_factor(of.begins) <= MOST_FACTOR))[0], axis=1)
    else:
        free = of.begins * np.exp(ONE_START * draw.standard_normal((replays, 1)))
    wider = np.exp(EXTREME * places / n * draw.standard_normal((replays, 1)))
    busy, tails = _resampled(np.stack((of.busy, of.tails)), replays, n, draw, wider=wider)
    responses = _served(free, busy, tails)
    responses.sort(axis=1)
    side = (1 - LEVEL) / 2
    found = {percent: np.quantile(responses[:, nearest_rank(n, percent) - 1], (side, 1 - side)) for percent in PERCENTS}
    return {percent: (float(lower), float(upper)) for percent, (lower, upper) in found.items()}


def _factor(values: Floats) -> float:
    """The largest of ``values`` divided by the smallest."""
    return float(values.max()) / max(float(values.min()), LEAST_S)


def _resampled(
    values: Floats, replays: int, size: int, draw: np.random.Generator, *, logs: bool = True, wider: float | Floats = 1.0
) -> NDArray[np.float64]:
    """``replays`` samples of ``size`` columns, each drawn from a sample of the columns of its own.

    The draws are smoothed by a normal kernel on logarithms (Silverman and Young, Biometrika 74, 1987), as no sample contains the
    largest value that can come, and spread by the factor by which Student's t exceeds the normal. Without ``logs``, for values that
    may be 0, on the values themselves. ``wider`` multiplies the spread, of all replays or of each.
    """
    known = values.shape[1]
    own = draw.integers(0, known, (replays, known))
    places = np.take_along_axis(own, draw.integers(0, known, (replays, size)), axis=1)
    scaled = np.log(np.maximum(values, LEAST_S)) if logs else values
    means, spread = scaled.mean(axis=1)[:, None, None], scaled.std(axis=1, ddof=1)[:, None, None]
    width = BANDWIDTH * known**-0.2
    factor = math.sqrt(known / (known - 1)) * t_quantile(known - 1) / Z * wider
    noise = draw.standard_normal((replays, size))
    smooth = means + ((scaled[:, places] - means) + width * spread * noise) / math.sqrt(1 + width**2) * factor
    drawn: NDArray[np.float64] = np.exp(np.minimum(smooth, 700.0)) if logs else np.maximum(smooth, 0.0)
    return drawn


def _served(free: Floats, busy: Floats, tails: Floats) -> Floats:
    """Response times where each request takes the slot that is free first, for each replay (a row)."""
    free = free.copy()
    rows = np.arange(len(free))
    responses = np.empty_like(tails)
    for at in range(tails.shape[1]):
        slot = free.argmin(axis=1)
        begin = free[rows, slot]
        responses[:, at] = begin + tails[:, at]
        free[rows, slot] = begin + busy[:, at]
    return responses
