"""A transcription service of its own for a test: started on a free port, stopped with the test."""

from __future__ import annotations

import http.client
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.parse
import wave
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import preloaded

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
ROUTE = "/v1/audio/transcriptions"
DEADLINE_S = 180.0
"""After this long something hangs: no test waits for less, as how long a step takes is the machine's."""


@dataclass(frozen=True)
class Transcriber:
    """A running service: where it listens, and what it writes."""

    url: str
    process: preloaded.Process
    access_log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def log(self, lines: int = 0) -> list[dict[str, Any]]:
        """The access log, once it has at least ``lines`` lines."""
        until(lambda: len(self._rows()) >= lines, f"{lines} lines in the access log")
        return self._rows()

    def health(self) -> tuple[int, dict[str, Any]]:
        answer = ask(self.url, "/health", method="GET")
        return answer.status, answer.json()

    def _rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.access_log.read_text().splitlines(keepends=True) if line.endswith("\n")]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.body)
        return content


@contextmanager
def transcriber(*args: str, ready: bool = True, **env: str) -> Iterator[Transcriber]:
    """``python -m coldburst.transcriber *args`` with ``env`` added to the environment.

    Args:
        ready: wait until /health says 200; otherwise only until it listens.
    """
    with tempfile.TemporaryDirectory() as folder:
        access_log = Path(folder) / "access.jsonl"
        words = ("--until-stdin-closes", "--access-log", str(access_log), *args)
        environment = {name: value for name, value in os.environ.items() if name != "API_TOKEN"} | env
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with preloaded.start("coldburst.transcriber", *words, env=environment, **streams) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                assert line.startswith("listening on http://"), f"the service said {line!r} and ended with {process.poll()}"
                service = Transcriber(line.split()[-1], process, access_log)
                if ready:
                    until(lambda: service.health()[0] == 200, "a healthy service")
                yield service
            finally:
                stop(process)


def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The service's command line when it is expected to end by itself."""
    command = [sys.executable, "-m", "coldburst.transcriber", *args]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False
    )


def stop(process: preloaded.Process) -> None:
    """End the service, by force if it takes too long."""
    process.terminate()
    try:
        process.wait(DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def until(
    look: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S, gone: Callable[[], bool] = lambda: False, every_s: float = 0.01
) -> Any:
    """The first true answer of ``look``; a file or a service that is not there, or not whole yet, is none.

    Args:
        gone: whether whoever is to bring it about has ended: then there is one last look.
    """
    ends_s, seen, why = time.monotonic() + deadline_s, None, ""
    while not seen:
        last = "and its process has ended" if gone() else f"within {deadline_s} s" if time.monotonic() > ends_s else ""
        try:
            seen, why = look(), ""
        except (OSError, ValueError) as error:
            why = f" ({error})"
        assert seen or not last, f"no {what} {last}{why}"
        if not seen:
            time.sleep(every_s)
    return seen


def connect(url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=DEADLINE_S)


def send(connection: http.client.HTTPConnection, content: bytes | None, headers: Mapping[str, str] | None = None, **fields: str) -> None:
    """Send a transcription request and leave its answer where it is; ``content`` None leaves the file out."""
    body, kind = form(content, **({"model": "any"} | fields))
    connection.request("POST", ROUTE, body, {"Content-Type": kind, **(headers or {})})


def receive(connection: http.client.HTTPConnection) -> Answer:
    response = connection.getresponse()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def transcribe(url: str, content: bytes | None, headers: Mapping[str, str] | None = None, **fields: str) -> Answer:
    """The answer to one transcription request on a connection of its own."""
    connection = connect(url)
    try:
        send(connection, content, headers, **fields)
        return receive(connection)
    finally:
        connection.close()


def ask(url: str, path: str, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
    """The answer to any request."""
    connection = connect(url)
    try:
        connection.request(method, path, body, dict(headers or {}))
        return receive(connection)
    finally:
        connection.close()


def form(content: bytes | None, **fields: str) -> tuple[bytes, str]:
    """Body and Content-Type of a multipart form with a file and text fields ("" leaves a field out)."""
    parts = [f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items() if value]
    if content is not None:
        head = '--x\r\nContent-Disposition: form-data; name="file"; filename="clip.wav"\r\nContent-Type: audio/wav\r\n\r\n'
        parts.append(head.encode() + content + b"\r\n")
    return b"".join(parts) + b"--x--\r\n", "multipart/form-data; boundary=x"


def silence(length_s: float, rate: int = 16_000) -> bytes:
    """A WAV file of nothing."""
    content = io.BytesIO()
    with wave.open(content, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(bytes(2 * round(length_s * rate)))
    return content.getvalue()
