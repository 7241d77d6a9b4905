"""Transcription workers of this project on this machine, behind an nginx of their own that gives each request to the least busy.

Nothing of it outlives this process: the workers end with their standard input.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from coldburst.control.desired_state import ControlError, DesiredState, ObservedState, listed, serving
from coldburst.control.nginx import Nginx, answer_of, close_stdin, end_process
from coldburst.installation import missing
from coldburst.record.provenance import environment

MODULE = "coldburst.transcriber"
QUEUE = ("--queue", "1000")
"""Places to wait: as many as the embedded service has; --replica-args may say otherwise."""


@dataclass(slots=True, eq=False)
class _Replica:
    """One transcription service: its name, which it writes into each answer, its process, and where it listens."""

    name: str
    process: subprocess.Popen[str]
    url: str = ""
    loaded: bool = False


class ReplicaControl:
    """See Control. ``url`` is where the service answers once the first change has shown itself.

    Args:
        words: options of the service for each worker, as on a command line.
    """

    way: ClassVar[str] = "replicas"
    by_hand = False
    harmless = True
    every_s = 0.05

    def __init__(self, words: str = "") -> None:
        try:
            self._words = tuple(shlex.split(words))
        except ValueError as error:
            raise ControlError(f"--replica-args {words!r} cannot be read ({error}): write options as in '--engine fixed'") from error
        if sentence := missing("emulator"):
            raise ControlError(f"--control replicas: {sentence}")
        self._front = Nginx()
        self._concurrency: int | None = None
        self._workers: list[_Replica] = []
        self._leaving: list[_Replica] = []
        self._started = 0

    @property
    def url(self) -> str:
        """Address of the nginx before the workers."""
        return self._front.url

    @property
    def where(self) -> str:
        """See Control."""
        return f"transcription workers on this machine, behind nginx at {self.url}"

    def begin(self, folder: Path, pause: Callable[[float], bool]) -> None:
        """See Control."""

    def settings(self) -> dict[str, Any]:
        """See Control."""
        return {"workers": len(self._workers)}

    def describe(self, wanted: Sequence[DesiredState]) -> str:
        """See Control."""
        counts, concurrency = listed([one.workers for one in wanted]) or "1", listed([one.concurrency for one in wanted])
        slots = f", each with --max-concurrent {concurrency}" if concurrency else ""
        scaler = "; they have no scaler, so its value is left out" if any(one.scaler_value is not None for one in wanted) else ""
        command = shlex.join(["python", "-m", MODULE, *self._words])
        return (
            f"Starts {counts} transcription workers ({command}){slots} on this machine behind nginx at {self.url}, and ends them{scaler}."
        )

    def change(self, wanted: DesiredState) -> None:
        """See Control. Another concurrency takes other workers; nginx knows the new set before those it leaves out are ended."""
        number = len(self._workers) or 1 if wanted.workers is None else wanted.workers
        if number < 1:
            raise ControlError("0 transcription workers cannot serve: give 1 or more")
        other = wanted.concurrency not in (None, self._concurrency)
        self._concurrency = wanted.concurrency if other else self._concurrency
        keep = [] if other else [worker for worker in self._workers if worker.process.poll() is None][:number]
        gone, self._workers = [worker for worker in self._workers if worker not in keep], keep
        new = [self._start() for _ in range(number - len(self._workers))]
        self._workers += new
        for worker in new:
            worker.url = _address_of(worker, self._words)
        if new or gone:
            self._front.serve([worker.url.removeprefix("http://") for worker in self._workers])
        for worker in gone:
            close_stdin(worker.process)
        self._leaving += gone

    def observe(self, wanted: DesiredState) -> ObservedState:
        """See Control: each worker's /health, what nginx serves, and who has ended."""
        self._front.insist()
        for worker in self._workers:
            if (code := worker.process.poll()) is not None:
                raise ControlError(f"transcription worker {worker.name} ended with code {code}: its last words are above")
            worker.loaded = worker.loaded or answer_of(worker.url, "/health") is not None
        for worker in [worker for worker in self._leaving if worker.process.poll() is not None]:
            end_process(worker.process)
            self._leaving.remove(worker)
        count = sum(worker.loaded for worker in self._workers)
        waits = [f"{len(self._leaving)} ending"] if self._leaving else []
        if not self._front.serves:
            waits.append("nginx still has the set before")
        right = count == (len(self._workers) if wanted.workers is None else wanted.workers)
        return ObservedState(count, right and not waits, "; ".join([serving(count, wanted.workers), *waits]))

    def restore(self, before: Mapping[str, Any]) -> str:
        """See Control: there was nothing before the run, and ``close`` leaves nothing."""
        return "transcription workers on this machine end with the run: nothing to put back"

    def close(self) -> None:
        """See Control."""
        for worker in (*self._workers, *self._leaving):
            close_stdin(worker.process)
        self._front.close()
        for worker in (*self._workers, *self._leaving):
            end_process(worker.process)
        self._workers, self._leaving = [], []

    def _start(self) -> _Replica:
        self._started += 1  # no name is used twice: an answer tells which process it came from
        name = f"w{self._started}"
        slots = () if self._concurrency is None else ("--max-concurrent", str(self._concurrency))
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", MODULE, *QUEUE, *self._words, *slots, "--port", "0", "--until-stdin-closes", "--worker-id", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            start_new_session=True,
            text=True,
        )
        return _Replica(name, process)


def _address_of(worker: _Replica, words: Sequence[str]) -> str:
    """Where a worker listens, by its first line.

    Raises:
        ControlError: it has ended instead.
    """
    said = (worker.process.stdout.readline() if worker.process.stdout else "").split()
    if said[:2] != ["listening", "on"]:
        command = shlex.join(["python", "-m", MODULE, *words])
        raise ControlError(f"transcription worker {worker.name} did not start (see above): try '{command}', and correct --replica-args")
    return said[2]
