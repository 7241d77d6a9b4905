"""The worker processes as the service sees them: they are started, watched and replaced, and each has models of its own.

With locks, one process has the speech model, which all workers share, and each worker has a video model. Without locks (``--unsafe``)
every worker loads both, and as many jobs run in it as come. A process that loads a model for which the card has no room is killed, with
all its jobs, as the kernel's out-of-memory killer does.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import multiprocessing
from collections.abc import Callable, Coroutine
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from coldburst.video.workers.engines import Order
from coldburst.video.workers.memory import SPEECH, VIDEO, Card, OutOfMemoryError
from coldburst.video.workers.process import EngineSettings, run_worker
from coldburst.video.workers.single_flight import SingleFlight

logger = logging.getLogger("coldburst")
# A job that was cancelled stops at its next frame; one that does not within this time costs its worker process.
CANCEL_S = 5.0


class WorkerLostError(Exception):
    """The worker process ended."""


class JobError(Exception):
    """The job failed; ``code`` is a short name, the message a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class WorkerProcess:
    """One process and the calls that run in it.

    Args:
        name: as in the memory ledger.
        model: loaded before its first call; "" = none.
        lost: called when the process has ended by itself.

    Attributes:
        answered: whether it has sent anything: a process that ends before is not replaced at once.
    """

    def __init__(self, name: str, model: str, settings: EngineSettings, card: Card, lost: Callable[[WorkerProcess], None]) -> None:
        self.name, self._card, self._lost = name, card, lost
        self.answered = False
        self._calls: dict[int, asyncio.Future[dict[str, float]]] = {}
        self._numbers = itertools.count()
        self.models = SingleFlight(lambda: self.call(model, None)) if model else None
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(target=run_worker, args=(theirs, settings), name=name, daemon=True)
        self._process.start()
        theirs.close()
        self._connected: Connection | None = self._connection
        asyncio.get_running_loop().add_reader(self._connection.fileno(), self._receive)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid or 0

    @property
    def alive(self) -> bool:
        """Whether its pipe is open."""
        return self._connected is not None

    @property
    def ready(self) -> bool:
        """Whether it has its model."""
        return self.alive and (self.models is None or self.models.loaded)

    async def load(self) -> None:
        """Return when its model is loaded, once for all who ask; JobError, WorkerLostError."""
        if self.models is not None:
            await self.models.get()

    async def call(self, what: str, order: Order | None) -> dict[str, float]:
        """The answer to one call; JobError, WorkerLostError. A call that is cancelled returns when its work has stopped."""
        number = next(self._numbers)
        answer = self._calls[number] = asyncio.get_running_loop().create_future()
        self.send(("do", number, what, order))
        try:
            await asyncio.wait([answer])
        except asyncio.CancelledError:
            self.send(("cancel", number))
            if not (await asyncio.wait([answer], timeout=CANCEL_S))[0]:
                self.kill()
            raise
        finally:
            self._calls.pop(number, None)
            if answer.done():
                answer.exception()
        found: dict[str, float] = answer.result()
        return found

    def send(self, message: tuple[Any, ...]) -> None:
        """Send a message; a process that has ended gets none."""
        if self._connected is None:
            self._fail_calls()
            return
        try:
            self._connected.send(message)
        except OSError:
            self._end()

    def kill(self) -> None:
        """End the process by force; its calls fail."""
        self._process.kill()
        self._end()

    def close(self) -> None:
        """End the process, without a report that it was lost."""
        self._lost = lambda _: None
        self.kill()
        self._process.join()

    def _receive(self) -> None:
        try:
            while self._connected is not None and self._connected.poll():
                self._handle(self._connected.recv())
        except (EOFError, OSError):
            self._end()

    def _handle(self, message: tuple[Any, ...]) -> None:
        self.answered = True
        match message:
            case ("memory", call, model):
                self._reserve(call, model)
            case ("free", model):
                self._card.free(self.name, model)
            case ("done", call, value):
                self._settle(call, lambda answer: answer.set_result(value))
            case ("failed", call, code, text):
                self._fail(call, code, text)

    def _reserve(self, call: int, model: str) -> None:
        try:
            self._card.load(self.name, model)
        except OutOfMemoryError as error:
            self._kill_for_memory(call, model, error)
        else:
            self.send(("granted", call))

    def _kill_for_memory(self, call: int, model: str, error: OutOfMemoryError) -> None:
        """End the process by SIGKILL: the job that asked fails with ``error``, and those beside it because the process has gone."""
        killed = "the worker process was killed (SIGKILL)"
        logger.warning("%s: process %d was killed (SIGKILL) with %d jobs: %s", self.name, self.pid, len(self._calls), error)
        for number in list(self._calls):
            if number == call:
                self._fail(number, error.code, f"{error}; {killed}")
            else:
                self._fail(number, "out_of_memory", f"out of memory: {killed} as another of its jobs loaded the {model} model")
        self._card.kills += 1
        self.kill()

    def _fail(self, call: int, code: str, text: str) -> None:
        self._settle(call, lambda answer: answer.set_exception(JobError(code, text)))

    def _settle(self, call: int, settle: Callable[[asyncio.Future[dict[str, float]]], None]) -> None:
        answer = self._calls.get(call)
        if answer is not None and not answer.done():
            settle(answer)

    def _end(self) -> None:
        if self._connected is None:
            return
        connection, self._connected = self._connected, None
        asyncio.get_running_loop().remove_reader(connection.fileno())
        connection.close()
        self._process.kill()
        self._card.free_all(self.name)
        self._fail_calls()
        self._lost(self)

    def _fail_calls(self) -> None:
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(WorkerLostError("worker lost: the worker process ended in the middle of the job"))


