"""The video service on this machine, restarted with another number of workers at the same address.

It does not outlive this process: it ends when its standard input closes.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from coldburst.child_processes import free_port
from coldburst.control.desired_state import Control, ControlError, DesiredState, ObservedState, listed, serving
from coldburst.control.nginx import answer_of, end_process
from coldburst.installation import missing
from coldburst.record.provenance import environment

MODULE = "coldburst.video"
# As many waiting places as a sweep can fill; --replica-args may override it.
QUEUE = ("--queue", "1000")


class RestartControl(Control):
    """The service answers at ``url`` once the first change is complete.

    Args:
        words: command-line options for the service.
    """

    way: ClassVar[str] = "restart"
    every_s = 0.05

    def __init__(self, words: str = "") -> None:
        try:
            self._words = tuple(shlex.split(words))
        except ValueError as error:
            raise ControlError(f"--replica-args {words!r} could not be parsed ({error}): write options such as '--engine fixed'") from error
        if sentence := missing("emulator"):
            raise ControlError(f"--control restart: {sentence}")
        self._port = free_port()
        self._process: subprocess.Popen[str] | None = None
        self._workers = 0

    @property
    def url(self) -> str:
        """The address of the service, whatever its number of workers."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def where(self) -> str:
        return f"a video service on this machine, at {self.url}"

    def settings(self) -> dict[str, Any]:
        return {"workers": self._workers}

    def describe(self, wanted: Sequence[DesiredState]) -> str:
        if any(one.concurrency or one.scaler_value for one in wanted):
            raise ControlError("a video worker takes one job at a time, and has no scaler: change the number of workers only")
        return f"Starts {self._command} at {self.url} with {listed([one.workers for one in wanted]) or '1'} workers, and stops it."

    def change(self, wanted: DesiredState) -> None:
        """Ends the service, and starts it again with the number of workers."""
        self.close()
        self._workers = wanted.workers or self._workers or 1
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", MODULE, *QUEUE, *self._words),
                *("--workers", str(self._workers), "--port", str(self._port), "--worker-id", f"w{self._workers}", "--until-stdin-closes"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            start_new_session=True,
            text=True,
        )
        said = (self._process.stdout.readline() if self._process.stdout else "").split()
        if said[:2] != ["listening", "on"]:
            raise ControlError(f"the video service did not start (see above): try '{self._command}', and correct --replica-args")

    def observe(self, wanted: DesiredState) -> ObservedState:
        """Checks /health: the models are loaded, and as many workers run as were asked for."""
        if self._process is None or (code := self._process.poll()) is not None:
            raise ControlError(f"the video service ended with code {code if self._process else 'none'}: see its output above")
        body = answer_of(self.url, "/health")
        if body is None:
            return ObservedState(0, False, f"the models load: {serving(0, wanted.workers)}")
        count = int(json.loads(body)["slots"])
        if count < self._workers:
            raise ControlError(f"only {count} of {self._workers} video workers fit into the memory: raise --memory of --replica-args")
        return ObservedState(count, True, serving(count, wanted.workers))

    def restore(self, before: Mapping[str, Any]) -> str:
        """``close`` stops the service."""
        return "nothing to restore: the local video service stops with the run"

    def close(self) -> None:
        if self._process:
            end_process(self._process)
            self._process = None

    @property
    def _command(self) -> str:
        return shlex.join(["python", "-m", MODULE, *self._words])
