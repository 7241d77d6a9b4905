"""Transcription services with OpenAI's interface: sends clips as forms, and reads the answers and their failures."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from coldburst.targets import answer
from coldburst.targets.clips import Clip, form_fields, multipart
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.outcome import Evidence
from coldburst.targets.word_error_rate import judge_text, warm_up


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
    """One transcription service: ``send`` sends a clip and reads the answer.

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
        warm_up((clip.text for clip in clips), asking.max_wer)

    def send(self, seq: int, name: str, exchange: Exchange) -> Evidence:
        """Sends the request ``seq``, called ``name`` on the wire, fills ``exchange`` in and says what came back."""
        clip, body = self._parcels[seq % len(self._parcels)]
        self.client.send(exchange, "POST", self._asking.path, body, {"X-Request-ID": name})
        known: dict[str, Any] = {"audio_s": clip.audio_s, "bytes_out": len(body)}
        if exchange.fault:
            return Evidence(measured=known | {"error": exchange.error})
        known["bytes_in"] = len(exchange.body)
        exchange.redact(self._key)
        known |= timing(exchange.headers)
        return judge(exchange, clip.text, self._asking.max_wer, known)

    def share(self, generators: int) -> None:
        """See Target: no rate limit is known here."""

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
    says, measured = judge_text(text, reference, max_wer)
    return Evidence(says, {**known, **measured})


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


def _credentials(key: str, auth: str) -> dict[str, str]:
    if not key:
        return {}
    return {"X-API-Key": key} if auth == "x-api-key" else answer.bearer(key)


def _milliseconds(value: str) -> float | None:
    try:
        return answer.seconds(float(value.strip('"')))
    except ValueError:
        return None
