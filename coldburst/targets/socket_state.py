"""What the HTTP client needs of sockets and the event loop: TLS trust, connection errors in words, acknowledged bytes."""

from __future__ import annotations

import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import certifi
import gevent
import gevent.socket
import gevent.ssl
from gevent import monkey

# The kernel's poll, not gevent's: it returns at once and must not switch greenlets.
_poll = monkey.get_original("select", "poll")
READABLE: int = monkey.get_original("select", "POLLIN")
WRITABLE: int = monkey.get_original("select", "POLLOUT")
# Offset of tcpi_bytes_acked in Linux's struct tcp_info (linux/tcp.h).
_BYTES_ACKED = 120
# Linux's option that has the kernel note when a packet arrived (asm-generic/socket.h): Python has no name for it.
_SO_TIMESTAMPNS = 35
_STAMP = struct.Struct("qq")
# Room for it in the ancillary data of recvmsg.
STAMP_BYTES = 64
# A longer time between a packet and its read is not believed.
MOST_AGE_S = 60.0
# Two clocks are read again where more time than this lies between them.
APART_S = 0.00005
# OpenSSL's codes of a certificate for another name or address (X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH).
WRONG_NAME = (62, 64)


def tls_context() -> ssl.SSLContext:
    """A context that verifies with the system's authorities (SSL_CERT_FILE, SSL_CERT_DIR) and certifi's."""
    context: ssl.SSLContext = gevent.ssl.create_default_context()
    context.load_verify_locations(cafile=certifi.where())
    return context


def connect(host: str, port: int, tls: Any, limit_s: float) -> gevent.socket.socket:
    """A connected socket; ``tls`` is a context or None. Raises OSError if there is none within ``limit_s`` seconds."""
    sock = None
    try:
        # Name resolution and the TLS handshake have no time limit of their own, and a name may have several addresses.
        with gevent.Timeout(limit_s, TimeoutError("timed out")):
            sock = gevent.socket.create_connection((host, port), limit_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return tls.wrap_socket(sock, server_hostname=host) if tls else sock
    except BaseException as error:
        if sock is not None:
            sock.close()
        # UnicodeError: a name that IDNA cannot encode.
        if isinstance(error, OSError | UnicodeError):
            raise OSError(why_not(error)) from error
        raise


def why_not(error: Exception) -> str:
    """Why there is no connection, and the next step if it is known."""
    if isinstance(error, ssl.SSLCertVerificationError):
        remedy = "use a name that it is valid for" if error.verify_code in WRONG_NAME else "trust its authority by SSL_CERT_FILE=ca.pem"
        return f"the certificate could not be verified ({error.verify_message}), and nothing was sent: {remedy}"
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return "the server does not speak TLS at that port: should the address begin with http:// ?"
    return str(error)


def give_way() -> None:
    """Gives timers and sockets a turn. ``gevent.sleep(0)`` does not: many callbacks run before those."""
    hub = gevent.get_hub()
    hub.wait(hub.loop.timer(0))


def poller(sock: gevent.socket.socket, events: int) -> Callable[[int], list[tuple[int, int]]]:
    """A function that says at once which of ``events`` are true of the socket."""
    made = _poll()
    made.register(sock.fileno(), events)
    return cast("Callable[[int], list[tuple[int, int]]]", made.poll)


def stamp_arrivals(sock: gevent.socket.socket) -> bool:
    """Has the kernel note when packets arrive, for ``arrived_at``; whether the system does."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True


def arrived_at(stamps: list[tuple[int, int, bytes]]) -> float:
    """When the last packet of a read arrived, by time.perf_counter; now if the kernel did not note it.

    A process that waits for its turn reads late: on a busy machine by several milliseconds, which is not the service's time.
    """
    for level, kind, data in stamps:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) == _STAMP.size:
            seconds, nanoseconds = _STAMP.unpack(data)
            before, clock_s, now = time.perf_counter(), time.time(), time.perf_counter()
            if now - before > APART_S:
                # The process lost its turn between the two clocks.
                before, clock_s, now = time.perf_counter(), time.time(), time.perf_counter()
            age_s = clock_s - seconds - nanoseconds / 1e9
            # The clock may have been set meanwhile.
            return before - age_s if 0 < age_s < MOST_AGE_S else now
    return time.perf_counter()


def acknowledged_bytes(sock: gevent.socket.socket) -> int | None:
    """Bytes that the server's kernel has acknowledged on this connection; None where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
    except OSError:
        return None
    return int(struct.unpack_from("Q", info, _BYTES_ACKED)[0]) if len(info) >= _BYTES_ACKED + 8 else None
