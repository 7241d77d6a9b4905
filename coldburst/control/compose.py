"""Changes the number of workers with docker compose, and reloads the nginx in front of them after each change.

One service is scaled with ``--scale``. Of several, named one by one, the first N run and the others are stopped.
"""

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
        service: the service to scale, or several with commas: each is one worker.
        proxy: the service of the proxy; "" = the one called nginx, if there is one.
    """

    way: ClassVar[str] = "compose"
    every_s = 0.5

    def __init__(self, file: Path, service: str, proxy: str = "") -> None:
        if not file.is_file():
            raise ControlError(f"--compose-file '{file}' is not a file: name a compose file such as docker-compose.yml")
        self._file, self._services = file.resolve(), tuple(name.strip() for name in service.split(","))
        self._words = [*_program(), "-f", str(self._file)]
        services = self._run("config", "--services").split()
        for name in self._services:
            if name not in services:
                raise ControlError(f"--compose-service '{name}' is not in {file}: use one of {', '.join(sorted(services))}")
        if proxy and proxy not in services:
            raise ControlError(f"--compose-proxy '{proxy}' is not in {file}: use one of {', '.join(sorted(services))}")
        self._proxy = [proxy] if proxy else [PROXY] if PROXY in services else []

    @property
    def where(self) -> str:
        names = ", ".join(f"'{name}'" for name in self._services)
        return f"service{'s' if len(self._services) > 1 else ''} {names} of {self._file.name}"

    def settings(self) -> dict[str, Any]:
        proxy = next(iter(self._proxy), "")
        return {"file": str(self._file), "service": ",".join(self._services), "proxy": proxy, "workers": self._states()["running"]}

    def describe(self, wanted: Sequence[DesiredState]) -> str:
        """Compose changes only the number of containers."""
        if any(one.concurrency is not None for one in wanted):
            raise ControlError(
                "docker compose changes only the number of workers: to change their concurrency use --control replicas or hand"
            )
        counts, now = listed([one.workers for one in wanted]), self._states()["running"]
        if len(self._services) == 1:
            return f"Scales {self.where} to {counts} containers (now {now}), and back at the end."
        if (most := max((one.workers or 0 for one in wanted), default=0)) > len(self._services):
            named = f"--compose-service names {len(self._services)} workers"
            raise ControlError(f"{named}, but {most} are needed: name all, as in worker-1,worker-2")
        return f"Runs the first {counts} of the {self.where} (now {now}), stops the others, and goes back at the end."

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
        if len(self._services) == 1:
            self._run("up", "-d", "--no-recreate", "--scale", f"{self._services[0]}={number}", self._services[0], *proxy)
        else:
            if number or proxy:
                self._run("up", "-d", "--no-recreate", "--no-deps", *self._services[:number], *proxy)
            if stopped := self._services[number:]:
                self._run("stop", *stopped)
        if proxy:
            self._run("exec", "-T", *proxy, "nginx", "-s", "reload")

    def _states(self) -> Counter[str]:
        """Number of the services' containers that are "running", and that are "serving": running and healthy."""
        ids = self._run("ps", "-q", *self._services).split()
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
