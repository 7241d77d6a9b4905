"""A streamed completion while it arrives: its text's instants, tokens, end and errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from coldburst.targets.answer_shapes import error_in, generated
from coldburst.targets.chunk_times import between
from coldburst.targets.event_stream import DONE, EventStream

# Fields without which, and without ``object: error``, an object holds no error (answer_shapes.error_in).
_SUSPECT = frozenset(("error", "errors", "status", "success", "output", "result", "response", "data"))
# OpenAI's names, and those of jobs of RunPod's vLLM worker.
_USAGE = {"tokens_in": ("prompt_tokens", "input"), "tokens_out": ("completion_tokens", "output")}


class StreamedAnswer:
    """A streamed completion while it arrives: ``receive`` is the HTTP client's ``on_body``.

    Attributes:
        status: the HTTP status of the answer.
        instants: when each chunk with generated text arrived, by ``time.perf_counter``.
        finished: a finish reason or [DONE] arrived.
        error: the service's message, if a chunk holds an error.
        usage: the token counts of the service, {} without.
        known: the attempt's columns; ``ttft_s`` is set as soon as it is known.
    """

    def __init__(self, known: dict[str, Any], sent_s: float, status: int) -> None:
        self._events, self._known, self._sent_s = EventStream(), known, sent_s
        self.status = status
        self.instants: list[float] = []
        self.finished = False
        self.error = ""
        self.usage: Mapping[str, Any] = {}

    def receive(self, piece: bytes, at_s: float) -> None:
        """Takes a piece of the body that arrived at ``at_s``."""
        for data in self._events.feed(piece):
            self._take(data, at_s)

    def end(self, at_s: float) -> None:
        """Takes a last event without an empty line after it."""
        for data in self._events.end():
            self._take(data, at_s)

    def columns(self) -> dict[str, Any]:
        """Tokens and times between chunks, in seconds."""
        return tokens(self.usage, len(self.instants)) | between(self.instants)

    def _take(self, data: bytes, at_s: float) -> None:
        if data.strip() == DONE:
            self.finished = True
            return
        chunk = _decoded(data)
        if not isinstance(chunk, dict):
            self.error = self.error or f"a chunk that is not a JSON object: {data[:120].decode(errors='replace')}"
            return
        self.take(chunk, at_s)

    def take(self, chunk: Mapping[str, Any], at_s: float) -> None:
        """Takes a decoded chunk that arrived at ``at_s``."""
        # The search for errors takes as long as everything else.
        if (not _SUSPECT.isdisjoint(chunk) or chunk.get("object") == "error") and (message := error_in(chunk)):
            self.error = self.error or message
        if isinstance(chunk.get("usage"), dict):
            self.usage = chunk["usage"]
        has_text = False
        for choice in chunk.get("choices") or ():
            if isinstance(choice, dict):
                self.finished = self.finished or bool(choice.get("finish_reason"))
                delta = choice.get("delta")
                has_text = has_text or bool(isinstance(delta, dict) and delta.get("content")) or generated(choice)
        if has_text:
            if not self.instants:
                self._known["ttft_s"] = at_s - self._sent_s
            self.instants.append(at_s)


def tokens(usage: Mapping[str, Any], chunks: int) -> dict[str, Any]:
    """The columns of tokens: the service's own counts, or else one for each of ``chunks``."""
    counted = {
        column: usage[name]
        for column, names in _USAGE.items()
        for name in names
        if isinstance(usage.get(name), int) and not isinstance(usage[name], bool)
    }
    if "tokens_out" in counted:
        return counted | {"tokens_from": "usage"}
    return counted | ({"tokens_out": chunks, "tokens_from": "chunks"} if chunks else {})


def _decoded(data: bytes) -> Any:
    """The JSON in ``data``, None if it is none. msgspec takes half of the time, and refuses NaN and lone surrogates."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
