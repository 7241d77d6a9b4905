"""What a worker process does with its models: the real engine, and one with fixed times. Slow imports are inside functions."""

# ruff: noqa: PLC0415 - each worker process imports this file, and pays for what it imports

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from coldburst.video.workers.buffer import Buffer
from coldburst.video.workers.contention import SharedGpu
from coldburst.video.workers.memory import SPEECH

if TYPE_CHECKING:
    from coldburst.video.workers.portrait import Face
    from coldburst.video.workers.speech import Voice

FIXED_WORDS_PER_S = 2.5
FIXED_FILE = b"coldburst: a video of engine 'fixed', which makes no pictures\n"


@dataclass(frozen=True, slots=True)
class Order:
    """A job as a worker process gets it; ``portrait`` and ``file`` are paths, ``portrait`` may be "" for a drawn face."""

    job_id: str
    script: str
    portrait: str
    file: str
    size: int
    fps: int


class Engine(Protocol):
    """Makes videos with models that it loads."""

    def load(self, model: str) -> Any:
        """The model, memory.SPEECH or memory.VIDEO; each call loads it anew."""

    def speak(self, model: Any, order: Order, sound: Path, check: Callable[[], None]) -> float:
        """Writes the speech of the script to ``sound``; its length in seconds. ``check`` raises when the job is given up."""

    def film(self, model: Any, order: Order, sound: Path, file: Path, check: Callable[[], None]) -> None:
        """Writes the video with the speech in ``sound`` to ``file``."""


class FixedEngine:
    """No work: each phase takes as long as the options say, and longer while other jobs run.

    Args:
        gpu: knows how many jobs run.
    """

    def __init__(self, tts_s: float, video_s: float, model_load_s: float, gpu: SharedGpu) -> None:
        self._tts_s, self._video_s, self._model_load_s, self._gpu = tts_s, video_s, model_load_s, gpu

    def load(self, model: str) -> Any:
        """See Engine."""
        time.sleep(self._model_load_s)
        return Buffer()

    def speak(self, model: Any, order: Order, sound: Path, check: Callable[[], None]) -> float:
        """See Engine: 2.5 words a second."""
        self._gpu.work(self._tts_s, check)
        return max(len(order.script.split()), 1) / FIXED_WORDS_PER_S

    def film(self, model: Any, order: Order, sound: Path, file: Path, check: Callable[[], None]) -> None:
        """See Engine: half of the file before the work, half after it."""
        model.begin(order.job_id)
        with file.open("wb") as out:
            out.write(FIXED_FILE)
            out.flush()
            self._gpu.work(self._video_s, check)
            out.write(FIXED_FILE)
        model.end(order.job_id)


class PortraitEngine:
    """espeak-ng speaks, Pillow draws a face whose mouth follows the loudness, FFmpeg's libraries encode."""

    def __init__(self) -> None:
        self._speaking = threading.Lock()

    def load(self, model: str) -> Voice | Face:
        """See Engine."""
        if model == SPEECH:
            from coldburst.video.workers.speech import Voice

            return Voice()
        from coldburst.video.workers.portrait import Face

        return Face(Buffer())

    def speak(self, model: Voice, order: Order, sound: Path, check: Callable[[], None]) -> float:
        """See Engine. espeak-ng keeps its state in global variables, so one job at a time speaks."""
        with self._speaking:
            return model.speak(order.script, sound, check)

    def film(self, model: Face, order: Order, sound: Path, file: Path, check: Callable[[], None]) -> None:
        """See Engine."""
        model.buffer.begin(order.job_id)
        model.film(order.portrait, sound, file, order.size, order.fps, check)
        model.buffer.end(order.job_id)
