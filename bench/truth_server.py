"""A service that knows the truth: what each request met, and when. bench/truth.py compares with it what clients report.

    python -m bench.truth_server SCENE LOG      # prints its port; ends with its standard input, then writes LOG

SCENE is one of SCENES; LOG is a JSON list of Request. Instants are by time.perf_counter, which is the same clock in all processes.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import uvloop

from coldburst.randomness import stream

SERVICE_S = 0.05
# From the first request on: nothing is answered for so long.
STALL_AT_S, STALL_S = 4.0, 2.0
FAST_S, SLOW_S, SLOW = 0.2, 1.0, 0.08
JOB_S = (0.5, 5.0)
# Every so many requests one meets a fault. A client's deadline is DEADLINE_S; what hangs, and slow headers, take longer.
EVERY, EACH, DEADLINE_S, HANG_S = 5, 10, 2, 4.0
FAULTS = ("reset", "closed", "500", "503", "429", "cut", "hang", "slow headers")
BODY = b'{"text": "ok"}'
HEAD = "HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"


def answer(status: int, body: bytes = BODY, length: int | None = None) -> bytes:
    return HEAD.format(status=status, length=len(body) if length is None else length).encode() + body


@dataclass
class Request:
    """One request.

    Attributes:
        name: its X-Request-ID, or "".
        arrived_s: when it was complete.
        service_s: how long its answer takes.
        met: "ok", or one of FAULTS.
        answered_s: when its answer was written, or its connection was closed; None: its client was gone before.
    """

    name: str
    arrived_s: float
    service_s: float = SERVICE_S
    met: str = "ok"
    answered_s: float | None = None

    @property
    def took_s(self) -> float:
        """From its arrival to its answer, also where nobody waited for that."""
        return self.service_s if self.answered_s is None else self.answered_s - self.arrived_s


class Scene:
    """Decides when each request is answered, and what it meets.

    Attributes:
        requests: all that arrived, in order.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._random = stream(1, type(self).__name__)

    def take(self, name: str, now: float) -> Request:
        """A request that is complete."""
        request = Request(name, now)
        self.requests.append(request)
        self.decide(request, self._random)
        return request

    def decide(self, request: Request, rng: random.Random) -> None:
        """Sets how long the request takes, and what it meets."""
        raise NotImplementedError


class Stall(Scene):
    """SERVICE_S each; once, everything stands still for STALL_S."""

    def decide(self, request: Request, rng: random.Random) -> None:
        request.service_s = waited_s(request.arrived_s - self.requests[0].arrived_s)


def waited_s(at_s: float) -> float:
    """How long an arrival ``at_s`` after the first one waits for its answer: work stands still during the stall."""
    if at_s + SERVICE_S <= STALL_AT_S or at_s >= STALL_AT_S + STALL_S:
        return SERVICE_S
    return SERVICE_S + STALL_AT_S + STALL_S - max(at_s, STALL_AT_S)


class Bimodal(Scene):
    """Most answers take about FAST_S, a few (SLOW) about SLOW_S."""

    def decide(self, request: Request, rng: random.Random) -> None:
        request.service_s = (SLOW_S if rng.random() < SLOW else FAST_S) * rng.lognormvariate(0.0, 0.15)


class Jobs(Scene):
    """Long jobs, of JOB_S."""

    def decide(self, request: Request, rng: random.Random) -> None:
        request.service_s = rng.uniform(*JOB_S)


class Faults(Scene):
    """Every fifth request meets a fault until each of FAULTS was met EACH times."""

    def decide(self, request: Request, rng: random.Random) -> None:
        number, other = divmod(len(self.requests), EVERY)
        if not other and number <= EACH * len(FAULTS):
            request.met = FAULTS[number % len(FAULTS)]
            request.service_s = HANG_S if request.met == "hang" else SERVICE_S


SCENES: dict[str, Callable[[], Scene]] = {"stall": Stall, "bimodal": Bimodal, "jobs": Jobs, "faults": Faults}


class Connection(asyncio.Protocol):
    """A connection of one request after the other."""

    def __init__(self, scene: Scene) -> None:
        self._scene, self._buffer = scene, b""
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._task:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if not end or (length is not None and len(body) < int(length[1])):
            return
        self._buffer = b""
        name = re.search(rb"x-request-id: (\S+)", head, re.IGNORECASE)
        request = self._scene.take(name[1].decode() if name else "", time.perf_counter())
        self._task = asyncio.create_task(self._answer(request))

    async def _answer(self, request: Request) -> None:
        """Answers as ``request.met`` says."""
        await asyncio.sleep(request.service_s)
        met = request.met
        if met == "slow headers":
            whole = answer(200)
            for at in range(len(whole)):
                self._transport.write(whole[at : at + 1])
                await asyncio.sleep(HANG_S / len(whole))
        elif met == "cut":
            self._transport.write(answer(200, BODY[:9], 5000))
        elif met not in ("reset", "closed"):
            self._transport.write(answer(int(met) if met.isdigit() else 200))
        request.answered_s = time.perf_counter()
        if met == "reset":
            # Closed with a RST instead of a FIN.
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if met in ("reset", "closed", "cut"):
            self._transport.close()


async def serve(scene: Scene) -> None:
    """Serves until standard input is closed."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(scene), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def read(log: Path) -> list[Request]:
    """The requests of a log, in the order of their arrival."""
    return [Request(**one) for one in json.loads(log.read_text(encoding="utf-8"))]


if __name__ == "__main__":
    played = SCENES[sys.argv[1]]()
    uvloop.run(serve(played))
    Path(sys.argv[2]).write_text(json.dumps([asdict(one) for one in played.requests]), encoding="utf-8")
