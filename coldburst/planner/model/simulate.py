"""One run in virtual time: arrivals, a client with its limits, and the platform's model with modelled workers."""

from __future__ import annotations

import copy
import gc
import itertools
import math
import random
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from coldburst.planner.model.distributions import Distribution
from coldburst.planner.model.scenario import Scenario
from coldburst.randomness import stream
from coldburst.record.attempt import Attempt
from coldburst.schedule.retries import back_off_s
from coldburst.schedule.stages import Stage, offsets
from coldburst.serverless.actions import Cut, Ended, Forward, GiveUp
from coldburst.serverless.billing import Bill
from coldburst.serverless.endpoint import Endpoint
from coldburst.serverless.job import Job
from coldburst.serverless.quantiles import Quantiles, draws
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


@dataclass(slots=True)
class Totals:
    """The requests of a run, by their last attempts.

    Attributes:
        times_s: response times of those that were answered.
        outcomes: how many ended how.
        cold: those that met a cold start.
        first_s, last_s: when the first one was due, and when the last one ended.
    """

    times_s: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    cold: int = 0
    first_s: float = math.inf
    last_s: float = -math.inf

    def count(self, outcome: str, scheduled_s: float, done_s: float | None, taken_s: float | None, *, cold: bool) -> None:
        """A further request; ``taken_s``: its response time, if it was answered."""
        outcomes = self.outcomes
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        if taken_s is not None:
            self.times_s.append(taken_s)
        if cold:
            self.cold += 1
        if scheduled_s < self.first_s:
            self.first_s = scheduled_s
        if done_s is not None and done_s > self.last_s:
            self.last_s = done_s


@dataclass(frozen=True, slots=True)
class SimulatedRun:
    """What happened.

    Attributes:
        rows: attempts in the order in which they ended; times in seconds from second 0. Empty if they were not kept.
        totals: of its requests, if the rows were not kept.
        bill: worker time from second 0 until the endpoint was back at its minimum of workers.
        end_s: that instant.
    """

    rows: list[Attempt]
    totals: Totals
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
    seq: int
    scheduled_s: float
    stage: str
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


def simulate(
    scenario: Scenario, stages: Sequence[Stage], seed: int, *, keep_rows: bool = True, phase_s: float | None = None
) -> SimulatedRun:
    """Runs the schedule against the endpoint. The same seed gives the same run; each kind of time has its own random stream.

    Args:
        phase_s: from the scaler's last check to second 0; None = drawn, since no client knows it.
    """
    if phase_s is None:
        phase_s = stream(seed, "phase").uniform(0.0, scenario.platform.check_s)
    # Nothing of a run is garbage until it has ended: looking for some took a tenth of the time.
    collects = gc.isenabled()
    gc.disable()
    try:
        return _Simulated(scenario, seed, keep_rows, phase_s).run(stages)
    finally:
        if collects:
            gc.enable()


# Runs of one seed meet the same arrivals and times, whatever the settings. So these are drawn once as long as the seed stays the same;
# each run begins with its own copy of the draws.
@lru_cache(maxsize=1)
def _arrivals(stages: tuple[Stage, ...], seed: int) -> list[array[float]]:
    """Seconds from the start of each stage; none of a closed loop, whose requests depend on answers."""
    return [array("d", () if stage.closed else offsets(stage, seed)) for stage in stages]


@lru_cache(maxsize=1)
def _services(service: Distribution, seed: int) -> Iterator[float]:
    return itertools.tee(service.draws(stream(seed, "service")), 1)[0]


@lru_cache(maxsize=1)
def _reports(report_s: float | Quantiles, seed: int) -> Iterator[float]:
    return itertools.tee(draws(report_s, stream(seed, "report")), 1)[0]


