"""The workers of one endpoint, from their launch to their end. Launch asks the driver for a process; ``gone`` reports its end."""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from coldburst.serverless.actions import Action, Changed, Kill, Launch, Resume, Stop
from coldburst.serverless.billing import EXECUTION, IDLE, START, BillingMeter, Span
from coldburst.serverless.hosts import Host, Hosts
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.policy import Policy
from coldburst.serverless.quantiles import draw
from coldburst.serverless.timers import Timer, Timers
from coldburst.serverless.worker_states import SERVING, STATES, WAITING, WANTED

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
ID_LENGTH = 14


@dataclass(slots=True, eq=False)
class Worker:
    """One worker, written by the pool alone.

    Attributes:
        state: see worker_states.py; ``since_s``: when it was entered.
        started_s, ready_s: the last container start; when it last became ready.
        process: whether it has a process, as reported by the driver.
        load: jobs or requests at the worker.
        handovers: deliveries since it last became ready.
        want: jobs that its open poll asks for; 0 = no poll.
        turn: number of the last request forwarded to it.
        cached: whether FlashBoot keeps it, so that it returns by RESUMING.
        reason: why it is unhealthy.
        host: where it runs; None while it is throttled, and after its end.
        start_s: seconds of its container start.
        number: workers made before it.
    """

    id: str
    created_s: float
    state: str = ""
    since_s: float = 0.0
    started_s: float | None = None
    ready_s: float | None = None
    process: bool = False
    load: int = 0
    handovers: int = 0
    want: int = 0
    turn: int = 0
    cached: bool = False
    reason: str = ""
    host: Host | None = None
    start_s: float = 0.0
    number: int = 0
    span: Span = field(default_factory=Span)
    timer: Timer | None = None


