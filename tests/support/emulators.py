"""An emulator of its own for a test: started on a free port, stopped with the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from coldburst import emulator_token
from tests.support import preloaded
from tests.support.transcribers import DEADLINE_S, Answer, ask, stop, until

"""How long an emulator may take until it prints its address, its workers' start included where it is to wait for them."""
TERMS = {"error", "status", "title", "detail"}
"""What each error of the platform has."""
MODELLED = ("--worker", "modelled", "--start", "0", "--load", "0", "--service-time", "0.01", "--platform", "report_s=0")


@dataclass(frozen=True)
class Emulator:
    """A running emulator: where it listens, and what it writes."""

    url: str
    process: preloaded.Process
    truth_log: Path
    log: Path
    lines: list[str] = field(default_factory=list)

    def ask(self, path: str, body: Any = None, method: str = "", headers: Mapping[str, str] | None = None) -> Answer:
        """The answer to a request; with a body a POST of JSON, bytes being sent as they are. Changes carry the emulator's token."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body)
        given = {} if body is None else {"Content-Type": "application/json"}
        if body is not None and path.startswith(("/v2/serverless", "/emulator")):
            given["Authorization"] = f"Bearer {self.token}"
        return ask(self.url, path, method or ("GET" if body is None else "POST"), content, given | dict(headers or {}))

    @property
    def token(self) -> str:
        """What changes of settings and faults must show."""
        return emulator_token.find(self.url)

    def submit(self, endpoint: str, **wants: Any) -> str:
        """Id of a new job with these keys in its input."""
        answer = self.ask(f"/v2/{endpoint}/run", {"input": wants or {"echo": 1}})
        assert answer.status == 200, answer.body
        return answer.json()["id"]

    def job(self, endpoint: str, job_id: str) -> dict[str, Any]:
        """The job object."""
        return self.ask(f"/v2/{endpoint}/status/{job_id}").json()

    def ended(self, endpoint: str, job_id: str, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        """The job object once the job has ended."""

        def look() -> dict[str, Any] | None:
            job = self.ask(f"/v2/{endpoint}/status-sync/{job_id}?wait=1000").json()
            return job if job["status"] in ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT") else None

        return until(look, f"end of {job_id}", deadline_s)

    def inside(self, endpoint: str) -> dict[str, Any]:
        """What the emulator tells of an endpoint."""
        return self.ask(f"/emulator/{endpoint}").json()

    def states(self, endpoint: str) -> list[str]:
        """States of its workers."""
        return [worker["state"] for worker in self.inside(endpoint)["workers"]]

    def errors(self) -> list[str]:
        """What it has written on standard error, by lines."""
        return self.log.read_text(errors="replace").splitlines()

    def fault(self, endpoint: str, **fault: Any) -> Answer:
        return self.ask(f"/emulator/{endpoint}/fault", fault)

    def truth(self, kind: str, **match: Any) -> list[dict[str, Any]]:
        """Lines of the truth log of a kind, with these values."""
        rows = [json.loads(line) for line in self.truth_log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [row for row in rows if row["kind"] == kind and all(row[name] == value for name, value in match.items())]

    def requests(self, endpoint: str, number: int = 1, **match: Any) -> list[dict[str, Any]]:
        """The truth log's lines on a load balancer's requests, once there are so many: one is written after its answer."""
        until(lambda: len(self.truth("request", endpoint=endpoint, **match)) >= number, f"{number} lines in the truth log")
        return self.truth("request", endpoint=endpoint, **match)


@contextmanager
def emulator(*args: str, **env: str) -> Iterator[Emulator]:
    """``python -m coldburst.emulator *args`` with ``env`` added to the environment; ended with its input."""
    with tempfile.TemporaryDirectory() as folder:
        truth_log, log = Path(folder) / "truth.jsonl", Path(folder) / "stderr"
        words = ("--until-stdin-closes", "--log", str(truth_log), *args)
        environment = {name: value for name, value in os.environ.items() if name not in ("RUNPOD_API_KEY", emulator_token.VARIABLE)} | env
        with log.open("w") as errors:
            streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors, "text": True}
            started = preloaded.start("coldburst.emulator", *words, env=environment, **streams)
        with started as process:
            try:
                lines: list[str] = []
                reader = threading.Thread(target=_collect, args=(process, lines), daemon=True)
                reader.start()
                until(lambda: lines, "address of the emulator", gone=lambda: not reader.is_alive())
                assert lines[0].startswith("listening on http"), f"the emulator printed {lines[0]!r} and ended with {process.poll()}"
                yield Emulator(lines[0].split()[-1], process, truth_log, log, lines)
                end(process)
            finally:
                if process.poll() is None:
                    stop(process)
                sys.stderr.write(log.read_text(errors="replace"))


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Fails the test when its body takes longer, whatever it waits for: a broken platform must not hold a client for ever.

    By a signal, because the SDK's synchronous calls cannot be left otherwise; what it raises no ``except Exception`` keeps.
    """

    def over(*_: object) -> None:
        pytest.fail(f"not done within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, over)
    left_s, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left_s)


def end(process: preloaded.Process) -> None:
    """Let the emulator end with its standard input, as it must."""
    if process.poll() is None and process.stdin is not None:
        process.stdin.close()
        assert process.wait(DEADLINE_S) == 0


def _collect(process: preloaded.Process, lines: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)


def netloc(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc
