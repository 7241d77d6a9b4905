"""Samples the current run once a second: rates, percentiles of the last answers, estimated cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import gevent

from coldburst.live.history import History, HistoryPoint, Rates, sample
from coldburst.live.recent_rows import Quantiles, RecentAnswers, RecentEvents
from coldburst.live.snapshot import RunSnapshot, RunView, snapshot

EVERY_S = 1.0
# Ended runs of this process that are remembered.
MOST_RUNS = 100


@dataclass(frozen=True, slots=True)
class LiveRates:
    """What a RunMonitor adds to a RunSnapshot.

    Attributes:
        last_second, overall: rates of the last full second, and since second 0.
        response_s, queue_s: times of the last ok answers.
        worker_s: worker-seconds that cost money, from the worker list of each second; None without one.
        usd: ``worker_s`` × price, an estimate; None if either is unknown. With --max-spend, what is metered.
    """

    last_second: Rates
    overall: Rates
    response_s: Quantiles
    queue_s: Quantiles
    worker_s: float | None
    usd: float | None


class RunMonitor:
    """Follows one run from start to end.

    Attributes:
        history: one point per second.
        events: cold starts and failures.
    """

    def __init__(self, run: RunView) -> None:
        self._run: RunView | None = run
        self._live = snapshot(run)
        self._answers = RecentAnswers()
        self._worker_s: float | None = None
        self.history, self.events = History(), RecentEvents()
        run.recorder.attempt_listeners.append(self._answers.add)
        run.recorder.event_listeners.append(self.events.add)
        self._greenlet = gevent.spawn(self._follow)

    @property
    def snapshot(self) -> RunSnapshot:
        """The run now, or as it ended."""
        if self._run is not None:
            self._live = snapshot(self._run)
            if self._live.finished:
                self._end()
        return self._live

    @property
    def live_rates(self) -> LiveRates:
        """Rates, times and cost so far."""
        usd_per_s, worker_s = self._live.usd_per_s, self._worker_s
        usd = None if usd_per_s is None or worker_s is None else usd_per_s * worker_s
        usd = usd if self._live.spent_usd is None else self._live.spent_usd
        history, answers = self.history, self._answers
        return LiveRates(history.last_second, history.overall, answers.response_s, answers.queue_s, worker_s, usd)

    def add_point(self) -> None:
        """Adds a point for this moment to the history; an ended run has its last point already."""
        if not self.snapshot.finished:
            self.history.add(self._sample(self._live))

    def stop(self) -> None:
        """Stops sampling."""
        self._greenlet.kill()

    def _follow(self) -> None:
        while self._run is not None:
            gevent.sleep(EVERY_S)
            self.add_point()

    def _end(self) -> None:
        """Takes the last sample and drops the run."""
        self._run = None
        try:
            about = json.loads((self._live.folder / "run.json").read_text(encoding="utf-8"))
            self._live = replace(self._live, elapsed_s=float(about["elapsed_s"]))
        except (OSError, ValueError, TypeError, LookupError):
            # The disk was full: the clock's time, which is a little later, stays.
            pass
        self.history.end(self._sample(self._live))

    def _sample(self, now: RunSnapshot) -> HistoryPoint:
        self._answers.update()
        if now.paid_workers is not None:
            self._worker_s = (self._worker_s or 0.0) + now.paid_workers * max(now.elapsed_s - self.history.last.at_s, 0.0)
        return sample(now, self._answers.response_s, self.history.last)


class RunMonitors:
    """The runs of this process; only the latest keeps its history."""

    def __init__(self) -> None:
        self.latest: RunMonitor | None = None
        self._ended: list[RunSnapshot] = []

    def begin(self, run: RunView | None) -> None:
        """Follows a run that starts; None if it could not."""
        if run is None:
            return
        if self.latest is not None:
            self._ended = [*self._ended, self.latest.snapshot][-MOST_RUNS:]
            self.latest.stop()
        self.latest = RunMonitor(run)

    @property
    def runs(self) -> Sequence[RunSnapshot]:
        """All runs, newest first."""
        return ([self.latest.snapshot] if self.latest else []) + self._ended[::-1]
