"""Text-to-speech services with OpenAI's /v1/audio/speech: sends texts, and measures when audio arrives and how much of it.

The answer is audio, in one piece or chunked, or server-sent events with parts of it in base64 (``stream_format: sse``).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from coldburst.targets import answer
from coldburst.targets.address import SPEECH_PATH, without_overlap
from coldburst.targets.answer_shapes import error_in
from coldburst.targets.audio_length import HEAD_BYTES, audio_seconds
from coldburst.targets.body_template import NO_VALUES
from coldburst.targets.event_stream import EventStream
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.outcome import Evidence
from coldburst.targets.payload import Payload, json_bodies
from coldburst.targets.transcription_answer import timing

TEXT = "A cold start is the time that a worker needs before it can answer its first request."
MODEL = "tts-1"
DEFAULT_BODY: Mapping[str, Any] = {"voice": "alloy", "input": TEXT, "response_format": "wav"}
_TEXT_TYPES = ("text/", "application/json", "application/problem+json")


@dataclass(frozen=True, slots=True)
class SpeechOptions:
    """How speech is requested.

    Attributes:
        path: the route.
        model: goes into bodies that name none; "" = MODEL in DEFAULT_BODY, and not sent in a template.
        key_variable: the environment variable of the key, for messages.
    """

    path: str = SPEECH_PATH
    model: str = ""
    key_variable: str = ""


class SpeechTarget:
    """One service.

    Args:
        host: its origin; a path that the route begins with (``…/v1``) is understood.
        payload: a template with the request's JSON, or nothing: then DEFAULT_BODY is sent.
        key: API key, or "" for an open service.
    """

    kind: ClassVar[str] = "speech"

    def __init__(self, host: str, payload: Payload, options: SpeechOptions, limits: Timeouts, key: str = "") -> None:
        payload = speech_payload(payload, options.model)
        self._templates = json_bodies(payload)
        self._requested = str(payload.tree.get("response_format", "")) if isinstance(payload.tree, dict) else ""
        self._options, self._sender = options, answer.Sender(self.kind, key, options.key_variable)
        headers = {"User-Agent": "coldburst", "Accept": "*/*", "Content-Type": "application/json"}
        host = without_overlap(host, options.path)
        self.client = HttpClient(host, limits, headers | answer.credentials(key))
        self.url = host + options.path

    def send(self, seq: int, name: str, exchange: Exchange, values: Mapping[str, Any] = NO_VALUES) -> Evidence:
        """See factory.Target."""
        body, known = self._templates[seq % len(self._templates)].body(seq, name, values), exchange.known
        known["bytes_out"] = len(body)
        audio = _Audio(exchange)
        self.client.send(exchange, "POST", self._options.path, body, {"X-Request-ID": name}, on_body=audio.receive)
        if exchange.first is None:
            return Evidence(measured=known | {"error": exchange.error})
        known |= {"bytes_in": exchange.received} | timing(exchange.headers)
        if exchange.fault:
            return self._broken(audio, exchange)
        if not 200 <= (exchange.status or 0) < 300:
            return answer.refusal(exchange, answer.parse_json(exchange.body), known, self._sender)
        says, error = self._judge(audio, exchange)
        return Evidence(says, known | ({"error": error} if error else {}))

    def share(self, generators: int) -> None:
        """See factory.Target: no rate limit is known here."""

    def close(self) -> None:
        """Closes the idle connections."""
        self.client.close()

    def _broken(self, audio: _Audio, exchange: Exchange) -> Evidence:
        """Audio that breaks off is the service's failure, with the status that it began with; our own deadline stays what it is."""
        known = exchange.known
        if exchange.fault == "deadline":
            return Evidence(measured=known | {"error": f"{exchange.error}, {audio.received} bytes of audio so far"})
        if not audio.status:
            return Evidence(measured=known | {"error": exchange.error})
        error = f"the audio ended after {audio.received} bytes: {exchange.error}"
        exchange.fault, exchange.status = "", audio.status
        return Evidence("error", known | {"error": error})

    def _judge(self, audio: _Audio, exchange: Exchange) -> tuple[str, str]:
        """What an answer says, and its error; sets the length of the audio."""
        kind = str(exchange.headers.get("content-type", ""))
        if audio.error:
            return "error", f"{audio.error} after {audio.received} bytes of audio"
        if not audio.events and kind.startswith(_TEXT_TYPES):
            if inner := error_in(answer.parse_json(exchange.body)):
                return "error", f"an error inside a {exchange.status}: {inner}"
            return "wrong", f"{exchange.status} without audio: {answer.excerpt(exchange)}"
        if not audio.received:
            return "wrong", "the answer has no audio"
        content = audio.content() if audio.events else exchange.body
        length_s = audio_seconds(audio.head, content, audio.received, "" if audio.events else kind, self._requested)
        if length_s is not None:
            exchange.known["audio_s"] = length_s
        return ("wrong", "the audio has no length") if length_s == 0 else ("", "")


class _Audio:
    """The audio of one answer while it arrives.

    Attributes:
        status: of the answer, once audio begins; 0 before.
        events: the answer is a stream of events with audio in it, and not audio itself.
        head, received: beginning and length of the audio.
        error: the service's message, if an event holds an error.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._stream: EventStream | None = None
        self._parts: list[bytes] = []
        self.status = 0
        self.events = False
        self.head = b""
        self.received = 0
        self.error = ""

    def receive(self, piece: bytes, at_s: float) -> None:
        """The HTTP client's ``on_body``."""
        if not self.status:
            kind = str(self._exchange.headers.get("content-type", ""))
            self.events = kind.startswith("text/event-stream")
            if not 200 <= (self._exchange.status or 0) < 300 or (kind.startswith(_TEXT_TYPES) and not self.events):
                return
            self.status = self._exchange.status or 0
            self._stream = EventStream() if self.events else None
        if self._stream is None:
            self._take(piece, at_s)
            return
        for data in self._stream.feed(piece):
            self._event(data, at_s)

    def content(self) -> bytes:
        """The audio of a stream of events."""
        return b"".join(self._parts)

    def _event(self, data: bytes, at_s: float) -> None:
        event = answer.parse_json(data)
        if not isinstance(event, dict):
            return
        self.error = self.error or error_in(event)
        part = event.get("audio", event.get("delta"))
        if isinstance(part, str) and part:
            try:
                decoded = base64.b64decode(part, validate=True)
            except (binascii.Error, ValueError):
                self.error = self.error or f"an event whose audio is not base64: {answer.first_line(data)}"
                return
            self._parts.append(decoded)
            self._take(decoded, at_s)

    def _take(self, piece: bytes, at_s: float) -> None:
        if not self.received:
            self._exchange.known["ttft_s"] = at_s - (self._exchange.sent or 0.0)
        self.received += len(piece)
        if len(self.head) < HEAD_BYTES:
            self.head += piece[: HEAD_BYTES - len(self.head)]


def speech_payload(payload: Payload, model: str) -> Payload:
    """The template, or DEFAULT_BODY without one, with ``model`` where the body names none."""
    tree = {"model": model or MODEL, **DEFAULT_BODY} if payload.tree is None else payload.tree
    if model and isinstance(tree, dict) and "model" not in tree:
        tree = {"model": model} | tree
    return replace(payload, tree=tree)
