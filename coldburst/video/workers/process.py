"""A worker process: takes orders from a pipe, makes each in a thread, and answers. It ends with its parent.

Messages to it:      ("do", call, what, order)   what: load, speak, film, or whole (both, for --unsafe)
                     ("busy", n)                 so many jobs run now
                     ("cancel", call)
                     ("granted", call)           the answer to "memory"; where the card has no room, the process is killed instead
Messages from it:    ("memory", call, model)     a model is about to be loaded
                     ("free", model)             a model is dropped
                     ("done", call, value)       value: {} or the times of the phases
                     ("failed", call, code, message)
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from coldburst.video.workers.buffer import MixedError
from coldburst.video.workers.contention import SharedGpu
from coldburst.video.workers.engines import Engine, FixedEngine, Order, PortraitEngine
from coldburst.video.workers.memory import SPEECH, VIDEO

PART = ".part"


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How a worker process makes its engine, see settings.GeneratorOptions; ``locks``: models are loaded once and used alone."""

    engine: str
    tts_s: float
    video_s: float
    model_load_s: float
    contention: float
    locks: bool


class GivenUpError(Exception):
    """The job was cancelled."""


class Models:
    """The loaded models of a process.

    With locks a model is loaded once, however many threads ask for it. Without, a thread that finds none loads one, so several that ask at
    the same time load several: the last one stays, and each job keeps its own to its end.
    """

    def __init__(self, engine: Engine, reserve: Callable[[str], None], free: Callable[[str], None], *, locks: bool) -> None:
        self._engine, self._reserve, self._free, self._locks = engine, reserve, free, locks
        self._loaded: dict[str, Any] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Any:
        """The model."""
        if not self._locks:
            return self._loaded[name] if name in self._loaded else self._load(name)
        with self._lock:
            return self._loaded[name] if name in self._loaded else self._load(name)

    def drop(self, name: str, model: Any) -> None:
        """A job has ended: its model goes, unless it is the one that later jobs find."""
        if self._loaded.get(name) is not model:
            self._free(name)

    def _load(self, name: str) -> Any:
        self._reserve(name)
        try:
            model = self._loaded[name] = self._engine.load(name)
        except BaseException:
            self._free(name)
            raise
        return model


class Worker:
    """The process's side of the pipe."""

    def __init__(self, connection: Connection, settings: EngineSettings) -> None:
        self._connection, self._settings = connection, settings
        self._gpu = SharedGpu(settings.contention)
        fixed = FixedEngine(settings.tts_s, settings.video_s, settings.model_load_s, self._gpu)
        self._engine: Engine = fixed if settings.engine == "fixed" else PortraitEngine()
        self._models = Models(self._engine, self._reserve, lambda name: self._send(("free", name)), locks=settings.locks)
        self._sending = threading.Lock()
        self._granted: dict[int, threading.Event] = {}
        # Each call runs in a thread of its own.
        self._of_thread = threading.local()
        self._given_up: set[int] = set()

    def serve(self) -> None:
        """Take messages until the pipe closes."""
        while True:
            match self._connection.recv():
                case ("do", call, what, order):
                    threading.Thread(target=self._make, args=(call, what, order), daemon=True).start()
                case ("busy", busy):
                    self._gpu.set_busy(busy)
                case ("cancel", call):
                    self._given_up.add(call)
                case ("granted", call):
                    self._granted[call].set()

    def _send(self, message: tuple[Any, ...]) -> None:
        with self._sending:
            self._connection.send(message)

    def _reserve(self, model: str) -> None:
        call = self._of_thread.call
        granted = self._granted[call] = threading.Event()
        self._send(("memory", call, model))
        granted.wait()
        del self._granted[call]

    def _make(self, call: int, what: str, order: Order | None) -> None:
        def check() -> None:
            if call in self._given_up:
                raise GivenUpError

        self._of_thread.call = call
        try:
            self._send(("done", call, self._carry_out(what, order, check)))
        except GivenUpError:
            self._send(("failed", call, "cancelled", "the job was cancelled"))
        except MixedError as error:
            self._send(("failed", call, "race", str(error)))
        # Whatever a library raises is the answer; the process goes on.
        except Exception as error:
            self._send(("failed", call, "engine_error", f"the engine failed: {type(error).__name__}: {error}"[:500]))
        finally:
            self._given_up.discard(call)

    def _carry_out(self, what: str, order: Order | None, check: Callable[[], None]) -> dict[str, float]:
        if order is None:
            self._models.get(what)
            return {}
        sound = Path(f"{order.file}.wav")
        if what == "speak":
            return self._speak(self._models.get(SPEECH), order, sound, check)
        if what == "film":
            return self._film(self._models.get(VIDEO), order, sound, check)
        return self._whole(order, sound, check)

    def _whole(self, order: Order, sound: Path, check: Callable[[], None]) -> dict[str, float]:
        """Both phases with models that nobody guards."""
        found: dict[str, float] = {}
        speech = self._models.get(SPEECH)
        try:
            found |= self._speak(speech, order, sound, check)
            video = self._models.get(VIDEO)
            try:
                return found | self._film(video, order, sound, check)
            finally:
                self._models.drop(VIDEO, video)
        finally:
            self._models.drop(SPEECH, speech)

    def _speak(self, model: Any, order: Order, sound: Path, check: Callable[[], None]) -> dict[str, float]:
        began_s = time.monotonic()
        audio_s = self._engine.speak(model, order, sound, check)
        return {"tts_s": time.monotonic() - began_s, "audio_s": audio_s}

    def _film(self, model: Any, order: Order, sound: Path, check: Callable[[], None]) -> dict[str, float]:
        """The file is written aside and renamed, so that it is there as a whole or not at all."""
        began_s, aside = time.monotonic(), Path(f"{order.file}{PART}")
        try:
            self._engine.film(model, order, sound, aside, check)
            aside.replace(order.file)
        finally:
            aside.unlink(missing_ok=True)
            sound.unlink(missing_ok=True)
        return {"video_s": time.monotonic() - began_s}


def run_worker(connection: Connection, settings: EngineSettings) -> None:
    """Run a worker process until its pipe closes."""
    # A terminal sends these to the whole process group; the parent decides when workers end.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    try:
        Worker(connection, settings).serve()
    except (EOFError, OSError):
        return


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
