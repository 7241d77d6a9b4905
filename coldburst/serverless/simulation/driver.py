"""The simulation: drives an endpoint and its modelled workers, by a wall clock or in virtual time.

A wall clock calls ``pump`` on each event and at ``wake_s``; virtual time jumps from ``wake_s`` to ``wake_s``. All that is due by
``now`` is done at its own instant and in order. A driver whose clock may be late also calls ``pump`` before it passes an event on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from coldburst.serverless.actions import Action, Cut, Deliver, Forward, Kill, Launch, Resume, Stop, StopJob
from coldburst.serverless.endpoint import Endpoint
from coldburst.serverless.simulation.modelled_worker import Crashed, ModelledWorker, Ping, Poll, Ready, WorkerEvent, Yielded
from coldburst.serverless.timers import Timer, Timers


@dataclass(frozen=True, slots=True)
class WorkerResult:
    """A modelled worker's answer to a request of the balancer."""

    request_id: str
    worker_id: str
    output: dict[str, Any]


class Simulation:
    """Drives an endpoint and its modelled workers; ``make_worker`` makes a worker when its container starts."""

    def __init__(self, endpoint: Endpoint, make_worker: Callable[[str], ModelledWorker]) -> None:
        self.endpoint = endpoint
        self._make_worker = make_worker
        self._workers: dict[str, ModelledWorker] = {}
        self._timers = Timers()
        self._wake_ups: dict[str, Timer] = {}
        self._reported: list[Action | WorkerResult] = []

    def wake_s(self) -> float | None:
        """When ``pump`` is due next; None = not before another event."""
        endpoint_due_s = self.endpoint.wake_s()
        due_s = min(self._timers.due_s(), math.inf if endpoint_due_s is None else endpoint_due_s)
        return None if due_s == math.inf else due_s

    def pump(self, now: float) -> list[Action | WorkerResult]:
        """Do all that is due by ``now``; the actions of use outside: Ended, Streamed, Changed, Forward, WorkerResult, GiveUp and Cut."""
        while (at := self.wake_s()) is not None and at <= now:
            actions = self.endpoint.actions(at)
            for action in actions:
                self._carry_out(action, at)
            if not actions:
                self._timers.fire(at)
        reported, self._reported = self._reported, []
        return reported

    def kill(self, worker_id: str, now: float) -> None:
        """End a worker's process, as an error would."""
        self._forget(worker_id)
        self.endpoint.gone(worker_id, now)

    def _carry_out(self, action: Action, now: float) -> None:
        if isinstance(action, Launch):
            worker = self._workers[action.worker_id] = self._make_worker(action.worker_id)
            worker.launch(now)
        elif isinstance(action, Stop | Kill):
            self.kill(action.worker_id, now)
        elif isinstance(action, Deliver):
            self._deliver(action, now)
        elif isinstance(action, StopJob | Forward | Cut):
            self._at_worker(action, now)
        if isinstance(action, Launch | Deliver | StopJob | Forward | Cut):
            self._set_wake_up(action.worker_id)
        if not isinstance(action, Launch | Resume | Stop | Kill | Deliver | StopJob):
            self._reported.append(action)

    def _deliver(self, action: Deliver, now: float) -> None:
        worker = self._workers.get(action.worker_id)
        if worker is None:
            self.endpoint.give_back(action.worker_id, [job.id for job in action.jobs], now)
        else:
            worker.deliver(action.jobs, now)

    def _at_worker(self, action: StopJob | Forward | Cut, now: float) -> None:
        worker = self._workers.get(action.worker_id)
        if worker is None:
            return
        if isinstance(action, StopJob):
            worker.stop_job(action.job_id, now)
        elif isinstance(action, Forward):
            worker.serve(action.request_id, now)
        else:
            worker.drop(action.request_id)

    def _set_wake_up(self, worker_id: str) -> None:
        self._timers.cancel(self._wake_ups.pop(worker_id, None))
        worker = self._workers.get(worker_id)
        wake_s = worker.wake_s() if worker is not None else None
        if wake_s is not None:
            self._wake_ups[worker_id] = self._timers.at(wake_s, partial(self._let_act, worker_id))

    def _let_act(self, worker_id: str, now: float) -> None:
        for event in self._workers[worker_id].act(now):
            self._report(worker_id, event, now)
        self._set_wake_up(worker_id)

    def _report(self, worker_id: str, event: WorkerEvent, now: float) -> None:
        endpoint = self.endpoint
        if isinstance(event, Ready):
            endpoint.ready(worker_id, now)
        elif isinstance(event, Crashed):
            self.kill(worker_id, now)
        elif isinstance(event, Poll):
            endpoint.poll(worker_id, event.want, now)
        elif isinstance(event, Ping):
            endpoint.ping(worker_id, event.job_ids, now)
        elif isinstance(event, Yielded):
            endpoint.stream(worker_id, event.id, event.chunk, now)
        elif endpoint.policy.kind == "QUEUE":
            endpoint.done(worker_id, event.id, event.body, now)
        else:
            endpoint.left(event.id, now)
            self._reported.append(WorkerResult(event.id, worker_id, event.body))

    def _forget(self, worker_id: str) -> None:
        self._workers.pop(worker_id, None)
        self._timers.cancel(self._wake_ups.pop(worker_id, None))
