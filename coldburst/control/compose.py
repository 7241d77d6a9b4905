"""Scales a service by ``docker compose --scale``, and reloads the nginx in front of it after each change.

Compose v2 (``docker compose``) and v1 (``docker-compose``) take the same words.
"""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from coldburst.control.desired_state import ControlError, DesiredState, ObservedState, listed, serving
from coldburst.lines import one_line

PROXY = "nginx"
STATE = "{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}healthy{{end}}"
LONGEST_S = 600.0
"""For one command; the first ``up`` may build the image."""


class ComposeControl:
    """See Control.

    Args:
        file: the compose file.
        service: the one that is scaled.
    """

    way: ClassVar[str] = "compose"
    url = ""
    by_hand = False
    harmless = True
    every_s = 0.5

    def __init__(self, file: Path, service: str) -> None:
        if not file.is_file():
            raise ControlError(f"--compose-file '{file}' is no file: give one as in docker-compose.yml")
        self._file, self._service = file.resolve(), service
        self._words = [*_program(), "-f", str(self._file)]
        services = self._run("config", "--services").split()
        if service not in services:
            raise ControlError(f"--compose-service '{service}' is not in {file}: give one of {', '.join(sorted(services))}")
        self._proxy = [PROXY] if PROXY in services else []

    @property
    def where(self) -> str:
        """See Control."""
        return f"service '{self._service}' of {self._file.name}"

    def begin(self, folder: Path, pause: Callable[[float], bool]) -> None:
        """See Control."""

    def settings(self) -> dict[str, Any]:
        """See Control."""
        return {"file": str(self._file), "service": self._service, "workers": self._states()["running"]}

    def describe(self, wanted: Sequence[DesiredState]) -> str:
        """See Control; compose can change the number of containers alone."""
        if any(one.concurrency is not None for one in wanted):
            raise ControlError("docker compose changes the number of workers alone: give --control replicas or hand for their concurrency")
        counts = listed([one.workers for one in wanted])
        return f"Scales {self.where} to {counts} containers (now {self._states()['running']}), and back at the end."

    def change(self, wanted: DesiredState) -> None:
        """See Control."""
        if wanted.workers is not None:
            self._scale(wanted.workers)

    def observe(self, wanted: DesiredState) -> ObservedState:
        """See Control: containers that run, and are healthy where they have a health check."""
        states = self._states()
        count, running = states["serving"], states["running"]
        right = count == running if wanted.workers is None else count == running == wanted.workers
        waits = [f"{running} run"] if running != count else []
        return ObservedState(count, right, "; ".join([serving(count, wanted.workers), *waits]))

    def restore(self, before: Mapping[str, Any]) -> str:
        """See Control."""
        count = int(before["workers"])
        if self._states()["running"] == count:
            return f"{self.where}: {count} containers, as before"
        self._scale(count)
        return f"{self.where}: back to {count} containers"

    def close(self) -> None:
        """See Control: the containers go on."""

    def _scale(self, number: int) -> None:
        proxy = self._proxy if number else []
        self._run("up", "-d", "--no-recreate", "--scale", f"{self._service}={number}", self._service, *proxy)
        if proxy:
            self._run("exec", "-T", PROXY, "nginx", "-s", "reload")

    def _states(self) -> Counter[str]:
        """How many containers of the service are "running", and how many of them are "serving": running and healthy."""
        ids = self._run("ps", "-q", self._service).split()
        found: Counter[str] = Counter()
        for line in _output(["docker", "inspect", "--format", STATE, *ids]).splitlines() if ids else ():
            status, _, health = line.partition(" ")
            found["running"] += status == "running"
            found["serving"] += (status, health) == ("running", "healthy")
        return found

    def _run(self, *words: str) -> str:
        return _output([*self._words, *words])


def _program() -> list[str]:
    """``docker compose`` where there is the plugin, else ``docker-compose``."""
    if shutil.which("docker"):
        if not subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
            return ["docker", "compose"]
        if shutil.which("docker-compose"):
            return ["docker-compose"]
    raise ControlError("--control compose needs docker and its compose plugin: install both, or give --control replicas or hand")


def _output(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ControlError(f"'{' '.join(command[:4])} …' cannot be run ({error}): run it by hand to see why") from error
    if done.returncode:
        said = one_line(" ".join((done.stderr or done.stdout).strip().splitlines()[-3:]))
        raise ControlError(
            f"'{' '.join(command)}' ended with code {done.returncode}: {said or 'it said nothing'}; run it by hand to see why"
        )
    return done.stdout
