"""The emulator's HTTP server: aiohttp's, with JSON errors also for what is not HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import HttpVersion11, web

from coldburst.emulator.api.responses import HttpError, refusal

KEEP_ALIVE_S = 75.0
"""Longer than clients keep idle connections, so no request meets a closing one."""

Serve = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _Connection(web.RequestHandler):
    """One connection. Errors before there is a request are answered in JSON and not logged."""

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The answer to bytes that are not HTTP; the connection is closed after it.

        Raises:
            ConnectionError: an answer has already begun.
        """
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has already begun")
        reason = next(filter(None, map(str.strip, (message or "").splitlines())), type(exc).__name__)
        response = refusal(HttpError(status, f"invalid HTTP/1.1: {reason[:100].rstrip(':')}"))
        response.force_close()
        return response


class Server(web.Server):
    """Makes the connections.

    Handlers are cancelled when their connection is lost (handler_cancellation): otherwise a worker's dead poll would take the next
    job. Bodies are not decoded: the balancer passes them on with their Content-Encoding.

    Args:
        most_bytes: largest body that ``read`` takes.
    """

    def __init__(self, serve: Serve, most_bytes: int) -> None:
        super().__init__(self._serve, request_factory=self._request, handler_cancellation=True)
        self._answer, self._most_bytes = serve, most_bytes
        self._here = asyncio.get_running_loop()

    def __call__(self) -> web.RequestHandler:
        """A new connection."""
        return _Connection(self, loop=self._here, keepalive_timeout=KEEP_ALIVE_S, access_log=None, auto_decompress=False)  # type: ignore[arg-type]

    def _request(self, message: Any, payload: Any, protocol: web.RequestHandler, writer: Any, task: asyncio.Task[None]) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, self._here, client_max_size=self._most_bytes)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer; a client that waits for permission to send its body gets it (RFC 9110, 10.1.1)."""
        expected = request.headers.get("Expect", "")
        if expected and request.version == HttpVersion11:
            if expected.lower() != "100-continue":
                return refusal(HttpError(417, f"'Expect: {expected[:60]}' is not supported: leave it out, or send 100-continue"))
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # the answer itself has not begun
        return await self._answer(request)
