"""A service whose answers are not what a client expects."""

import base64
import http.server
import json
import os
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the name of its server's ``way`` says."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            getattr(self, self.server.way)()
        except OSError:
            self.close_connection = True

    def log_message(self, *_):
        """Says nothing."""

    def answer(self, body, status=200, length=None):
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def endless(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(bytes(100_000))

    def large(self):
        self.answer(b'{"text": "' + b"x" * 100_000_000 + b'"}')

    def drip(self):
        self.send_response(200)
        self.send_header("content-length", "1000000")
        self.end_headers()
        while True:
            self.wfile.write(b"x")
            time.sleep(0.05)

    def cut(self):
        self.answer(b'{"text": "ha', length=5000)
        self.close_connection = True

    def reset(self):
        self.close_connection = True

    def garbage(self):
        self.wfile.write(os.urandom(300))
        self.close_connection = True

    def html(self):
        self.answer(b"<html>502 Bad Gateway</html>", 502)

    def nan(self):
        self.answer(b'{"text": NaN}')

    def echo(self):
        key = self.headers.get("authorization", "").removeprefix("Bearer ")
        forms = {"raw": key, "percent": urllib.parse.quote(key, safe=""), "base64": base64.b64encode(key.encode()).decode()}
        self.answer(json.dumps({"error": forms}).replace("/", "\\/").encode(), 500)


@contextmanager
def odd_service(way: str) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.way, server.daemon_threads, server.handle_error = way, True, lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