class WorkerPool:
    """All workers that are not STOPPED.

    Args:
        on_change: called after each change of state, with the worker and its previous state.
        random_for: the random stream of a purpose.

    Attributes:
        policy, idles, limit: the operator's settings; whether the idle time-out applies; the maximum number of workers.
        wanted: workers that are there or on their way, as the scaler counts them.
        starting, serving: workers that initialize on a host; that can take work.
        idle: workers without work, longest idle first.
        paused_until_s: failed starts pause new ones until then.
    """

    def __init__(
        self,
        policy: Policy,
        platform: Platform,
        timers: Timers,
        emit: Callable[[Action], None],
        on_change: Callable[[Worker, str, float], None],
        *,
        random_for: Callable[[str], random.Random],
    ) -> None:
        self.platform = platform
        # Workers by state, apart from SERVING: of those, which change with every job, ``idle`` has the READY ones.
        self.count = dict.fromkeys(STATES, 0)
        self.wanted = self.starting = self.serving = 0
        self.apply(policy)
        self.hosts = platform.hosts
        self.billing = BillingMeter()
        self.workers: OrderedDict[str, Worker] = OrderedDict()
        self.idle: OrderedDict[str, Worker] = OrderedDict()
        self.paused_until_s = -math.inf
        self.failed_starts = 0
        self._unhealthy_processes = self._made = 0
        self._timers, self._emit, self._on_change = timers, emit, on_change
        # Whether Changed is emitted.
        self.tells_changes = True
        self._ids, self._jitter = random_for("worker ids"), random_for("worker times")
        self._start_rng, self._resume_rng = random_for("start"), random_for("resume")
        self._hosts = Hosts(platform.pull_s, platform.host_speed, platform.host_again, random_for)

    def apply(self, policy: Policy) -> None:
        """Take on the operator's settings."""
        self.policy, self.idles = policy, policy.idles
        self.limit = policy.workers_max + self.platform.extra_workers if policy.workers_max else 0
        self._see_what_scales()

    def _see_what_scales(self) -> None:
        """Note whether a check of the scaler, and it or the idle time-out, may change the workers as they are, whatever the load."""
        self.scaled = not self.idles or self.wanted < self.limit or self.count["THROTTLED"] > 0
        self.fixed = not self.scaled and self.serving <= self.policy.workers_min

    def in_state(self, *states: str) -> Iterator[Worker]:
        """Workers in one of ``states``, oldest first."""
        return (worker for worker in self.workers.values() if worker.state in states)

    def idle_due_s(self) -> float:
        """When the idle time-out stops the next worker; infinity = none."""
        if not self.idle or not self.idles or self.serving <= self.policy.workers_min:
            return math.inf
        return next(iter(self.idle.values())).since_s + self.policy.idle_timeout_s

    def add(self, now: float) -> None:
        """Add a worker: the last cached one, or a new one."""
        cached = list(self.in_state("CACHED"))
        if cached:
            self.wake(max(cached, key=lambda worker: worker.since_s), now)
            return
        worker = Worker("".join(self._ids.choice(ALPHABET) for _ in range(ID_LENGTH)), now, number=self._made)
        self._made += 1
        self.workers[worker.id] = worker
        self._start(worker, now)

    def wake(self, worker: Worker, now: float) -> None:
        """Resume a CACHED worker, as soon as a host has room."""
        worker.cached = True
        self._enter(worker, "THROTTLED" if self._full else "RESUMING", now)

    def stop(self, worker: Worker, now: float, *, keep: bool = True) -> None:
        """Scale a worker down: cached with FlashBoot, else ended once it has no work."""
        if worker.state in ("THROTTLED", "PULLING", "STARTING", "RESUMING"):
            self._drop(worker, now, keep=keep)
        elif worker.state == "READY" and keep and self.policy.flashboot:
            self._enter(worker, "CACHED", now)
        elif worker.state in ("LOADING", "CACHED", *SERVING):
            self._enter(worker, "DRAINING", now)
            if not worker.load:
                self._emit(Stop(worker.id))

    def stop_idle(self, now: float) -> None:
        """Scale down the longest idle worker."""
        self.stop(next(iter(self.idle.values())), now)

    def trim(self, now: float) -> None:
        """Reduce the workers to ``limit`` at once: the cheapest first; busy ones finish their work."""
        while self.wanted > self.limit:
            self.stop(self._dispensable(), now)

    def _dispensable(self) -> Worker:
        for states in (("THROTTLED",), WAITING):
            found = list(self.in_state(*states))
            if found:
                return found[-1]
        return next(iter(self.idle.values())) if self.idle else list(self.in_state("RUNNING"))[-1]

    def _drop(self, worker: Worker, now: float, *, keep: bool) -> None:
        if worker.cached and keep:
            self._enter(worker, "CACHED", now)
        elif worker.cached:
            self._enter(worker, "DRAINING", now)
            self._emit(Stop(worker.id))
        else:
            self._remove(worker, now)
        self.place(now)

    def _remove(self, worker: Worker, now: float) -> None:
        del self.workers[worker.id]
        self._leave_host(worker)
        self._enter(worker, "STOPPED", now)

    def _leave_host(self, worker: Worker) -> None:
        if worker.host is not None:
            self._hosts.release(worker.host)
            worker.host = None

    @property
    def _full(self) -> bool:
        if self.hosts is None:
            return False
        return self.starting + self.serving + self.count["DRAINING"] + self._unhealthy_processes >= self.hosts

    def place(self, now: float) -> None:
        """Assign free hosts to throttled workers, oldest first."""
        while self.count["THROTTLED"] and not self._full:
            worker = next(self.in_state("THROTTLED"))
            if worker.cached:
                self._enter(worker, "RESUMING", now)
            else:
                self._start(worker, now)

    def _start(self, worker: Worker, now: float) -> None:
        """Start a new worker on a host; a host's first worker waits for the image."""
        if self._full:
            self._enter(worker, "THROTTLED", now)
            return
        worker.host = self._hosts.take()
        worker.start_s = draw(self.platform.start_s, self._start_rng)
        self._enter(worker, self._phase_after_pull(worker) if worker.host.has_image else "PULLING", now)

    def _pulled(self, worker: Worker, now: float) -> None:
        assert worker.host is not None
        worker.host.has_image = True
        self._enter(worker, self._phase_after_pull(worker), now)

    @staticmethod
    def _phase_after_pull(worker: Worker) -> str:
        return "STARTING" if worker.start_s > 0 else "LOADING"

    def speed(self, worker_id: str) -> float:
        """The factor of the service times on a worker's host."""
        worker = self.workers.get(worker_id)
        return worker.host.speed if worker is not None and worker.host is not None else 1.0

    def _schedule(self, worker: Worker, seconds: float, then: Callable[[Worker, float], None], now: float) -> None:
        spread = self.platform.jitter
        if spread:
            seconds *= self._jitter.uniform(1 - spread, 1 + spread)
        worker.timer = self._timers.at(now + seconds, then, worker)

    def _resumed(self, worker: Worker, now: float) -> None:
        worker.cached = False
        self._emit(Resume(worker.id))
        self._serve(worker, now)

    def _launch(self, worker: Worker, now: float) -> None:
        worker.process = True
        limit_s = self.platform.init_limit_s if self.policy.kind == "QUEUE" else self.platform.lb_init_limit_s
        since_s = now if worker.started_s is None else worker.started_s
        worker.timer = self._timers.at(since_s + limit_s, partial(self.unhealthy, reason="not ready within the init limit"), worker)
        self._emit(Launch(worker.id))

    def ready(self, worker: Worker, now: float) -> None:
        """The worker can take work: its load has ended, or its checks succeed again."""
        if worker.state == "LOADING" or (worker.state == "UNHEALTHY" and worker.process and worker.ready_s is not None):
            if worker.state == "UNHEALTHY":
                self._unhealthy_processes -= 1
            self._serve(worker, now)
            self.trim(now)

    def _serve(self, worker: Worker, now: float) -> None:
        self.failed_starts, self.paused_until_s = 0, -math.inf
        worker.ready_s, worker.handovers = now, 0
        for healed in [other for other in self.in_state("UNHEALTHY") if not other.process]:
            self._remove(healed, now)
        self._enter(worker, "RUNNING" if worker.load else "READY", now)

    def occupy(self, worker: Worker, number: int, now: float) -> bool:
        """The worker got ``number`` jobs or requests; whether this is its first delivery since it became ready."""
        worker.handovers += 1
        worker.load += number
        if worker.state == "READY":
            del self.idle[worker.id]
            self._turn(worker, "RUNNING", EXECUTION, now)
        return worker.handovers == 1

    def vacate(self, worker_id: str, now: float) -> Worker | None:
        """A job or request has left the worker, which is returned; None where it has ended."""
        worker = self.workers.get(worker_id)
        if worker is None:
            return None
        if worker.load > 1:
            worker.load -= 1
            return worker
        worker.load = 0
        if worker.state == "RUNNING":
            self._turn(worker, "READY", IDLE, now)
            self.idle[worker.id] = worker
        elif worker.state == "DRAINING":
            self.billing.move(worker.span, self._billed_phase(worker), now)
            self._emit(Stop(worker.id))
        return worker

    def unhealthy(self, worker: Worker, now: float, reason: str) -> None:
        """Take a worker out of service. A load balancer's worker that was ready may recover; others are killed."""
        if worker.state not in ("LOADING", *SERVING):
            return
        worker.reason = reason
        starting = worker.state == "LOADING"
        self._unhealthy_processes += 1
        self._enter(worker, "UNHEALTHY", now)
        if self.policy.kind == "LOAD_BALANCER" and not starting:
            worker.timer = self._timers.at(now + self.platform.lb_init_limit_s, lambda one, _: self._emit(Kill(one.id)), worker)
            return
        if starting:
            self._failed_start(now)
        self._emit(Kill(worker.id))

    def _failed_start(self, now: float) -> None:
        """Begin a pause twice as long as the last; failures within a pause do not extend it."""
        if now < self.paused_until_s:
            return
        pause_s = self.platform.unhealthy_retry_s * 2.0 ** min(self.failed_starts, 30)
        self.failed_starts += 1
        self.paused_until_s = now + min(pause_s, self.platform.unhealthy_retry_max_s)

    def gone(self, worker: Worker, now: float) -> None:
        """The worker's process has ended; before it was ready, that is a failed start."""
        if worker.state == "UNHEALTHY" and not worker.process:
            return
        self._timers.cancel(worker.timer)
        worker.process, worker.load = False, 0
        self._leave_host(worker)
        if worker.state == "LOADING":
            worker.reason = "ended before it was ready"
            self._failed_start(now)
            self._enter(worker, "UNHEALTHY", now)
        elif worker.state == "UNHEALTHY":
            self._unhealthy_processes -= 1
            self.billing.move(worker.span, "", now)
        else:
            self._remove(worker, now)
        self._limit_unhealthy(now)
        self.place(now)

    def _limit_unhealthy(self, now: float) -> None:
        """Show at most ``workers_max`` failed starts."""
        dead = [worker for worker in self.in_state("UNHEALTHY") if not worker.process]
        for worker in dead[: max(len(dead) - max(self.policy.workers_max, 1), 0)]:
            self._remove(worker, now)

    def _turn(self, worker: Worker, state: str, phase: str, now: float) -> None:
        """``_enter`` between READY and RUNNING, which every job passes through."""
        worker.state, worker.since_s = state, now
        self.billing.turn(worker.span, phase, now)
        if self.tells_changes:
            self._emit(Changed(worker.id, state))

    def _enter(self, worker: Worker, state: str, now: float) -> None:
        before = worker.state
        self._timers.cancel(worker.timer)
        if before not in SERVING:
            self.count[before] -= 1
        if state not in SERVING:
            self.count[state] += 1
        self.wanted += (state in WANTED) - (before in WANTED)
        self.starting += (state in WAITING) - (before in WAITING)
        self.serving += (state in SERVING) - (before in SERVING)
        if before == "READY":
            del self.idle[worker.id]
        worker.state, worker.since_s = state, now
        if state == "READY":
            self.idle[worker.id] = worker
        self._see_what_scales()
        self.billing.move(worker.span, self._billed_phase(worker), now)
        if self.tells_changes:
            self._emit(Changed(worker.id, state))
        self._on_enter(worker, state, now)
        self._on_change(worker, before, now)

    def _on_enter(self, worker: Worker, state: str, now: float) -> None:
        platform = self.platform
        if state == "PULLING":
            assert worker.host is not None
            self._schedule(worker, worker.host.pull_s, self._pulled, now)
        elif state == "STARTING":
            worker.started_s = now
            self._schedule(worker, worker.start_s, lambda one, at_s: self._enter(one, "LOADING", at_s), now)
        elif state == "LOADING":
            if worker.start_s <= 0:
                worker.started_s = now
            self._launch(worker, now)
        elif state == "RESUMING":
            worker.started_s = now
            self._schedule(worker, draw(platform.resume_s, self._resume_rng), self._resumed, now)
        elif state == "CACHED":
            worker.timer = self._timers.at(now + platform.keep_s, self._cache_expired, worker)
            self.place(now)

    def _cache_expired(self, worker: Worker, now: float) -> None:
        worker.cached = False
        self.stop(worker, now)

    def _billed_phase(self, worker: Worker) -> str:
        """The billed phase of a worker in its state; "" = not billed. Source: RunPod's pricing page."""
        state = worker.state
        if state == "RUNNING":
            return EXECUTION
        if state == "READY":
            return IDLE
        if state == "DRAINING":  # a cached worker has no container to bill
            return (EXECUTION if worker.load else IDLE) if worker.span.phase else ""
        if state in ("STARTING", "LOADING", "RESUMING") or (state == "UNHEALTHY" and worker.process):
            return START
        return START if state == "PULLING" and self.platform.bill_pull else ""
