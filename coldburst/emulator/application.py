"""The emulator as a whole: its endpoints with their workers, the server, and their start and end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from aiohttp import web

from coldburst.child_processes import OrphanReaper
from coldburst.emulator.api.access import Access
from coldburst.emulator.api.management import Management
from coldburst.emulator.api.routes import Routes
from coldburst.emulator.api.server import Server
from coldburst.emulator.hosted_endpoint import HostedEndpoint
from coldburst.emulator.settings.endpoint_specs import EmulatorOptions, EndpointSpec
from coldburst.emulator.truth_log import TruthLog, WallClock
from coldburst.emulator.webhooks import Webhooks
from coldburst.emulator.workers.modelled_backend import ModelledBackend
from coldburst.emulator.workers.process_backend import ProcessBackend
from coldburst.service.process import BACKLOG

SHUTDOWN_S = 0.1
"""For answers that are being written when the emulator stops."""


class Emulator:
    """The endpoints and what they share: webhooks, truth log, routes.

    Args:
        url, worker_url: for clients; for workers, which never use TLS.
        folder: for the workers' folders.
    """

    def __init__(
        self,
        options: EmulatorOptions,
        specs: Iterable[EndpointSpec],
        url: str,
        worker_url: str,
        folder: Path,
        reaper: OrphanReaper,
        log: TextIO | None,
        access: Access,
    ) -> None:
        self.url, clock = url, WallClock()
        self._webhooks = Webhooks(options.webhook_waits_s, options.webhook_timeout_s, options.webhook_hosts)
        truth = TruthLog(log, clock.zero_s)
        self.endpoints = {spec.name: HostedEndpoint(spec, options, clock, truth, self._webhooks) for spec in specs}
        for endpoint in self.endpoints.values():
            modelled = endpoint.spec.workers.kind == "modelled"
            endpoint.backend = ModelledBackend(endpoint) if modelled else ProcessBackend(endpoint, worker_url, folder, reaper)
        management = Management(self.endpoints, clock, url, options.management_per_minute)
        self._routes = Routes(self.endpoints, management, access)

    def server(self) -> Server:
        """The server for its requests."""
        platforms = [endpoint.platform for endpoint in self.endpoints.values()]
        most = max(bytes_ for one in platforms for bytes_ in (one.run_bytes, one.sync_bytes, one.lb_bytes))
        return Server(self._routes.serve, int(most) + 1)

    def start(self) -> None:
        """Start the workers of the minimum, and inject the configured faults."""
        for endpoint in self.endpoints.values():
            for fault in endpoint.spec.faults:
                endpoint.faults.inject(fault)
            endpoint.pump()

    async def end(self) -> None:
        """End every worker before the server: the SDK retries a dead server thousands of times a second."""
        await asyncio.gather(*(endpoint.backend.end() for endpoint in self.endpoints.values()))
        await self._webhooks.close()

    def addresses(self) -> list[str]:
        """A line for each endpoint."""
        lines = []
        for name, endpoint in self.endpoints.items():
            kind, path = ("queue", "v2") if endpoint.is_queue else ("load balancer", "lb")
            lines.append(
                f"{name} ({kind}): {self.url}/{path}/{name}  settings {self.url}/v2/serverless/{name}  inside {self.url}/emulator/{name}"
            )
        return lines


@contextlib.asynccontextmanager
async def serving(emulator: Emulator, sockets: Sequence[tuple[socket.socket, ssl.SSLContext | None]]) -> AsyncIterator[None]:
    """Run the server."""
    runner = web.ServerRunner(emulator.server(), shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        for listening, context in sockets:
            await web.SockSite(runner, listening, ssl_context=context, backlog=BACKLOG).start()
        yield
    finally:
        await emulator.end()
        await runner.cleanup()


async def until_ready(emulator: Emulator, stop: asyncio.Event) -> bool:
    """Whether every endpoint's minimum of workers is ready; False when stopped first."""
    ready: asyncio.Future[Any] = asyncio.gather(*(endpoint.until_ready() for endpoint in emulator.endpoints.values()))
    stopped: asyncio.Future[Any] = asyncio.create_task(stop.wait())
    await asyncio.wait({ready, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    ready.cancel()
    await asyncio.gather(ready, stopped, return_exceptions=True)
    return not stop.is_set()
