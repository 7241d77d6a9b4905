"""The simulation: drives an endpoint and its modelled workers, by a wall clock or in virtual time.

A wall clock calls ``pump`` on each event and at ``wake_s``; virtual time jumps from ``wake_s`` to ``wake_s``. All that is due by
``now`` is done at its own instant and in order. A driver whose clock may be late also calls ``pump`` before it passes an event on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from coldburst.serverless.actions import Action, Changed, Cut, Deliver, Forward, Kill, Launch, Resume, Stop, StopJob
from coldburst.serverless.endpoint import Endpoint
from coldburst.serverless.simulation.modelled_worker import Crashed, Finished, ModelledWorker, Ping, Poll, Ready, WorkerEvent
from coldburst.serverless.timers import Timer, Timers


# Not frozen, though nobody changes one: see actions.py.
@dataclass(slots=True, unsafe_hash=True)
class WorkerResult:
    """A modelled worker's answer to a request of the balancer."""

    request_id: str
    worker_id: str
    output: dict[str, Any]


Listeners = dict[type, Callable[[Any, float], object]]
Subject = TypeVar("Subject")


@dataclass(slots=True, eq=False)
class _Driven:
    """A worker, and its next wake-up."""

    id: str
    worker: ModelledWorker
    wake_up: Timer | None = None


def _ignore(action: object, now: float) -> None:
    """Nothing is to be done."""


class Simulation:
    """Drives an endpoint and its modelled workers.

    Args:
        make_worker: makes a worker when its container starts.
        listeners: called with each action of use outside and its instant, by the type of the action; those of other types are dropped.
            Without listeners ``pump`` returns them all.
    """

    def __init__(self, endpoint: Endpoint, make_worker: Callable[[str], ModelledWorker], listeners: Listeners | None = None) -> None:
        self.endpoint = endpoint
        self._make_worker = make_worker
        self._driven: dict[str, _Driven] = {}
        self._timers = Timers()
        self._listeners = listeners
        self._reported: list[Action | WorkerResult] = []
        self._queue = endpoint.policy.kind == "QUEUE"
        self._carry_out: Listeners = {
            **dict.fromkeys(get_args(Action), self._tell),
            **(listeners or {}),
            Launch: self._launch,
            Stop: self._end,
            Kill: self._end,
            Deliver: self._deliver,
            StopJob: self._stop_job,
            Forward: self._forward,
            Cut: self._cut,
            Resume: _ignore,
        }
        if listeners is not None and Changed not in listeners:
            endpoint.leave_out_changes()

    def wake_s(self) -> float | None:
        """When ``pump`` is due next; None = not before another event."""
        due_s = min(self._timers.next_s, self.endpoint.due_s())
        return None if due_s == math.inf else due_s

    def pump(self, now: float) -> list[Action | WorkerResult]:
        """Do all that is due by ``now``; the actions of use outside: Ended, Streamed, Changed, Forward, WorkerResult, GiveUp and Cut."""
        endpoint, timers, carry_out = self.endpoint, self._timers, self._carry_out
        while True:
            due_s, worker_due_s = endpoint.due_s(), timers.next_s
            if due_s <= worker_due_s:
                if due_s > now:
                    break
                for action in endpoint.actions(due_s):
                    carry_out[type(action)](action, due_s)
            elif worker_due_s <= now:
                timers.fire()
            else:
                break
        reported = self._reported
        if reported:
            self._reported = []
        return reported

    def at(self, due_s: float, call: Callable[[Subject, float], object], what: Subject) -> Timer:
        """Call ``call(what, due_s)`` in its turn: an input of the simulation."""
        return self._timers.at(due_s, call, what)

    def cancel(self, timer: Timer | None) -> None:
        """Cancel a call."""
        self._timers.cancel(timer)

    def _tell(self, action: Action | WorkerResult, now: float) -> None:
        if self._listeners is None:
            self._reported.append(action)
        elif listener := self._listeners.get(type(action)):
            listener(action, now)

    def kill(self, worker_id: str, now: float) -> None:
        """End a worker's process, as an error would."""
        if driven := self._driven.pop(worker_id, None):
            self._timers.cancel(driven.wake_up)
        self.endpoint.gone(worker_id, now)

    def _launch(self, action: Launch, now: float) -> None:
        driven = self._driven[action.worker_id] = _Driven(action.worker_id, self._make_worker(action.worker_id))
        driven.worker.launch(now)
        self._set_wake_up(driven)

    def _end(self, action: Stop | Kill, now: float) -> None:
        self.kill(action.worker_id, now)

    def _deliver(self, action: Deliver, now: float) -> None:
        if driven := self._driven.get(action.worker_id):
            driven.worker.deliver(action.jobs, now)
            self._set_wake_up(driven)
        else:
            self.endpoint.give_back(action.worker_id, [job.id for job in action.jobs], now)

    def _stop_job(self, action: StopJob, now: float) -> None:
        if driven := self._driven.get(action.worker_id):
            driven.worker.stop_job(action.job_id, now)
            self._set_wake_up(driven)

    def _forward(self, action: Forward, now: float) -> None:
        if driven := self._driven.get(action.worker_id):
            driven.worker.serve(action.request_id, now)
            self._set_wake_up(driven)
        self._tell(action, now)

    def _cut(self, action: Cut, now: float) -> None:
        if driven := self._driven.get(action.worker_id):
            driven.worker.drop(action.request_id, now)
            self._set_wake_up(driven)
        self._tell(action, now)

    def _set_wake_up(self, driven: _Driven) -> None:
        if driven.wake_up is not None:
            self._timers.cancel(driven.wake_up)
        wake_s = driven.worker.wake_s()
        driven.wake_up = None if wake_s is None else self._timers.at(wake_s, self._let_act, driven)

    def _let_act(self, driven: _Driven, now: float) -> None:
        driven.wake_up = None
        worker = driven.worker
        for event in worker.act(now):
            self._report(driven.id, event, now)
        if driven.id in self._driven and (wake_s := worker.wake_s()) is not None:
            driven.wake_up = self._timers.at(wake_s, self._let_act, driven)

    def _report(self, worker_id: str, event: WorkerEvent, now: float) -> None:
        endpoint = self.endpoint
        if isinstance(event, Finished):
            if self._queue:
                endpoint.done(worker_id, event.id, event.body, now)
            else:
                endpoint.left(event.id, now)
                self._tell(WorkerResult(event.id, worker_id, event.body), now)
        elif isinstance(event, Poll):
            endpoint.poll(worker_id, event.want, now)
        elif isinstance(event, Ready):
            endpoint.ready(worker_id, now)
        elif isinstance(event, Crashed):
            self.kill(worker_id, now)
        elif isinstance(event, Ping):
            endpoint.ping(worker_id, event.job_ids, now)
        else:
            endpoint.stream(worker_id, event.id, event.chunk, now)
