"""The HTTP client: one request, one connection's turn, no retries, every instant kept.

geventhttpclient opens the sockets (verified TLS) and parses the answers; sending and keeping
connections is done here, because its own pool asks select(), which cannot see file descriptors
from 1024 on, and its own client silently repeats requests.
"""

from __future__ import annotations

import errno
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import gevent
import gevent.socket
from gevent import monkey
from geventhttpclient.connectionpool import ConnectionPool, SSLConnectionPool
from geventhttpclient.response import HTTPParseError, HTTPSocketPoolResponse

from coldburst.redact import redact, redact_bytes

# The kernel's poll, not gevent's: the question is answered at once and must not switch greenlets.
_poll = monkey.get_original("select", "poll")
_READABLE = monkey.get_original("select", "POLLIN")

KEEP_S = 4.0
"""Seconds after which an idle connection is not used again: uvicorn and Node close theirs after 5 s,
and a request that meets the closing would fail through no fault of the endpoint's."""
BLOCK_BYTES = 65536
WRONG_NAME = (62, 64)
"""OpenSSL's codes of a certificate for another name, or another address (X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH)."""


class ConnectFailedError(OSError):
    """No connection: the name is unknown, nobody listens, or TLS does not verify."""


class _Late(BaseException):
    """A time limit passed. Not an Exception, so that no library takes it for a broken socket."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time limits of a request, in seconds: to connect, to the answer's headers, to its last byte."""

    connect_s: float = 10.0
    first_byte_s: float = 300.0
    total_s: float = 300.0


@dataclass(slots=True)
class Exchange:
    """One request and what came of it so far.

    Attributes:
        sent, first, done: instants by ``time.perf_counter``: before connecting and writing; headers
            there; last byte there, or the failure. A queue endpoint's job has its own end, see coldburst.targets.queue.
        fault: "connect", "reset" or "deadline" (attempt.FAULTS), "" where a whole answer came.
        error: the fault in words.
        seen: when polling saw the end (queue endpoints).
        known: columns of the attempt known so far, so that one that is cut in flight still tells its job.
    """

    sent: float | None = None
    first: float | None = None
    done: float | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    fault: str = ""
    error: str = ""
    seen: float | None = None
    known: dict[str, Any] = field(default_factory=dict)

    def redact(self, key: str) -> None:
        """Masks ``key`` in the answer, before anything else reads it."""
        if not key:
            return
        self.body = redact_bytes(self.body, key)
        self.headers = {name: redact(value, (key,)) if isinstance(value, str) else value for name, value in self.headers.items()}
        self.error = redact(self.error, (key,))


class _Keeping:
    """A pool without a bound (the in-flight cap is the dispatcher's) that keeps quiet connections for KEEP_S."""

    def start(self) -> None:
        self._idle: list[tuple[gevent.socket.socket, float]] = []
        self.opened = 0

    def get_socket(self) -> gevent.socket.socket:
        while self._idle:
            sock, since = self._idle.pop()
            if time.perf_counter() - since < KEEP_S and _quiet(sock):
                return sock
            sock.close()
        try:
            sock = self._create_socket()  # type: ignore[attr-defined]
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that IDNA cannot encode
            raise ConnectFailedError(_why_not(error)) from error
        self.opened += 1
        return sock

    def return_socket(self, sock: gevent.socket.socket) -> None:
        self._idle.append((sock, time.perf_counter()))

    def release_socket(self, sock: gevent.socket.socket) -> None:
        sock.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[0].close()


class _PlainPool(_Keeping, ConnectionPool):
    pass


class _TlsPool(_Keeping, SSLConnectionPool):
    pass


