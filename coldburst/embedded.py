"""The endpoint that a run starts for itself where no host is given: its own process, loopback only."""

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
from coldburst.targets.http import Exchange, HttpClient, Timeouts

READY_S = 60.0
STOP_S = 5.0
ID = "embedded"
_EMULATOR = ("coldburst.emulator", "--endpoint", ID, "--management-per-minute", "100000", "--kind")
"""Nobody else asks its REST v2, so nobody has to be kept from asking too often."""


@dataclass(frozen=True, slots=True)
class ServiceCommand:
    """How an endpoint of one kind is started: its module with arguments, where it serves, where it tells its health."""

    command: tuple[str, ...]
    below: str
    health: str


SERVICES: Mapping[str, ServiceCommand] = {
    "queue": ServiceCommand((*_EMULATOR, "queue"), f"/v2/{ID}", f"/v2/{ID}/health"),
    "balancer": ServiceCommand((*_EMULATOR, "balancer"), f"/lb/{ID}", f"/v2/{ID}/health"),
    "transcription": ServiceCommand(("coldburst.transcriber", "--queue", "1000", "--worker-id", ID), "", "/health"),
}


class StartError(RuntimeError):
    """The embedded endpoint did not come up; the message is a sentence."""


class EmbeddedEndpoint:
    """An endpoint of this project's own, on a port that the kernel chose: the emulator with workers, or a plain service.

    ``more``: arguments of the emulator, where it is one.

    It ends when its standard input does, so it cannot outlive this process, whatever happens to it.
    """

    def __init__(self, kind: str, more: Sequence[str] = ()) -> None:
        self._service = SERVICES[kind]
        command = (*self._service.command, *(more if self._service.command[0] == _EMULATOR[0] else ()))
        # A session of its own: Ctrl-C on the terminal must reach the run, not the service it waits for.
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
        """Waits until the endpoint answers on its health path; ``start_s`` is start to ready, in seconds.

        Raises:
            CannotStart: it ended, or was not ready within READY_S.
        """
        started = time.perf_counter()
        late = StartError(f"the embedded endpoint was not ready within {READY_S:g} s: start an endpoint yourself and name it by --host")
        with gevent.Timeout(READY_S, late):
            address = self._address()
            client = HttpClient(address, Timeouts(5, 5, 5))
            while (health := _health(client, self._service.health)) is None:
                if self._process.poll() is not None:
                    raise StartError(f"the embedded endpoint ended with code {self._process.returncode} while it was loading")
                gevent.sleep(0.02)
            client.close()
        self.url = address + self._service.below
        self.start_s = time.perf_counter() - started
        self.worker_id = str(health.get("worker_id", ""))

    def stop(self) -> None:
        """Ends the service, at the latest after STOP_S."""
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
        line = self._process.stdout.readline() if self._process.stdout else ""
        words = line.split()
        if words[:2] != ["listening", "on"]:
            module = self._service.command[0]
            raise StartError(f"the embedded endpoint did not start (see above): try 'python -m {module}', or name an endpoint by --host")
        return words[2]


def _health(client: HttpClient, path: str) -> Mapping[str, Any] | None:
    exchange = Exchange()
    client.send(exchange, "GET", path)
    if exchange.status != 200:
        return None
    content = json.loads(exchange.body)
    return content if isinstance(content, dict) else {}
