"""Scales a service with ``docker compose --scale``, and reloads the nginx in front of it after each change."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from coldburst.control.desired_state import Control, ControlError, DesiredState, ObservedState, listed, serving
from coldburst.lines import one_line

PROXY = "nginx"
STATE = "{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}healthy{{end}}"
# Per command; the first ``up`` may build the image.
TIMEOUT_S = 600.0


class ComposeControl(Control):
    """See Control.

    Args:
        file: the compose file.
        service: the service to scale.
    """

    way: ClassVar[str] = "compose"
    every_s = 0.5

    def __init__(self, file: Path, service: str) -> None:
        if not file.is_file():
            raise ControlError(f"--compose-file '{file}' is not a file: name a compose file such as docker-compose.yml")
        self._file, self._service = file.resolve(), service
        self._words = [*_program(), "-f", str(self._file)]
        services = self._run("config", "--services").split()
        if service not in services:
            raise ControlError(f"--compose-service '{service}' is not in {file}: use one of {', '.join(sorted(services))}")
        self._proxy = [PROXY] if PROXY in services else []

    @property
    def where(self) -> str:
        return f"service '{self._service}' of {self._file.name}"

    def settings(self) -> dict[str, Any]:
        return {"file": str(self._file), "service": self._service, "workers": self._states()["running"]}

    def describe(self, wanted: Sequence[DesiredState]) -> str:
        """Compose changes only the number of containers."""
        if any(one.concurrency is not None for one in wanted):
            raise ControlError(
                "docker compose changes only the number of workers: to change their concurrency use --control replicas or hand"
            )
        counts = listed([one.workers for one in wanted])
        return f"Scales {self.where} to {counts} containers (now {self._states()['running']}), and back at the end."

    def change(self, wanted: DesiredState) -> None:
        if wanted.workers is not None:
            self._scale(wanted.workers)

    def observe(self, wanted: DesiredState) -> ObservedState:
        """A container serves when it runs and its health check, if any, passes."""
        states = self._states()
        count, running = states["serving"], states["running"]
        ready = count == running if wanted.workers is None else count == running == wanted.workers
        waits = [f"{running} run"] if running != count else []
        return ObservedState(count, ready, "; ".join([serving(count, wanted.workers), *waits]))

    def restore(self, before: Mapping[str, Any]) -> str:
        count = int(before["workers"])
        if self._states()["running"] == count:
            return f"{self.where}: {count} containers, as before"
        self._scale(count)
        return f"{self.where}: back to {count} containers"

    def _scale(self, number: int) -> None:
        proxy = self._proxy if number else []
        self._run("up", "-d", "--no-recreate", "--scale", f"{self._service}={number}", self._service, *proxy)
        if proxy:
            self._run("exec", "-T", PROXY, "nginx", "-s", "reload")

    def _states(self) -> Counter[str]:
        """Number of the service's containers that are "running", and that are "serving": running and healthy."""
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
    """``docker compose``, or ``docker-compose`` if the plugin is not installed; both take the same arguments."""
    if shutil.which("docker"):
        if not subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
            return ["docker", "compose"]
        if shutil.which("docker-compose"):
            return ["docker-compose"]
    raise ControlError("--control compose needs docker and its compose plugin: install both, or use --control replicas or hand")


def _output(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, start_new_session=True
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ControlError(f"could not run '{' '.join(command[:4])} …' ({error}): run it in a shell to see why") from error
    if done.returncode:
        said = one_line(" ".join((done.stderr or done.stdout).strip().splitlines()[-3:]))
        raise ControlError(f"'{' '.join(command)}' ended with code {done.returncode}: {said or 'no output'}; run it in a shell to see why")
    return done.stdout
