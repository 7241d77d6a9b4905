"""The recognisers: engines that turn a recording into text, and the process that runs one.

``coldburst.transcriber.slots`` starts the slot processes. Each loads its engine, reports that, and answers one request at a time; it
ends with its parent. Slow imports are inside functions, so that a slot loads only what it needs.
"""

# ruff: noqa: PLC0415 - each slot process imports this file, and pays for what it imports

from __future__ import annotations

import importlib.util
import io
import multiprocessing
import os
import signal
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Sound = NDArray[np.float32]

# Models that are active in a frame. With PocketSphinx's default of 30,000 the clips of samples take half as long again, and the words
# found are the same.
MOST_HMMS = 3000
RATE = 16_000  # samples per second that both engines were trained at
LONGEST_S = 15.0  # decoding an utterance holds the interpreter, so this limits how long an orphaned slot can live
_SEARCH_S = 5.0
_FRAME_S = 0.1


class UndecodableError(ValueError):
    """The bytes are not audio that libsndfile reads."""


@dataclass(frozen=True, slots=True)
class RecognitionRequest:
    """A request to a slot: an audio file's bytes, and the client's hints ("" = none)."""

    content: bytes
    language: str = ""
    prompt: str = ""
    task: str = "transcribe"


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the recording and its text; ``start`` and ``end`` in seconds, the engine's scores or 0."""

    start: float
    end: float
    text: str
    tokens: tuple[int, ...] = ()
    avg_logprob: float = 0.0
    no_speech_prob: float = 0.0

    @property
    def compression_ratio(self) -> float:
        """Bytes of the text ÷ its bytes in zlib; above about 2.4 the text repeats itself (OpenAI's Whisper, decoding.py)."""
        content = self.text.encode()
        return len(content) / len(zlib.compress(content))


@dataclass(frozen=True, slots=True)
class Transcript:
    """A slot's answer; ``duration_s``: length of the recording, silence included."""

    text: str
    language: str
    duration_s: float
    segments: tuple[Segment, ...]


class Recogniser(Protocol):
    """A loaded engine."""

    def recognise(self, sound: Sound, request: RecognitionRequest) -> tuple[str, list[Segment]]:
        """Language and segments of ``sound``: mono, RATE samples per second, −1 to 1."""


