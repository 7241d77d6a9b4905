"""Transcription services with OpenAI's interface: their clips, their calls, their failures."""

from __future__ import annotations

import csv
import io
import re
import string
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from coldburst.redact import redact
from coldburst.targets import answer
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.outcome import Evidence

ENDINGS = (".wav", ".flac", ".ogg", ".mp3")
TRANSCRIPTS = "transcripts.csv"
_SPACES = re.compile(r"\s+")
_PUNCTUATION = str.maketrans(string.punctuation + "’“”…–—", " " * (len(string.punctuation) + 6))


class ClipError(ValueError):
    """The clips cannot be used; the message names the file and what to do."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A piece of speech: its length in seconds, what is said in it ("" = not known), and its bytes."""

    name: str
    audio_s: float
    text: str
    data: bytes


@dataclass(frozen=True, slots=True)
class TranscriptionOptions:
    """How a transcription is asked for.

    Attributes:
        path: where the service takes audio.
        model, language: form fields; an empty language is not sent.
        auth: how the key travels: "bearer" or "x-api-key".
        max_wer: an answer with a word error rate above this is ``wrong``; None = no check.
    """

    path: str = "/v1/audio/transcriptions"
    model: str = "whisper-1"
    language: str = "en"
    auth: str = "bearer"
    max_wer: float | None = 0.5


class TranscriptionTarget:
    """One transcription service: ``ask`` sends a clip and reads the answer.

    Args:
        host: origin of the service, as in ``http://127.0.0.1:8083``.
        clips: sent in turn, over and over.
        key: API key, or "" for an open service.
    """

    kind: ClassVar[str] = "transcription"

    def __init__(self, host: str, clips: Sequence[Clip], asking: TranscriptionOptions, limits: Timeouts, key: str = "") -> None:
        boundary = uuid.uuid4().hex
        fields = form_fields(asking.model, asking.language)
        self._parcels = [(clip, multipart(clip, fields, boundary)) for clip in clips]
        self._asking, self._key = asking, key
        headers = {"User-Agent": "coldburst", "Accept": "application/json", "Content-Type": f"multipart/form-data; boundary={boundary}"}
        self.client = HttpClient(host, limits, headers | _credentials(key, asking.auth))
        self.url = host.rstrip("/") + asking.path
        warm_up(clips, asking.max_wer)

    def ask(self, seq: int, name: str, exchange: Exchange) -> Evidence:
        """Sends the request ``seq``, called ``name`` on the wire, fills ``exchange`` in and says what came back."""
        clip, body = self._parcels[seq % len(self._parcels)]
        self.client.send(exchange, "POST", self._asking.path, body, {"X-Request-ID": name})
        known: dict[str, Any] = {"audio_s": clip.audio_s, "bytes_out": len(body)}
        if exchange.fault:
            return Evidence(measured=known | {"error": exchange.error})
        known["bytes_in"] = len(exchange.body)
        redact(exchange, self._key)
        known |= timing(exchange.headers)
        return judge(exchange, clip.text, self._asking.max_wer, known)

    def close(self) -> None:
        """Closes the idle connections."""
        self.client.close()


def judge(exchange: Exchange, reference: str, max_wer: float | None, known: Mapping[str, Any]) -> Evidence:
    """What a whole answer says: the two kinds of 503 told apart, errors inside a 200, empty or wrong text."""
    status = exchange.status or 0
    content = answer.content(exchange.body)
    if not 200 <= status < 300:
        return answer.refusal(exchange, content, known)
    if not isinstance(content, dict):
        return Evidence("wrong", {**known, "error": f"{status} whose body is no JSON object: {answer.excerpt(exchange.body)}"})
    if content.get("error") or content.get("success") is False or str(content.get("status", "")).lower() in ("failed", "error"):
        return Evidence("error", {**known, "error": f"an error inside a {status}: {answer.reason(exchange, content)}"})
    text = content.get("text")
    if not isinstance(text, str):
        return Evidence("wrong", {**known, "error": f"{status} without a 'text': {answer.excerpt(exchange.body)}"})
    return judge_text(text, reference, max_wer, known)


def judge_text(text: str, reference: str, max_wer: float | None, known: Mapping[str, Any]) -> Evidence:
    """Whether ``text`` is what was said in the clip; without a reference or a limit any text will do."""
    if not reference or max_wer is None:
        return Evidence("", known)
    wer = word_error_rate(reference, text)
    if wer > max_wer:
        heard = f"heard '{text[:60]}'" if text.strip() else "the transcript is empty"
        return Evidence("wrong", {**known, "wer": wer, "error": f"word error rate {wer:.2f} is above {max_wer:g}: {heard}"})
    return Evidence("", {**known, "wer": wer})


