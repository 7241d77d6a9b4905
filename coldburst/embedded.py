"""The endpoint that a run starts for itself if no host is given: a process of its own, on loopback only."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gevent

from coldburst.record.provenance import environment
from coldburst.serverless.platform_parameters import EMBEDDED
from coldburst.targets.http import Exchange, HttpClient, Timeouts

READY_S = 60.0
STOP_S = 5.0
ID = "embedded"
_PLATFORM = tuple(word for name, value in EMBEDDED.items() for word in ("--platform", f"{name}={value:g}"))
_EMULATOR = ("coldburst.emulator", *_PLATFORM, "--endpoint", ID, "--management-per-minute", "100000", "--kind")


@dataclass(frozen=True, slots=True)
class ServiceCommand:
    """How to start an endpoint: its module with arguments, the path it serves, and its health path."""

    command: tuple[str, ...]
    below: str
    health: str


SERVICES: Mapping[str, ServiceCommand] = {
    "queue": ServiceCommand((*_EMULATOR, "queue"), f"/v2/{ID}", f"/v2/{ID}/health"),
    "balancer": ServiceCommand((*_EMULATOR, "balancer"), f"/lb/{ID}", f"/v2/{ID}/health"),
    # A language model: several answers at a time, as vLLM batches them, from a worker that starts in a few seconds.
    "chat": ServiceCommand(
        (*_EMULATOR, "queue", "--worker", "modelled", "--start", "1", "--load", "3", "--concurrency", "8"),
        f"/v2/{ID}/openai/v1",
        f"/v2/{ID}/health",
    ),
    "video": ServiceCommand(("coldburst.video", "--queue", "1000", "--workers", "2", "--worker-id", ID), "", "/health"),
    "transcription": ServiceCommand(("coldburst.transcriber", "--queue", "1000", "--worker-id", ID), "", "/health"),
}

# Arguments of the emulator for each value of --demo: modelled workers start and answer soon, so that a burst of 30 ends in seconds.
DEMOS: Mapping[str, tuple[str, ...]] = {
    "real": (),
    "modelled": ("--worker", "modelled", "--start", "0.5", "--load", "1", "--service-time", "exp:0.3", "--concurrency", "2"),
}


class StartError(RuntimeError):
    """The embedded endpoint did not start; the message is a sentence."""


class EmbeddedEndpoint:
    """The emulator with workers, or a transcription service, on a port that the kernel chose.

    It exits when its standard input closes, so it cannot outlive this process.

    Args:
        kind: a key of SERVICES.
        more: further arguments for the emulator.
    """

    def __init__(self, kind: str, more: Sequence[str] = ()) -> None:
        self._service = SERVICES[kind]
        command = (*self._service.command, *(more if self._service.command[0] == _EMULATOR[0] else ()))
        # In a session of its own: Ctrl-C must reach the run, which still waits for the service.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", *command, "--port", "0", "--until-stdin-closes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            start_new_session=True,
            text=True,
        )
        self.url = ""
        self.start_s = 0.0
        self.worker_id = ""

    def wait_ready(self) -> None:
        """Waits until the health path answers; sets ``url``, and ``start_s`` to the seconds it took.

        Raises:
            StartError: it exited, or was not ready within READY_S.
        """
        started = time.perf_counter()
        late = StartError(f"the embedded endpoint was not ready within {READY_S:g} s: start an endpoint yourself and name it with --host")
        with gevent.Timeout(READY_S, late):
            address = self._address()
            client = HttpClient(address, Timeouts(5, 5, 5))
            while (health := _health(client, self._service.health)) is None:
                if self._process.poll() is not None:
                    raise StartError(f"the embedded endpoint exited with code {self._process.returncode} before it was ready")
                gevent.sleep(0.02)
            client.close()
        self.url = address + self._service.below
        self.start_s = time.perf_counter() - started
        self.worker_id = str(health.get("worker_id", ""))

    def stop(self) -> None:
        """Ends the service, after STOP_S by force."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def _address(self) -> str:
        words = (self._process.stdout.readline() if self._process.stdout else "").split()
        if words[:2] != ["listening", "on"]:
            module = self._service.command[0]
            raise StartError(f"the embedded endpoint did not start (see above): try 'python -m {module}', or name an endpoint with --host")
        return words[2]


def _health(client: HttpClient, path: str) -> Mapping[str, Any] | None:
    exchange = Exchange()
    client.send(exchange, "GET", path)
    if exchange.status != 200:
        return None
    content = json.loads(exchange.body)
    return content if isinstance(content, dict) else {}
