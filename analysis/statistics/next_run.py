"""What the next run may show: from several runs by Student's t, or from one by replaying its queue.

A percentile behind a queue belongs to the whole run: its values are correlated, so that intervals for independent values, and also block
means and block bootstraps of one run, cover too seldom. Several runs, or bursts of one run, are as many draws of it instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .autocorrelation import Floats
from .intervals import LEVEL, t_quantile
from .percentiles import PERCENTS, nearest_rank

# Fewer runs say too little about how they differ.
LEAST_RUNS = 3
# Replays of a queue, and requests of all replays at most: about a second.
REPLAYS, MOST_WORK = 1000, 3_000_000
FEWEST_REPLAYS = 200


def t_prediction(each: Sequence[float]) -> tuple[float, float]:
    """The 95 % prediction interval of one more value, from k >= 2 values; of logarithms if all are positive.

    m ± t(k − 1) s √(1 + 1 ÷ k) (Hahn and Meeker, Statistical Intervals, 1991, 4.7).
    """
    plain = np.asarray(each, dtype=np.float64)
    scaled = bool((plain > 0).all())
    values = np.log(plain) if scaled else plain
    k, middle = len(values), float(values.mean())
    half = min(t_quantile(k - 1) * float(values.std(ddof=1)) * math.sqrt(1 + 1 / k), 600.0)
    return (math.exp(middle - half), math.exp(middle + half)) if scaled else (middle - half, middle + half)


def next_of(samples: Sequence[Floats]) -> dict[int, tuple[float, float]]:
    """For each of PERCENTS, the prediction interval of the nearest-rank percentile of one more sample like ``samples``."""
    ordered = [np.sort(sample) for sample in samples]
    each = {percent: [float(of[nearest_rank(len(of), percent) - 1]) for of in ordered] for percent in PERCENTS}
    return {percent: t_prediction(values) for percent, values in each.items()}


@dataclass(frozen=True)
class ServedQueue:
    """How a run was served, in seconds; the requests are in the order in which they began.

    Attributes:
        free_s: when each slot (one place for a request in an endpoint worker) could begin its first request, from second 0.
        waits_s: from the moment at which a request was due and a slot was free, until it began.
        busy_s: how long it occupied its slot.
        tails_s: from its end there to its response.
    """

    free_s: Floats
    waits_s: Floats
    busy_s: Floats
    tails_s: Floats

    def may_be_overloaded(self, span_s: float) -> bool:
        """Whether the work, due within ``span_s``, may be more than the slots can do: at 2 standard errors above its mean."""
        occupied = self.busy_s + self.waits_s
        n = len(occupied)
        most = float(occupied.mean()) + 2 * float(occupied.std()) / math.sqrt(n)
        return most * n > len(self.free_s) * span_s


def served_queue(workers: Sequence[object], due_s: Floats, begun_s: Floats, ended_s: Floats, done_s: Floats, cold: Floats) -> ServedQueue:
    """The slots of a run. A slot whose first request was ``cold`` (1, else 0) is free from its begin; others are from second 0."""
    free: dict[object, list[int]] = {}
    slot_free: list[float] = []
    last_end: list[float] = []
    waits = np.empty(len(due_s))
    order = np.argsort(begun_s, kind="stable")
    for at in order:
        own = free.setdefault(workers[at], [])
        idle = [slot for slot in own if last_end[slot] <= begun_s[at] + 1e-3]
        if idle:
            slot = max(idle, key=last_end.__getitem__)
            ready_s = last_end[slot]
        else:
            slot, ready_s = len(last_end), float(begun_s[at]) if cold[at] else 0.0
            own.append(slot)
            slot_free.append(ready_s)
            last_end.append(0.0)
        waits[at] = max(float(begun_s[at]) - max(float(due_s[at]), ready_s), 0.0)
        last_end[slot] = float(ended_s[at])
    busy_s, tails_s = (ended_s - begun_s)[order], np.maximum(done_s - ended_s, 0.0)[order]
    return ServedQueue(np.array(slot_free), waits[order], busy_s, tails_s)


def next_queue(of: ServedQueue, due: Sequence[Floats], seed: int = 1) -> dict[int, tuple[float, float]]:
    """For each of PERCENTS, the prediction interval of the next run's percentile; ``due``: arrivals of each replay, used in turn."""
    n = len(of.busy_s)
    replays = int(max(min(REPLAYS, MOST_WORK / n), FEWEST_REPLAYS))
    draw = np.random.default_rng(seed)
    own = draw.integers(0, n, (replays, n))
    places = np.take_along_axis(own, draw.integers(0, n, (replays, n)), axis=1)
    arrivals = np.stack([due[replay % len(due)] for replay in range(replays)])
    responses = _replayed(of, arrivals, places)
    responses.sort(axis=1)
    side = (1 - LEVEL) / 2
    found = {percent: np.quantile(responses[:, nearest_rank(n, percent) - 1], (side, 1 - side)) for percent in PERCENTS}
    return {percent: (float(lower), float(upper)) for percent, (lower, upper) in found.items()}


def _replayed(of: ServedQueue, arrivals: Floats, places: NDArray[np.int64]) -> Floats:
    """Response times: each request, in order, takes the slot that is free first."""
    replays, n = places.shape
    free = np.tile(np.sort(of.free_s), (replays, 1))
    rows = np.arange(replays)
    responses = np.empty((replays, n))
    waits, busy, tails = of.waits_s[places], of.busy_s[places], of.tails_s[places]
    for at in range(n):
        slot = free.argmin(axis=1)
        due = arrivals[:, at]
        begun = np.maximum(free[rows, slot], due) + waits[:, at]
        ended = begun + busy[:, at]
        free[rows, slot] = ended
        responses[:, at] = ended + tails[:, at] - due
    return responses