def transcript(output: Any) -> str | None:
    """The text in ``output``: itself, or its ``text`` or ``transcription`` (RunPod's faster-whisper worker); None where there is none."""
    if isinstance(output, dict):
        output = output.get("text", output.get("transcription"))
    return output if isinstance(output, str) else None


def warm_up(clips: Sequence[Clip], max_wer: float | None) -> None:
    """Imports jiwer, where answers will be held against texts: its import holds the process, and may not do so in a run."""
    if max_wer is not None and any(clip.text for clip in clips):
        word_error_rate("warm", "up")


def word_error_rate(reference: str, heard: str) -> float:
    """(Substitutions + deletions + insertions) / words of the reference, case and punctuation apart (jiwer)."""
    import jiwer  # only a run with reference texts pays for it  # noqa: PLC0415

    return float(jiwer.wer(normal(reference), normal(heard)))


def normal(text: str) -> str:
    """``text`` as compared: small letters, no punctuation, single spaces."""
    return _SPACES.sub(" ", text.lower().replace("'", "").translate(_PUNCTUATION)).strip()


def timing(headers: Mapping[str, str]) -> dict[str, Any]:
    """Queue delay, execution time (s) and worker from the answer's headers, where the service gives them.

    Source: W3C Server Timing (``Server-Timing: queue;dur=12.5, exec;dur=501``, milliseconds).
    """
    found: dict[str, Any] = {}
    worker = headers.get("x-worker-id")
    if isinstance(worker, str):
        found["worker_id"] = worker
    for metric in str(headers.get("server-timing", "")).split(","):
        name, *parameters = (part.strip() for part in metric.split(";"))
        column = {"queue": "queue_s", "exec": "execution_s"}.get(name)
        for parameter in parameters if column else ():
            key, _, value = parameter.partition("=")
            if key == "dur" and (seconds := _milliseconds(value)) is not None:
                found[str(column)] = seconds
    return found


def load_clips(place: Path) -> list[Clip]:
    """The clips of a directory in the order of their names, or the one clip of a file.

    What is said in them stands in ``transcripts.csv`` beside them (columns file,text), if at all.

    Raises:
        ClipError: nothing there, or a file that is no audio.
    """
    folder = place if place.is_dir() else place.parent
    files = sorted(path for path in place.iterdir() if path.suffix.lower() in ENDINGS) if place.is_dir() else [place]
    if not place.exists() or not files:
        raise ClipError(f"no clips at '{place}': name a file or a directory with {', '.join(ENDINGS)} files, as in --clips samples")
    texts = _transcripts(folder / TRANSCRIPTS)
    return [_clip(path, texts.get(path.name, "")) for path in files]


def form_fields(model: str, language: str) -> dict[str, str]:
    """The form's fields besides the file, as OpenAI names them; an empty language is not sent."""
    return {"model": model, "response_format": "json"} | ({"language": language} if language else {})


def multipart(clip: Clip, fields: Mapping[str, str], boundary: str) -> bytes:
    """The form as bytes (RFC 7578), built once per clip and options: sending it costs no copy of the clip."""
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    name = clip.name.replace("\\", "_").replace('"', "_")
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
    )
    return "".join(parts).encode() + clip.data + f"\r\n--{boundary}--\r\n".encode()


def _clip(path: Path, text: str) -> Clip:
    import soundfile  # brings numpy: only a run with clips pays for it  # noqa: PLC0415

    try:
        data = path.read_bytes()
        audio_s = float(soundfile.info(str(path)).duration)
    except (OSError, soundfile.SoundFileError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no audio that libsndfile can read"
        raise ClipError(f"cannot read the clip '{path}': {reason}; give WAV, FLAC, Ogg or MP3") from error
    if audio_s <= 0:
        raise ClipError(f"the clip '{path}' is empty: give one with some speech in it")
    return Clip(path.name.encode(errors="replace").decode(), audio_s, text, data)


def _transcripts(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        content = path.read_text(encoding="utf-8-sig")  # with or without the mark that spreadsheets put in front
    except (OSError, UnicodeDecodeError) as error:
        raise ClipError(f"cannot read '{path}' as UTF-8 text: save it as 'CSV UTF-8' ({error})") from error
    rows = csv.DictReader(io.StringIO(content, newline=""))
    if not {"file", "text"} <= set(rows.fieldnames or ()):
        raise ClipError(f"'{path}' has no columns file,text: its first line should be 'file,text'")
    return {row["file"]: row["text"] if normal(row["text"] or "") else "" for row in rows}


def _credentials(key: str, auth: str) -> dict[str, str]:
    if not key:
        return {}
    return {"X-API-Key": key} if auth == "x-api-key" else answer.bearer(key)


def _milliseconds(value: str) -> float | None:
    try:
        return answer.seconds(float(value.strip('"')))
    except ValueError:
        return None
