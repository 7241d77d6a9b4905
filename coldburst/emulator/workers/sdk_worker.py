"""A worker of a queue endpoint on the real runpod SDK: a handler with a real recogniser.

    python -m coldburst.emulator.workers.sdk_worker --help

The emulator starts it by default; on RunPod the same command serves the same jobs. It takes jobs only where the environment names a
platform (RUNPOD_WEBHOOK_GET_JOB and others). Each slot process imports this module again, so it imports little.
"""

# ruff: noqa: PLC0415 - each slot process imports this file, and pays for what it imports

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from coldburst.transcriber import recognisers

if TYPE_CHECKING:
    from coldburst.transcriber.slots import Slots

ENGINES = (*recognisers.PROCESS_ENGINES, "fixed")
DESCRIPTION = """\
A worker of a RunPod queue endpoint on the runpod SDK. The job's "input" is an object with
  audio_base64       a sound file (WAV, FLAC, Ogg, MP3); the answer has text, language, audio_seconds, processing_seconds
  language, prompt   hints for the recogniser, as in OpenAI's transcription route
  sleep_s            seconds to sleep first, without blocking other jobs
  echo               any JSON, returned
  fail               an error message: the job fails with it
The answer also has model_load_seconds (from the start of the process) and jobs_before (jobs that this worker started before)."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Options; seconds in ``_s``."""

    concurrency: int = 1
    engine: str = "pocketsphinx"
    model: str = ""
    service_time_s: float = 0.5
    extra_load_s: float = 0.0
    first_extra_s: float = 0.0
    card_gb: float = 0.0
    shared_gb: float = 0.0
    job_gb: float = 0.0


def parse(words: Sequence[str] | None = None) -> WorkerOptions:
    """Options from the command line; unknown words are left to the SDK."""
    parser = argparse.ArgumentParser(
        "python -m coldburst.emulator.workers.sdk_worker", description=DESCRIPTION, formatter_class=argparse.RawTextHelpFormatter
    )
    concurrency = int(os.environ.get("CONCURRENCY", "1"))
    parser.add_argument(
        "--concurrency", type=int, default=concurrency, metavar="N", help="jobs at a time (default: environment variable CONCURRENCY, or 1)"
    )
    parser.add_argument("--engine", choices=ENGINES, default="pocketsphinx", help="recogniser; 'fixed' just waits")
    parser.add_argument("--model", default="", metavar="DIR", help="folder of the model, for engine 'whisper'")
    for name, dest, what in (
        ("--service-time", "service_time_s", "time per recording, for engine 'fixed' (s, default: 0.5)"),
        ("--extra-load", "extra_load_s", "added to the load of the model (s)"),
        ("--first-extra", "first_extra_s", "added to the first job (s)"),
        ("--card-gb", "card_gb", "memory of the card (GB); 0: no limit"),
        ("--shared-gb", "shared_gb", "memory of the model (GB)"),
        ("--job-gb", "job_gb", "memory of each running job (GB)"),
    ):
        parser.add_argument(name, dest=dest, type=float, default=getattr(WorkerOptions(), dest), metavar="X", help=what)
    known, _ = parser.parse_known_args(words)
    return WorkerOptions(**vars(known))


class SdkWorker:
    """The handler and its slots.

    Args:
        slots: one for each job at a time.
        began_s: start of the process, by ``time.monotonic``.
    """

    def __init__(self, options: WorkerOptions, slots: Slots, began_s: float) -> None:
        self._options, self._slots, self._began_s = options, slots, began_s
        self._free: asyncio.Queue[int] | None = None
        self._jobs_started = self._running = 0
        self._load_s = 0.0

    def load(self) -> None:
        """Load the model into every slot, then wait the extra load time; DiedError, RuntimeError where a slot cannot be loaded."""
        asyncio.run(self._load())
        time.sleep(self._options.extra_load_s)
        self._load_s = time.monotonic() - self._began_s

    async def _load(self) -> None:
        await asyncio.gather(*map(self._slots.load, range(self._options.concurrency)))

    async def handle(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Output of one job, see DESCRIPTION; RuntimeError where it fails or exceeds the card, ValueError for an invalid input."""
        job_input = job["input"]
        if not isinstance(job_input, Mapping):
            raise ValueError(f'the input is not an object: send one, as in {{"echo": {job_input!r}}}')
        jobs_before, self._jobs_started = self._jobs_started, self._jobs_started + 1
        self._running += 1
        try:
            self._allocate()
            await asyncio.sleep(float(job_input.get("sleep_s", 0)) + (0 if jobs_before else self._options.first_extra_s))
            if "fail" in job_input:
                raise RuntimeError(str(job_input["fail"]))
            transcript = await self._transcribe(job_input) if "audio_base64" in job_input else {}
        finally:
            self._running -= 1
        echo = {"echo": job_input["echo"]} if "echo" in job_input else {}
        return {**transcript, **echo, "model_load_seconds": round(self._load_s, 6), "jobs_before": jobs_before}

    def _allocate(self) -> None:
        options = self._options
        needed = options.shared_gb + self._running * options.job_gb
        if options.card_gb and needed > options.card_gb:
            raise RuntimeError(f"CUDA out of memory: {self._running} jobs at a time need {needed:g} GB of {options.card_gb:g} GB")

    async def _transcribe(self, job_input: Mapping[str, Any]) -> dict[str, Any]:
        request = recognisers.RecognitionRequest(
            _audio(job_input), str(job_input.get("language") or ""), str(job_input.get("prompt") or "")
        )
        # A stopped job returns at once, but its slot goes on and must not get another before it is done.
        transcript, processing_s = await asyncio.shield(asyncio.create_task(self._recognise(request)))
        return {
            "text": transcript.text,
            "language": transcript.language,
            "audio_seconds": round(transcript.duration_s, 6),
            "processing_seconds": round(processing_s, 6),
        }

    async def _recognise(self, request: recognisers.RecognitionRequest) -> tuple[recognisers.Transcript, float]:
        from coldburst.transcriber.slots import DiedError

        if self._free is None:  # a queue belongs to the event loop that first waits on it
            self._free = asyncio.Queue()
            for number in range(self._options.concurrency):
                self._free.put_nowait(number)
        slot = await self._free.get()
        began_s = time.perf_counter()
        try:
            return await self._slots.recognise(slot, request), time.perf_counter() - began_s
        except DiedError:
            await self._slots.load(slot)
            raise
        finally:
            self._free.put_nowait(slot)


def _audio(job_input: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(job_input["audio_base64"], validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise ValueError("audio_base64 is not Base64: send an audio file's bytes, as in 'UklGRi…'") from error


def main() -> int:
    """Serve jobs until stopped; the exit code."""
    began_s = time.monotonic()
    options = parse()
    from coldburst.transcriber.slots import start_slots

    slots = start_slots(options.engine, options.model, options.concurrency, options.service_time_s)
    worker = SdkWorker(options, slots, began_s)

    import runpod  # while the slots load

    try:
        worker.load()
        runpod.serverless.start({"handler": worker.handle, "concurrency_modifier": lambda _: options.concurrency})
    finally:
        slots.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
