"""One endpoint of the emulator on the wall clock: the model, its workers, and who waits for what.

The model decides (coldburst/serverless/endpoint.py); this drives it: ``pump`` lets it act, carries its actions out, and is called after
whatever changed something and at the instants that the model names.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from collections.abc import AsyncIterator
from typing import Any

from coldburst.emulator.faults import FaultInjector
from coldburst.emulator.held_requests import HeldRequest, settle
from coldburst.emulator.settings.endpoint_specs import EmulatorOptions, EndpointSpec, WorkerSpec
from coldburst.emulator.truth_log import TruthLog, WallClock
from coldburst.emulator.webhooks import Webhooks
from coldburst.emulator.workers.backend import WorkerBackend
from coldburst.randomness import stream
from coldburst.serverless.actions import Action, Changed, Cut, Ended, Forward, GiveUp, Streamed
from coldburst.serverless.endpoint import Endpoint
from coldburst.serverless.errors import RequestRefusedError, short_repr
from coldburst.serverless.job import TERMINAL_STATES, Job
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.quantiles import draw
from coldburst.serverless.simulation.driver import WorkerResult

LONGEST_S = 3600.0
"""Longest timer: event loops have a limit, and an early timer does no harm."""


class HostedEndpoint:
    """An endpoint with its workers, faults and waiting clients.

    Attributes:
        core: the platform model, which makes all decisions.
        backend: its workers; to be set after the construction.
        version: number of the present release; ``worker_versions`` has each worker's.
        releases: number, instant and changes of each release, as REST v2 shows them.
        worker_states: by worker id, without stopped workers.
        changing_until_s: until then, requests and changes are answered 409.
    """

    def __init__(self, spec: EndpointSpec, options: EmulatorOptions, clock: WallClock, truth: TruthLog, webhooks: Webhooks) -> None:
        self.spec, self.options, self.clock = spec, options, clock
        # With the name, so that no two endpoints get the same ids.
        seed = random.Random(f"{options.seed} {spec.name}").getrandbits(63)
        self.core = Endpoint(spec.policy, spec.platform, now=clock.now(), seed=seed, name=spec.name, price_per_s=spec.price_per_s)
        self.backend: WorkerBackend
        self.faults = FaultInjector(self, seed)
        self._reports = stream(seed, "report")
        self.version = 1
        self.releases: list[tuple[int, float, list[dict[str, Any]]]] = [(1, clock.now(), [])]
        self.changing_until_s = -math.inf
        self._worker_changed = asyncio.Event()
        self.worker_states: dict[str, str] = {}
        self.worker_versions: dict[str, int] = {}
        self._job_waiters: dict[str, list[asyncio.Future[None]]] = {}
        self._streams: dict[str, asyncio.Event] = {}
        self._held: dict[str, HeldRequest] = {}
        self._numbers = itertools.count(1)
        self._truth, self._webhooks = truth, webhooks
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = 0.0
        self._pumping = self._pump_again = False

    @property
    def name(self) -> str:
        """The endpoint's id."""
        return self.spec.name

    def report_s(self) -> float:
        """How long the next result of a worker process is on its way."""
        return draw(self.platform.report_s, self._reports)

    @property
    def is_queue(self) -> bool:
        """Whether it is a queue endpoint; otherwise a load balancer."""
        return self.spec.policy.kind == "QUEUE"

    @property
    def platform(self) -> Platform:
        """The platform's parameters."""
        return self.spec.platform

    def now(self) -> float:
        """Seconds of the clock, after all that was due by then is done.

        So a late event loop changes no order: a request's effect comes after what was due before it, as in virtual time.
        """
        now = self.clock.now()
        if not self._pumping and (due_s := self.backend.wake_s()) is not None and due_s <= now:
            self.pump()
        return now

    def pump(self) -> None:
        """Let the model act on events, and on what is due."""
        self._pump_again = True
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._pump_again:
                self._pump_again = False
                now = self.clock.now()
                for action in self.backend.actions(now):
                    self._carry_out(action, now)
        finally:
            self._pumping = False
        self._set_timer()

    def _set_timer(self) -> None:
        """Set the timer anew if it would be late; an early one only pumps once more. In whole milliseconds, as the loop counts."""
        due_s = self.backend.wake_s()
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
        elif isinstance(action, Streamed):
            self._wake_stream(action.job)
        elif isinstance(action, Changed):
            self._changed(action, now)
        elif isinstance(action, Forward | GiveUp | Cut | WorkerResult) and (held := self._held.get(action.request_id)):
            held.settle(action)
        self.backend.carry_out(action, now)

    def change(self, **settings: Any) -> None:
        """Apply an operator's settings at once; see Endpoint.change."""
        self.core.change(self.now(), **settings)
        self.reconfigure(self.platform.reconfigure_s)
        self.pump()

    def reconfigure(self, seconds: float) -> None:
        """Answer requests and changes with 409 for that long from now on."""
        self.changing_until_s = self.now() + seconds

    @property
    def changing_s(self) -> float:
        """Seconds for which requests and changes are still answered 409; 0 = they are served."""
        return max(0.0, self.changing_until_s - self.now())

    def roll_out(self, workers: WorkerSpec) -> None:
        """A rolling release: other workers from now on. Present ones get no more work and end after theirs.

        Source: RunPod's documentation, rolling releases.
        """
        self.version += 1
        before, after = dict(self.backend.spec.env), dict(workers.env)
        self.releases.append((self.version, self.now(), [{"field": "template.env", "old": before, "new": after}]))
        self.reconfigure(self.platform.reconfigure_s)
        self.backend.spec = workers
        for worker_id in list(self.worker_states):
            self.core.done(worker_id, "", {"stopPod": True}, self.now())
        # Starts the minimum at once.
        self.core.change(self.now())
        self.pump()

    async def until_ready(self) -> None:
        """Return when the minimum of workers is ready."""
        while sum(state in ("READY", "RUNNING") for state in self.worker_states.values()) < self.core.policy.workers_min:
            self._worker_changed.clear()
            await self._worker_changed.wait()

    async def wait(self, job: Job, wait_s: float) -> None:
        """Return when the job has ended, or after ``wait_s``."""
        if job.state in TERMINAL_STATES:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._job_waiters.setdefault(job.id, []).append(waiter)
        try:
            await asyncio.wait({waiter}, timeout=wait_s)
        finally:
            if waiters := self._job_waiters.get(job.id):
                waiters.remove(waiter)
                if not waiters:
                    del self._job_waiters[job.id]

    async def chunks(self, job: Job, first_within_s: float | None = None) -> AsyncIterator[Any]:
        """The chunks of a job's output as its worker sends them, until the job has ended. One reader at a time.

        TimeoutError where neither a chunk nor the job's end came within ``first_within_s``.
        """
        changed = self._streams[job.id] = asyncio.Event()
        try:
            while True:
                changed.clear()
                ended = job.state in TERMINAL_STATES
                for chunk in self.core.drain_stream(job.id, self.now()):
                    yield chunk
                    first_within_s = None
                if ended:
                    return
                await asyncio.wait_for(changed.wait(), first_within_s)
        finally:
            del self._streams[job.id]

    def _wake_stream(self, job: Job) -> None:
        if changed := self._streams.get(job.id):
            changed.set()

    def check_webhook(self, url: Any) -> None:
        """RequestRefusedError for a webhook to neither this machine nor an allowed host."""
        if isinstance(url, str) and (host := self._webhooks.forbidden_host(url)):
            raise RequestRefusedError(f"webhook host {short_repr(host)} is not this machine: start the emulator with --webhook-hosts NAME")

    def _ended(self, job: Job) -> None:
        for waiter in self._job_waiters.pop(job.id, ()):
            settle(waiter, None)
        self._wake_stream(job)
        self._truth.job_ended(self.name, job)
        if isinstance(url := job.input.get("webhook"), str) and url:
            self._webhooks.post(url, job.view() | {"input": job.input["input"], "webhook": url})
        if job.state == "COMPLETED":
            job.drop_input()

    def _changed(self, change: Changed, now: float) -> None:
        if change.state == "STOPPED":
            self.worker_states.pop(change.worker_id, None)
            self.worker_versions.pop(change.worker_id, None)
        else:
            self.worker_states[change.worker_id] = change.state
            self.worker_versions.setdefault(change.worker_id, self.version)
        self._worker_changed.set()
        self._truth.worker_changed(self.name, change, now)

    def arrive(self, affinity: str, client_name: str = "") -> HeldRequest:
        """A request that waits for a worker; the caller must call ``leave``. ``client_name`` is for the truth log."""
        held = HeldRequest(f"request-{next(self._numbers)}", client_name, self.now())
        self._held[held.id] = held
        self.core.arrive(held.id, held.arrived_s, affinity=affinity)
        self.pump()
        return held

    def leave(self, held: HeldRequest, status: int | None, reason: str) -> None:
        """A request has ended: answered with ``status``, or its client disconnected (None)."""
        now = self.now()
        del self._held[held.id]
        self.core.left(held.id, now)
        self.pump()
        self._truth.request_ended(self.name, held.id, held.client_name, (held.arrived_s, now), held.forward, status, reason)
