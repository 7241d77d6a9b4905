"""This project's compose file in an engine, unmodified, as a person uses it: a copy of the checkout, an .env from the example, commands."""

from __future__ import annotations

import json
import os
import shutil
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.engine import Engine
from tests.support.locusts import ROOT, Result
from tests.support.transcribers import silence, until

SHIPPED = ("Dockerfile", "docker-compose.yml", ".env.example", ".dockerignore", "requirements.txt", "deploy")
CODE = ("coldburst", "analysis", "locustfiles", "samples")
IMAGE = "coldburst:local"
WEB, PROMETHEUS = "http://127.0.0.1:8089", "http://127.0.0.1:9090"
QUIET = {"clips": "runs/quiet.wav", "max_wer": "off"}
"""A clip of nothing much, in the directory that all of them share: recognised at once, however busy this machine is."""
USER = 1000
"""The one that the example of an .env names."""
LONG_S = 600.0
"""Against hanging: nothing here depends on how long a thing takes."""


def checkout(folder: Path) -> Path:
    """A copy of what a checkout holds for containers."""
    for name in (*SHIPPED, *CODE):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, folder / name)
    return folder


@dataclass(frozen=True)
class OnHost(Result):
    """What a run left in its directory on the host."""

    folder: Path

    @property
    def reported(self) -> bool:
        return (self.folder / "report" / "index.html").is_file()


@dataclass(frozen=True)
class Project:
    """Services that are up.

    Attributes:
        folder: the checkout.
        words: how compose is called.
    """

    docker: Engine
    folder: Path
    words: Sequence[str]

    def compose(self, *words: str, **env: str) -> str:
        return self.docker.run(*self.words, *words, cwd=self.folder, **env)

    def containers(self, service: str) -> list[str]:
        """Their ids."""
        return self.compose("ps", "-q", service).split()

    def ask(self, url: str, **form: str) -> str:
        """The answer to a GET, or to a POST of ``form``, from where published ports answer."""
        content = urllib.parse.urlencode(form).encode() if form else None
        with self.docker.machine.inside(), urllib.request.urlopen(url, content, timeout=60) as answer:
            return answer.read().decode()

    def generators(self) -> int:
        """How many are ready at the master."""
        told = json.loads(self.ask(f"{WEB}/stats/requests"))
        return sum(one["state"] == "ready" for one in told.get("workers", ()))

    def start(self, generators: int, **form: str) -> OnHost:
        """Starts a run in the web UI, as its form does, once so many generators are there."""
        until(lambda: self.generators() >= generators, f"{generators} generators at the master", LONG_S)
        before = set(self.results())
        answer = json.loads(self.ask(f"{WEB}/swarm", **form))
        assert answer["success"], answer
        (made,) = until(lambda: set(self.results()) - before, "directory of the run", LONG_S)
        return OnHost(made)

    def results(self) -> list[Path]:
        """The runs' own directories: those of the generators (ID.g1) are left out."""
        return [path for path in (self.folder / "runs").iterdir() if (path / "attempts.csv").is_file() and "." not in path.name]


@contextmanager
def project(docker: Engine, folder: Path, words: Sequence[str]) -> Iterator[Project]:
    """A checkout with its .env and its directory of results; its containers are removed at the end."""
    checkout(folder)
    shutil.copy(folder / ".env.example", folder / ".env")
    (folder / "runs").mkdir()
    (folder / QUIET["clips"]).write_bytes(silence(0.2))
    os.chown(folder / "runs", USER, USER)  # this test is root; who follows the guide is not
    made = Project(docker, folder, words)
    try:
        yield made
    finally:
        made.compose("--profile", "monitoring", "down", "--volumes", "--timeout", "5")
