"""The faults of an endpoint: how each is injected, and which requests and workers it hits."""

from __future__ import annotations

import asyncio
import math
import random
import socket
import struct
from dataclasses import replace
from typing import Protocol

from aiohttp import web

from coldburst.emulator.api.responses import HttpError
from coldburst.emulator.settings.fault_notation import RESET, Fault, FaultError, FaultRule
from coldburst.emulator.workers.backend import WorkerBackend
from coldburst.serverless.endpoint import Endpoint
from coldburst.serverless.errors import short_repr
from coldburst.serverless.platform_parameters import Platform

ALIVE = ("LOADING", "READY", "RUNNING", "DRAINING", "CACHED", "RESUMING")
"""States of workers that have a process."""


class FaultRules:
    """The active rules for requests; the seed alone decides which requests a share hits."""

    def __init__(self, seed: int) -> None:
        self._rng, self._stalls = random.Random(f"{seed} faults"), random.Random(f"{seed} stalls")
        self._rules: list[FaultRule] = []

    def add(self, rule: FaultRule) -> None:
        """Activate a rule, after the others."""
        self._rules.append(rule)

    def clear(self) -> None:
        """Deactivate all rules."""
        self._rules = []

    def between(self, low_s: float, high_s: float) -> float:
        """Random seconds."""
        return self._stalls.uniform(low_s, high_s)

    def hit(self, operation: str, now: float, *, health: bool = False) -> FaultRule | None:
        """The rule that hits a client's request, if any; ``health``: the rule for the workers in an answer of /health."""
        if not self._rules:
            return None
        self._rules = [rule for rule in self._rules if rule.left > 0 and now < rule.until_s]
        for rule in self._rules:
            if (rule.health is not None) == health and rule.operation in ("", operation) and self._rng.random() < rule.share:
                rule.left -= 1
                return rule
        return None


class FaultTarget(Protocol):
    """The part of an endpoint that faults act on; ``worker_states`` by worker id."""

    core: Endpoint
    backend: WorkerBackend
    worker_states: dict[str, str]

    @property
    def platform(self) -> Platform:
        """The platform without faults."""

    def now(self) -> float:
        """Seconds of the endpoint's clock."""

    def reconfigure(self, seconds: float) -> None:
        """Answer requests and changes with 409 for that long from now on."""

    def pump(self) -> None:
        """Let the endpoint act on changes."""


class FaultInjector:
    """Injects faults at one endpoint; ``seed`` decides which requests a share hits."""

    def __init__(self, target: FaultTarget, seed: int) -> None:
        self._target = target
        self._rules = FaultRules(seed)
        self._crash_starts: float = 0
        self._never_ack: str | None = None

    def inject(self, fault: Fault) -> None:
        """Inject a fault; FaultError where its worker does not exist."""
        target = self._target
        match fault.kind, fault.value:
            case "rule", _:
                assert fault.rule is not None
                self._rules.add(replace(fault.rule, until_s=target.now() + fault.rule.until_s))
            case "kill", worker:
                self._kill(worker)
            case "throttle", hosts:
                target.core.throttle(hosts, target.now())
            case "crash_starts", starts:
                self._crash_starts = math.inf if starts is True else int(starts)
            case "never_ack", worker:
                self._never_ack = worker
            case "reconfigure", seconds:
                target.reconfigure(seconds)
            case "memory", memory:
                target.backend.spec = replace(target.backend.spec, **memory)
            case _:  # clear
                self._rules.clear()
                self._crash_starts, self._never_ack = 0, None
                target.reconfigure(0.0)
                target.core.throttle(target.platform.hosts, target.now())
        target.pump()

    async def check_request(self, request: web.BaseRequest, operation: str) -> None:
        """Hold a request back where a fault says so; HttpError or, after a reset of the connection, CancelledError where one ends it."""
        rule = self._rules.hit(operation, self._target.now())
        if rule is None:
            return
        if rule.stall_s is not None:
            await asyncio.sleep(self._rules.between(*rule.stall_s))
        if not rule.status:
            return
        if rule.status == RESET:
            _reset(request)
            raise asyncio.CancelledError
        headers = {} if rule.retry_after_s is None else {"Retry-After": f"{rule.retry_after_s:g}"}
        raise HttpError(rule.status, f"injected fault: {rule.status}", headers)

    def health(self, view: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
        """/health, with other workers where a fault says so."""
        rule = self._rules.hit("health", self._target.now(), health=True)
        if rule is None or rule.health is None:
            return view
        return {**view, "workers": dict.fromkeys(view["workers"], 0) | dict(rule.health)}

    def use_crash_start(self) -> bool:
        """Whether the worker that starts now must crash; counts the crash."""
        crash = self._crash_starts > 0
        self._crash_starts -= crash
        return crash

    def never_acks(self, worker_id: str) -> bool:
        """Whether the worker takes jobs and never acknowledges them."""
        return self._never_ack in ("all", worker_id)

    def _kill(self, worker: str) -> None:
        alive = [worker_id for worker_id, state in self._target.worker_states.items() if state in ALIVE]
        if worker not in ("all", "one", *alive):
            names = ", ".join(alive[:5]) or "none (no worker has a process)"
            raise FaultError(f"no such worker to kill: {short_repr(worker)}; use one of {names}")
        for worker_id in alive if worker == "all" else alive[:1] if worker == "one" else [worker]:
            self._target.backend.kill(worker_id)


def _reset(request: web.BaseRequest) -> None:
    """Reset the connection (RST), as a crashed peer does."""
    if request.transport is not None:
        if sock := request.transport.get_extra_info("socket"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
