"""A modelled endpoint worker: no process, but the pull loop of the runpod SDK, with its ceiling on jobs per second.

Modelled as measured with runpod 1.12.0 (module ``rp_scale``):

* One loop takes jobs: it asks for ``concurrency - occupancy`` and waits for the answer; with nothing to ask for it sleeps 1 s.
  Another picks taken jobs up: 100 ms after its last look, and at once when a job ends. So a job waits 0 to 100 ms, which follows from
  that last look and is not random (mean 50 ms for random arrivals; measured median 40 to 72, maximum 101).
* A taken job that is not picked up yet counts twice in the occupancy.
* A poll keeps the number it asked for until it is answered or its hold ends.
* A process of its own sends a ping with the worker's jobs every 10 s.
* An order to stop a job that is not picked up yet is forgotten: the job runs, and its result is ignored.

So a worker of concurrency 1 takes a job every ceil(p + d) seconds, with the wait p and the job's time d.
"""

from __future__ import annotations

import heapq
import json
import math
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Any

from coldburst.serverless.job import Job
from coldburst.serverless.simulation.service_curve import ServiceCurve
from coldburst.serverless.simulation.token_generation import Generation, TokenRate, generation

TICK_S = 0.1
FULL_S = 1.0
NOTHING: dict[str, Any] = {"output": None}
ECHO_MOST = 1000
"""Longest input, in characters, that is echoed."""
TURN_S = 0.002
"""From the answer to a poll to the next poll, over loopback: jobs that arrive together are taken together."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded."""


@dataclass(frozen=True, slots=True)
class Crashed:
    """The process has ended by itself."""


# Not frozen, though nobody changes one, as the actions of every job: see actions.py.
@dataclass(slots=True, unsafe_hash=True)
class Poll:
    """Asks for up to ``want`` jobs."""

    want: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Is alive, with these jobs."""

    job_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Yielded:
    """A chunk of a job's output, for job-stream."""

    id: str
    chunk: Any


@dataclass(slots=True, unsafe_hash=True)
class Finished:
    """The body of job-done, or the answer to a request."""

    id: str
    body: dict[str, Any]


WorkerEvent = Ready | Crashed | Poll | Ping | Yielded | Finished


