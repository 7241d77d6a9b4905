"""One connection of the HTTP client: a socket, the parser of its answers, and the deadline of its present request.

It uses gevent's sockets without their time limits, and httptools (llhttp), one parser per connection. Bytes after the end of a message
belong to no request, and their connection is not reused.
"""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import gevent
import gevent.socket
from gevent.hub import Waiter
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from coldburst.pieces import Body, Pieces
from coldburst.targets import socket_state
from coldburst.targets.exchange import BrokenError, DeadlinePassedError, Exchange, OnBody, Timeouts
from coldburst.targets.socket_state import READABLE, WRITABLE

# libev's events.
_READ, _WRITE = 1, 2
BLOCK_BYTES = 65536
# Of a stream, whose pieces are small: less memory to reserve for each.
STREAM_BYTES = 8192
# RunPod's largest result has 20 MB. Nothing is kept of a longer body: a part of it could not be decoded.
KEEP_BYTES = 20 * 2**20
HEAD_BYTES = 256 * 1024
# Other greenlets get a turn after so many seconds of reading. Blocks that are there already are read without waiting.
TURN_S = 0.001


class Deadline:
    """The time limits of the requests on a connection, one request after the other.

    There is one timer, which runs on from request to request and looks at the limits when it ends: a timer for each wait costs as much
    as a system call.
    """

    def __init__(self) -> None:
        self._hub = gevent.get_hub()
        self._limits, self._start, self._head = Timeouts(), 0.0, True
        self._until = self._rings = math.inf
        self._timer: Any = None
        self._waiting: gevent.greenlet | None = None

    def begin(self, limits: Timeouts, start: float) -> None:
        """A request was sent at ``start``, by time.perf_counter."""
        self._limits, self._start, self._head = limits, start, True
        self._until = start + min(limits.first_byte_s, limits.total_s)
        if self._until < self._rings:
            self._set_timer()

    def answered(self) -> None:
        """The answer's headers are there: from now on, the limit is that of the last byte."""
        self._head, self._until = False, self._start + self._limits.total_s

    def end(self) -> None:
        """The request has ended."""
        self._until = math.inf

    def check(self, now: float) -> None:
        """Raises DeadlinePassedError if the limit has passed."""
        if now >= self._until:
            raise late(self._limits, self._head)

    def wait(self, watcher: object) -> None:
        """Waits for ``watcher``, until the limit passes."""
        self._wait(self._hub.wait, watcher)

    def get(self, waiter: Waiter) -> None:
        """Waits until ``waiter`` is switched to, or raises what is thrown into it, until the limit passes."""
        self._wait(waiter.get)

    def _wait(self, wait: Callable[..., object], *arguments: object) -> None:
        self.check(time.perf_counter())
        self._waiting = gevent.getcurrent()
        try:
            wait(*arguments)
        finally:
            self._waiting = None

    def close(self) -> None:
        """Stops the timer."""
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def _set_timer(self) -> None:
        self.close()
        self._rings = self._until
        if self._until < math.inf:
            # Without a reference, an idle connection does not keep the process.
            self._timer = self._hub.loop.timer(max(0.0, self._until - time.perf_counter()), ref=False)
            self._timer.start(self._ring)

    def _ring(self) -> None:
        self._rings = math.inf
        if time.perf_counter() < self._until:
            self._set_timer()
        elif self._waiting is not None:
            self._waiting.throw(late(self._limits, self._head))


def late(limits: Timeouts, head: bool) -> DeadlinePassedError:
    """The error that names the limit that passed; ``head``: before the answer's headers were there."""
    if head and limits.first_byte_s < limits.total_s:
        return DeadlinePassedError(f"no first byte within {limits.first_byte_s:g} s")
    return DeadlinePassedError(f"not done within {limits.total_s:g} s")


