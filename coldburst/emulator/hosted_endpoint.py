"""One endpoint of the emulator on the wall clock: the core, its workers, and who waits for what.

The core decides (coldburst/serverless/endpoint.py); this drives it: ``pump`` lets it act, carries its actions out, and is called after
whatever changed something and at the instants that the core names.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from aiohttp import web

from coldburst.emulator.api.responses import RefusedError
from coldburst.emulator.faults import Fault, FaultError, FaultRules
from coldburst.emulator.options import EmulatorOptions, EndpointSpec, WorkerSpec
from coldburst.emulator.truth_log import TruthLog
from coldburst.emulator.webhooks import Webhooks
from coldburst.serverless.actions import Action, Changed, Cut, Ended, Forward, GiveUp
from coldburst.serverless.endpoint import Endpoint
from coldburst.serverless.errors import short_repr
from coldburst.serverless.job import TERMINAL_STATES, Job
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.simulation.driver import WorkerResult

ALIVE = ("LOADING", "READY", "RUNNING", "DRAINING", "CACHED", "RESUMING")
"""States of workers that have a process."""


LONGEST_S = 3600.0
"""Of a timer: one that is early does no harm, and an event loop does not count to any number."""


class WallClock:
    """Seconds since the emulator's second 0; ``zero_s`` is that instant in seconds since 1970."""

    def __init__(self) -> None:
        self.zero_s = time.time()
        self._start_s = time.monotonic()

    def now(self) -> float:
        """Seconds since second 0; never goes back."""
        return time.monotonic() - self._start_s


class WorkerBackend(Protocol):
    """The workers of an endpoint: what carries out the core's wishes for them. ``work``: what those are that start from now on."""

    work: WorkerSpec

    def actions(self, now: float) -> Iterable[Action | WorkerResult]:
        """Lets the core (and workers in this process) act; what is left for others to carry out."""

    def wake_s(self) -> float | None:
        """When ``actions`` is due next; None = not before something else happens."""

    def carry_out(self, action: Action | WorkerResult, now: float) -> None:
        """Does what an action asks of a worker; nothing for the others."""

    def kill(self, worker_id: str) -> None:
        """Ends a worker as a crash would."""

    def change(self, work: WorkerSpec) -> None:
        """What the workers are that start from now on."""

    async def end(self) -> None:
        """Ends all."""


@dataclass(slots=True, eq=False)
class HeldRequest:
    """A request to a load balancer, from its coming to its end.

    Attributes:
        called: the client's name for it, from ``X-Request-ID``; "" where it gave none.
        decided: Forward or GiveUp.
        cut: why the platform takes the request away from its worker: the limit on processing, or the worker's end.
        answered: what a modelled worker answers.
    """

    id: str
    called: str
    arrived_s: float
    decided: asyncio.Future[Forward | GiveUp]
    cut: asyncio.Future[Cut | GiveUp]
    answered: asyncio.Future[Any]