class PocketSphinx:
    """CMU PocketSphinx with the American English model of its wheel; ignores the language."""

    def __init__(self, model: str = "") -> None:
        from pocketsphinx import Decoder

        # Cepstral means of each utterance alone: the default carries them over, so answers would depend on earlier requests.
        self._decoder = Decoder(loglevel="FATAL", cmn="batch", maxhmmpf=MOST_HMMS)

    def recognise(self, sound: Sound, request: RecognitionRequest) -> tuple[str, list[Segment]]:
        """See Recogniser; one segment for each piece with words."""
        texts = [(start, end, self._text(sound[start:end])) for start, end in split_at_pauses(sound)]
        return "en", [Segment(start / RATE, end / RATE, text) for start, end, text in texts if text]

    def _text(self, piece: Sound) -> str:
        import numpy as np

        self._decoder.start_utt()
        if len(piece):
            self._decoder.process_raw((np.clip(piece, -1, 1) * 32767).astype(np.int16).tobytes(), full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return found.hypstr if found else ""


class Whisper:
    """faster-whisper with a converted model in a local folder; nothing is downloaded."""

    def __init__(self, model: str) -> None:
        from faster_whisper import WhisperModel

        self._model = WhisperModel(model, device="cpu", compute_type="int8", local_files_only=True)

    def recognise(self, sound: Sound, request: RecognitionRequest) -> tuple[str, list[Segment]]:
        """See Recogniser; the model's segments."""
        parts, info = self._model.transcribe(
            sound, language=request.language or None, initial_prompt=request.prompt or None, task=request.task or "transcribe"
        )
        return info.language, [
            Segment(part.start, part.end, part.text, tuple(part.tokens), part.avg_logprob, part.no_speech_prob) for part in parts
        ]


PROCESS_ENGINES: dict[str, Any] = {"pocketsphinx": PocketSphinx, "whisper": Whisper}


def check(engine: str, model: str) -> None:
    """ValueError (one sentence) where ``engine`` cannot be loaded."""
    module = {"pocketsphinx": "pocketsphinx", "whisper": "faster_whisper", "fixed": "soundfile"}[engine]
    if importlib.util.find_spec(module) is None:
        raise ValueError(f"engine '{engine}' needs a package that is not installed: run 'pip install {module.replace('_', '-')}'")
    if engine != "whisper":
        return
    if not model:
        raise ValueError("engine 'whisper' needs a model folder, as in '--model models/whisper-tiny'")
    if not Path(model).is_dir():
        raise ValueError(f"folder '{model}' not found: '--model' names a local folder with a converted model; nothing is downloaded")


def duration_s(content: bytes) -> float:
    """Length in seconds of an audio file's bytes, from its header; UndecodableError."""
    import soundfile

    try:
        info = soundfile.info(io.BytesIO(content))
    except soundfile.SoundFileError as error:
        raise UndecodableError("The file cannot be decoded as audio: send WAV, FLAC, Ogg or MP3") from error
    return float(info.frames / info.samplerate)


def decode(content: bytes) -> tuple[Sound, float]:
    """Samples (mono, RATE per second, −1 to 1) and length in seconds of an audio file's bytes; UndecodableError."""
    import numpy as np
    import soundfile

    try:
        sound, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise UndecodableError("The file cannot be decoded as audio: send WAV, FLAC, Ogg or MP3") from error
    mono = np.nan_to_num(sound.mean(axis=1))
    return resample(mono, rate), len(sound) / rate


def resample(sound: Sound, rate: int) -> Sound:
    """``sound`` at RATE instead of ``rate`` samples per second.

    Band-limited: the spectrum is cut off, or padded with zeros, at the lower Nyquist frequency (Oppenheim and Schafer, Discrete-Time
    Signal Processing, 4.6). Exact for periodic sound; speech rings for a few milliseconds at both ends.
    """
    import numpy as np

    length = round(len(sound) * RATE / rate)
    if rate == RATE or not length:
        return sound[:length]
    spectrum = np.fft.rfft(sound)[: length // 2 + 1]
    return (np.fft.irfft(spectrum, length) * (length / len(sound))).astype(np.float32)


def split_at_pauses(sound: Sound) -> Iterator[tuple[int, int]]:
    """Start and end (in samples) of consecutive pieces of at most LONGEST_S, cut where it is quietest."""
    import numpy as np

    longest, search, frame = (round(length_s * RATE) for length_s in (LONGEST_S, _SEARCH_S, _FRAME_S))
    start = 0
    while len(sound) - start > longest:
        first = start + longest - search
        loudness = np.abs(sound[first : start + longest]).reshape(-1, frame).mean(axis=1)
        end = first + int(loudness.argmin()) * frame + frame // 2
        yield start, end
        start = end
    yield start, len(sound)


def run_slot(connection: Connection, engine: str, model: str) -> None:
    """Run a slot process: load, send None, then answer each request with a Transcript or an exception until the connection closes."""
    # A terminal sends these to the whole process group; the parent decides when slots end.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    try:
        recogniser = _warm(PROCESS_ENGINES[engine](model))
    except Exception as error:
        connection.send(RuntimeError(f"engine '{engine}' could not be loaded: {error}"))
        return
    connection.send(None)
    try:
        while True:
            connection.send(_answer(recogniser, connection.recv()))
    except (EOFError, OSError):
        return


def _warm(recogniser: Recogniser) -> Recogniser:
    """``recogniser`` after half a second of silence, so that no request pays for first uses and imports."""
    import numpy as np
    import soundfile  # noqa: F401 - for decode

    recogniser.recognise(np.zeros(RATE // 2, np.float32), RecognitionRequest(b""))
    return recogniser


def _answer(recogniser: Recogniser, request: RecognitionRequest) -> Transcript | Exception:
    try:
        sound, length_s = decode(request.content)
        language, segments = recogniser.recognise(sound, request)
    except UndecodableError as error:
        return error
    except Exception as error:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return Transcript(" ".join(segment.text.strip() for segment in segments), language, length_s, tuple(segments))


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
