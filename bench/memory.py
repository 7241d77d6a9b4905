"""How much memory a request takes that waits for its answer.

    python -m bench.memory            # half a minute

A server answers some requests at once and holds all further ones. The generator's resident memory with 1,000 and 10,000 of them waiting,
less its memory before, is divided by their number.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, cast

import psutil
import uvloop

from bench.generator import ROOT, Size, clips_of, last_core
from bench.rows import Row, main
from bench.truth_server import answer

WAITING, LIMIT_KIB = (1000, 10_000), 14.0
WARM_S, WARM_RATE, FILL_RATE = 2, 100, 2000


class Holding(asyncio.Protocol):
    """A connection; requests after the first ``at_once`` are not answered until the end."""

    at_once = WARM_S * WARM_RATE
    seen: ClassVar[list[int]] = [0]

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if end and length and len(body) >= int(length[1]):
            self._buffer = b""
            self.seen[0] += 1
            if self.seen[0] <= self.at_once:
                self._transport.write(answer(200))
            if self.seen[0] in (self.at_once, self.at_once + int(sys.argv[2])):
                # A second later, nothing more arrives, and memory is measured.
                asyncio.get_running_loop().call_later(1.0, lambda: print("measure", flush=True))


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Holding, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def kib_each(place: Path, number: int) -> float:
    """KiB of resident memory for each of ``number`` waiting requests."""
    words = ["taskset", "-c", last_core(), sys.executable, "-m", "bench.memory", "serve", str(number)]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        host = f"http://127.0.0.1:{int(server.stdout.readline())}"
        schedule = f"warm {WARM_S}s {WARM_RATE}/s, rest 4s 0/s, fill {number / FILL_RATE}s {FILL_RATE}/s"
        load = ["--host", host, "--target", "transcription", "--clips", str(place / "clips"), "--schedule", schedule]
        load += ["--max-in-flight", str(number), "--runs", str(place / "runs"), "--report", "no"]
        locust = [sys.executable, "-m", "locust", "-f", "locustfiles/sustained.py", "--headless", *load]
        env = {**os.environ, "COLDBURST_NO_PREFLIGHT": "yes"}
        with subprocess.Popen(locust, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                generator, measured = psutil.Process(process.pid), []
                for _ in ("before", "waiting"):
                    if server.stdout.readline() != "measure\n":
                        sys.exit("the server ended early")
                    measured.append(generator.memory_info().rss)
            finally:
                process.kill()
    return (measured[1] - measured[0]) / number / 1024


def rows(quick: bool) -> Iterator[Row]:
    """One row for each of WAITING."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        clips_of(place, Size(0.04, "", 1.0)).rename(place / "clips")
        (place / "runs").mkdir()
        for number in WAITING:
            few = "" if hard > number + 200 else f"it needs {number + 200} open files (ulimit -n)"
            values = () if few else (kib_each(place, number),)
            yield Row(f"memory of each of {number:,} waiting requests", values, "KiB", LIMIT_KIB, not_judged=few)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(serve())
    else:
        sys.exit(main(rows, __doc__))
