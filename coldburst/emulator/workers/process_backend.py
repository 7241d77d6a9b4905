"""Workers as processes: the runpod SDK's for a queue, HTTP servers for a load balancer."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Iterable
from pathlib import Path

import aiohttp

from coldburst.child_processes import OrphanReaper, free_port
from coldburst.emulator.hosted_endpoint import HostedEndpoint
from coldburst.emulator.settings.endpoint_specs import WorkerSpec
from coldburst.emulator.workers.long_polls import LongPolls
from coldburst.emulator.workers.processes import WorkerProcesses, outside, sdk_block
from coldburst.emulator.workers.worker_log import WorkerLog
from coldburst.serverless.actions import Action, Changed, Deliver, Kill, Launch, Resume, Stop, StopJob
from coldburst.serverless.simulation.driver import WorkerResult

CRASH = (sys.executable, "-c", "raise SystemExit(1)")
"""A worker that exits before it is ready."""
BEFORE_READY_S = 0.05
"""Interval of health checks until a worker is ready; then it is a setting."""


class ProcessBackend:
    """See WorkerBackend; ``base``: the emulator's URL for workers; ``worker_key``: in their URLs, checked where clients need a key."""

    def __init__(self, endpoint: HostedEndpoint, base: str, folder: Path, reaper: OrphanReaper) -> None:
        self._endpoint, self._base = endpoint, base
        self.spec = endpoint.spec.workers
        self.polls = LongPolls(endpoint)
        self.addresses: dict[str, str] = {}
        self._processes = WorkerProcesses(folder, reaper, endpoint.options.grace_s, self._gone)
        self._frozen: set[str] = set()
        self._checks: dict[str, asyncio.Task[None]] = {}
        self.worker_key = secrets.token_hex(16)
        self._session: aiohttp.ClientSession | None = None

    def actions(self, now: float) -> Iterable[Action]:
        """See WorkerBackend."""
        return self._endpoint.core.actions(now)

    def wake_s(self) -> float | None:
        """See WorkerBackend."""
        return self._endpoint.core.wake_s()

    def carry_out(self, action: Action | WorkerResult, now: float) -> None:
        """See WorkerBackend."""
        match action:
            case Deliver():
                self.polls.deliver(action)
            case StopJob():
                self.polls.stop_job(action)
            case Launch(worker_id):
                self._launch(worker_id)
            case Changed(worker_id, "CACHED"):
                self._frozen.add(worker_id)
                self._processes.freeze(worker_id)
            case Resume(worker_id):
                self._frozen.discard(worker_id)
                self._processes.thaw(worker_id)
            case Stop(worker_id):
                self._stop(worker_id)
            case Kill(worker_id):
                self.kill(worker_id)

    def kill(self, worker_id: str) -> None:
        """See WorkerBackend."""
        self._processes.kill(worker_id)

    def log(self, worker_id: str) -> WorkerLog | None:
        """See WorkerBackend."""
        return self._processes.logs.get(worker_id)

    async def end(self) -> None:
        """See WorkerBackend."""
        for check in list(self._checks.values()):
            check.cancel()
        await self._processes.end()
        if self._session:
            await self._session.close()

    def _launch(self, worker_id: str) -> None:
        endpoint = self._endpoint
        self.polls.open(worker_id)
        crash = endpoint.faults.use_crash_start()
        port = 0 if endpoint.is_queue else free_port()
        environment = self._environment(worker_id, port)
        self._processes.start(worker_id, CRASH if crash else self._command(port), environment, quiet=self.spec.kind == "sdk")
        if port:
            self.addresses[worker_id] = f"http://127.0.0.1:{port}"
            self._checks[worker_id] = asyncio.create_task(self._check(worker_id))

    def _stop(self, worker_id: str) -> None:
        """Send the signal first: a worker whose polls end polls again, unless it knows that it must end."""
        if worker_id in self._frozen:
            self._processes.kill(worker_id)
        else:
            self._processes.stop(worker_id)
        self.polls.end(worker_id)

    def _gone(self, worker_id: str) -> None:
        self._frozen.discard(worker_id)
        self.polls.close(worker_id)
        self.addresses.pop(worker_id, None)
        if check := self._checks.pop(worker_id, None):
            check.cancel()
        self._endpoint.core.gone(worker_id, self._endpoint.now())
        self._endpoint.pump()

    def _environment(self, worker_id: str, port: int) -> dict[str, str]:
        endpoint = self._endpoint
        if port:
            ports = {"PORT": str(port), "PORT_HEALTH": str(port), "HEALTH_CHECK_PATH": self.spec.health_path}
            return outside() | dict(self.spec.env) | {"RUNPOD_POD_ID": worker_id, "RUNPOD_ENDPOINT_ID": endpoint.name} | ports
        block = sdk_block(self._base, endpoint.name, worker_id, endpoint.core.policy.gpu, self.worker_key, endpoint.platform.ping_s)
        return {"RUNPOD_LOG_LEVEL": "ERROR"} | outside() | dict(self.spec.env) | block

    def _command(self, port: int) -> list[str]:
        if self.spec.kind == "command":
            return list(self.spec.command)
        return _transcriber(self.spec, port) if port else _sdk_worker(self.spec)

    async def _check(self, worker_id: str) -> None:
        """Check the worker's health path: 200 is healthy, 204 is starting, anything else takes it out of service."""
        core, options, now = self._endpoint.core, self._endpoint.options, self._endpoint.now
        ready, failures = False, 0
        while True:
            status = await self._health(worker_id)
            if status == 200:
                failures = 0
                if not ready:
                    ready = True
                    core.ready(worker_id, now())
                    self._endpoint.pump()
            elif ready and worker_id not in self._frozen:
                failures += 1
                if failures == options.health_failures:
                    ready = False
                    core.unhealthy(worker_id, now(), f"{self.spec.health_path} answers {status or 'nothing'}")
                    self._endpoint.pump()
            await asyncio.sleep(options.health_every_s if ready else min(BEFORE_READY_S, options.health_every_s))

    async def _health(self, worker_id: str) -> int:
        """Status of the worker's health path; 0 without an answer."""
        timeout = aiohttp.ClientTimeout(self._endpoint.options.health_timeout_s)
        try:
            async with self.session.get(self.addresses[worker_id] + self.spec.health_path, timeout=timeout) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0

    @property
    def session(self) -> aiohttp.ClientSession:
        """For health checks and forwarded requests: no limits, no added headers, no cookies."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(None),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        return self._session


def _sdk_worker(spec: WorkerSpec) -> list[str]:
    options = {
        "--concurrency": spec.concurrency,
        "--engine": spec.engine,
        "--model": spec.model and str(Path(spec.model).absolute()),
        "--service-time": spec.service_time.fixed_s,
        "--extra-load": spec.extra_load_s,
        "--first-extra": spec.first_extra_s,
        "--card-gb": spec.card_gb,
        "--shared-gb": spec.shared_gb,
        "--job-gb": spec.job_gb,
    }
    words = [word for option, value in options.items() if value not in (None, "") for word in (option, str(value))]
    return [sys.executable, "-m", "coldburst.emulator.workers.sdk_worker", *words]


def _transcriber(spec: WorkerSpec, port: int) -> list[str]:
    words = ["--port", str(port), "--max-concurrent", str(spec.concurrency), "--queue", "1000", "--engine", spec.engine]
    if spec.model:
        words += ["--model", str(Path(spec.model).absolute())]
    if spec.service_time.fixed_s is not None:
        words += ["--service-time", str(spec.service_time.fixed_s)]
    return [sys.executable, "-m", "coldburst.transcriber", *words]
