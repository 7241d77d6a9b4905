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
MOST_RUNS = 100
"""Runs of one process that are remembered; the newest of them with its samples, the others by how they ended."""


@dataclass(frozen=True, slots=True)
class LiveRates:
    """What a RunMonitor adds to a RunSnapshot.

    Attributes:
        last_second, overall: rates of the last full second, and since second 0.
        response_s, queue_s: of the last answers ok.
        worker_s: endpoint workers that cost × time, in worker-seconds, as the worker list had them each second; None where there is none.
        usd: ``worker_s`` at the price; None where either is not known. An estimate: the platform's bill is another count.
    """

    last_second: Rates
    overall: Rates
    response_s: Quantiles
    queue_s: Quantiles
    worker_s: float | None
    usd: float | None


class RunMonitor:
    """Follows one run from its start to its end.

    Attributes:
        history: one sample a second.
        events: cold starts, and what went wrong why.
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
        """The run as it stands now; as it ended, from then on."""
        run = self._run
        if run is None:
            return self._live
        self._live = snapshot(run)
        if self._live.finished:
            self._end()
        return self._live

    @property
    def live_rates(self) -> LiveRates:
        """What came of it per second, lately and so far."""
        usd_per_s, worker_s = self._live.usd_per_s, self._worker_s
        return LiveRates(
            self.history.last_second,
            self.history.overall,
            self._answers.response_s,
            self._answers.queue_s,
            worker_s,
            None if usd_per_s is None or worker_s is None else usd_per_s * worker_s,
        )

    def stop(self) -> None:
        """Follows no more."""
        self._greenlet.kill()

    def _follow(self) -> None:
        while self._run is not None:
            gevent.sleep(EVERY_S)
            if not self.snapshot.finished:
                self.history.add(self._sample(self._live))

    def _end(self) -> None:
        """Takes the last sample, and lets go of the run."""
        self._run = None
        try:
            about = json.loads((self._live.folder / "run.json").read_text(encoding="utf-8"))
            self._live = replace(self._live, elapsed_s=float(about["elapsed_s"]))
        except (OSError, ValueError, TypeError, LookupError):
            pass  # the disk was full, and the clock that went on a little stands in its place
        self.history.end(self._sample(self._live))

    def _sample(self, now: RunSnapshot) -> HistoryPoint:
        self._answers.update()
        if now.paid_workers is not None:
            self._worker_s = (self._worker_s or 0.0) + now.paid_workers * max(now.elapsed_s - self.history.last.at_s, 0.0)
        return sample(now, self._answers.response_s, self.history.last)


class RunMonitors:
    """The runs of this process."""

    def __init__(self) -> None:
        self.latest: RunMonitor | None = None
        self._ended: list[RunSnapshot] = []

    def begin(self, run: RunView | None) -> None:
        """Follows the run that begins; None: it could not."""
        if run is None:
            return
        if self.latest is not None:
            self._ended = [*self._ended, self.latest.snapshot][-MOST_RUNS:]
            self.latest.stop()
        self.latest = RunMonitor(run)

    @property
    def runs(self) -> Sequence[RunSnapshot]:
        """All of them, newest first."""
        return ([self.latest.snapshot] if self.latest else []) + self._ended[::-1]
