"""A streamed transcript while it arrives: its text, when its parts came, its end and errors.

Parts are OpenAI's events (``transcript.text.delta``, ``transcript.text.done``), chunks as of chat (vLLM), or objects and plain texts with
a segment each (speaches).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from coldburst.targets.answer_shapes import error_in
from coldburst.targets.chunk_times import between
from coldburst.targets.event_stream import DONE, EventStream
from coldburst.targets.exchange import Exchange


class TranscriptStream:
    """The body of one answer, if it is a stream of events: ``receive`` is the HTTP client's ``on_body``.

    Attributes:
        status: of the answer, once a stream begins; 0 if it is none.
        instants: when each part with text arrived, by ``time.perf_counter``.
        error: the service's message, if an event holds an error.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange, self._events = exchange, EventStream()
        self._first = True
        self._parts: list[str] = []
        self._whole: str | None = None
        self._ended = self._in_segments = False
        self.status = 0
        self.instants: list[float] = []
        self.error = ""

    @property
    def text(self) -> str:
        """The transcript: as its last event has it, or else its parts."""
        return "".join(self._parts) if self._whole is None else self._whole

    def receive(self, piece: bytes, at_s: float) -> None:
        """Takes a piece of the body that arrived at ``at_s``."""
        if self._first:
            self._first = False
            status, kind = self._exchange.status or 0, str(self._exchange.headers.get("content-type", ""))
            self.status = status if kind.startswith("text/event-stream") and 200 <= status < 300 else 0
        if self.status:
            for data in self._events.feed(piece):
                self._take(data, at_s)

    def judge(self) -> tuple[str, dict[str, Any]]:
        """What the stream says when it is over (one of outcome.WORDS, or ""), and its columns.

        A broken connection is the service's failure, with the status that the stream began with; our own deadline stays what it is.
        """
        exchange = self._exchange
        for data in self._events.end():
            self._take(data, exchange.done or 0.0)
        columns, parts = between(self.instants), len(self.instants)
        if exchange.fault == "deadline":
            return "", columns | {"error": f"{exchange.error}, {parts} parts of the text so far"}
        why = f": {exchange.error}" if exchange.fault else ""
        complete = self._ended or (self._in_segments and not exchange.fault)
        exchange.fault, exchange.status = "", self.status
        if self.error:
            return "error", columns | {"error": f"{self.error} after {parts} parts of the text"}
        return ("", columns) if complete else ("error", columns | {"error": f"the stream ended after {parts} parts of the text{why}"})

    def _take(self, data: bytes, at_s: float) -> None:
        if data.strip() == DONE:
            self._ended = True
            return
        try:
            content = json.loads(data)
        except (ValueError, RecursionError):
            content = data.decode(errors="replace")
        if isinstance(content, Mapping):
            self.error = self.error or error_in(content)
            self._part(self._of_event(content), at_s)
        else:
            self._in_segments = True
            self._part(f"{content} ", at_s)

    def _of_event(self, event: Mapping[str, Any]) -> str:
        """The text that an event adds."""
        kind = event.get("type")
        if kind == "transcript.text.done":
            self._ended, self._whole = True, str(event.get("text", ""))
            return "" if self.instants else self._whole
        if isinstance(event.get("delta"), str):
            return str(event["delta"])
        choices = event.get("choices")
        if isinstance(choices, list):
            found = [choice for choice in choices if isinstance(choice, dict)]
            self._ended = self._ended or any(choice.get("finish_reason") for choice in found)
            return "".join(str((choice.get("delta") or {}).get("content") or "") for choice in found)
        if isinstance(event.get("text"), str) and not kind:
            self._in_segments = True
            return f"{event['text']} "
        return ""

    def _part(self, text: str, at_s: float) -> None:
        if not text.strip():
            self._parts.append(text)
            return
        if not self.instants:
            self._exchange.known["ttft_s"] = at_s - (self._exchange.sent or 0.0)
        self.instants.append(at_s)
        self._parts.append(text)
