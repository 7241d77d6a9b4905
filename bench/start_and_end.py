"""How soon a run sends its first request, and how soon its process ends after the last answer, beside programs that do nothing.

    python -m bench.start_and_end            # about three minutes
    python -m bench.start_and_end --quick    # one minute, fewer rounds

The peers take turns with coldburst round by round, so that a busy machine slows them alike; each figure is the median of the rounds'
ratios. Exit code 1 where a limit is missed:

- start: from the launch of Locust to the first request at the server, as a ratio to a bare Locust whose one user sends one request;
- end: from the last of 30 answers to the exit of the process, with and without figures, as a ratio to ``python -c "import pandas"``.
  The answers come after HOLD_S, as from a service: meanwhile the report's process imports what it needs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.generator import LIMITS as SIZES
from bench.generator import ROOT, TEXT, clips_of
from bench.rows import Row, main

LIMITS = {"start": 1.3, "end": 5.5, "end without figures": 3.3}
PEERS = {"start": "× bare Locust", "end": "× import pandas", "end without figures": "× import pandas"}
HOLD_S = 6.0
REQUEST = b"POST / HTTP/1.1\r\nHost: bare\r\nContent-Length: 1\r\n\r\n1"
BARE = """
import socket
from locust import User, task
from locust.exception import StopUser

class Bare(User):
    @task
    def ask(self):
        with socket.create_connection(("127.0.0.1", {port})) as connection:
            connection.sendall({request})
            connection.recv(1000)
        self.environment.runner.quit()
        raise StopUser
"""


class Service(ThreadingHTTPServer):
    """Answers uploads with a text after ``hold_s``, and knows when the first came and the last was answered."""

    request_queue_size = 1000
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.hold_s, self.first_s, self.last_s = 0.0, 0.0, 0.0
        self.port = int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """Bare Locust ends with its connection open; any other error is printed."""
        if not isinstance(sys.exception(), ConnectionResetError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def turn(self, hold_s: float) -> None:
        self.hold_s, self.first_s, self.last_s = hold_s, 0.0, 0.0


class Answer(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Service

    def do_POST(self) -> None:
        """The check before the load sends an empty request, which does not count."""
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        arrived_s = time.monotonic()
        if body:
            self.server.first_s = self.server.first_s or arrived_s
            time.sleep(self.server.hold_s)
        text = f'{{"text": "{TEXT}"}}'.encode()
        self.send_response(200 if body else 422)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        if body:
            self.server.last_s = time.monotonic()

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Bench:
    """The turns; each returns seconds."""

    def __init__(self, service: Service, place: Path) -> None:
        self._service, self._place = service, place
        self._clips = clips_of(place, SIZES["small, words judged"])
        (place / "bare.py").write_text(BARE.format(port=service.port, request=REQUEST), encoding="utf-8")
        # Bytecode is kept, as it is for users.
        self._env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPATH": str(ROOT)}

    def bare_start(self) -> float:
        began_s = self._run("-m", "locust", "-f", "bare.py", "--headless", "-u", "1", "-r", "1", "--only-summary")
        return self._service.first_s - began_s

    def start(self) -> float:
        began_s = self._coldburst("burst 1", 0.0, "--report", "no")
        return self._service.first_s - began_s

    def end(self, figures: str) -> float:
        self._coldburst("burst 30", HOLD_S, "--figures", figures)
        return time.monotonic() - self._service.last_s

    def pandas(self) -> float:
        began_s = self._run("-c", "import pandas")
        return time.monotonic() - began_s

    def _coldburst(self, schedule: str, hold_s: float, *more: str) -> float:
        self._service.turn(hold_s)
        words = ["--host", f"http://127.0.0.1:{self._service.port}", "--clips", str(self._clips), "--schedule", schedule, *more]
        return self._run("-m", "locust", "-f", str(ROOT / "locustfiles" / "burst.py"), "--headless", *words, "--runs", ".")

    def _run(self, *words: str) -> float:
        """Runs Python to its end; when it was launched."""
        if "bare.py" in words:
            self._service.turn(0.0)
        began_s = time.monotonic()
        done = subprocess.run([sys.executable, *words], cwd=self._place, env=self._env, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(words)} failed:\n{done.stdout}\n{done.stderr}")
        return began_s


def rows(quick: bool) -> Iterator[Row]:
    """Start and end in seconds and beside their peers."""
    rounds = 2 if quick else 7
    service = Service()
    threading.Thread(target=service.serve_forever, daemon=True).start()
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in LIMITS}
    with tempfile.TemporaryDirectory() as place:
        bench = Bench(service, Path(place))
        for turn in range(rounds + 1):
            found = {"start": (bench.start(), bench.bare_start())}
            pandas = bench.pandas()
            found |= {"end": (bench.end("yes"), pandas), "end without figures": (bench.end("no"), pandas)}
            # The first round fills the caches.
            for name, pair in found.items() if turn else ():
                seconds[name].append(pair)
    for name, pairs in seconds.items():
        yield Row(name, tuple(mine / peer for mine, peer in pairs), PEERS[name], LIMITS[name])
        yield Row(f"{name}, seconds", tuple(mine for mine, _ in pairs), "s")


if __name__ == "__main__":
    sys.exit(main(rows, __doc__))