class Connection:
    """A socket and the parser of its answers: one request after the other."""

    def __init__(self, sock: gevent.socket.socket, tls: bool) -> None:
        sock.settimeout(0.0)
        self.sock, self._tls = sock, tls
        # The system's socket without gevent's waits.
        self._plain = getattr(sock, "_sock", sock)
        self.idle_since = 0.0
        self.used = False
        self._deadline = Deadline()
        self._io = gevent.get_hub().loop.io
        self._readable = self._io(sock.fileno(), _READ)
        self._poll = socket_state.poller(sock, READABLE)
        self._parser = HttpResponseParser(self)
        self._written = self._written_before = 0
        self._stamped, self._block_bytes = False, BLOCK_BYTES
        self._arrived = 0.0

    def ask(self, exchange: Exchange, limits: Timeouts, head: bytes, body: Body, *, bodiless: bool, on_body: OnBody | None) -> None:
        """Sends one request and reads its answer into ``exchange``, whose ``sent`` is set.

        Raises:
            DeadlinePassedError: a time limit passed.
            BrokenError: the connection broke, or the answer is not HTTP.
        """
        self._exchange, self._bodiless, self._on_body = exchange, bodiless, on_body
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._head_bytes = 0
        self._final = self._complete = self._surplus = self._goes_on = False
        self._written_before = self._written
        self._arrived = 0.0
        if on_body is not None and not self._stamped:
            # TLS reads its records itself, and does not pass the kernel's times on.
            self._stamped = not self._tls and socket_state.stamp_arrivals(self.sock)
            self._block_bytes = STREAM_BYTES if self._stamped else BLOCK_BYTES
        self._deadline.begin(limits, exchange.sent or 0.0)
        try:
            self._write(head, body)
            self._read()
        finally:
            self._deadline.end()
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
        return not self._poll(0)

    def close(self) -> None:
        """Closes the socket."""
        self._deadline.close()
        self._readable.close()
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
            key, text = _lower(name), value.decode("latin-1")
            self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        """The end of the headers. An interim answer (1xx) is not final, except for 101: no other protocol was requested."""
        status = self._parser.get_status_code()
        if not self._final and (status >= 200 or status == 101):
            self._final = True
            self._deadline.answered()
            exchange = self._exchange
            exchange.first, exchange.status, exchange.headers = self._arrived or time.perf_counter(), status, self._headers

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self._complete:
            return
        self._exchange.received += len(data)
        if self._on_body is not None:
            self._on_body(data, self._arrived or time.perf_counter())
        if self._exchange.received <= KEEP_BYTES:
            self._chunks.append(data)
        else:
            self._chunks.clear()

    def on_message_complete(self) -> None:
        """The end of an answer. Only here the parser knows whether the connection may be kept."""
        if self._final and not self._complete:
            self._complete, self._goes_on = True, bool(self._parser.should_keep_alive())

    def _write(self, head: bytes, body: Body) -> None:
        """Sends the request; stops early if the server answers before it has read everything."""
        try:
            if self._tls:
                self._write_tls(memoryview(head + bytes(body)))
            else:
                self._write_plain(head, body)
        except (BrokenPipeError, ConnectionResetError):
            # A server may answer (413, 401) and close before it has read the body: that answer counts.
            self._surplus = True
        except OSError as error:
            raise BrokenError(f"{type(error).__name__}: {error}") from error

    def _write_tls(self, left: memoryview) -> None:
        """A TLS socket cannot send several pieces in one call."""
        while left:
            sent = self.sock.send(left)
            self._written += sent
            left = left[sent:]
            if left:
                self._wait_for(_WRITE)

    def _write_plain(self, head: bytes, body: Body) -> None:
        pieces = (head, *body.parts) if isinstance(body, Pieces) else (head, body) if body else (head,)
        try:
            # One call for head and body, so that the body is not copied.
            sent = self.sock.sendmsg(pieces)
        except BlockingIOError:
            sent = 0
        self._written += sent
        if sent < len(head) + len(body):
            left = []
            for piece in pieces:
                left.append(memoryview(piece)[sent:])
                sent = max(0, sent - len(piece))
            self._write_rest(*left)

    def _write_rest(self, *pieces: memoryview) -> None:
        for piece in pieces:
            left = piece
            while left:
                self._wait_for(_READ | _WRITE)
                found = sum(found for _, found in socket_state.poller(self.sock, READABLE | WRITABLE)(0))
                # Errors and hang-ups are read too.
                if found & ~WRITABLE and (not self._receive(wait=False) or self._final):
                    # An early answer, or the end of the stream, which ``_read`` reports.
                    self._surplus = True
                    return
                if found & WRITABLE:
                    sent = self.sock.send(left)
                    self._written += sent
                    left = left[sent:]

    def _wait_for(self, events: int) -> None:
        watcher = self._io(self.sock.fileno(), events)
        try:
            self._deadline.wait(watcher)
        finally:
            watcher.close()

    def _read(self) -> None:
        if self._stamped and self._on_body is not None:
            self._read_stream()
        else:
            self._read_blocks()

    def _read_stream(self) -> None:
        """Reads in callbacks of the event loop, without a turn of the greenlet for each small piece."""
        waiter = Waiter()

        def readable() -> None:
            failed: BaseException | None = None
            try:
                if not self._receive_now():
                    self._end_of_stream()
                elif not self._complete:
                    return
            except BaseException as error:
                failed = error
            # Before the switch: the greenlet may begin its next request in it.
            self._readable.stop()
            if failed is None:
                waiter.switch(None)
            else:
                waiter.throw(failed)

        self._readable.start(readable)
        try:
            self._deadline.get(waiter)
        finally:
            self._readable.stop()

    def _receive_now(self) -> bool:
        """Reads and parses what is there; whether the stream goes on."""
        try:
            data, stamps, _, _ = self._plain.recvmsg(self._block_bytes, socket_state.STAMP_BYTES)
        except BlockingIOError:
            return True
        except OSError as error:
            raise BrokenError(f"{type(error).__name__}: {error}") from error
        self._arrived = socket_state.arrived_at(stamps)
        if data:
            self._parse(data)
        return bool(data)

    def _read_blocks(self) -> None:
        turn = 0.0
        # A TLS socket may hold bytes that it has read. A plain one has more where the last block was full.
        wait = not self._tls
        while not self._complete:
            received = self._receive(wait)
            if not received:
                self._end_of_stream()
                return
            wait = not self._tls and received < self._block_bytes
            if not self._complete:
                if wait:
                    # The wait looks at the limit, and gives others their turn.
                    turn = 0.0
                    continue
                now = time.perf_counter()
                self._deadline.check(now)
                turn = turn or now
                if now - turn > TURN_S:
                    socket_state.give_way()
                    turn = 0.0

    def _receive(self, wait: bool) -> int:
        """Reads and parses a block; returns its length, 0 at the end of the stream. ``wait``: no byte is expected to be there."""
        while True:
            if wait:
                self._deadline.wait(self._readable)
            try:
                data = self.sock.recv(self._block_bytes)
                break
            except (BlockingIOError, ssl.SSLWantReadError):
                wait = True
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


@lru_cache(maxsize=256)
def _lower(name: bytes) -> str:
    return name.decode("latin-1").lower()
