"""The HTTP/1.1 client: one request, no hidden retries, every instant recorded.

It uses gevent's sockets and httptools (llhttp), one parser per connection. Bytes after the end of a message belong to no request, and
their connection is not reused. Deadlines hold whatever arrives. Bodies longer than KEEP_BYTES are counted
and dropped. Nothing is decompressed: no compression is requested, and a compressed body stays as small as it was sent.

A request is sent again in one case: an idle connection turned out to be closed before any byte of an answer came, and the server's
kernel acknowledged nothing of the request, so that nobody can have read it (RFC 9112, 9.3.1). Where the system does not report
acknowledged bytes, only idempotent requests are repeated (RFC 9110, 9.2.2). ``Exchange.reconnects`` counts them.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

import gevent
import gevent.socket
from gevent import monkey
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from coldburst.targets import socket_state
from coldburst.targets.exchange import BrokenError, ConnectFailedError, DeadlinePassedError, Exchange, OnBody, Timeouts

# The kernel's poll, not gevent's: it returns at once and must not switch greenlets.
_poll = monkey.get_original("select", "poll")
_READABLE: int = monkey.get_original("select", "POLLIN")
_WRITABLE: int = monkey.get_original("select", "POLLOUT")

__all__ = ["Exchange", "HttpClient", "Timeouts"]

# Seconds after which an idle connection is not reused. uvicorn and Node close theirs after 5 s, and a request that meets the close would
# fail through no fault of the endpoint. If a server closes sooner, its connections are reused for half of that time.
KEEP_S = 4.0
IDEMPOTENT = ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE")
BLOCK_BYTES = 65536
# RunPod's largest result has 20 MB. Nothing is kept of a longer body: a part of it could not be decoded.
KEEP_BYTES = 20 * 2**20
HEAD_BYTES = 256 * 1024
# Other greenlets get a turn after so many seconds of reading. Blocks that are there already are read without waiting.
TURN_S = 0.001


class _Deadlines:
    """The deadlines of one request."""

    __slots__ = ("_start", "_timeouts")

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts, self._start = timeouts, time.perf_counter()

    def left_s(self, head: bool) -> float:
        """Seconds left, above 0: until the answer's headers must be there (``head``), or all of it.

        Raises:
            DeadlinePassedError: the limit has passed.
        """
        limits = self._timeouts
        limit_s = min(limits.first_byte_s, limits.total_s) if head else limits.total_s
        left = self._start + limit_s - time.perf_counter()
        if left <= 0:
            raise self.late(head)
        return left

    def late(self, head: bool) -> DeadlinePassedError:
        """The error that names the limit that passed."""
        if head and self._timeouts.first_byte_s < self._timeouts.total_s:
            return DeadlinePassedError(f"no first byte within {self._timeouts.first_byte_s:g} s")
        return DeadlinePassedError(f"not done within {self._timeouts.total_s:g} s")


class _HttpConnection:
    """A socket and the parser of its answers: one request after the other."""

    def __init__(self, sock: gevent.socket.socket, tls: bool) -> None:
        self.sock, self._tls = sock, tls
        self.idle_since = 0.0
        self.used = False
        self._parser = HttpResponseParser(self)
        self._written = self._written_before = 0

    def ask(self, exchange: Exchange, clock: _Deadlines, head: bytes, body: bytes, *, bodiless: bool, on_body: OnBody | None) -> None:
        """Sends one request and reads its answer into ``exchange``.

        Raises:
            DeadlinePassedError: a time limit passed.
            BrokenError: the connection broke, or the answer is not HTTP.
        """
        self._exchange, self._clock, self._bodiless, self._on_body = exchange, clock, bodiless, on_body
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._head_bytes = 0
        self._final = self._complete = self._surplus = self._goes_on = False
        self._written_before = self._written
        self._write(head, body)
        self._read()
        self.used = True
        exchange.body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks = []

    @property
    def reusable(self) -> bool:
        """Whether another request may follow: the answer was complete, and nothing came after it."""
        return self._goes_on and not self._surplus

    @property
    def unanswered(self) -> bool:
        """Whether no byte of an answer came."""
        return self._head_bytes == 0

    @property
    def reached_nobody(self) -> bool | None:
        """Whether the server's kernel acknowledged nothing of this request; None where the system does not tell."""
        acknowledged = socket_state.acknowledged_bytes(self.sock)
        # The counter may hold one byte more, for the SYN.
        return None if acknowledged is None else acknowledged <= self._written_before + 1

    def is_quiet(self) -> bool:
        """Whether an idle connection is still open: a readable one was closed, or has bytes that nobody requested."""
        return not _ready(self.sock, _READABLE)

    def close(self) -> None:
        """Closes the socket."""
        self.sock.close()

    # Callbacks of httptools' parser. Whatever comes after the complete final answer is surplus.

    def on_message_begin(self) -> None:
        """An answer begins."""
        if self._complete:
            self._surplus = True
        else:
            self._headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. Trailers are dropped; repeated headers are joined (RFC 9110, 5.3)."""
        if not self._final:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        """The end of the headers. An interim answer (1xx) is not final, except for 101: no other protocol was requested."""
        status = self._parser.get_status_code()
        if not self._final and (status >= 200 or status == 101):
            self._final = True
            exchange = self._exchange
            exchange.first, exchange.status, exchange.headers = time.perf_counter(), status, self._headers

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self._complete:
            return
        self._exchange.received += len(data)
        if self._on_body is not None:
            self._on_body(data, time.perf_counter())
        if self._exchange.received <= KEEP_BYTES:
            self._chunks.append(data)
        else:
            self._chunks.clear()

    def on_message_complete(self) -> None:
        """The end of an answer. Only here the parser knows whether the connection may be kept."""
        if self._final and not self._complete:
            self._complete, self._goes_on = True, bool(self._parser.should_keep_alive())

    def _write(self, head: bytes, body: bytes) -> None:
        """Sends the request; stops early if the server answers before it has read everything."""
        try:
            if self._tls:
                # A TLS socket cannot send several pieces in one call, and its own time limit starts anew with each block.
                with gevent.Timeout(self._clock.left_s(head=True), self._clock.late(head=True)):
                    self.sock.sendall(head + body)
                self._written += len(head) + len(body)
                return
            self.sock.settimeout(self._clock.left_s(head=True))
            # One call for head and body, so that the body is not copied.
            sent = self.sock.sendmsg((head, body)) if body else self.sock.send(head)
            self._written += sent
            if sent < len(head) + len(body):
                self._write_rest(memoryview(head)[sent:], memoryview(body)[max(0, sent - len(head)) :])
        except TimeoutError as error:
            raise self._clock.late(head=True) from error
        except OSError as error:
            # A server may answer (413, 401) and close before it has read the body: that answer counts.
            if error.errno not in (errno.EPIPE, errno.ECONNRESET):
                raise BrokenError(f"{type(error).__name__}: {error}") from error
            self._surplus = True

    def _write_rest(self, *pieces: memoryview) -> None:
        for piece in pieces:
            left = piece
            while left:
                socket_state.wait_either(self.sock, self._clock.left_s(head=True))
                found = _ready(self.sock, _READABLE | _WRITABLE)
                # Errors and hang-ups are read too.
                if found & ~_WRITABLE and (not self._receive() or self._final):
                    # An early answer, or the end of the stream, which ``_read`` reports.
                    self._surplus = True
                    return
                if found & _WRITABLE:
                    sent = self.sock.send(left)
                    self._written += sent
                    left = left[sent:]

    def _read(self) -> None:
        turn = time.perf_counter()
        while not self._complete:
            if not self._receive():
                self._end_of_stream()
                return
            if time.perf_counter() - turn > TURN_S and not self._complete:
                socket_state.give_way()
                turn = time.perf_counter()

    def _receive(self) -> int:
        """Reads and parses a block; returns its length, 0 at the end of the stream."""
        left_s = self._clock.left_s(head=not self._final)
        self.sock.settimeout(left_s)
        try:
            if self._tls:
                # Each byte of a TLS record restarts the socket's own time limit.
                with gevent.Timeout(left_s, self._clock.late(head=not self._final)):
                    data = self.sock.recv(BLOCK_BYTES)
            else:
                data = self.sock.recv(BLOCK_BYTES)
        except TimeoutError as error:
            raise self._clock.late(head=not self._final) from error
        except OSError as error:
            raise BrokenError(f"{type(error).__name__}: {error}") from error
        if data:
            self._parse(data)
        return len(data)

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._complete = self._surplus = True
        except HttpParserError as error:
            if not self._complete:
                raise BrokenError(f"HttpParserError: {error}") from error
            self._surplus = True
        if not self._final or not self._head_bytes:
            self._head_bytes += len(data)
        if not self._final and self._head_bytes > HEAD_BYTES:
            raise BrokenError(f"the answer's headers are longer than {HEAD_BYTES // 1024} KiB")
        self._complete = self._complete or (self._final and self._bodiless)

    def _end_of_stream(self) -> None:
        """The server closed the connection: this ends a body without a length, and breaks any other answer."""
        measured = "content-length" in self._headers or "chunked" in self._headers.get("transfer-encoding", "").lower()
        if not self._final or measured:
            raise BrokenError("the connection closed " + ("without an answer" if self.unanswered else "before the answer was complete"))
        self._surplus = True


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
        self._idle: list[_HttpConnection] = []
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
        body: bytes = b"",
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
        clock = _Deadlines(limits or self._limits)
        try:
            self._ask(exchange, clock, method, head, body, on_body)
        except DeadlinePassedError as late:
            exchange.fault, exchange.error = "deadline", str(late)
        except ConnectFailedError as error:
            exchange.fault, exchange.error = "connect", str(error)
        except BrokenError as error:
            exchange.fault, exchange.error = "reset", str(error)
        finally:
            exchange.done = time.perf_counter()
            if exchange.fault:
                # A status counts for a whole answer only.
                exchange.status = None

    def _ask(self, exchange: Exchange, clock: _Deadlines, method: str, head: bytes, body: bytes, on_body: OnBody | None) -> None:
        connection = self._take() or self._connect(clock)
        try:
            try:
                connection.ask(exchange, clock, head, body, bodiless=method == "HEAD", on_body=on_body)
            except BrokenError:
                if not self._may_repeat(connection, exchange, method):
                    raise
                connection.close()
                exchange.reconnects += 1
                connection = self._connect(clock)
                connection.ask(exchange, clock, head, body, bodiless=method == "HEAD", on_body=on_body)
        except BaseException:
            connection.close()
            raise
        if connection.reusable:
            connection.idle_since = time.perf_counter()
            self._idle.append(connection)
        else:
            connection.close()

    def _may_repeat(self, connection: _HttpConnection, exchange: Exchange, method: str) -> bool:
        """Whether a broken connection was idle and closed, so that nobody has read the request."""
        if not (connection.used and connection.unanswered):
            return False
        self._keep_s = min(self._keep_s, ((exchange.sent or 0.0) - connection.idle_since) / 2)
        unseen = connection.reached_nobody
        return method in IDEMPOTENT if unseen is None else unseen

    def _take(self) -> _HttpConnection | None:
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

    def _connect(self, clock: _Deadlines) -> _HttpConnection:
        limit_s = min(self._limits.connect_s, clock.left_s(head=False))
        try:
            sock = socket_state.connect(self._host, self._port, self._tls, limit_s)
        except OSError as error:
            raise ConnectFailedError(str(error)) from error
        self.opened += 1
        return _HttpConnection(sock, self._tls is not None)


def _ready(sock: gevent.socket.socket, events: int) -> int:
    """Which of ``events`` are true of the socket now."""
    poller = _poll()
    poller.register(sock.fileno(), events)
    return sum(found for _, found in poller.poll(0))


def _lines(headers: Mapping[str, str]) -> str:
    for name, value in headers.items():
        if not value.isprintable() or not name.isprintable():
            raise ValueError(f"header {name!r} contains a character that is not allowed (a line break?)")
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())
