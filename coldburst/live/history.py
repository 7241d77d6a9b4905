"""The history of a run: one sample a second, for charts and rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from coldburst.live.recent_rows import Quantiles
from coldburst.live.snapshot import RunSnapshot
from coldburst.targets.status_sampler import WORKERS

KEPT = 3600
"""Samples kept at most: then every second one is dropped, and from there on only every second one is kept."""
LEAST_S = 0.5
Columns = Mapping[str, list[float | None]]


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """The end of one second. Counts are totals, so that dropping a sample loses nothing.

    Attributes:
        at_s: seconds from second 0.
        due: arrivals planned so far; None in a closed loop.
        sent, ok, not_ok: requests sent and ended so far.
        in_flight, in_queue: requests in flight and jobs in the endpoint's queue at that moment; None where it does not tell.
        workers: endpoint workers by state at that moment, in one of the endpoint's views.
        p50_s, p95_s: response time of the last answers ok.
        lateness_s: largest of the requests that ended since the sample before, or in the second before that.
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
    """The sample of this moment. Once nothing more is sent ``due`` stands still: what is left out then was not offered."""
    return HistoryPoint(
        at_s=round(now.elapsed_s, 3),  # as it is told: who asks for what came later gets nothing twice
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
    """Requests per second between two samples: planned (None in a closed loop), sent, ended ok, ended otherwise."""

    offered: float | None = None
    sent: float = 0.0
    ok: float = 0.0
    not_ok: float = 0.0


def rates(before: HistoryPoint, after: HistoryPoint) -> Rates:
    """From ``before`` to ``after``; nothing where no time lies between them."""
    seconds = after.at_s - before.at_s
    if seconds <= 0:
        return Rates()
    offered = None if before.due is None or after.due is None else (after.due - before.due) / seconds
    sent, ok, not_ok = ((getattr(after, name) - getattr(before, name)) / seconds for name in ("sent", "ok", "not_ok"))
    return Rates(offered, sent, ok, not_ok)


class History:
    """The samples of one run, oldest first; one before the first, of nothing, at second 0."""

    def __init__(self, kept: int = KEPT) -> None:
        self._samples = [HistoryPoint()]
        self._kept, self._step = kept, 1
        self._waiting: list[HistoryPoint] = []
        self._before = self.last = HistoryPoint()

    @property
    def last_second(self) -> Rates:
        """Of the last full second."""
        return rates(self._before, self.last)

    @property
    def overall(self) -> Rates:
        """Since second 0."""
        return rates(HistoryPoint(), self.last)

    def add(self, one: HistoryPoint) -> None:
        """Takes the sample of a second; none that is not later than the last one: second 0 is set anew when the load begins."""
        if one.at_s <= self.last.at_s:
            return
        self._before, self.last = self.last, one
        self._waiting.append(one)
        if len(self._waiting) == self._step:
            self._samples.append(_merged(self._waiting))
            self._waiting.clear()
        if len(self._samples) > self._kept:
            first, *rest = self._samples
            whole = len(rest) // 2 * 2
            self._samples = [first, *(_merged(rest[place : place + 2]) for place in range(0, whole, 2)), *rest[whole:]]
            self._step *= 2

    def end(self, one: HistoryPoint) -> None:
        """Takes the sample of the run's end; in the place of the last one, where so little time lies between that rates would be noise.

        What waited for the next sample to be kept is kept with it.
        """
        kept = self._samples[-1]
        if 0 < kept.at_s == self.last.at_s and one.at_s - kept.at_s < LEAST_S:
            self._samples[-1] = self.last = _merged([kept, one])
            return
        self.add(one)
        if self._waiting:
            self._samples.append(_merged(self._waiting))
            self._waiting.clear()

    def columns(self, since_s: float = -1.0) -> Columns:
        """The samples after ``since_s``, each column of equal length; rates are per second since the sample before."""
        pairs = [(before, after) for before, after in pairwise(self._samples) if after.at_s > since_s]
        seen = [after for _, after in pairs]
        flows = [rates(before, after) for before, after in pairs]
        flat = ("at_s", "in_flight", "in_queue", "p50_s", "p95_s", "lateness_s")
        return {
            **{name: [_rounded(getattr(one, name)) for one in seen] for name in flat},
            **{f"{name}_per_s": [_rounded(getattr(flow, name)) for flow in flows] for name in ("offered", "sent", "ok", "not_ok")},
            **{state: [one.workers.get(state) for one in seen] for state in WORKERS},
        }


def _merged(samples: list[HistoryPoint]) -> HistoryPoint:
    """The last of them, which has the totals, with the largest lateness of all."""
    return replace(samples[-1], lateness_s=max(one.lateness_s for one in samples))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
