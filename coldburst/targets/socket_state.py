"""What the HTTP client rarely needs of sockets: trust for TLS, why one could not connect, what the other side has acknowledged."""

from __future__ import annotations

import socket
import ssl
import struct
import sys

import certifi
import gevent
import gevent.socket
import gevent.ssl

_READ_OR_WRITE = 3
# Offset of tcpi_bytes_acked in Linux's struct tcp_info (linux/tcp.h).
_BYTES_ACKED = 120
# OpenSSL's codes of a certificate for another name, or another address
# (X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH).
WRONG_NAME = (62, 64)


def tls_context() -> ssl.SSLContext:
    """Verifies against the system's authorities (SSL_CERT_FILE, SSL_CERT_DIR) and certifi's."""
    context: ssl.SSLContext = gevent.ssl.create_default_context()
    context.load_verify_locations(cafile=certifi.where())
    return context


def why_not(error: Exception) -> str:
    """Why there is no connection, in words; where the next step is known, with it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        known = "use a name that it is for" if error.verify_code in WRONG_NAME else "name its authority, as in SSL_CERT_FILE=ca.pem"
        return f"the certificate does not verify ({error.verify_message}), and nothing was sent: {known}"
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return "no TLS is spoken at that port: should the address begin with http:// ?"
    return str(error)


def wait_either(sock: gevent.socket.socket, seconds: float) -> None:
    """Waits until the socket can be read or written, or the time is over."""
    hub = gevent.get_hub()
    watcher = hub.loop.io(sock.fileno(), _READ_OR_WRITE)
    try:
        with gevent.Timeout(seconds, False):
            hub.wait(watcher)
    finally:
        watcher.stop()
        watcher.close()


def acknowledged_bytes(sock: gevent.socket.socket) -> int | None:
    """Bytes that the other side's kernel has acknowledged on this connection; None where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
    except OSError:
        return None
    return int(struct.unpack_from("Q", info, _BYTES_ACKED)[0]) if len(info) >= _BYTES_ACKED + 8 else None
