"""Local transcription workers behind an nginx that sends each request to the least busy one.

None of them outlives this process: they end when their standard input closes.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from coldburst.control.desired_state import Control, ControlError, DesiredState, ObservedState, listed, serving
from coldburst.control.nginx import Nginx, answer_of, close_stdin, end_process
from coldburst.installation import missing
from coldburst.record.provenance import environment

MODULE = "coldburst.transcriber"
# As many waiting places as the embedded service has; --replica-args may override it.
QUEUE = ("--queue", "1000")


@dataclass(slots=True, eq=False)
class _Replica:
    """One transcription service; ``name`` is in each of its answers."""

    name: str
    process: subprocess.Popen[str]
    url: str = ""
    loaded: bool = False


class ReplicaControl(Control):
    """The service answers at ``url`` once the first change is complete.

    Args:
        words: command-line options for each worker.
    """

    way: ClassVar[str] = "replicas"
    every_s = 0.05

    def __init__(self, words: str = "") -> None:
        try:
            self._words = tuple(shlex.split(words))
        except ValueError as error:
            raise ControlError(f"--replica-args {words!r} could not be parsed ({error}): write options such as '--engine fixed'") from error
        if sentence := missing("emulator"):
            raise ControlError(f"--control replicas: {sentence}")
        self._front = Nginx()
        self._concurrency: int | None = None
        self._workers: list[_Replica] = []
        self._leaving: list[_Replica] = []
        self._started = 0

    @property
    def url(self) -> str:
        """The address of nginx."""
        return self._front.url

    @property
    def where(self) -> str:
        return f"transcription workers on this machine, behind nginx at {self.url}"

    def settings(self) -> dict[str, Any]:
        return {"workers": len(self._workers)}

    def describe(self, wanted: Sequence[DesiredState]) -> str:
        counts, concurrency = listed([one.workers for one in wanted]) or "1", listed([one.concurrency for one in wanted])
        slots = f", each with --max-concurrent {concurrency}" if concurrency else ""
        scaler = "; the scaler value is ignored, because they have no scaler" if any(one.scaler_value for one in wanted) else ""
        return f"Starts {counts} transcription workers ({self._command}){slots} behind nginx at {self.url}, and stops them{scaler}."

    def change(self, wanted: DesiredState) -> None:
        """A new concurrency needs new workers. nginx switches before the old workers are stopped."""
        number = len(self._workers) or 1 if wanted.workers is None else wanted.workers
        if number < 1:
            raise ControlError("0 transcription workers cannot serve requests: use 1 or more")
        other = wanted.concurrency not in (None, self._concurrency)
        self._concurrency = wanted.concurrency if other else self._concurrency
        keep = [] if other else [worker for worker in self._workers if worker.process.poll() is None][:number]
        gone, self._workers = [worker for worker in self._workers if worker not in keep], keep
        new = [self._start() for _ in range(number - len(self._workers))]
        self._workers += new
        for worker in new:
            worker.url = self._address_of(worker)
        if new or gone:
            self._front.serve([worker.url.removeprefix("http://") for worker in self._workers])
        for worker in gone:
            close_stdin(worker.process)
        self._leaving += gone

    def observe(self, wanted: DesiredState) -> ObservedState:
        """Checks each worker's /health, nginx, and the workers that are stopping."""
        self._front.check_running()
        for worker in self._workers:
            if (code := worker.process.poll()) is not None:
                raise ControlError(f"transcription worker {worker.name} ended with code {code}: see its output above")
            worker.loaded = worker.loaded or answer_of(worker.url, "/health") is not None
        for worker in [worker for worker in self._leaving if worker.process.poll() is not None]:
            end_process(worker.process)
            self._leaving.remove(worker)
        count = sum(worker.loaded for worker in self._workers)
        waits = [f"{len(self._leaving)} stopping"] if self._leaving else []
        if not self._front.serves:
            waits.append("nginx has not switched yet")
        ready = count == (len(self._workers) if wanted.workers is None else wanted.workers)
        return ObservedState(count, ready and not waits, "; ".join([serving(count, wanted.workers), *waits]))

    def restore(self, before: Mapping[str, Any]) -> str:
        """``close`` stops everything that was started."""
        return "nothing to restore: the local transcription workers stop with the run"

    def close(self) -> None:
        for worker in (*self._workers, *self._leaving):
            close_stdin(worker.process)
        self._front.close()
        for worker in (*self._workers, *self._leaving):
            end_process(worker.process)
        self._workers, self._leaving = [], []

    @property
    def _command(self) -> str:
        return shlex.join(["python", "-m", MODULE, *self._words])

    def _start(self) -> _Replica:
        # No name is used twice, so that an answer identifies its process.
        self._started += 1
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

    def _address_of(self, worker: _Replica) -> str:
        """The address in a worker's first line. Raises ControlError if it ended instead."""
        said = (worker.process.stdout.readline() if worker.process.stdout else "").split()
        if said[:2] != ["listening", "on"]:
            raise ControlError(
                f"transcription worker {worker.name} did not start (see above): try '{self._command}', and correct --replica-args"
            )
        return said[2]