@dataclass(eq=False)
class ModelledWorker:
    """One worker: the driver reports events, and ``act`` returns what the worker does.

    Args:
        load_s: launch to ready; None = never ready.
        service: seconds for a job; called once per job, with ``rng``.
        tokens: how fast it generates for jobs that ask for tokens; None = such a job is one like any other.
        first_extra_s: added to the first job.
        memory_gb_per_job, card_gb, shared_gb: n jobs need shared + n × per job; the job that exceeds the card fails at once.
        never_acks: whether it takes jobs without reporting on them, as the SDK does with a job without input.
        crash_after_s: launch to a crash; None = no crash.
        hold_s: how long the platform holds a poll.
        turn_s: from the answer to a poll to the next poll.
        curve: factor of the service time by the number of jobs at the worker.
        speed: factor of the service time of the worker's host.
        report: seconds from the end of a job to its report; 0 for requests of a balancer.
        echo: whether its answers have the job's input.
    """

    id: str
    _: KW_ONLY
    concurrency: int = 1
    load_s: float | None
    service: Callable[[Job, random.Random], float]
    rng: random.Random
    tokens: TokenRate | None = None
    first_extra_s: float = 0.0
    memory_gb_per_job: float = 0.0
    card_gb: float = 0.0
    shared_gb: float = 0.0
    never_acks: Callable[[], bool] = bool
    crash_after_s: float | None = None
    ping_s: float = 10.0
    hold_s: float = 20.0
    turn_s: float = TURN_S
    curve: ServiceCurve | None = None
    speed: float = 1.0
    report: Callable[[], float] = float
    echo: bool = True

    def __post_init__(self) -> None:
        self._extra_s = self.first_extra_s
        # Infinity: not to be expected.
        self._ready_s = self._crash_s = self._next_poll_s = self._next_ping_s = math.inf
        # When the one job of a worker of concurrency 1 is picked up.
        self._picked_up_s = -math.inf
        # The open poll: since when, and for how many; 0 = none.
        self._polled_s, self._polled = 0.0, 0
        self._origin_s = self._last_pickup_s = self._queued_s = 0.0
        self._to_send = self._jobs_started = 0
        self._queue: deque[Job] = deque()
        self._running: dict[str, int] = {}
        self._failing: set[str] = set()
        self._factors: dict[int, float] = {}
        self._job_ends: list[tuple[float, int, str, dict[str, Any]]] = []
        # When each is due, the number of its start, its own number, its job, the answer, and when that began.
        self._chunks: list[tuple[float, int, int, str, Generation, float]] = []

    @property
    def occupancy(self) -> int:
        """Jobs as the SDK counts them: one that waits to be picked up counts twice."""
        return len(self._running) + 2 * len(self._queue)

    def launch(self, now: float) -> None:
        """The container has started."""
        self._origin_s, self._next_ping_s = now, now + self.ping_s
        self._ready_s = math.inf if self.load_s is None else now + self.load_s
        self._crash_s = math.inf if self.crash_after_s is None else now + self.crash_after_s

    def deliver(self, jobs: Iterable[Job], now: float) -> None:
        """The answer to its poll."""
        if self._next_ping_s <= now:
            self._skip_pings(now)
        want, self._polled = self._polled or 1, 0
        queue = self._queue
        if not queue:
            self._queued_s = now
        for job in jobs:
            # Without input the SDK does not acknowledge a single job.
            if not (self.never_acks() or (want == 1 and not job.input["input"])):
                queue.append(job)
        free = self.concurrency - len(self._running) - 2 * len(queue)
        self._to_send = free if free > 0 else 0
        self._next_poll_s = now + (self.turn_s if free > 0 else FULL_S)
        if self.concurrency == 1 and queue and not self._running:
            # Nothing can come before its pick-up, so that needs no wake-up of its own.
            self._picked_up_s = self._last_pickup_s = self._tick_s()
            self._start_job(queue.popleft(), self._picked_up_s)

    def stop_job(self, job_id: str, now: float) -> None:
        """Drop a running job; a job that is not picked up yet is not known here."""
        self._skip_looks(now)
        if now > self._picked_up_s and self._running.pop(job_id, None) is not None:
            self._failing.discard(job_id)
            self._last_pickup_s = now

    def serve(self, request_id: str, now: float) -> None:
        """A request from the balancer."""
        if self._next_poll_s < now:
            self._skip_looks(now)
        if self._next_ping_s <= now:
            self._skip_pings(now)
        self._start_job(Job(request_id, True, {"input": {}}, "IN_PROGRESS", now, now, 0.0), now)

    def drop(self, request_id: str, now: float) -> None:
        """Drop a request that was cut."""
        self._skip_looks(now)
        self._running.pop(request_id, None)
        self._failing.discard(request_id)

    def wake_s(self) -> float | None:
        """When ``act`` is due next."""
        running, queue, ends = self._running, self._queue, self._job_ends
        if not running and not queue:
            due_s = self._idle_due_s()
            return None if due_s == math.inf else due_s
        while ends and running.get(ends[0][2]) != ends[0][1]:
            heapq.heappop(ends)
        due_s = ends[0][0] if ends else math.inf
        free = self.concurrency - len(running) - 2 * len(queue)
        if self._polled:
            if self._polled != free and self._polled_s + self.hold_s < due_s:
                due_s = self._polled_s + self.hold_s
        # A full worker that looks for work finds that it needs none: _skip_looks.
        elif self._next_poll_s < due_s and (free > 0 or self._to_send):
            due_s = self._next_poll_s
        if self._crash_s < due_s:
            due_s = self._crash_s
        if queue and len(running) < self.concurrency:
            due_s = min(due_s, self._tick_s())
        if self._next_ping_s < due_s:
            due_s = self._next_ping_s
        if self._chunks:
            due_s = min(due_s, self._chunk_due_s())
        return due_s

    def _idle_due_s(self) -> float:
        """When ``act`` is due of a worker without jobs."""
        due_s = self._ready_s if self._ready_s < self._crash_s else self._crash_s
        if not self._polled:
            return self._next_poll_s if self._next_poll_s < due_s else due_s
        return due_s if self._polled == self.concurrency else min(due_s, self._polled_s + self.hold_s)

    def act(self, now: float) -> list[WorkerEvent]:
        """What the worker does at ``now``, in order; to be called at ``wake_s()``."""
        if self._next_poll_s < now:
            self._skip_looks(now)
        events: list[WorkerEvent] = []
        if self._crash_s <= now:
            self._crash_s = self._ready_s = math.inf
            return [Crashed()]
        if self._ready_s <= now:
            self._ready_s, self._last_pickup_s, self._next_poll_s = math.inf, now, now
            events.append(Ready())
        if self._chunks:
            self._yield(now, events)
        if self._job_ends and self._job_ends[0][0] <= now:
            self._finish(now, events)
        if self._queue and len(self._running) < self.concurrency and self._tick_s() <= now:
            self._last_pickup_s = now
            self._pick_up(now)
        if self._polled and self._polled_s + self.hold_s <= now and self._polled != self._free():
            self._polled, self._next_poll_s = 0, now
        if self._next_poll_s <= now:
            self._poll(now, events)
        if self._next_ping_s <= now and (self._running or self._queue):
            self._set_next_ping(round((now - self._origin_s) / self.ping_s))
            events.append(Ping((*self._running, *(job.id for job in self._queue))))
        return events

    def _free(self) -> int:
        """Jobs that it would ask for now."""
        return self.concurrency - len(self._running) - 2 * len(self._queue)

    def _skip_looks(self, now: float) -> None:
        """Pass the looks for work until now, each a second after the last, at which it was full."""
        next_s = self._next_poll_s
        while next_s < now:
            next_s += FULL_S
        self._next_poll_s = next_s

    def _poll(self, now: float, events: list[WorkerEvent]) -> None:
        want, self._to_send = self._to_send or self._free(), 0
        if want <= 0:
            self._next_poll_s = now + FULL_S
            return
        self._next_poll_s, self._polled_s, self._polled = math.inf, now, want
        events.append(Poll(want))

    def _tick_s(self) -> float:
        """When it picks up the jobs in its queue."""
        ticks = math.floor(round((self._queued_s - self._last_pickup_s) / TICK_S, 6)) + 1
        return max(self._last_pickup_s + ticks * TICK_S, self._queued_s)

    def _chunk_due_s(self) -> float:
        chunks = self._chunks
        while chunks and self._running.get(chunks[0][3]) != chunks[0][1]:
            heapq.heappop(chunks)
        return chunks[0][0] if chunks else math.inf

    def _yield(self, now: float, events: list[WorkerEvent]) -> None:
        """The chunks that are due, in order."""
        while self._chunks and self._chunks[0][0] <= now:
            _, start, number, job_id, answer, begun_s = heapq.heappop(self._chunks)
            if self._running.get(job_id) != start:
                continue
            events.append(Yielded(job_id, answer.chunk(number)))
            if number + 1 < answer.chunks:
                heapq.heappush(self._chunks, (begun_s + answer.due_s(number + 1), start, number + 1, job_id, answer, begun_s))

    def _finish(self, now: float, events: list[WorkerEvent]) -> None:
        ends, running = self._job_ends, self._running
        finished = False
        while ends and ends[0][0] <= now:
            _, number, job_id, body = heapq.heappop(ends)
            if running.get(job_id) == number:
                del running[job_id]
                if self._failing:
                    self._failing.discard(job_id)
                events.append(Finished(job_id, body))
                finished = True
        if finished:
            self._last_pickup_s = now
            if self._queue:
                self._pick_up(now)

    def _pick_up(self, now: float) -> None:
        while self._queue and len(self._running) < self.concurrency:
            self._start_job(self._queue.popleft(), now)

    def _start_job(self, job: Job, now: float) -> None:
        self._jobs_started += 1
        self._running[job.id] = self._jobs_started
        body: dict[str, Any]
        if self.card_gb and (error := self._out_of_memory()):
            self._failing.add(job.id)
            took_s, body = 0.0, {"error": error}
        elif self.tokens and (answer := generation(job.input["input"], self.tokens)):
            # The same sum as for the last chunk, which rounding must not put after the end.
            now, self._extra_s = now + self._extra_s, 0.0
            took_s, body = answer.took_s, {"output": answer.output()}
            heapq.heappush(self._chunks, (now + answer.due_s(0), self._jobs_started, 0, job.id, answer, now))
        else:
            jobs = len(self._running)
            if (factor := self._factors.get(jobs)) is None:
                factor = self._factors[jobs] = 1.0 if self.curve is None else self.curve.factor(jobs)
            took_s, self._extra_s = self.service(job, self.rng) * self.speed * factor + self._extra_s, 0.0
            body = {"output": {**_echo(job.input["input"]), "service_s": took_s}} if self.echo else NOTHING
        heapq.heappush(self._job_ends, (now + took_s + self.report(), self._jobs_started, job.id, body))

    def _out_of_memory(self) -> str:
        """The error of a job that does not fit on the card; "" where it does."""
        resident = len(self._running) - len(self._failing)
        needed_gb = self.shared_gb + resident * self.memory_gb_per_job
        if needed_gb <= self.card_gb:
            return ""
        message = f"out of memory: {resident} jobs at a time need {needed_gb:g} GB, the card has {self.card_gb:g} GB"
        return json.dumps({"error_type": "<class 'torch.OutOfMemoryError'>", "error_message": message, "worker_id": self.id})

    def _skip_pings(self, now: float) -> None:
        """Skip the pings that were not sent for lack of a job."""
        if not self._running and not self._queue:
            self._set_next_ping(math.floor((now - self._origin_s) / self.ping_s))

    def _set_next_ping(self, sent: int) -> None:
        self._next_ping_s = self._origin_s + (sent + 1) * self.ping_s


def _echo(job_input: Any) -> dict[str, Any]:
    """The input, or a note that it is too long."""
    left, parts = ECHO_MOST, [job_input]
    while parts and left >= 0:
        part = parts.pop()
        left -= len(part) if isinstance(part, str) else 1
        parts += (*part, *part.values()) if isinstance(part, dict) else part if isinstance(part, list) else ()
    return {"echo": job_input} if left >= 0 else {"echo_left_out": f"more than {ECHO_MOST} characters"}
