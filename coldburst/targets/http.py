"""The HTTP/1.1 client: one request, no hidden retries, every instant recorded.

Deadlines hold whatever arrives. Bodies longer than connection.KEEP_BYTES are counted and dropped. Nothing is decompressed: no
compression is requested, and a compressed body stays as small as it was sent.

A request is sent again in one case: an idle connection turned out to be closed before any byte of an answer came, and the server's
kernel acknowledged nothing of the request, so that nobody can have read it (RFC 9112, 9.3.1). Where the system does not report
acknowledged bytes, only idempotent requests are repeated (RFC 9110, 9.2.2). ``Exchange.reconnects`` counts them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from coldburst.pieces import Body
from coldburst.targets import socket_state
from coldburst.targets.connection import Connection, late
from coldburst.targets.exchange import BrokenError, ConnectFailedError, DeadlinePassedError, Exchange, OnBody, Timeouts

__all__ = ["Exchange", "HttpClient", "Timeouts"]

# Seconds after which an idle connection is not reused. uvicorn and Node close theirs after 5 s, and a request that meets the close would
# fail through no fault of the endpoint. If a server closes sooner, its connections are reused for half of that time.
KEEP_S = 4.0
IDEMPOTENT = ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE")


class HttpClient:
    """Sends requests to one origin over any number of kept-alive connections; the dispatcher limits the requests in flight.

    Args:
        origin: scheme, host and port, as in ``https://example.com:8443``; a path is prepended to that of each request.
        headers: sent with each request.

    Attributes:
        opened: connections opened so far.

    Raises:
        ValueError: a header with characters that are not allowed.
    """

    def __init__(self, origin: str, limits: Timeouts, headers: Mapping[str, str] | None = None) -> None:
        url = urlsplit(origin)
        self._tls = socket_state.tls_context() if url.scheme == "https" else None
        self._host, self._port = url.hostname or "", url.port or (443 if self._tls else 80)
        self._prefix = url.path.rstrip("/")
        self._limits = limits
        self._fixed = _lines({"Host": url.netloc.rpartition("@")[2], **(headers or {})})
        self._idle: list[Connection] = []
        self._keep_s = KEEP_S
        self.opened = 0

    def close(self) -> None:
        """Closes the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def send(
        self,
        exchange: Exchange,
        method: str,
        path: str,
        body: Body = b"",
        headers: Mapping[str, str] | None = None,
        limits: Timeouts | None = None,
        on_body: OnBody | None = None,
    ) -> None:
        """Sends one request and fills in ``exchange`` as it proceeds; network errors are not raised.

        Args:
            limits: used for this request instead of the client's own.
            on_body: called with each piece of the body as it arrives, and its instant by ``time.perf_counter``;
                ``exchange`` has status and headers by then.
        """
        head = f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._fixed}{_lines(headers or {})}Content-Length: {len(body)}\r\n\r\n".encode()
        exchange.sent = time.perf_counter()
        try:
            self._ask(exchange, limits or self._limits, method, head, body, on_body)
        except DeadlinePassedError as error:
            exchange.fault, exchange.error = "deadline", str(error)
        except ConnectFailedError as error:
            exchange.fault, exchange.error = "connect", str(error)
        except BrokenError as error:
            exchange.fault, exchange.error = "reset", str(error)
        finally:
            exchange.done = time.perf_counter()
            if exchange.fault:
                # A status counts for a whole answer only.
                exchange.status = None

    def _ask(self, exchange: Exchange, limits: Timeouts, method: str, head: bytes, body: Body, on_body: OnBody | None) -> None:
        connection = self._take() or self._connect(exchange, limits)
        try:
            try:
                connection.ask(exchange, limits, head, body, bodiless=method == "HEAD", on_body=on_body)
            except BrokenError:
                if not self._may_repeat(connection, exchange, method):
                    raise
                connection.close()
                exchange.reconnects += 1
                connection = self._connect(exchange, limits)
                connection.ask(exchange, limits, head, body, bodiless=method == "HEAD", on_body=on_body)
        except BaseException:
            connection.close()
            raise
        if connection.reusable:
            connection.idle_since = time.perf_counter()
            self._idle.append(connection)
        else:
            connection.close()

    def _may_repeat(self, connection: Connection, exchange: Exchange, method: str) -> bool:
        """Whether a broken connection was idle and closed, so that nobody has read the request."""
        if not (connection.used and connection.unanswered):
            return False
        self._keep_s = min(self._keep_s, ((exchange.sent or 0.0) - connection.idle_since) / 2)
        unseen = connection.reached_nobody
        return method in IDEMPOTENT if unseen is None else unseen

    def _take(self) -> Connection | None:
        """The idle connection used last that is still open; None if there is none."""
        while self._idle:
            connection = self._idle.pop()
            idle_s = time.perf_counter() - connection.idle_since
            if idle_s < self._keep_s:
                if connection.is_quiet():
                    return connection
                self._keep_s = idle_s / 2
            connection.close()
        return None

    def _connect(self, exchange: Exchange, limits: Timeouts) -> Connection:
        left_s = (exchange.sent or 0.0) + limits.total_s - time.perf_counter()
        if left_s <= 0:
            raise late(limits, head=False)
        try:
            sock = socket_state.connect(self._host, self._port, self._tls, min(self._limits.connect_s, left_s))
        except OSError as error:
            raise ConnectFailedError(str(error)) from error
        self.opened += 1
        return Connection(sock, self._tls is not None)


def _lines(headers: Mapping[str, str]) -> str:
    lines = ""
    for name, value in headers.items():
        if not value.isprintable() or not name.isprintable():
            raise ValueError(f"header {name!r} contains a character that is not allowed (a line break?)")
        lines += f"{name}: {value}\r\n"
    return lines
