"""RunPod's serverless platform on this machine: queue and load-balancing endpoints, REST v2, real or modelled workers.

python -m coldburst.emulator --help
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import ssl
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

import uvloop
from aiohttp import web

from coldburst.emulator.api.management import Management
from coldburst.emulator.api.routes import Routes
from coldburst.emulator.api.server import Server
from coldburst.emulator.certificate import serve_as
from coldburst.emulator.command_line import PROGRAM
from coldburst.emulator.hosted_endpoint import HostedEndpoint, WallClock
from coldburst.emulator.options import EmulatorOptions, EndpointSpec, parse
from coldburst.emulator.truth_log import TruthLog
from coldburst.emulator.webhooks import Webhooks
from coldburst.emulator.workers.modelled_backend import ModelledBackend
from coldburst.emulator.workers.process_backend import ProcessBackend
from coldburst.emulator.workers.processes import OrphanReaper
from coldburst.transcriber.service_process import BACKLOG, listen

SHUTDOWN_S = 0.1
"""For answers that are being written when the emulator is told to end."""
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
"""Where those on this machine reach a server that listens at every address."""


class Emulator:
    """The endpoints and what they share.

    Args:
        url: at which clients reach it.
        worker_url: at which its workers do; the same, but never TLS.
        folder: for the workers' own folders.
    """

    def __init__(
        self,
        options: EmulatorOptions,
        hostings: Iterable[EndpointSpec],
        url: str,
        worker_url: str,
        folder: Path,
        warden: OrphanReaper,
        log: TextIO | None,
    ) -> None:
        self.url, clock = url, WallClock()
        self._webhooks = Webhooks(options.webhook_waits_s, options.webhook_timeout_s)
        truth = TruthLog(log, clock.zero_s)
        self.hosted = {hosting.name: HostedEndpoint(hosting, options, clock, truth, self._webhooks) for hosting in hostings}
        for hosted in self.hosted.values():
            modelled = hosted.hosting.work.worker == "modelled"
            hosted.crew = ModelledBackend(hosted) if modelled else ProcessBackend(hosted, worker_url, folder, warden)
        management = Management(self.hosted, clock, url, options.management_per_minute)
        self._routes = Routes(self.hosted, management, os.environ.get("RUNPOD_API_KEY", ""))

    def server(self) -> Server:
        """What answers on its behalf."""
        platforms = [hosted.platform for hosted in self.hosted.values()]
        most = max(bytes_ for one in platforms for bytes_ in (one.run_bytes, one.sync_bytes, one.lb_bytes))
        return Server(self._routes.serve, int(most) + 1)

    def begin(self) -> None:
        """Starts the workers that are wanted from the start, and puts the faults in force."""
        for hosted in self.hosted.values():
            for fault in hosted.hosting.faults:
                hosted.inject(fault)
            hosted.pump()

    async def end(self) -> None:
        """Ends every worker, before the server is gone: the SDK asks a dead server thousands of times a second."""
        await asyncio.gather(*(hosted.crew.end() for hosted in self.hosted.values()))
        await self._webhooks.close()

    def addresses(self) -> list[str]:
        """A line for each endpoint."""
        lines = []
        for name, hosted in self.hosted.items():
            kind, path = ("queue", "v2") if hosted.is_queue else ("load balancer", "lb")
            lines.append(
                f"{name} ({kind}): {self.url}/{path}/{name}  settings {self.url}/v2/serverless/{name}  inside {self.url}/emulator/{name}"
            )
        return lines


@contextlib.asynccontextmanager
async def _served(emulator: Emulator, sockets: Sequence[tuple[socket.socket, ssl.SSLContext | None]]) -> AsyncIterator[None]:
    """The emulator while it answers."""
    runner = web.ServerRunner(emulator.server(), shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        for listening, context in sockets:
            await web.SockSite(runner, listening, ssl_context=context, backlog=BACKLOG).start()
        yield
    finally:
        await emulator.end()
        await runner.cleanup()


async def run(
    options: EmulatorOptions, hostings: Sequence[EndpointSpec], listening: socket.socket, folder: Path, log: TextIO | None
) -> int:
    """Serve until told to stop; the exit code."""
    host = f"[{options.host}]" if ":" in options.host else options.host
    port = listening.getsockname()[1]
    context, authority = serve_as(options.host, folder, [hosting.name for hosting in hostings]) if options.https else (None, None)
    sockets = [(listening, context)]
    worker_url = f"http://{ANYWHERE.get(options.host, host)}:{port}"
    if options.https:
        inside = listen("127.0.0.1", 0)
        sockets.append((inside, None))
        worker_url = f"http://127.0.0.1:{inside.getsockname()[1]}"
    stop = _stop_event(options.until_stdin_closes)
    warden = OrphanReaper(folder)
    emulator = Emulator(options, hostings, f"{'https' if options.https else 'http'}://{host}:{port}", worker_url, folder, warden, log)
    try:
        async with _served(emulator, sockets):
            emulator.begin()
            if options.ready and not await _ready(emulator, stop):
                return 0
            lines = [f"listening on {emulator.url}", *emulator.addresses(), *([f"authority {authority}"] if authority else [])]
            print("\n".join(lines), flush=True)
            await stop.wait()
    finally:
        warden.close()
    return 0


async def _ready(emulator: Emulator, stop: asyncio.Event) -> bool:
    """Whether every endpoint's minimum of workers is ready; False when told to stop before."""
    ready: asyncio.Future[Any] = asyncio.gather(*(hosted.until_ready() for hosted in emulator.hosted.values()))
    told: asyncio.Future[Any] = asyncio.create_task(stop.wait())
    await asyncio.wait({ready, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    ready.cancel()
    await asyncio.gather(ready, told, return_exceptions=True)
    return not stop.is_set()


def _stop_event(until_stdin_closes: bool) -> asyncio.Event:
    """Set by SIGTERM, SIGINT, or the end of standard input."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if until_stdin_closes:
        threading.Thread(target=_await_stdin, args=(loop, stop), daemon=True).start()
    return stop


def _await_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 65536):
            pass
    with contextlib.suppress(RuntimeError):  # the loop has ended by itself
        loop.call_soon_threadsafe(stop.set)


def main(words: Sequence[str] | None = None) -> int:
    """Run the emulator; the exit code: 0 when told to stop, 2 when the options are not right."""
    options, hostings = parse(words)
    try:
        log = None if not options.log else sys.stdout if options.log == "-" else open(options.log, "a", encoding="utf-8")  # noqa: PTH123, SIM115 - open until the process ends
        listening = listen(options.host, options.port)
    except OSError as error:
        what = f"write '{error.filename}'" if error.filename else f"listen on {options.host}:{options.port}"
        print(f"{PROGRAM}: cannot {what}: {str(error.strerror).partition(' (')[0]}", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="coldburst-"))
    try:
        return uvloop.run(run(options, hostings, listening, folder, log))
    except BrokenPipeError:  # whoever started it has gone already
        return 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)