class _Simulated:
    def __init__(self, scenario: Scenario, seed: int, keep_rows: bool, phase_s: float) -> None:
        self._scenario, self._client, self._seed, self._keep_rows = scenario, scenario.client, seed, keep_rows
        numbers = itertools.count(1)
        # Start and load are drawn together below, as the time from the launch to the first poll.
        platform = replace(scenario.platform, start_s=0.0, lease_s=LEASE_S)
        self._endpoint = Endpoint(
            scenario.policy,
            platform,
            now=-LEAD_S - phase_s,
            seed=seed,
            new_id=lambda _: f"job-{next(numbers)}",
            price_per_s=scenario.usd_per_s,
        )
        listeners: Listeners = {
            Ended: self._ended,
            Forward: self._forwarded,
            WorkerResult: self._answered,
            GiveUp: self._given_up,
            Cut: self._cut,
        }
        self._simulation = Simulation(self._endpoint, self._make_worker, listeners)
        self._streams = {name: stream(seed, name) for name in ("start", "load", "speed", "jitter", "retries")}
        service_s = copy.copy(_services(scenario.service, seed)).__next__
        self._service: Callable[[Job, random.Random], float] = lambda job, rng: service_s()
        self._report_s = copy.copy(_reports(scenario.platform.report_s, seed)).__next__
        self._queue = scenario.policy.kind == "QUEUE"
        self._cap = self._client.max_in_flight
        self._rows: list[Attempt] = []
        self._totals = Totals()
        self._open: dict[str, _Request] = {}
        self._held: deque[_Request] = deque()
        # Requests that have not ended, those held back included, and places of a closed loop.
        self._left = self._in_flight = 0

    def run(self, stages: Sequence[Stage]) -> SimulatedRun:
        self._simulation.pump(0.0)
        before = self._endpoint.bill(0.0)
        seq, start_s, now = 0, 0.0, 0.0
        for stage, offsets_s in zip(stages, _arrivals(tuple(stages), self._seed), strict=True):
            if stage.closed:
                seq, now = self._closed(stage, seq, max(self._drain(now), start_s))
                start_s = now
                continue
            for offset_s in offsets_s:
                due_s = start_s + offset_s
                now = max(now, due_s)
                self._simulation.pump(now)
                self._arrive(_Request(seq, due_s, stage.name), now)
                seq += 1
            start_s += stage.duration_s or 0.0
        now = self._let_scale_down(self._drain(now))
        return SimulatedRun(self._rows, self._totals, _difference(self._endpoint.bill(now), before), now)

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
            self._launch(_Request(seq, now, loop.stage, loop), now)
        else:
            self._left -= 1

    def _arrive(self, request: _Request, now: float) -> None:
        self._left += 1
        if self._cap is not None and self._in_flight >= self._cap:
            self._held.append(request)
        else:
            self._launch(request, now)

    def _launch(self, request: _Request, now: float) -> None:
        self._in_flight += 1
        request.held_s = now - request.scheduled_s
        if self._client.deadline_s is not None:
            request.deadline = self._simulation.at(request.scheduled_s + self._client.deadline_s, self._deadline, request)
        self._send(request, now)

    def _send(self, request: _Request, now: float) -> None:
        request.tries += 1
        request.sent_s = now
        if request.forwarded_s is not None:
            request.forwarded_s, request.worker_id, request.cold = None, "", False
        if self._queue:
            request.job = self._endpoint.submit(_BODY, now)
            request.name = request.job.id
            self._open[request.name] = request
        else:
            request.name = f"{request.seq}-{request.tries}"
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
        if self._keep_rows:
            self._rows.append(_row(request, outcome, done_s, now, error))
        pause_s = None if ok else self._client.retries.pause_s(outcome, request.tries, None, self._streams["retries"])
        if pause_s is not None:
            self._simulation.at(done_s + pause_s, self._send, request)
            return
        if not self._keep_rows:
            due_s, cold = request.scheduled_s, request.cold if request.job is None else request.job.cold
            self._totals.count(outcome, due_s, done_s, done_s - due_s if ok else None, cold=cold)
        if request.deadline is not None:
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
        reported = self._queue and not scenario.with_report
        return ModelledWorker(
            worker_id,
            concurrency=scenario.concurrency,
            load_s=(scenario.start.draw(streams["start"]) + scenario.load.draw(streams["load"])) * varies,
            service=self._service,
            # Not used: see _service.
            rng=streams["speed"],
            curve=scenario.curve,
            speed=speed * self._endpoint.host_speed(worker_id),
            report=self._report_s if reported else float,
            ping_s=LEASE_S,
            echo=False,
        )


def _row(request: _Request, outcome: str, done_s: float, now: float, error: str) -> Attempt:
    job = request.job
    row = Attempt(request.seq, request.tries, request.stage, request.scheduled_s, outcome, "", request.held_s or None, request.sent_s)
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
