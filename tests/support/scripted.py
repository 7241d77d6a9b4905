"""A server that does on a socket exactly what a test tells it, and counts what reached it."""

import json
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import contextmanager

import psutil

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Scripted:
    """Calls ``answer(connection, request)`` for each request, in a thread for each connection.

    ``answer`` returns whether the connection goes on. ``request`` is the head and as much of the
    body as Content-Length says, unless ``bodies`` is False.
    """

    def __init__(self, answer: Callable[[socket.socket, bytes], bool], tls: ssl.SSLContext | None = None, bodies: bool = True):
        self.connections = 0
        self.requests: list[bytes] = []
        self._answer, self._tls, self._bodies = answer, tls, bodies
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=2000)
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
            self._open.append(sock)
            while (request := self._read(sock)) is not None:
                self.requests.append(request)
                if not self._answer(sock, request):
                    break
        except OSError:
            pass
        finally:
            sock.close()

    def _read(self, sock: socket.socket) -> bytes | None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(65536)
            if not more:
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while self._bodies and len(body) < length:
            body += sock.recv(65536)
        return head + b"\r\n\r\n" + body


@contextmanager
def scripted(answer, **how):
    server = Scripted(answer, **how)
    try:
        yield server
    finally:
        server.close()


def says(data: bytes, goes_on: bool = True):
    """An answer that sends ``data``."""

    def answer(sock, _request):
        sock.sendall(data)
        return goes_on

    return answer


def closed_by(port: int) -> int:
    """How many of this process's connections to that port the server has closed, and this end has not."""
    mine = psutil.Process().net_connections("tcp")
    return sum(one.status == psutil.CONN_CLOSE_WAIT and one.raddr and one.raddr.port == port for one in mine)


def reply(status, body, *headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = "".join(f"{line}\r\n" for line in headers)
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\n{lines}\r\n".encode() + content


def replies(*answers):
    """Answers one after the other, the last one for ever."""
    left = list(answers)

    def answer(sock, _request):
        sock.sendall(left.pop(0) if len(left) > 1 else left[0])
        return True

    return answer