class WorkerPool:
    """The processes of a service."""

    def __init__(self, slots: int, settings: EngineSettings, card: Card) -> None:
        self._settings, self._card, self._slots = settings, card, slots
        self._processes: dict[str, WorkerProcess] = {}
        self._reloading: set[asyncio.Task[None]] = set()
        self.replaced = 0

    def start(self) -> None:
        """Start the processes; models load when they are asked for."""
        for name in ([SPEECH] if self._settings.locks else []) + [_name(slot) for slot in range(self._slots)]:
            self._start(name)

    @property
    def ready(self) -> bool:
        """Whether every process has its model."""
        return bool(self._processes) and all(process.ready for process in self._processes.values())

    @property
    def pids(self) -> dict[str, int]:
        """The ids of the processes: of "speech", "worker 0" and so on."""
        return {name: process.pid for name, process in self._processes.items()}

    async def load(self, slot: int) -> None:
        """Return when the models that a worker needs are loaded; JobError, WorkerLostError. A process that has ended is replaced."""
        needed = [name for name in (SPEECH, _name(slot)) if name in self._processes]
        for name in needed:
            if not self._processes[name].alive:
                self._start(name)
        await asyncio.gather(*(self._processes[name].load() for name in needed))

    async def make(self, slot: int, order: Order) -> dict[str, float]:
        """Makes a video in a worker whose models are loaded; the times of the phases. JobError, WorkerLostError."""
        worker = self._processes[_name(slot)]
        if not self._settings.locks:
            return await worker.call("whole", order)
        spoken = await self._processes[SPEECH].call("speak", order)
        return spoken | await worker.call("film", order)

    def set_busy(self, busy: int) -> None:
        """So many jobs run now: engine 'fixed' takes longer by that."""
        if self._settings.contention:
            for process in self._processes.values():
                process.send(("busy", busy))

    def close(self) -> None:
        """End every process."""
        for task in self._reloading:
            task.cancel()
        for process in self._processes.values():
            process.close()

    def _start(self, name: str) -> None:
        model = "" if not self._settings.locks else SPEECH if name == SPEECH else VIDEO
        self._processes[name] = WorkerProcess(name, model, self._settings, self._card, self._replace)

    def _replace(self, process: WorkerProcess) -> None:
        """A process ended by itself: a new one loads its models, unless the old one never came that far."""
        self.replaced += 1
        if process.answered:
            self._start(process.name)
            task = asyncio.ensure_future(_quietly(self._processes[process.name].load()))
            self._reloading.add(task)
            task.add_done_callback(self._reloading.discard)


async def _quietly(loading: Coroutine[Any, Any, None]) -> None:
    """The next job finds out what is wrong."""
    with contextlib.suppress(JobError, WorkerLostError):
        await loading


def _name(slot: int) -> str:
    return f"worker {slot}"