class HostedEndpoint:
    """An endpoint with everything around it.

    Args:
        hosting: its settings.
        options: those of the emulator.
    """

    def __init__(self, hosting: EndpointSpec, options: EmulatorOptions, clock: WallClock, truth: TruthLog, webhooks: Webhooks) -> None:
        self.hosting, self.options, self.clock = hosting, options, clock
        seed = random.Random(f"{options.seed} {hosting.name}").getrandbits(63)  # so that no two endpoints draw the same ids
        self.endpoint = Endpoint(
            hosting.policy, hosting.platform, now=clock.now(), seed=seed, name=hosting.name, price_per_s=hosting.price_per_s
        )
        self.crew: WorkerBackend
        self.rules = FaultRules(seed)
        self.version = 1
        self.stirred = asyncio.Event()
        self.crash_starts: float = 0
        self.never_ack: str | None = None
        self.states: dict[str, str] = {}
        self.versions: dict[str, int] = {}
        self.endings: dict[str, list[asyncio.Future[None]]] = {}
        self.visits: dict[str, HeldRequest] = {}
        self._numbers = itertools.count(1)
        self._truth, self._webhooks = truth, webhooks
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = 0.0
        self._pumping = self._again = False

    # what it is

    @property
    def name(self) -> str:
        """The endpoint's id."""
        return self.hosting.name

    @property
    def is_queue(self) -> bool:
        """Whether it has a queue of jobs; else it is a load balancer."""
        return self.hosting.policy.kind == "QUEUE"

    @property
    def platform(self) -> Platform:
        """What the platform does."""
        return self.hosting.platform

    # time

    def now(self) -> float:
        """The clock, in seconds, once all is done that was due by then.

        So a loop that is late brings nothing into another order, and what a request tells the core comes after what was due
        before it or at the same instant, as in virtual time.
        """
        now = self.clock.now()
        if not self._pumping and (due_s := self.crew.wake_s()) is not None and due_s <= now:
            self.pump()
        return now

    def pump(self) -> None:
        """Lets the core act on what has happened, and on what is due."""
        self._again = True
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._again:
                self._again = False
                now = self.clock.now()
                for action in self.crew.actions(now):
                    self._carry_out(action, now)
        finally:
            self._pumping = False
        self._set_timer()

    def _set_timer(self) -> None:
        """A timer that is early does no harm: it only pumps once more. So one is set anew only when it would be late.

        Whole milliseconds, rounded up: the event loop counts in them.
        """
        due_s = self.crew.wake_s()
        if due_s is None or (self._timer is not None and self._timer_s <= due_s):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = due_s
        self._timer = asyncio.get_running_loop().call_later(
            math.ceil(min(max(0.0, due_s - self.clock.now()), LONGEST_S) * 1000) / 1000, self._due
        )

    def _due(self) -> None:
        self._timer = None
        self.pump()

    def _carry_out(self, action: Action | WorkerResult, now: float) -> None:
        if isinstance(action, Ended):
            self._ended(action.job)
        elif isinstance(action, Changed):
            self._changed(action, now)
        elif isinstance(action, Forward | GiveUp | Cut | WorkerResult):
            self._tell_visit(action)
        self.crew.carry_out(action, now)

    def _tell_visit(self, action: Forward | GiveUp | Cut | WorkerResult) -> None:
        visit = self.visits.get(action.request_id)
        if visit is None:
            return
        if isinstance(action, WorkerResult):
            _settle(visit.answered, action.output)
        elif isinstance(action, Forward) or not (visit.decided.done() or isinstance(action, Cut)):
            _settle(visit.decided, action)
        else:
            _settle(visit.cut, action)

    # settings

    def change(self, **settings: Any) -> None:
        """Other settings of the operator's, at once; see Endpoint.change."""
        self.endpoint.change(self.now(), **settings)
        self.pump()

    def release(self, work: WorkerSpec) -> None:
        """A rolling release: other workers from now on. Those that are there take nothing more and end after their work.

        Source: RunPod's documentation, rolling releases.
        """
        self.version += 1
        self.crew.change(work)
        for worker_id in list(self.states):
            self.endpoint.done(worker_id, "", {"stopPod": True}, self.now())
        self.endpoint.change(self.now())  # makes up the minimum at once
        self.pump()

    async def until_ready(self) -> None:
        """Returns when the minimum of workers is ready."""
        while sum(state in ("READY", "RUNNING") for state in self.states.values()) < self.endpoint.policy.workers_min:
            self.stirred.clear()
            await self.stirred.wait()

    # jobs

    async def wait(self, job: Job, wait_s: float) -> None:
        """Returns when the job has ended, or ``wait_s`` is over."""
        if job.state in TERMINAL_STATES:
            return
        ending = asyncio.get_running_loop().create_future()
        self.endings.setdefault(job.id, []).append(ending)
        try:
            await asyncio.wait({ending}, timeout=wait_s)
        finally:
            if waiting := self.endings.get(job.id):
                waiting.remove(ending)
                if not waiting:
                    del self.endings[job.id]

    def _ended(self, job: Job) -> None:
        for ending in self.endings.pop(job.id, ()):
            _settle(ending, None)
        self._truth.tell(
            "job",
            self.name,
            {"submitted": job.submitted_s, "taken": job.taken_s, "finished": job.finished_s, "worker_ready": job.worker_ready_s},
            id=job.id,
            state=job.state,
            reason=job.reason,
            worker_id=job.worker_id,
            cold=job.cold,
            retries=job.retries,
            delay_s=job.delay_s,
            execution_s=job.execution_s,
        )
        if isinstance(url := job.input.get("webhook"), str) and url:
            self._webhooks.post(url, job.view() | {"input": job.input["input"], "webhook": url})
        if job.state == "COMPLETED":
            job.drop_input()

    def _changed(self, change: Changed, now: float) -> None:
        if change.state == "STOPPED":
            self.states.pop(change.worker_id, None)
            self.versions.pop(change.worker_id, None)
        else:
            self.states[change.worker_id] = change.state
            self.versions.setdefault(change.worker_id, self.version)
        self.stirred.set()
        self._truth.tell("worker", self.name, {"at": now}, worker_id=change.worker_id, state=change.state)

    # requests of a load balancer

    def arrive(self, affinity: str, called: str = "") -> HeldRequest:
        """A request that waits for a worker; whoever brings it must call ``leave``.

        Args:
            called: the client's own name for it, for the truth log alone.
        """
        loop = asyncio.get_running_loop()
        name = f"request-{next(self._numbers)}"
        visit = HeldRequest(name, called, self.now(), loop.create_future(), loop.create_future(), loop.create_future())
        self.visits[name] = visit
        self.endpoint.arrive(name, visit.arrived_s, affinity=affinity)
        self.pump()
        return visit

    def leave(self, visit: HeldRequest, status: int | None, reason: str) -> None:
        """The request has ended: answered with ``status``, or its client went away (None)."""
        now = self.now()
        forward = visit.decided.result() if visit.decided.done() and not visit.decided.cancelled() else None
        taken = forward if isinstance(forward, Forward) else None
        del self.visits[visit.id]
        self.endpoint.left(visit.id, now)
        self.pump()
        taken_s = visit.arrived_s + taken.waited_s if taken else None
        self._truth.tell(
            "request",
            self.name,
            {"submitted": visit.arrived_s, "taken": taken_s, "finished": now},
            id=visit.id,
            name=visit.called,
            status=status,
            reason=reason,
            worker_id=taken.worker_id if taken else "",
            cold=taken.cold if taken else False,
            delay_s=taken.waited_s if taken else None,
            execution_s=None if taken_s is None else now - taken_s,
        )

    # faults

    def meet_faults(self, request: web.BaseRequest, operation: str) -> None:
        """Lets a client's request meet the faults that are in force.

        Raises:
            RefusedError: it meets an error.
            CancelledError: its connection was reset.
        """
        rule = self.rules.meet(operation, self.now())
        if rule is None:
            return
        if not rule.status:
            _reset(request)
            raise asyncio.CancelledError
        headers = {} if rule.retry_after_s is None else {"Retry-After": f"{rule.retry_after_s:g}"}
        raise RefusedError(rule.status, f"a fault that was asked for: {rule.status}", headers)

    def inject(self, fault: Fault) -> None:
        """Puts a fault in force.

        Raises:
            FaultError: there is no such worker.
        """
        match fault.what, fault.value:
            case "rule", _:
                assert fault.rule is not None
                self.rules.add(replace(fault.rule, until_s=self.now() + fault.rule.until_s))
            case "kill", whom:
                self._kill(whom)
            case "throttle", hosts:
                self.endpoint.throttle(hosts, self.now())
            case "crash_starts", starts:
                self.crash_starts = math.inf if starts is True else int(starts)
            case "never_ack", whom:
                self.never_ack = whom
            case "memory", memory:
                self.crew.change(replace(self.crew.work, **memory))
            case _:  # clear
                self.rules.clear()
                self.crash_starts, self.never_ack = 0, None
                self.endpoint.throttle(self.platform.hosts, self.now())
        self.pump()

    def _kill(self, whom: str) -> None:
        alive = [worker_id for worker_id, state in self.states.items() if state in ALIVE]
        if whom not in ("all", "one", *alive):
            names = ", ".join(alive[:5]) or "none (none has a process)"
            raise FaultError(f"there is no worker {short_repr(whom)} to kill: name one of {names}")
        for worker_id in alive if whom == "all" else alive[:1] if whom == "one" else [whom]:
            self.crew.kill(worker_id)


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _reset(request: web.BaseRequest) -> None:
    """Breaks the connection off by a reset (RST), as a crashed peer does."""
    if request.transport is not None:
        if sock := request.transport.get_extra_info("socket"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
