"""Transcription services with OpenAI's interface: sends clips as forms."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from coldburst.keys import TRANSCRIPTION_KEY
from coldburst.pieces import Body
from coldburst.targets import answer
from coldburst.targets.address import without_overlap
from coldburst.targets.body_template import NO_VALUES
from coldburst.targets.checks import ANY, Checks
from coldburst.targets.clips import Clip, form_pieces, multipart
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.outcome import Evidence
from coldburst.targets.row_clip import Spoken, row_clip
from coldburst.targets.transcript_shapes import STREAM, form_fields
from coldburst.targets.transcript_stream import TranscriptStream
from coldburst.targets.transcription_answer import judge, judge_stream, timing
from coldburst.targets.word_error_rate import ANY_WER, warm_up


@dataclass(frozen=True, slots=True)
class TranscriptionOptions:
    """How transcriptions are requested.

    Attributes:
        path: route of the service for audio.
        model, language: form fields; an empty language is not sent.
        auth: how the key is sent: "bearer" or "x-api-key".
        checks: what makes an answer an error or wrong.
        max_wer: an answer with a word error rate above this is ``wrong``; infinity = only compared, None = not.
        shape: of the answer, one of transcript_shapes.SHAPES.
    """

    path: str = "/v1/audio/transcriptions"
    model: str = "whisper-1"
    language: str = "en"
    auth: str = "bearer"
    checks: Checks = ANY
    max_wer: float | None = ANY_WER
    shape: str = "json"


class TranscriptionTarget:
    """One transcription service.

    Args:
        host: address of the service, as in ``http://127.0.0.1:8083``.
        clips: sent in turn, over and over.
        key: API key, or "" for an open service.
        variable: environment variable of the key.
        spoken: the columns of rows that name audio, which is sent instead of clips.
    """

    kind: ClassVar[str] = "transcription"

    def __init__(
        self,
        host: str,
        clips: Sequence[Clip],
        options: TranscriptionOptions,
        limits: Timeouts,
        key: str = "",
        variable: str = TRANSCRIPTION_KEY,
        spoken: Spoken | None = None,
    ) -> None:
        boundary = uuid.uuid4().hex
        self._fields, self._boundary = form_fields(options.model, options.language, options.shape), boundary
        self._forms = [(clip, multipart(clip, self._fields, boundary)) for clip in clips]
        self._spoken = spoken
        self._options, self._sender = options, answer.Sender(self.kind, key, variable)
        headers = {"User-Agent": "coldburst", "Accept": "*/*", "Content-Type": f"multipart/form-data; boundary={boundary}"}
        host = without_overlap(host, options.path)
        self.client = HttpClient(host, limits, headers | answer.credentials(key, options.auth))
        self.url = host + options.path
        warm_up([spoken.text] if spoken else [clip.text for clip in clips], options.max_wer)

    def send(self, seq: int, name: str, exchange: Exchange, values: Mapping[str, Any] = NO_VALUES) -> Evidence:
        """See factory.Target."""
        clip, body = self._form_of(values) if self._spoken else self._forms[seq % len(self._forms)]
        known = exchange.known
        known |= {"audio_s": clip.audio_s, "bytes_out": len(body)}
        stream = TranscriptStream(exchange) if self._options.shape == STREAM else None
        listener = stream.receive if stream else None
        self.client.send(exchange, "POST", self._options.path, body, {"X-Request-ID": name}, on_body=listener)
        if exchange.fault and not (stream and stream.status):
            return Evidence(measured=known | {"error": exchange.error})
        known |= {"bytes_in": exchange.received} | timing(exchange.headers)
        if stream and stream.status:
            return judge_stream(stream, clip.text, self._options, known)
        return judge(exchange, clip.text, self._options, known, self._sender)

    def _form_of(self, values: Mapping[str, Any]) -> tuple[Clip, Body]:
        """The clip of a row, and its form."""
        assert self._spoken
        clip = row_clip(values, self._spoken, data=True)
        return clip, form_pieces(clip, self._fields, self._boundary)

    def share(self, generators: int) -> None:
        """See factory.Target. No rate limit is known here."""

    def close(self) -> None:
        """Closes the idle connections."""
        self.client.close()
