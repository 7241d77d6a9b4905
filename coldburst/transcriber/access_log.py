"""The access log: a trace of each request, written by an ASGI layer around the service (asgi.readthedocs.io, HTTP scope).

The layer also stalls, limits the bytes of a body, and names the endpoint worker in every answer.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict, dataclass
from typing import Any, TextIO

ROUTE = "/v1/audio/transcriptions"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class TooLargeError(Exception):
    """The request's body is too large."""


@dataclass(slots=True)
class RequestTrace:
    """One transcription request: a line of the access log. None = not reached.

    Attributes:
        received_at: when its headers arrived, in seconds since 1970.
        request_id: the client's X-Request-ID, cut to 200 characters.
        status: of the answer; None when the client left first.
        queue_s: from asking for a slot to getting one, or giving up.
        execution_s: from getting a slot to the text, decoding included.
        total_s: from its headers to the answer's last byte handed to the kernel, a stall included.
        audio_s: length of the clip.
        disconnected: whether the client left; in the log it empties the status.
    """

    received_at: float
    request_id: str
    worker_id: str
    status: int | None = None
    queue_s: float | None = None
    execution_s: float | None = None
    total_s: float = 0.0
    bytes_in: int = 0
    audio_s: float | None = None
    slot: int | None = None
    disconnected: bool = False

    def line(self) -> str:
        """The trace as one line of JSON, seconds to the microsecond."""
        row = {name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(self).items()}
        if row.pop("disconnected"):
            row["status"] = None
        return json.dumps(row) + "\n"


@dataclass(frozen=True, slots=True)
class Stall:
    """A simulated stall: the server does nothing for the first ``length_s`` of each ``every_s`` seconds, from ``start_s`` on."""

    start_s: float
    length_s: float
    every_s: float

    def left_s(self, now_s: float) -> float:
        """How long a request that arrives at ``now_s`` must wait."""
        return max(0.0, self.length_s - (now_s - self.start_s) % self.every_s)


class AccessLogMiddleware:
    """The ASGI application around the service, which finds its RequestTrace in the scope's state."""

    def __init__(self, app: App, worker_id: str, max_bytes: int, stall: Stall | None, log: TextIO | None) -> None:
        self._app, self._worker_id, self._max_bytes = app, worker_id, max_bytes
        self._stall, self._log = stall, log

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        start_s = time.monotonic()
        trace = RequestTrace(time.time(), _header(scope, b"x-request-id")[:200], self._worker_id)
        scope["state"]["trace"] = trace
        try:
            if self._stall:
                await asyncio.sleep(self._stall.left_s(start_s))
            await self._app(scope, self._counted(receive, trace), self._named(send, trace))
        except asyncio.CancelledError:  # uvicorn cancels requests after its grace period
            if trace.status is None:
                await _stopping(self._named(send, trace))
        finally:
            trace.total_s = time.monotonic() - start_s
            if self._log and scope["path"] == ROUTE:
                self._log.write(trace.line())
                self._log.flush()

    def _counted(self, receive: Receive, trace: RequestTrace) -> Receive:
        async def counted() -> Message:
            message = await receive()
            trace.bytes_in += len(message.get("body", b""))
            if trace.bytes_in > self._max_bytes:
                raise TooLargeError
            return message

        return counted

    def _named(self, send: Send, trace: RequestTrace) -> Send:
        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                trace.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-worker-id", self._worker_id.encode())]
            await send(message)

        return named


async def _stopping(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"retry-after", b"1"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"detail":"Service is stopping. Please retry later."}'})


def _header(scope: MutableMapping[str, Any], name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")
