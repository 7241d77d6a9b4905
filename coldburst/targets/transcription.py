"""Transcription services with OpenAI's interface: sends clips as forms, and reads the answers and their failures."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from coldburst.targets import answer
from coldburst.targets.address import without_overlap
from coldburst.targets.clips import Clip, form_fields, multipart
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.outcome import Evidence
from coldburst.targets.transcription_answer import judge, timing
from coldburst.targets.word_error_rate import warm_up


@dataclass(frozen=True, slots=True)
class TranscriptionOptions:
    """How transcriptions are requested.

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

    def __init__(self, host: str, clips: Sequence[Clip], options: TranscriptionOptions, limits: Timeouts, key: str = "") -> None:
        boundary = uuid.uuid4().hex
        fields = form_fields(options.model, options.language)
        self._forms = [(clip, multipart(clip, fields, boundary)) for clip in clips]
        self._options, self._key = options, key
        headers = {"User-Agent": "coldburst", "Accept": "application/json", "Content-Type": f"multipart/form-data; boundary={boundary}"}
        host = without_overlap(host, options.path)
        self.client = HttpClient(host, limits, headers | _credentials(key, options.auth))
        self.url = host + options.path
        warm_up((clip.text for clip in clips), options.max_wer)

    def send(self, seq: int, name: str, exchange: Exchange) -> Evidence:
        """Sends the request ``seq``, called ``name`` on the wire, fills ``exchange`` in and says what came back."""
        clip, body = self._forms[seq % len(self._forms)]
        self.client.send(exchange, "POST", self._options.path, body, {"X-Request-ID": name})
        known: dict[str, Any] = {"audio_s": clip.audio_s, "bytes_out": len(body)}
        if exchange.fault:
            return Evidence(measured=known | {"error": exchange.error})
        known["bytes_in"] = exchange.received
        answer.mask_key(exchange, self._key)
        known |= timing(exchange.headers)
        return judge(exchange, clip.text, self._options.max_wer, known)

    def share(self, generators: int) -> None:
        """See Target: no rate limit is known here."""

    def close(self) -> None:
        """Closes the idle connections."""
        self.client.close()


def _credentials(key: str, auth: str) -> dict[str, str]:
    if not key:
        return {}
    return {"X-API-Key": key} if auth == "x-api-key" else answer.bearer(key)
