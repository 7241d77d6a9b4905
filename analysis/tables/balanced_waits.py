"""How long the first requests on each worker of a load balancer waited, which reports no times: estimates, or bounds.

A worker's first requests begin when it becomes ready, or later than that by a model that loads in the first request. Every other request
begins at once, or when a place at its worker becomes free: places are given in order of arrival. So the service times of those others are
known, and what the first ones took longer is their wait. Without any others the worker list bounds the wait. Requests that were sent at
about the same time may have arrived in another order than they were sent: the order of their ends is nearer to it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..runs.csv_columns import Flags, Floats
from ..runs.disk_columns import on_disk
from ..statistics.percentiles import ascending, nearest_rank

# Codes of ``FirstWaits.cold``; those above 0 are places in ``cold_start_rule.BY`` from 1.
NO, UNCERTAIN, LISTED, WAITED, SLOW = 0, -1, 2, 3, 4
# Percentile of the service times compared with where the start of no answer is known: a wait is then at least the difference.
QUICK = 10
# A worker that answered so recently has not been stopped since, where no list tells: RunPod's default idle timeout.
STILL_WARM_S = 5.0
# So many requests of one life of a worker are followed; more do not change the median.
FOLLOWED = 500
# Requests that were sent within this time of each other may have arrived in another order.
TOGETHER_S = 0.05
# So many answers show how long one can take (the next one is between their extremes in 19 of 21 cases); fewer bound nothing.
ENOUGH = 20
OUTLIER_N, OUTLIER_IQR, OUTLIER_RATIO = 8, 3.0, 1.3
Places = NDArray[np.intp]


@dataclass(frozen=True)
class Life:
    """The requests of one life of a worker, in order of sending.

    Attributes:
        rows: their places.
        start: the row of the worker's start, or -1 if it is not known.
        from_s, to_s: between which it became ready; infinite where unknown.
    """

    rows: Places
    start: int
    from_s: float
    to_s: float


@dataclass(frozen=True)
class Usual:
    """Service times of ``n`` answers whose start is known."""

    n: int
    low_s: float
    middle_s: float
    high_s: float
    outlier_s: float

    @classmethod
    def of(cls, times_s: list[float]) -> Usual:
        """Least, median and largest; ``outlier_s``: the limit above which a time is an outlier."""
        known = ascending(times_s)
        if not len(known):
            return cls(0, 0.0, np.nan, np.inf, np.inf)
        low, middle, high = (float(known[nearest_rank(len(known), p) - 1]) for p in (25, 50, 75))
        limit = max(high + OUTLIER_IQR * (high - low), OUTLIER_RATIO * middle) if len(known) >= OUTLIER_N else np.inf
        return cls(len(known), float(known[0]), middle, float(known[-1]), limit)


@dataclass
class FirstWaits:
    """By row.

    Attributes:
        first: whether it began when its worker became ready, or may have.
        wait_s: from sending to the start of the work; NaN if unknown.
        least_s, most_s: its bounds.
        cold: NO or UNCERTAIN, or what makes it cold: LISTED, WAITED, or SLOW: the first answer of a worker that was ready is an
            outlier, because a model loads in it.
        load_s: of SLOW ones, by how much they exceed the median of the others; else 0.
        ready_s: by start: when the worker became ready; NaN without an estimate.
        usual: of the others.
    """

    first: Flags
    wait_s: Floats
    least_s: Floats
    most_s: Floats
    cold: NDArray[np.int8]
    load_s: Floats
    ready_s: Floats
    usual: Usual


@dataclass(frozen=True)
class Limits:
    """``cold_after_s`` and ``slack_s`` as in ``cold_start_rule``; ``per_worker``: requests at a time, None if unknown.

    ``listed``: whether the worker list was polled.
    """

    cold_after_s: float
    slack_s: float
    listed: bool
    per_worker: int | None


def first_waits(lives: list[Life], sent_s: Floats, done_s: Floats, ok: Flags, starts: int, limits: Limits) -> FirstWaits:
    """The waits of the requests in ``lives``; ``starts``: how many starts are known."""
    n = len(sent_s)
    lives = [replace(life, rows=_by_arrival(life.rows, sent_s, done_s, limits)) for life in lives]
    begun_s = on_disk(np.full(n, np.nan))
    first = np.zeros(n, dtype=bool)
    for life in lives:
        _follow(life, sent_s, done_s, limits, begun_s, first)
    usual = Usual.of([*(done_s - begun_s)[ok & ~np.isnan(begun_s)]])
    wait_s = on_disk(np.where(first, np.nan, begun_s - sent_s))
    cold, ready_s = np.zeros(n, dtype=np.int8), np.full(starts, np.nan)
    least_s, most_s, load_s = on_disk(wait_s.copy()), on_disk(wait_s.copy()), on_disk(np.zeros(n))
    found = FirstWaits(first, wait_s, least_s, most_s, cold, load_s, ready_s, usual)
    quick_s = _quick_s(lives, (done_s - sent_s), ok & ~first)
    for life in lives:
        rows = life.rows[first[life.rows]]
        if len(rows):
            _bound(life, rows, sent_s, done_s, found)
            found.cold[rows] = (_listed if life.start >= 0 else _unlisted)(life, rows, sent_s, done_s, quick_s, limits, found)
        elif len(life.rows) and (service_s := float(done_s[life.rows[0]] - sent_s[life.rows[0]])) > usual.outlier_s:
            found.cold[life.rows[0]], found.load_s[life.rows[0]] = SLOW, service_s - usual.middle_s
    return found


def _by_arrival(rows: Places, sent_s: Floats, done_s: Floats, limits: Limits) -> Places:
    """The rows, which are in order of sending, in the order in which they probably arrived; as far as they are followed.

    One place serves one after the other, so the order of their ends is that of their begins. With more, only requests that were sent
    within TOGETHER_S of each other may have changed places.
    """
    followed, rest = rows[:FOLLOWED], rows[FOLLOWED:]
    if limits.per_worker == 1:
        return np.concatenate([followed[np.argsort(done_s[followed], kind="stable")], rest])
    ordered: list[Places] = []
    while len(followed):
        many = int(np.searchsorted(sent_s[followed], sent_s[followed[0]] + TOGETHER_S, side="right"))
        together, followed = followed[:many], followed[many:]
        ordered.append(together[np.argsort(done_s[together], kind="stable")])
    return np.concatenate([*ordered, rest])


def _quick_s(lives: list[Life], service_s: Floats, rest: Flags) -> float:
    """A service time with little wait, or NaN if all are first on their workers."""
    rows = np.concatenate([life.rows for life in lives]) if lives else np.array([], dtype=np.intp)
    known = ascending(service_s[rows])
    return float(known[nearest_rank(len(known), QUICK) - 1]) if rest[rows].any() else np.nan


def _follow(life: Life, sent_s: Floats, done_s: Floats, limits: Limits, begun_s: Floats, first: Flags) -> None:
    """Marks the first requests, and notes when the others began where that is known."""
    rows, places = life.rows[:FOLLOWED], limits.per_worker
    begins = _by_places(rows, sent_s, done_s, life.to_s, places) if places else _alone(rows, sent_s, done_s, life.to_s, limits.slack_s)
    for row, begin_s in begins:
        first[row] = begin_s is None
        if begin_s is not None:
            begun_s[row] = begin_s


def _by_places(rows: Places, sent_s: Floats, done_s: Floats, ready_s: float, places: int) -> Iterator[tuple[int, float | None]]:
    """Each row with its begin, None for one of the first: those that take a place before the worker is known to be ready."""
    ends: list[float] = []
    for row in rows:
        arrived_s = float(sent_s[row])
        free_s = heapq.heappop(ends) if len(ends) >= places else None
        if free_s is None:
            yield int(row), None if arrived_s <= ready_s else arrived_s
        else:
            yield int(row), max(arrived_s, free_s)
        heapq.heappush(ends, float(done_s[row]))


def _alone(rows: Places, sent_s: Floats, done_s: Floats, ready_s: float, slack_s: float) -> Iterator[tuple[int, float | None]]:
    """The same where the number of places is unknown: the begin of a request is known if its worker had no other."""
    end_s = -np.inf
    first_end_s = float(done_s[rows].min()) if len(rows) else np.inf
    for row in rows:
        arrived_s, ended_s = float(sent_s[row]), float(done_s[row])
        warm = arrived_s > ready_s if np.isfinite(ready_s) else 0 <= arrived_s - end_s <= STILL_WARM_S
        if warm and arrived_s >= end_s:
            yield int(row), arrived_s
        elif arrived_s <= ready_s and ended_s <= first_end_s + slack_s:
            yield int(row), None
        else:
            yield int(row), np.nan
        end_s = max(end_s, ended_s)


def _bound(life: Life, rows: Places, sent_s: Floats, done_s: Floats, found: FirstWaits) -> None:
    """Fills in the waits of the first requests of a life, and when its worker became ready."""
    usual = found.usual
    sent, service = sent_s[rows], (done_s - sent_s)[rows]
    low_s, high_s = (usual.low_s, usual.high_s) if usual.n >= ENOUGH else (0.0, np.inf)
    least = np.maximum(np.maximum(life.from_s - sent, service - high_s), 0.0)
    found.least_s[rows] = least
    found.most_s[rows] = np.maximum(service - low_s, least)
    if usual.n:
        found.wait_s[rows] = np.clip(service - usual.middle_s, least, found.most_s[rows])
    if usual.n and life.start >= 0:
        ready_s = float((done_s[rows] - usual.middle_s).min())
        found.ready_s[life.start] = min(max(ready_s, life.from_s), life.to_s)


def _listed(
    life: Life, rows: Places, sent_s: Floats, done_s: Floats, quick_s: float, limits: Limits, found: FirstWaits
) -> NDArray[np.int8]:
    """Which are cold where the list bounds the time at which the worker became ready."""
    sent, usual = sent_s[rows], found.usual
    ready_by_s = min(life.to_s, float((done_s[rows] - usual.low_s).min()))
    waited = (sent <= life.from_s) | ((done_s[rows] - sent) > usual.high_s + limits.slack_s)
    return np.select([waited, sent > ready_by_s], [np.int8(LISTED), np.int8(NO)], np.int8(UNCERTAIN))


def _unlisted(
    life: Life, rows: Places, sent_s: Floats, done_s: Floats, quick_s: float, limits: Limits, found: FirstWaits
) -> NDArray[np.int8]:
    """The same by the wait alone: at least the difference to quick answers, at most the whole service time."""
    service = (done_s - sent_s)[rows]
    usual_s = found.usual.middle_s if found.usual.n else quick_s
    waited = service - usual_s >= limits.cold_after_s
    short = (service < limits.cold_after_s) | (found.usual.n > 0)
    return np.select([waited, short], [np.int8(WAITED), np.int8(NO)], np.int8(UNCERTAIN))
