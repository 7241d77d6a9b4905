"""A server that answers every request at once and notes when each arrived: the schedule's judge in bench/generator.py.

    python -m bench.arrival_log FILE     # prints its port, ends with its standard input, then writes FILE

FILE is CSV: the request's X-Request-ID, and the instant of its first byte by time.perf_counter, which is the same clock in all processes.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from pathlib import Path

import uvloop

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"text": "ok"}'
_arrivals: list[tuple[bytes, float]] = []


class Noting(asyncio.Protocol):
    """A connection of one request after the other."""

    def __init__(self) -> None:
        self._buffer, self._first_s = b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._first_s = self._first_s if self._buffer else time.perf_counter()
        self._buffer += data
        head, _, body = self._buffer.partition(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        if length is not None and len(body) >= int(length[1]):
            # The check before the run has none.
            if name := re.search(rb"X-Request-ID: (\S+)", head):
                _arrivals.append((name[1], self._first_s))
            self._buffer = b""
            self._transport.write(ANSWER)  # type: ignore[attr-defined]


async def serve() -> None:
    """Serves until standard input is closed."""
    server = await asyncio.get_running_loop().create_server(Noting, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(serve())
    Path(sys.argv[1]).write_text("".join(f"{name.decode()},{at_s!r}\n" for name, at_s in _arrivals), encoding="utf-8")