class HttpClient:
    """Requests to one origin over kept-alive connections.

    Args:
        origin: scheme, host and port, as in ``https://example.com:8443``; a path in front of every
            request's own is kept.
        headers: sent with every request.

    Raises:
        ValueError: a header that cannot stand in a request.
    """

    def __init__(self, origin: str, limits: Timeouts, headers: Mapping[str, str] | None = None) -> None:
        url = urlsplit(origin)
        self._tls = url.scheme == "https"
        host, port = url.hostname or "", url.port or (443 if self._tls else 80)
        self._prefix = url.path.rstrip("/")
        self._limits = limits
        self._fixed = _lines({"Host": url.netloc.rpartition("@")[2], **(headers or {})})
        # No time-out per read: the limits here bound the whole, and a read's own would restart with every byte.
        times: dict[str, Any] = {"connection_timeout": limits.connect_s, "network_timeout": None}
        self._pool = _TlsPool(host, port, host, port, insecure=False, **times) if self._tls else _PlainPool(host, port, host, port, **times)
        self._pool.start()

    @property
    def opened(self) -> int:
        """Connections opened so far."""
        return int(self._pool.opened)

    def close(self) -> None:
        """Closes the idle connections."""
        self._pool.close()

    def send(
        self,
        exchange: Exchange,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        limits: Timeouts | None = None,
    ) -> None:
        """Sends one request and fills ``exchange`` in, also while it waits; never raises for what the network does.

        ``limits`` stand in for the client's own for this request, but for the time to connect.
        """
        head = f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._fixed}{_lines(headers or {})}Content-Length: {len(body)}\r\n\r\n".encode()
        limits = limits or self._limits
        exchange.sent = time.perf_counter()
        total = gevent.Timeout.start_new(limits.total_s, _Late(f"not done within {limits.total_s:g} s"))
        first = total if limits.first_byte_s >= limits.total_s else _first_byte_timeout(limits)
        try:
            response = self._ask(method, head, body)
            exchange.first = time.perf_counter()
            if first is not total:
                first.close()
            exchange.body = response.read()
            exchange.status, exchange.headers = response.status_code, _headers(response)
        except _Late as late:
            exchange.fault, exchange.error = "deadline", str(late)
        except ConnectFailedError as error:
            exchange.fault, exchange.error = "connect", str(error)
        except (OSError, HTTPParseError) as error:
            exchange.fault, exchange.error = "reset", f"{type(error).__name__}: {error}"
        finally:
            exchange.done = time.perf_counter()
            total.close()
            first.close()

    def _ask(self, method: str, head: bytes, body: bytes) -> HTTPSocketPoolResponse:
        sock = self._pool.get_socket()
        try:
            if body and not self._tls:
                _write(sock, head, body)
            else:
                sock.sendall(head + body)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ECONNRESET):
                sock.close()
                raise
            # A server may answer (413, 401) and close before it has read the body: that answer counts.
        except BaseException:
            sock.close()
            raise
        return _Answer(sock, self._pool, block_size=BLOCK_BYTES, method=method)


class _Answer(HTTPSocketPoolResponse):
    """An answer that keeps its connection until the final one is whole: the library gives it up after an interim 1xx."""

    def _on_message_complete(self) -> None:
        self.message_complete = True
        if self.get_code() >= 200:
            super()._on_message_complete()


def _write(sock: gevent.socket.socket, head: bytes, body: bytes) -> None:
    """Sends head and body in one call, so that the body is not copied for each request; TLS has no such call."""
    sent = sock.sendmsg((head, body))
    if sent < len(head):
        sock.sendall(head[sent:])
        sent = len(head)
    if sent < len(head) + len(body):
        sock.sendall(memoryview(body)[sent - len(head) :])


def _why_not(error: Exception) -> str:
    """Why there is no connection, in words; where the next step is known, with it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        known = "use a name that it is for" if error.verify_code in WRONG_NAME else "name its authority, as in SSL_CERT_FILE=ca.pem"
        return f"the certificate does not verify ({error.verify_message}), and nothing was sent: {known}"
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return "no TLS is spoken at that port: should the address begin with http:// ?"
    return str(error)


def _first_byte_timeout(limits: Timeouts) -> gevent.Timeout:
    return gevent.Timeout.start_new(limits.first_byte_s, _Late(f"no first byte within {limits.first_byte_s:g} s"))


def _quiet(sock: gevent.socket.socket) -> bool:
    """Whether an idle connection is still open: a readable one was closed, or holds what nobody asked for."""
    poller = _poll()
    poller.register(sock.fileno(), _READABLE)
    return not poller.poll(0)


def _headers(response: HTTPSocketPoolResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.items()}


def _lines(headers: Mapping[str, str]) -> str:
    for name, value in headers.items():
        if not value.isprintable() or not name.isprintable():
            raise ValueError(f"header {name!r} holds a character that cannot stand in a request (a line break?)")
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())
