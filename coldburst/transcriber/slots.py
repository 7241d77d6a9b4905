"""The slots of the service: a process with a recogniser each, or a fixed service time."""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Protocol

from coldburst.transcriber.recognisers import RecognitionRequest, Segment, Transcript, duration_s, run_slot

FIXED_TEXT = "the quick brown fox jumps over the lazy dog"


class DiedError(Exception):
    """The slot's process has ended."""


class Slots(Protocol):
    """Recognises one request at a time per slot number."""

    async def load(self, slot: int) -> None:
        """Make a slot ready, replacing its previous process."""

    async def recognise(self, slot: int, request: RecognitionRequest) -> Transcript:
        """The transcript of the request's recording."""

    def stop(self) -> None:
        """End every process."""


class FixedSlots:
    """No recogniser: each request takes ``service_time_s`` from slot to answer, reading the clip's header included."""

    def __init__(self, service_time_s: float) -> None:
        self._service_time_s = service_time_s

    async def load(self, slot: int) -> None:
        """Import what the first request needs, so that it is as fast as the others."""
        await asyncio.to_thread(importlib.import_module, "soundfile")

    async def recognise(self, slot: int, request: RecognitionRequest) -> Transcript:
        """FIXED_TEXT after the service time; UndecodableError."""
        ends_s = time.monotonic() + self._service_time_s
        length_s = await asyncio.to_thread(duration_s, request.content)
        while (left_s := ends_s - time.monotonic()) > 0:  # uvloop's timers count whole milliseconds and may fire early
            await asyncio.sleep(left_s)
        return Transcript(FIXED_TEXT, "en", length_s, (Segment(0.0, length_s, FIXED_TEXT),))

    def stop(self) -> None:
        """Nothing to end."""


class ProcessSlots:
    """A process with the engine for each slot, and a thread that waits for its answers.

    The death of an idle process shows at its next request.
    """

    def __init__(self, slots: int, engine: str, model: str) -> None:
        self._engine = engine
        self._model = model
        self._threads = ThreadPoolExecutor(slots)
        self._running: dict[int, tuple[SpawnProcess, Connection]] = {}

    def start(self, slot: int) -> None:
        """Start the slot's process without waiting for it."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=run_slot, args=(theirs, self._engine, self._model), name=f"slot-{slot}", daemon=True)
        process.start()
        theirs.close()
        self._running[slot] = process, ours

    async def load(self, slot: int) -> None:
        """Start the slot's process if needed and wait for its engine; DiedError, RuntimeError with the engine's reason."""
        if slot not in self._running:
            self.start(slot)
        await self._receive(slot)

    async def recognise(self, slot: int, request: RecognitionRequest) -> Transcript:
        """The transcript; UndecodableError, DiedError (load the slot again), RuntimeError where the engine failed."""
        transcript = await self._receive(slot, request)
        assert transcript is not None
        return transcript

    def stop(self) -> None:
        """End every process and thread."""
        for slot in list(self._running):
            self._end(slot)
        self._threads.shutdown()

    async def _receive(self, slot: int, request: RecognitionRequest | None = None) -> Transcript | None:
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._threads, _exchange, self._running[slot][1], request)
        except (EOFError, OSError) as error:
            if slot in self._running:
                self._end(slot)
            raise DiedError(f"the process of slot {slot} ended") from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _end(self, slot: int) -> None:
        process, _ = self._running.pop(slot)
        process.kill()
        process.join()


def _exchange(connection: Connection, request: RecognitionRequest | None) -> Transcript | Exception | None:
    if request is not None:
        connection.send(request)
    answer: Transcript | Exception | None = connection.recv()
    return answer


def start_slots(engine: str, model: str, number: int, service_time_s: float) -> FixedSlots | ProcessSlots:
    """The slots of an engine; processes are loading already."""
    if engine == "fixed":
        return FixedSlots(service_time_s)
    slots = ProcessSlots(number, engine, model)
    for slot in range(number):
        slots.start(slot)
    return slots
