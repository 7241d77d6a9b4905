"""A container engine for a test: Docker's own daemon, started by hand, gone at the end with all that ran in it.

    with engine() as docker:
        docker.build("coldburst:local", ROOT)
        with docker.machine.inside():
            ...  # published ports answer here, and nowhere else

It has a directory of its own, sees no other processes and mounts than its own, and runs containers on a machine of its own (see
machines): no bridge, address, rule, image or container of it is anywhere else. It dies with the process that started it. Images are
built before that, by the same engine on this machine's network, where pip finds its packages. There is no registry: base images are
stand-ins (see standins). Needs root and the packages that ``lacking`` names.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.support import machines, needs, standins
from tests.support.machines import Machine

PROGRAMS = ("dockerd", "docker", "iptables", "unshare", "setpriv")
ON_THE_OUTSIDE = ("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")
STARTS_S, ENDS_S, LONGEST_S = 30.0, 30.0, 600.0
UNREACHABLE = "after connection broken by"
"""What pip says when it retries because nobody can be reached."""


@dataclass(frozen=True)
class Engine:
    """A running engine.

    Attributes:
        machine: where its containers' published ports answer.
        folder: what it writes lies below it.
    """

    machine: Machine
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """For docker and docker compose; with the builder that needs no plugin."""
        own = {"DOCKER_HOST": f"unix://{self.folder}/socket", "DOCKER_CONFIG": f"{self.folder}/config", "DOCKER_BUILDKIT": "0"}
        return {name: value for name, value in os.environ.items() if name != "DOCKER_CONTEXT"} | own

    def run(self, *command: str | Path, cwd: Path | None = None, **env: str) -> str:
        """What a command that speaks to this engine prints; fails with all that it said where it fails."""
        said = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        done = subprocess.run(command, cwd=cwd, env=self.environment | env, timeout=LONGEST_S, check=False, **said)
        assert done.returncode == 0, f"{' '.join(map(str, command))} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-6000:]}"
        return done.stdout

    def size(self, image: str) -> int:
        """Bytes of an image, with all its layers."""
        return int(self.run("docker", "image", "inspect", "--format", "{{.Size}}", image))


@contextmanager
def engine(image: str, context: Path) -> Iterator[Engine]:
    """An engine that has built ``image`` from the Dockerfile in ``context``, and the stand-ins. Skips where there can be none."""
    if reason := lacking():
        pytest.skip(f"NO ENGINE: {reason}")
    with tempfile.TemporaryDirectory(prefix="coldburst-engine-") as folder, machines.machines("engine") as (machine,):
        docker = Engine(machine, Path(folder))
        with _daemon(docker, None):
            for stand_in in standins.ALL:
                _import(docker, stand_in)
            _build(docker, image, context)
        with _daemon(docker, machine):
            yield docker


def lacking() -> str:
    """Why there can be no engine here, "" where there can, as far as that shows before it is started."""
    return machines.lacking() or needs.lacking(*PROGRAMS) or standins.lacking()


@contextmanager
def _daemon(docker: Engine, machine: Machine | None) -> Iterator[None]:
    """The engine's process, on ``machine``, or on this machine's own network without touching it: for builds only."""
    group = f"coldburst-{os.getpid()}"
    own = [f"--data-root={docker.folder}/data", f"--exec-root={docker.folder}/exec", f"--pidfile={docker.folder}/pid"]
    own += [f"--host=unix://{docker.folder}/socket", f"--cgroup-parent=/{group}", *([] if machine else ON_THE_OUTSIDE)]
    command = ["setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "dockerd", *own]
    log = docker.folder / "log"
    with log.open("ab") as out, machine.inside() if machine else nullcontext():
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        _until_it_answers(docker, process, log)
        yield
    finally:
        _end(process)
        _remove_groups(group)


def _until_it_answers(docker: Engine, process: subprocess.Popen[bytes], log: Path) -> None:
    ends_s = time.monotonic() + STARTS_S
    asked = ["docker", "version", "--format", "{{.Server.Version}}"]
    while subprocess.run(asked, env=docker.environment, capture_output=True, check=False).returncode:
        if process.poll() is not None or time.monotonic() > ends_s:
            pytest.skip(f"NO ENGINE: dockerd did not start: {' '.join(log.read_text(errors='replace').splitlines()[-1:])}")
        time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Lets the daemon end its containers; with its first process all others of its kind of numbers are gone."""
    with suppress(psutil.NoSuchProcess):
        for daemon in psutil.Process(process.pid).children():
            daemon.send_signal(signal.SIGTERM)
    try:
        process.wait(ENDS_S)
    finally:
        process.kill()
        process.wait()


def _remove_groups(name: str) -> None:
    """Removes the control groups that the kernel keeps, empty, of containers that are gone."""
    for top in [*Path("/sys/fs/cgroup").glob(f"*/{name}"), Path("/sys/fs/cgroup") / name]:
        for group, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                Path(group).rmdir()


def _import(docker: Engine, image: standins.StandIn) -> None:
    settings = [word for line in image.settings for word in ("--change", line)]
    command = ["docker", "import", *settings, "-", image.name]
    with subprocess.Popen(command, env=docker.environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as importing:
        assert importing.stdin is not None
        standins.write(image, importing.stdin)
    assert importing.returncode == 0


def _build(docker: Engine, image: str, context: Path) -> None:
    """The network is this machine's own: without a bridge the engine has none to give."""
    command = ["docker", "build", "--network", "host", "--tag", image, str(context)]
    done = subprocess.run(command, env=docker.environment, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    said = done.stdout + done.stderr
    if done.returncode and UNREACHABLE in said:
        pytest.skip("NO NETWORK: pip reaches no package index, so that the image cannot be built here")
    assert done.returncode == 0, said[-6000:]


def compose(release: str, *words: str) -> Sequence[str]:
    """``words``, which call compose; skips where they do not, or call another release of it."""
    asked = [*words, "version", "--short"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout if needs.found(words[0]) else ""
    if not said.removeprefix("v").startswith(f"{release}."):
        pytest.skip(f"not installed: compose {release}, called {' '.join(words)}")
    return words
