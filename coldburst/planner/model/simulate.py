"""One run in virtual time: arrivals, a client with its limits, and the platform's model with modelled workers."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from coldburst.planner.model.scenario import Scenario
from coldburst.randomness import stream
from coldburst.record.attempt import Attempt
from coldburst.schedule.retries import back_off_s
from coldburst.schedule.stages import Arrival, Stage, arrivals
from coldburst.serverless.actions import Cut, Ended, Forward, GiveUp
from coldburst.serverless.billing import Bill
from coldburst.serverless.endpoint import Endpoint
from coldburst.serverless.job import Job
from coldburst.serverless.quantiles import draw
from coldburst.serverless.simulation.driver import Listeners, Simulation, WorkerResult
from coldburst.serverless.simulation.modelled_worker import ModelledWorker
from coldburst.serverless.timers import Timer

# The endpoint exists this long before second 0, so that its minimum of workers is up.
LEAD_S = 3600.0
# Workers do not crash here, so no lease may end and no ping is needed.
LEASE_S = 1e9
# A place of a closed loop sends its requests at least so far apart.
PLACE_S = 0.001
# A queue's job and a balancer's answer, as outcomes of an attempt.
JOB_OUTCOMES = {"COMPLETED": "ok", "FAILED": "failed", "TIMED_OUT": "timed_out", "CANCELLED": "failed"}
ANSWER_OUTCOMES = {400: "queue_timeout", 404: "refused", 502: "unreachable"}
_BODY = {"input": "planned"}


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
class _Loop:
    """A closed loop in progress: its stage, when it stops sending, and the numbers of its requests."""

    stage: str
    end_s: float
    numbers: Iterator[int]
    last: int


@dataclass(slots=True, eq=False)
class _Request:
    arrival: Arrival
    loop: _Loop | None = None
    # Of the try that is open: "" between two tries.
    name: str = ""
    tries: int = 0
    held_s: float = 0.0
    sent_s: float = 0.0
    # Of the balancer: when it was forwarded, to whom, and whether that worker was cold.
    forwarded_s: float | None = None
    worker_id: str = ""
    cold: bool = False
    job: Job | None = None
    deadline: Timer | None = None


def simulate(scenario: Scenario, stages: Sequence[Stage], seed: int) -> SimulatedRun:
    """Runs the schedule against the endpoint. The same seed gives the same run; each kind of time has its own random stream."""
    return _Simulated(scenario, seed).run(stages)


class _Simulated:
    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario, self._client, self._seed = scenario, scenario.client, seed
        numbers = itertools.count(1)
        # Start and load are drawn together below, as the time from the launch to the first poll.
        platform = replace(scenario.platform, start_s=0.0, lease_s=LEASE_S)
        self._endpoint = Endpoint(
            scenario.policy, platform, now=-LEAD_S, seed=seed, new_id=lambda _: f"job-{next(numbers)}", price_per_s=scenario.usd_per_s
        )
        listeners: Listeners = {
            Ended: self._ended,
            Forward: self._forwarded,
            WorkerResult: self._answered,
            GiveUp: self._given_up,
            Cut: self._cut,
        }
        self._simulation = Simulation(self._endpoint, self._make_worker, listeners)
        self._streams = {name: stream(seed, name) for name in ("service", "start", "load", "speed", "jitter", "report", "retries")}
        self._queue = scenario.policy.kind == "QUEUE"
        self._cap = self._client.max_in_flight
        self._rows: list[Attempt] = []
        self._open: dict[str, _Request] = {}
        self._held: deque[_Request] = deque()
        # Requests that have not ended, those held back included, and places of a closed loop.
        self._left = self._in_flight = 0

    def run(self, stages: Sequence[Stage]) -> SimulatedRun:
        self._simulation.pump(0.0)
        before = self._endpoint.bill(0.0)
        seq, start_s, now = 0, 0.0, 0.0
        for stage in stages:
            if stage.closed:
                seq, now = self._closed(stage, seq, max(self._drain(now), start_s))
                start_s = now
                continue
            for arrival in arrivals([stage], self._seed, seq, start_s):
                seq, now = arrival.seq + 1, max(now, arrival.scheduled_s)
                self._simulation.pump(now)
                self._arrive(arrival, now)
            start_s += stage.duration_s or 0.0
        now = self._let_scale_down(self._drain(now))
        return SimulatedRun(self._rows, _difference(self._endpoint.bill(now), before), now)

    def _drain(self, now: float) -> float:
        """Goes on until every request has ended; that instant."""
        while self._left:
            wake_s = self._simulation.wake_s()
            if wake_s is None:
                raise RuntimeError("requests are open, but nothing is due: the model has lost them")
            now = max(now, wake_s)
            self._simulation.pump(now)
        return now

    def _let_scale_down(self, now: float) -> float:
        """Goes on until no worker is above the minimum; the instant of the last one's end."""
        least = self._scenario.policy.workers_min
        while self._endpoint.billed_workers > least and (wake_s := self._simulation.wake_s()) is not None:
            now = max(now, wake_s)
            self._simulation.pump(now)
        return now

    def _closed(self, stage: Stage, first_seq: int, now: float) -> tuple[int, float]:
        """A closed loop; the first number that it leaves, and when its last request has ended."""
        self._simulation.pump(now)
        numbers = itertools.count(first_seq) if stage.count is None else iter(range(first_seq, first_seq + stage.count))
        loop = _Loop(stage.name, math.inf if stage.duration_s is None else now + stage.duration_s, numbers, first_seq - 1)
        for _ in range(stage.concurrency or 0):
            self._left += 1
            self._send_next(loop, now)
        now = self._drain(now)
        return loop.last + 1, now

    def _send_next(self, loop: _Loop, now: float) -> None:
        """The next request of one place of a closed loop, or the end of the place."""
        if now < loop.end_s and (seq := next(loop.numbers, None)) is not None:
            loop.last = seq
            self._launch(_Request(Arrival(seq, now, loop.stage), loop), now)
        else:
            self._left -= 1

    def _arrive(self, arrival: Arrival, now: float) -> None:
        request = _Request(arrival)
        self._left += 1
        if self._cap is not None and self._in_flight >= self._cap:
            self._held.append(request)
        else:
            self._launch(request, now)

    def _launch(self, request: _Request, now: float) -> None:
        self._in_flight += 1
        scheduled_s = request.arrival.scheduled_s
        request.held_s = now - scheduled_s
        if self._client.deadline_s is not None:
            request.deadline = self._simulation.at(scheduled_s + self._client.deadline_s, self._deadline, request)
        self._send(request, now)

    def _send(self, request: _Request, now: float) -> None:
        request.tries += 1
        request.sent_s, request.forwarded_s, request.worker_id, request.cold = now, None, "", False
        if self._queue:
            request.job = self._endpoint.submit(_BODY, now)
            request.name = request.job.id
            self._open[request.name] = request
        else:
            request.name = f"{request.arrival.seq}-{request.tries}"
            self._open[request.name] = request
            self._endpoint.arrive(request.name, now)

    def _ended(self, action: Ended, now: float) -> None:
        job = action.job
        if request := self._open.pop(job.id, None):
            self._end(request, JOB_OUTCOMES[job.state], now, job.error or "")

    def _forwarded(self, action: Forward, now: float) -> None:
        if request := self._open.get(action.request_id):
            request.forwarded_s, request.worker_id, request.cold = now, action.worker_id, action.cold

    def _answered(self, result: WorkerResult, now: float) -> None:
        if request := self._open.pop(result.request_id, None):
            self._end(request, "failed" if "error" in result.output else "ok", now)

    def _given_up(self, action: GiveUp, now: float) -> None:
        if request := self._open.pop(action.request_id, None):
            self._end(request, ANSWER_OUTCOMES[action.status], now, action.reason)

    def _cut(self, action: Cut, now: float) -> None:
        if request := self._open.pop(action.request_id, None):
            self._end(request, "timed_out", now)

    def _deadline(self, request: _Request, now: float) -> None:
        name = request.name
        if self._open.pop(name, None) is None:
            return
        if self._queue:
            self._endpoint.cancel(name, now)
        else:
            self._endpoint.left(name, now)
        self._end(request, "abandoned", now)

    def _end(self, request: _Request, outcome: str, now: float, error: str = "") -> None:
        ok = outcome == "ok"
        done_s = now + self._client.overhead_s if ok else now
        self._rows.append(_row(request, outcome, done_s, now, error))
        pause_s = None if ok else self._client.retries.pause_s(outcome, request.tries, None, self._streams["retries"])
        if pause_s is not None:
            self._simulation.at(done_s + pause_s, self._send, request)
            return
        self._simulation.cancel(request.deadline)
        self._in_flight -= 1
        if request.loop is not None:
            self._go_on(request.loop, done_s, back_off_s(outcome, done_s - request.sent_s, None), request.sent_s)
            return
        self._left -= 1
        if self._held:
            self._simulation.at(done_s, self._launch, self._held.popleft())

    def _go_on(self, loop: _Loop, done_s: float, pause_s: float, sent_s: float) -> None:
        """Schedules the next request of a place of a closed loop, whose last one ended at ``done_s``."""
        pause_s = min(pause_s, max(loop.end_s - done_s, 0.0))
        self._simulation.at(max(done_s + pause_s, sent_s + PLACE_S), self._send_next, loop)

    def _make_worker(self, worker_id: str) -> ModelledWorker:
        scenario, streams = self._scenario, self._streams
        jitter = scenario.platform.jitter
        varies = streams["jitter"].uniform(1 - jitter, 1 + jitter) if jitter else 1.0
        speed = streams["speed"].uniform(1 - scenario.spread, 1 + scenario.spread) if scenario.spread else 1.0
        service_s, reports, report_s = scenario.service.sampler(streams["service"]), streams["report"], scenario.platform.report_s
        reported = self._queue and not scenario.with_report
        return ModelledWorker(
            worker_id,
            concurrency=scenario.concurrency,
            load_s=(scenario.start.draw(streams["start"]) + scenario.load.draw(streams["load"])) * varies,
            service=lambda job, rng: service_s(),
            rng=streams["service"],
            curve=scenario.curve,
            speed=speed * self._endpoint.host_speed(worker_id),
            report=(lambda: draw(report_s, reports)) if reported else float,
            ping_s=LEASE_S,
            echo=False,
        )


def _row(request: _Request, outcome: str, done_s: float, now: float, error: str) -> Attempt:
    arrival, job = request.arrival, request.job
    row = Attempt(arrival.seq, request.tries, arrival.stage, arrival.scheduled_s, outcome, "", request.held_s or None, request.sent_s)
    row.first_s, row.done_s, row.error, row.generator = done_s, done_s, error, "planner"
    if outcome == "ok":
        row.status = 200
    if job is not None:
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
