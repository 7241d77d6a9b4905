"""The HTTP/1.1 client: one request, no hidden retries, every instant kept.

Sockets are gevent's, answers are parsed by httptools (llhttp), one parser a connection. A body ends where its message ends:
what follows an answer belongs to no request, and the connection is not used again. Deadlines are checked by the clock
whatever arrives. Of a long body the first KEEP_BYTES are kept; the rest is counted and dropped.

A request goes out again in one case only: an idle connection turned out to be closed before a byte of an answer came, and
the server's kernel acknowledged nothing of the request, so that nobody can have seen it (RFC 9112, 9.3.1). Where the system
does not tell, idempotent requests are repeated (RFC 9110, 9.2.2). ``Exchange.reconnects`` says so.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

import gevent
import gevent.socket
from gevent import monkey
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from coldburst.targets import socket_state
from coldburst.targets.exchange import BrokenError, ConnectFailedError, DeadlinePassedError, Exchange, OnBody, Timeouts

# The kernel's poll, not gevent's: the question is answered at once and must not switch greenlets.
_poll = monkey.get_original("select", "poll")
_READABLE: int = monkey.get_original("select", "POLLIN")
_WRITABLE: int = monkey.get_original("select", "POLLOUT")

__all__ = ["Exchange", "HttpClient", "Timeouts"]

# Seconds after which an idle connection is not used again: uvicorn and Node close theirs after 5 s, and a request that meets
# the closing would fail through no fault of the endpoint's. A server that is seen to close sooner gets half of that time.
KEEP_S = 4.0
IDEMPOTENT = ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE")
BLOCK_BYTES = 65536
# Of a body. RunPod's largest result has 20 MB.
KEEP_BYTES = 32 * 2**20
HEAD_BYTES = 256 * 1024
# After so many bytes without a pause other greenlets get a turn: parsing them takes about a millisecond.
TURN_BYTES = 4 * BLOCK_BYTES


class _Deadlines:
    """The deadlines of one request."""

    __slots__ = ("_start", "_timeouts")

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts, self._start = timeouts, time.perf_counter()

    def left_s(self, head: bool) -> float:
        """Seconds left, above 0: for the answer's headers where ``head``, else for the whole.

        Raises:
            DeadlinePassedError: the limit has passed.
        """
        left = (
            self._start
            + (min(self._timeouts.first_byte_s, self._timeouts.total_s) if head else self._timeouts.total_s)
            - time.perf_counter()
        )
        if left <= 0:
            raise self.late(head)
        return left

    def late(self, head: bool) -> DeadlinePassedError:
        """The error that says which limit passed."""
        if head and self._timeouts.first_byte_s < self._timeouts.total_s:
            return DeadlinePassedError(f"no first byte within {self._timeouts.first_byte_s:g} s")
        return DeadlinePassedError(f"not done within {self._timeouts.total_s:g} s")


class _HttpConnection:
    """A socket and the parser of what comes from it: one request and its answer after the other."""

    def __init__(self, sock: gevent.socket.socket, tls: bool) -> None:
        self.sock, self._tls = sock, tls
        self.idle_since = 0.0
        self.used = False
        self._parser = HttpResponseParser(self)
        self._written = self._written_before = 0

    def ask(self, exchange: Exchange, clock: _Deadlines, head: bytes, body: bytes, *, bodiless: bool, on_body: OnBody | None) -> None:
        """Sends one request and reads its answer into ``exchange``.

        Raises:
            DeadlinePassedError, BrokenError: see there.
        """
        self._exchange, self._clock, self._bodiless, self._on_body = exchange, clock, bodiless, on_body
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._head_bytes = self._kept = 0
        self._final = self._complete = self._surplus = self._goes_on = False
        self._written_before = self._written
        self._write(head, body)
        self._read()
        self.used = True
        exchange.body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks = []

    @property
    def reusable(self) -> bool:
        """Whether another request may follow: the answer was whole, and nothing came behind it."""
        return self._goes_on and not self._surplus

    @property
    def unanswered(self) -> bool:
        """Whether not a byte of an answer came."""
        return self._head_bytes == 0

    @property
    def reached_nobody(self) -> bool | None:
        """Whether the other side's kernel acknowledged nothing of the present request; None where the system does not tell."""
        acknowledged = socket_state.acknowledged_bytes(self.sock)
        # The counter may hold one byte more, for the SYN.
        return None if acknowledged is None else acknowledged <= self._written_before + 1

    def is_quiet(self) -> bool:
        """Whether an idle connection is still open: a readable one was closed, or holds what nobody asked for."""
        return not _ready(self.sock, _READABLE)

    def close(self) -> None:
        """Closes the socket."""
        self.sock.close()

    # Callbacks of the parser. What comes after the final answer is whole is surplus.

    def on_message_begin(self) -> None:
        """See httptools."""
        if self._complete:
            self._surplus = True
        else:
            self._headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools. Trailers are dropped; a repeated header is joined as RFC 9110, 5.3, says."""
        if not self._final:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        """See httptools. An interim answer (1xx) is not the final one, but for 101: nobody asked to switch protocols."""
        status = self._parser.get_status_code()
        if not self._final and (status >= 200 or status == 101):
            self._final = True
            exchange = self._exchange
            exchange.first, exchange.status, exchange.headers = time.perf_counter(), status, self._headers

    def on_body(self, data: bytes) -> None:
        """See httptools."""
        if self._complete:
            return
        self._exchange.received += len(data)
        if self._on_body is not None:
            self._on_body(data, time.perf_counter())
        if self._kept < KEEP_BYTES:
            self._chunks.append(data[: KEEP_BYTES - self._kept])
            self._kept += len(data)

    def on_message_complete(self) -> None:
        """See httptools. Whether the connection may go on is known here alone: afterwards the parser has forgotten the message."""
        if self._final and not self._complete:
            self._complete, self._goes_on = True, bool(self._parser.should_keep_alive())

    def _write(self, head: bytes, body: bytes) -> None:
        """Sends the request; stops where the server has answered before it has read all."""
        try:
            if self._tls:
                # A TLS socket has no call for several pieces, and a deadline of its own for each block.
                with gevent.Timeout(self._clock.left_s(head=True), self._clock.late(head=True)):
                    self.sock.sendall(head + body)
                self._written += len(head) + len(body)
                return
            self.sock.settimeout(self._clock.left_s(head=True))
            # Head and body in one call, so that the body is not copied for each request.
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
                # Whatever is not leave to write can be read: errors and hang-ups too.
                if found & ~_WRITABLE and (not self._receive() or self._final):
                    # Its answer is here, or the end of the stream, which the reading names: the connection is not used again.
                    self._surplus = True
                    return
                if found & _WRITABLE:
                    sent = self.sock.send(left)
                    self._written += sent
                    left = left[sent:]

    def _read(self) -> None:
        turn = 0
        while not self._complete:
            received = self._receive()
            if not received:
                self._end_of_stream()
                return
            turn += received
            if turn >= TURN_BYTES:
                turn = 0
                gevent.sleep(0)

    def _receive(self) -> int:
        """Reads a block and parses it; its length, 0 at the end of the stream."""
        self.sock.settimeout(self._clock.left_s(head=not self._final))
        try:
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
        """The server closed: that ends a body without a length, and breaks anything else."""
        measured = "content-length" in self._headers or "chunked" in self._headers.get("transfer-encoding", "").lower()
        if not self._final or measured:
            raise BrokenError("the connection closed " + ("without an answer" if self.unanswered else "before its answer was whole"))
        self._surplus = True


class HttpClient:
    """Requests to one origin over kept-alive connections, without a bound: the in-flight cap is the dispatcher's.

    Args:
        origin: scheme, host and port, as in ``https://example.com:8443``; a path in front of every
            request's own is kept.
        headers: sent with every request.

    Attributes:
        opened: connections opened so far.

    Raises:
        ValueError: a header that cannot stand in a request.
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
        """Sends one request and fills ``exchange`` in, also while it waits; never raises for what the network does.

        Args:
            limits: stand in for the client's own for this request.
            on_body: called with each piece of the body as it comes, and its instant by ``time.perf_counter``;
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
            connection.ask(exchange, clock, head, body, bodiless=method == "HEAD", on_body=on_body)
        except BrokenError:
            closed = connection.used and connection.unanswered
            again = closed and (method in IDEMPOTENT if (unseen := connection.reached_nobody) is None else unseen)
            if closed:
                self._keep_s = min(self._keep_s, ((exchange.sent or 0.0) - connection.idle_since) / 2)
            connection.close()
            if not again:
                raise
            exchange.reconnects += 1
            connection = self._connect(clock)
            try:
                connection.ask(exchange, clock, head, body, bodiless=method == "HEAD", on_body=on_body)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            connection.close()
            raise
        if connection.reusable:
            connection.idle_since = time.perf_counter()
            self._idle.append(connection)
        else:
            connection.close()

    def _take(self) -> _HttpConnection | None:
        """An idle connection that is still open, the one used last; None where there is none."""
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
        sock = None
        try:
            sock = gevent.socket.create_connection((self._host, self._port), limit_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_hostname=self._host)
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that IDNA cannot encode
            if sock is not None:
                sock.close()
            raise ConnectFailedError(socket_state.why_not(error)) from error
        except BaseException:
            if sock is not None:
                sock.close()
            raise
        self.opened += 1
        return _HttpConnection(sock, self._tls is not None)


def _ready(sock: gevent.socket.socket, events: int) -> int:
    """Which of ``events`` hold for the socket now."""
    poller = _poll()
    poller.register(sock.fileno(), events)
    return sum(found for _, found in poller.poll(0))


def _lines(headers: Mapping[str, str]) -> str:
    for name, value in headers.items():
        if not value.isprintable() or not name.isprintable():
            raise ValueError(f"header {name!r} holds a character that cannot stand in a request (a line break?)")
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())
