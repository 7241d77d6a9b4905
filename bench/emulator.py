"""What the emulator of the platform serves and holds, and what it costs a generator to poll for thousands of jobs.

    python -m bench.emulator            # about a minute

Three parts: jobs a second (one /run and one /status each) beside a bare aiohttp server that answers the same
requests with constants, in turns; an emulator that holds 5,000 jobs; a generator process (bench/poller.py) that
follows 5,000 jobs within its share of RunPod's limit on polls. The emulator has modelled workers and no rate
limits, and the last core to itself; the client and the generator share the first.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import cast

import uvloop
from aiohttp import web

from bench.rows import Row, main
from coldburst.targets.queue import POLLS
from coldburst.targets.queue_options import QueueOptions
from coldburst.targets.rate_limiter import RateLimit

ROOT = Path(__file__).resolve().parent.parent
ROUNDS, SECONDS, LANES = 3, 3, 16
HANG_S = 30
IN_FLIGHT = 5000
CPU_RATIO, HELD_KIB, KIB_A_JOB, USED = 4.0, 6, 25, 0.8
EMULATOR = ("coldburst.emulator", "--until-stdin-closes", "--ready", "--worker", "modelled", "--start", "0", "--load", "0",
            "--workers-min", "10", "--workers-max", "10", "--concurrency", "1000",
            "--platform", "limits_on=false", "--platform", "report_s=0")  # fmt: skip
BARE = ("bench.emulator", "bare")
BODY = b'{"input": {"prompt": "hello", "n": 1}}'
RUN = b"POST /v2/demo/run HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
STATUS = b"GET /v2/demo/status/%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")

Script = Generator[bytes, bytes, None]
"""Yields a request, is sent the body of its answer."""


class Lane(asyncio.Protocol):
    """One kept connection that plays a script; ``ended`` is set after its last answer. Anything but a 200 ends the bench."""

    def __init__(self, script: Script) -> None:
        self._script, self._buffer = script, b""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._go_on(None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, _, body = self._buffer.partition(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        if length is None or len(body) < int(length[1]):
            return
        self._buffer = b""
        if head[9:12] == b"200":
            self._go_on(body)
        else:
            self.ended.set_exception(RuntimeError(f"a request was answered {head[:12]!r}: {body!r}"))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(error or RuntimeError("the server closed a connection"))

    def _go_on(self, body: bytes | None) -> None:
        try:
            self._transport.write(next(self._script) if body is None else self._script.send(body))
        except StopIteration:
            self.ended.set_result(None)
            self._transport.close()


def whole_jobs(until_s: float, ended: list[float]) -> Script:
    """Jobs until ``until_s`` by perf_counter; when the answer about each was there goes to ``ended``."""
    while time.perf_counter() < until_s:
        body = yield RUN
        yield STATUS % body.split(b'"', 4)[3]
        ended.append(time.perf_counter())


def submissions(number: int) -> Script:
    for _ in range(number):
        yield RUN


async def play(url: str, scripts: list[Script]) -> None:
    """Plays the scripts at a time, each on a connection of its own."""
    host, port = url.rpartition("/")[2].split(":")
    loop = asyncio.get_running_loop()
    lanes = [(await loop.create_connection(partial(Lane, script), host, int(port)))[1] for script in scripts]
    await asyncio.wait_for(asyncio.gather(*(lane.ended for lane in lanes)), HANG_S)


@contextmanager
def server(core: int, module: str, *arguments: str) -> Iterator[tuple[str, int]]:
    """A server of ours on ``core`` and no other: its address and process id."""
    command = [sys.executable, "-m", module, *arguments]
    env = {name: value for name, value in os.environ.items() if name != "RUNPOD_API_KEY"}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        os.sched_setaffinity(process.pid, {core})
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("listening on"):
                sys.exit(f"'{module}' did not start: see above")
            yield line.split()[-1], process.pid
        finally:
            process.terminate()


async def bare() -> None:
    """The same two requests answered with constants, by a server set up as the emulator's."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=b'{"id": "constant-u1", "status": "IN_QUEUE"}', headers={"Content-Type": "application/json"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"listening on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the parent process has ended


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def rss_kib(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    assert found
    return int(found[1])


def jobs_of(url: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{url}/v2/demo/health", timeout=10) as response:
        jobs: dict[str, int] = json.load(response)["jobs"]
    return {name: jobs[name] for name in ("completed", "failed", "inProgress", "inQueue")}


def turn(url: str, pid: int) -> tuple[float, float]:
    """Jobs a second of one turn, and microseconds of the server's CPU for each."""
    ended: list[float] = []
    cpu, start = cpu_s(pid), time.perf_counter()
    uvloop.run(play(url, [whole_jobs(start + SECONDS, ended) for _ in range(LANES)]))
    return len(ended) / (ended[-1] - start), (cpu_s(pid) - cpu) / len(ended) * 1e6


def throughput(core: int, rounds: int) -> Iterator[Row]:
    """Both servers in turns. The client's own core can bound the rate of the bare one, so CPU is the fairer ratio."""
    turns: dict[str, list[tuple[float, float]]] = {"emulator": [], "bare": []}
    with server(core, *EMULATOR, "--service-time", "0.001") as emulator, server(core, *BARE) as constant:
        for _ in range(rounds):
            for name, (url, pid) in zip(turns, (emulator, constant), strict=True):
                turns[name].append(turn(url, pid))
        url, last = emulator[0], time.perf_counter()
        while (jobs := jobs_of(url))["inQueue"] + jobs["inProgress"] and time.perf_counter() < last + HANG_S:
            time.sleep(0.1)
    pairs = list(zip(*turns.values(), strict=True))
    yield Row("CPU of a job (/run and /status)", tuple(mine / bare for (_, mine), (_, bare) in pairs), "× bare aiohttp", CPU_RATIO)
    yield Row("jobs a second", tuple(rate for rate, _ in turns["emulator"]), "jobs/s")
    yield Row("jobs that did not complete", (sum(jobs.values()) - jobs["completed"],), "jobs", 0)


def held(core: int) -> Iterator[Row]:
    """An emulator with IN_FLIGHT jobs."""
    with server(core, *EMULATOR, "--service-time", "3600") as (url, pid):
        uvloop.run(play(url, [whole_jobs(time.perf_counter() + 0.2, []) for _ in range(LANES)]))
        before, already = rss_kib(pid), jobs_of(url)
        uvloop.run(play(url, [submissions(share) for share in _shares(IN_FLIGHT)]))
        jobs, each = jobs_of(url), (rss_kib(pid) - before) / IN_FLIGHT
    number = jobs["inQueue"] + jobs["inProgress"] - already["inQueue"] - already["inProgress"]
    yield Row("jobs held by an emulator", (number,), "jobs", IN_FLIGHT, at_least=True)
    yield Row("memory of a job in the emulator", (each,), "KiB", HELD_KIB)


def _shares(number: int) -> list[int]:
    return [number // LANES + (lane < number % LANES) for lane in range(LANES)]


def polled(core: int) -> Iterator[Row]:
    """A generator that polls for IN_FLIGHT jobs (bench/poller.py)."""
    with server(core, *EMULATOR, "--service-time", "3600") as (url, _):
        command = [sys.executable, "-m", "bench.poller", f"{url}/v2/demo", str(IN_FLIGHT)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    got = json.loads(done.stdout)
    yield Row("jobs polled for by a generator", (got["in_flight"],), "jobs", IN_FLIGHT, at_least=True)
    yield Row("polls that were refused", (got["refused"],), "polls", 0)
    yield Row("memory of a job in the generator", (got["kib_a_job"],), "KiB", KIB_A_JOB)
    yield Row("most polls in any 10 s (RunPod's limit)", (got["most"],), "polls", POLLS[0])
    rate = RateLimit(*POLLS, share=QueueOptions().share).rate
    yield Row("polls used of the generator's share", (got["mean"] / rate / 10,), "of its share", USED, at_least=True)
    yield Row("CPU while it polls", (got["cpu_cores"],), "cores")


def rows(quick: bool) -> Iterator[Row]:
    """All three parts; this process keeps to the first core."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[0]})
    yield from throughput(cores[-1], 2 if quick else ROUNDS)
    yield from held(cores[-1])
    yield from polled(cores[-1])


if __name__ == "__main__":
    if sys.argv[1:] == ["bare"]:
        uvloop.run(bare())
    else:
        sys.exit(main(rows, __doc__))
