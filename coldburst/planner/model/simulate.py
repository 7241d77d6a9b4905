"""One run in virtual time: arrivals, a client with its limits, and the platform's model with modelled workers."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

from coldburst.planner.model.scenario import Scenario
from coldburst.randomness import stream
from coldburst.record.attempt import Attempt
from coldburst.schedule.stages import Arrival
from coldburst.serverless.actions import Action, Cut, Ended, Forward, GiveUp
from coldburst.serverless.billing import Bill
from coldburst.serverless.endpoint import Endpoint
from coldburst.serverless.job import Job
from coldburst.serverless.quantiles import draw
from coldburst.serverless.simulation.driver import Simulation, WorkerResult
from coldburst.serverless.simulation.modelled_worker import ModelledWorker

# The endpoint exists this long before second 0, so that its minimum of workers is up.
LEAD_S = 3600.0
# Workers do not crash here, so no lease may end and no ping is needed.
LEASE_S = 1e9
# A queue's job and a balancer's answer, as outcomes of an attempt.
JOB_OUTCOMES = {"COMPLETED": "ok", "FAILED": "failed", "TIMED_OUT": "timed_out", "CANCELLED": "failed"}
ANSWER_OUTCOMES = {400: "queue_timeout", 404: "refused", 502: "unreachable"}
_BODY = {"input": {"planned": True}}


@dataclass(frozen=True, slots=True)
class SimulatedRun:
    """What happened.

    Attributes:
        rows: attempts in the order in which they ended; times in seconds from second 0.
        bill: worker time from second 0 until the endpoint was back at its minimum of workers.
        end_s: that instant.
    """

    rows: list[Attempt]
    bill: Bill
    end_s: float


@dataclass(slots=True, eq=False)
class _Request:
    arrival: Arrival
    tries: int = 0
    held_s: float = 0.0
    sent_s: float = 0.0
    # Of the balancer: when it was forwarded, to whom, and whether that worker was cold.
    forwarded_s: float | None = None
    worker_id: str = ""
    cold: bool = False
    job: Job | None = None


def simulate(scenario: Scenario, arrivals: Iterable[Arrival], seed: int) -> SimulatedRun:
    """Runs ``arrivals`` against the endpoint. The same seed gives the same run; each kind of time has its own random stream."""
    return _Simulated(scenario, arrivals, seed).run()


class _Simulated:
    def __init__(self, scenario: Scenario, arrivals: Iterable[Arrival], seed: int) -> None:
        self._scenario, self._client = scenario, scenario.client
        numbers = itertools.count(1)
        # Start and load are drawn together below, as the time from the launch to the first poll.
        platform = replace(scenario.platform, start_s=0.0, lease_s=LEASE_S)
        self._endpoint = Endpoint(
            scenario.policy, platform, now=-LEAD_S, seed=seed, new_id=lambda _: f"job-{next(numbers)}", price_per_s=scenario.usd_per_s
        )
        self._simulation = Simulation(self._endpoint, self._make_worker)
        self._seed = seed
        self._streams = {name: stream(seed, name) for name in ("service", "start", "load", "speed", "report", "retries")}
        self._queue = scenario.policy.kind == "QUEUE"
        self._rows: list[Attempt] = []
        self._open: dict[str, _Request] = {}
        self._held: deque[_Request] = deque()
        self._in_flight = 0
        self._due: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = itertools.count()
        self._arrivals = iter(arrivals)

    def run(self) -> SimulatedRun:
        self._simulation.pump(0.0)
        before = self._endpoint.bill(0.0)
        self._next_arrival()
        now = 0.0
        while self._due or self._open:
            now = self._step()
        now = self._let_scale_down(now)
        return SimulatedRun(self._rows, _difference(self._endpoint.bill(now), before), now)

    def _step(self) -> float:
        """Jumps to the next instant at which something is due, and does it."""
        wake_s = self._simulation.wake_s()
        now = self._due[0][0] if self._due else math.inf
        now = now if wake_s is None else min(now, wake_s)
        if now == math.inf:
            raise RuntimeError("requests are open, but nothing is due: the model has lost them")
        for action in self._simulation.pump(now):
            self._reported(action, now)
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2](now)
        return now

    def _let_scale_down(self, now: float) -> float:
        """Goes on until no worker is above the minimum; the instant of the last one's end."""
        least = self._scenario.policy.workers_min
        while (wake_s := self._simulation.wake_s()) is not None and self._billed_workers(now) > least:
            now = max(now, wake_s)
            self._simulation.pump(now)
        return now

    def _billed_workers(self, now: float) -> int:
        return sum(worker["state"] not in ("CACHED", "THROTTLED", "STOPPED", "UNHEALTHY") for worker in self._endpoint.workers(now))

    def _at(self, at_s: float, call: Callable[[float], None]) -> None:
        heapq.heappush(self._due, (at_s, next(self._numbers), call))

    def _next_arrival(self) -> None:
        if (arrival := next(self._arrivals, None)) is not None:
            self._at(arrival.scheduled_s, lambda now: self._arrive(arrival, now))

    def _arrive(self, arrival: Arrival, now: float) -> None:
        request = _Request(arrival)
        cap = self._client.max_in_flight
        if cap is not None and self._in_flight >= cap:
            self._held.append(request)
        else:
            self._launch(request, now)
        self._next_arrival()

    def _launch(self, request: _Request, now: float) -> None:
        self._in_flight += 1
        request.held_s = now - request.arrival.scheduled_s
        if self._client.deadline_s is not None:
            self._at(request.arrival.scheduled_s + self._client.deadline_s, lambda then: self._deadline(request, then))
        self._send(request, now)

    def _send(self, request: _Request, now: float) -> None:
        request.tries += 1
        request.sent_s, request.forwarded_s, request.worker_id, request.cold = now, None, "", False
        if self._queue:
            request.job = self._endpoint.submit(_BODY, now)
            self._open[request.job.id] = request
        else:
            name = f"{request.arrival.seq}-{request.tries}"
            self._open[name] = request
            self._endpoint.arrive(name, now)

    def _reported(self, action: Action | WorkerResult, now: float) -> None:
        if isinstance(action, Ended):
            if request := self._open.pop(action.job.id, None):
                self._end(request, JOB_OUTCOMES[action.job.state], now, action.job.error or "")
        elif isinstance(action, Forward):
            if request := self._open.get(action.request_id):
                request.forwarded_s, request.worker_id, request.cold = now, action.worker_id, action.cold
        elif isinstance(action, WorkerResult):
            if request := self._open.pop(action.request_id, None):
                self._end(request, "failed" if "error" in action.output else "ok", now)
        elif isinstance(action, GiveUp | Cut) and (request := self._open.pop(action.request_id, None)):
            outcome = ANSWER_OUTCOMES[action.status] if isinstance(action, GiveUp) else "timed_out"
            self._end(request, outcome, now, getattr(action, "reason", ""))

    def _deadline(self, request: _Request, now: float) -> None:
        name = next((name for name, open_one in self._open.items() if open_one is request), None)
        if name is None:
            return
        del self._open[name]
        if self._queue:
            self._endpoint.cancel(name, now)
        else:
            self._endpoint.left(name, now)
        self._end(request, "abandoned", now)

    def _end(self, request: _Request, outcome: str, now: float, error: str = "") -> None:
        done_s = now + (self._client.overhead_s if outcome == "ok" else 0.0)
        self._rows.append(_row(request, outcome, done_s, now, error, self._queue))
        pause_s = self._client.retries.pause_s(outcome, request.tries, None, self._streams["retries"])
        if pause_s is not None:
            self._at(done_s + pause_s, lambda then: self._send(request, then))
        elif self._held:
            self._in_flight -= 1
            self._at(done_s, partial(self._launch, self._held.popleft()))
        else:
            self._in_flight -= 1

    def _make_worker(self, worker_id: str) -> ModelledWorker:
        scenario, streams = self._scenario, self._streams
        speed = streams["speed"].uniform(1 - scenario.spread, 1 + scenario.spread) if scenario.spread else 1.0

        def service_s(_: Job, rng: random.Random) -> float:
            return scenario.service.draw(rng)

        reported = self._queue and not scenario.with_report
        return ModelledWorker(
            worker_id,
            concurrency=scenario.concurrency,
            load_s=scenario.start.draw(streams["start"]) + scenario.load.draw(streams["load"]),
            service=service_s,
            rng=streams["service"],
            curve=scenario.curve,
            speed=speed,
            report=(lambda: draw(scenario.platform.report_s, streams["report"])) if reported else float,
            ping_s=LEASE_S,
        )


def _row(request: _Request, outcome: str, done_s: float, now: float, error: str, queue: bool) -> Attempt:
    arrival, job = request.arrival, request.job
    row = Attempt(arrival.seq, request.tries, arrival.stage, arrival.scheduled_s, outcome, held_s=request.held_s or None)
    row.sent_s, row.first_s, row.done_s, row.error, row.generator = request.sent_s, done_s, done_s, error, "planner"
    if outcome == "ok":
        row.status = 200
    if queue and job is not None:
        row.queue_s, row.execution_s, row.worker_id, row.job_id = job.delay_s, job.execution_s, job.worker_id, job.id
        row.cold = job.cold if job.taken_s is not None else None
    elif request.forwarded_s is not None:
        row.queue_s, row.execution_s = request.forwarded_s - request.sent_s, now - request.forwarded_s
        row.worker_id, row.cold = request.worker_id, request.cold
    return row


def _difference(after: Bill, before: Bill) -> Bill:
    return Bill(
        after.start_s - before.start_s,
        after.execution_s - before.execution_s,
        after.idle_s - before.idle_s,
        after.billed_s - before.billed_s,
        after.usd - before.usd,
    )
