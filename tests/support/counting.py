"""A transcription service that recognises nothing and keeps its own count: the truth that a run is held against.

    python -m tests.support.counting --host 127.0.0.1 --port 0 --service-time 0.02 --log count.jsonl

One line of JSON as soon as a request's headers are there, one more once its answer was handed to the kernel. Each is one
write to the file, so that both are there after kill -9. Prints its address once it accepts connections.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

ROUTE = "/v1/audio/transcriptions"


@dataclass(frozen=True, slots=True)
class Received:
    """A request that reached the service; instants in Unix seconds.

    Attributes:
        request_id: its X-Request-ID, "" without one.
        peer: the address that it came from, without the port.
        received: when its headers were there.
        answered: when its answer went out; None: it did not.
    """

    request_id: str
    peer: str
    received: float
    answered: float | None


def read(log: Path) -> list[Received]:
    """All requests that the service received, in that order.

    Raises:
        ValueError: a line that the service did not write whole.
    """
    seen: dict[int, Received] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        said = json.loads(line)
        number = said.pop("number")
        before = seen.get(number)
        seen[number] = Received(before.request_id, before.peer, before.received, **said) if before else Received(**said, answered=None)
    return list(seen.values())


class Service:
    """Answers every transcription after ``service_time_s`` seconds, and writes down that it did."""

    def __init__(self, service_time_s: float, worker_id: str, log: Path) -> None:
        self._service_time_s, self._headers = service_time_s, {"X-Worker-Id": worker_id}
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)
        self._numbers = itertools.count()

    async def transcribe(self, request: web.Request) -> web.StreamResponse:
        number = next(self._numbers)
        self._note(number, request_id=request.headers.get("X-Request-ID", ""), peer=request.remote, received=time.time())
        await request.release()
        await asyncio.sleep(self._service_time_s)
        answer = web.json_response({"text": ""}, headers=self._headers)
        with suppress(ConnectionResetError):  # whoever asked is gone
            await answer.prepare(request)
            await answer.write_eof()
            self._note(number, answered=time.time())
        return answer

    def _note(self, number: int, **what: object) -> None:
        os.write(self._log, json.dumps({"number": number, **what}).encode() + b"\n")


async def serve(service: Service, host: str, port: int) -> None:
    """Serves until SIGTERM or SIGINT; requests in service are cut then."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    app = web.Application()
    app.router.add_post(ROUTE, service.transcribe)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, host, port, backlog=2048).start()
    print(f"listening on http://{host}:{runner.addresses[0][1]}", flush=True)
    await ended.wait()
    await runner.cleanup()


def main() -> None:
    """Runs the service that the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.counting", description="A transcription service that keeps its own count."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0: the kernel chooses (default: %(default)s)")
    parser.add_argument("--service-time", type=float, default=0.02, help="from request to answer (s, default: %(default)s)")
    parser.add_argument("--worker-id", default=f"counting-{os.getpid()}", help="name in X-Worker-Id (default: counting-<pid>)")
    parser.add_argument("--log", type=Path, required=True, metavar="FILE", help="the count; must not exist yet")
    options = parser.parse_args()
    asyncio.run(serve(Service(options.service_time, options.worker_id, options.log), options.host, options.port))


if __name__ == "__main__":
    main()
