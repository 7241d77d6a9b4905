"""The history of a run: one point per second, for charts and rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from coldburst.live.recent_rows import Quantiles
from coldburst.live.snapshot import RunSnapshot
from coldburst.targets.status_sampler import WORKERS

# Points that are kept: beyond it every second one is dropped, and from then on every second one is kept.
KEPT = 3600
LEAST_S = 0.5
COUNTS = ("sent", "ok", "not_ok")
Columns = Mapping[str, list[float | None]]


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """The end of one second. Counts are totals, so dropping a point loses nothing.

    Attributes:
        at_s: seconds from second 0.
        due: arrivals planned so far; None in a closed loop.
        sent, ok, not_ok: requests sent, ended ok and ended otherwise so far.
        in_flight, in_queue: requests in flight, and jobs in the endpoint's queue (None if unknown).
        workers: endpoint workers by state, in one of the endpoint's views.
        p50_s, p95_s: response time of the last ok answers.
        lateness_s: largest send delay since the previous point.
    """

    at_s: float = 0.0
    due: float | None = 0.0
    sent: int = 0
    ok: int = 0
    not_ok: int = 0
    in_flight: int = 0
    in_queue: int | None = None
    workers: Mapping[str, int] = field(default_factory=dict)
    p50_s: float | None = None
    p95_s: float | None = None
    lateness_s: float = 0.0


def sample(now: RunSnapshot, response_s: Quantiles, before: HistoryPoint) -> HistoryPoint:
    """The point for this moment. ``due`` stops when sending stops: arrivals that are left out then were not offered."""
    return HistoryPoint(
        # Rounded as the page shows it, so that asking for later points returns none twice.
        at_s=round(now.elapsed_s, 3),
        due=before.due if now.stopping else now.due,
        sent=now.sent,
        ok=now.ok,
        not_ok=now.not_ok,
        in_flight=now.in_flight,
        in_queue=now.jobs.get("in_queue"),
        workers=now.workers.get(now.view, {}),
        p50_s=response_s.p50_s,
        p95_s=response_s.p95_s,
        lateness_s=now.lateness_s,
    )


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests per second between two points: planned (None in a closed loop), sent, ended ok, ended otherwise."""

    offered: float | None = None
    sent: float = 0.0
    ok: float = 0.0
    not_ok: float = 0.0


def rates(before: HistoryPoint, after: HistoryPoint) -> Rates:
    """The rates from ``before`` to ``after``; zeros if no time has passed."""
    seconds = after.at_s - before.at_s
    if seconds <= 0:
        return Rates()
    offered = None if before.due is None or after.due is None else (after.due - before.due) / seconds
    return Rates(offered, *((getattr(after, name) - getattr(before, name)) / seconds for name in COUNTS))


class History:
    """The points of one run, oldest first, after an empty one at second 0."""

    def __init__(self, kept: int = KEPT) -> None:
        self._points = [HistoryPoint()]
        self._kept, self._step = kept, 1
        self._waiting: list[HistoryPoint] = []
        self._before = self.last = HistoryPoint()

    @property
    def last_second(self) -> Rates:
        """The rates of the last full second."""
        return rates(self._before, self.last)

    @property
    def overall(self) -> Rates:
        """The rates since second 0."""
        return rates(HistoryPoint(), self.last)

    def add(self, one: HistoryPoint) -> None:
        """Adds the point of a second, unless it is not later than the last: second 0 moves when the load starts."""
        if one.at_s <= self.last.at_s:
            return
        self._before, self.last = self.last, one
        self._waiting.append(one)
        if len(self._waiting) == self._step:
            self._keep_waiting()
        if len(self._points) > self._kept:
            first, *rest = self._points
            whole = len(rest) // 2 * 2
            self._points = [first, *(_merged(rest[place : place + 2]) for place in range(0, whole, 2)), *rest[whole:]]
            self._step *= 2

    def end(self, one: HistoryPoint) -> None:
        """Adds the run's last point. It replaces the previous one if that is so recent that rates between them would be noise."""
        kept = self._points[-1]
        if 0 < kept.at_s == self.last.at_s and one.at_s - kept.at_s < LEAST_S:
            self._points[-1] = self.last = _merged([kept, one])
            return
        self.add(one)
        if self._waiting:
            self._keep_waiting()

    def _keep_waiting(self) -> None:
        self._points.append(_merged(self._waiting))
        self._waiting.clear()

    def columns(self, since_s: float = -1.0) -> Columns:
        """The points after ``since_s`` as columns of equal length; rates are per second since the previous point."""
        pairs = [(before, after) for before, after in pairwise(self._points) if after.at_s > since_s]
        seen = [after for _, after in pairs]
        flows = [rates(before, after) for before, after in pairs]
        flat = ("at_s", "in_flight", "in_queue", "p50_s", "p95_s", "lateness_s")
        return {
            **{name: [_rounded(getattr(one, name)) for one in seen] for name in flat},
            **{f"{name}_per_s": [_rounded(getattr(flow, name)) for flow in flows] for name in ("offered", *COUNTS)},
            **{state: [one.workers.get(state) for one in seen] for state in WORKERS},
        }


def _merged(points: list[HistoryPoint]) -> HistoryPoint:
    """The last of them, which has the totals, with the largest send delay of all."""
    return replace(points[-1], lateness_s=max(one.lateness_s for one in points))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
