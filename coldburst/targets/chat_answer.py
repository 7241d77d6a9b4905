"""Answers of OpenAI's chat and text completions, whole or streamed: text, tokens, times, errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import ceil
from typing import Any

from coldburst.targets import answer
from coldburst.targets.answer_shapes import error_in, generated
from coldburst.targets.event_stream import EventStream
from coldburst.targets.exchange import Exchange
from coldburst.targets.outcome import Evidence

DONE = b"[DONE]"


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
        chunk = answer.parse_json(data)
        if not isinstance(chunk, dict):
            self.error = self.error or f"a chunk that is not a JSON object: {answer.first_line(data)}"
            return
        if message := error_in(chunk):
            self.error = self.error or message
        if isinstance(chunk.get("usage"), dict):
            self.usage = chunk["usage"]
        choices = [choice for choice in chunk.get("choices") or () if isinstance(choice, dict)]
        self.finished = self.finished or any(choice.get("finish_reason") for choice in choices)
        if any(map(generated, choices)):
            if not self.instants:
                self._known["ttft_s"] = at_s - self._sent_s
            self.instants.append(at_s)


def between(instants: Sequence[float]) -> dict[str, Any]:
    """The columns of the times between ``instants``, in seconds; percentiles are of the nearest rank."""
    gaps = sorted(later - before for before, later in pairwise(instants))
    if not gaps:
        return {}
    return {"itl_p50_s": gaps[ceil(0.5 * len(gaps)) - 1], "itl_p95_s": gaps[ceil(0.95 * len(gaps)) - 1], "itl_max_s": gaps[-1]}


def judge_stream(stream: StreamedAnswer, fault: str, error: str) -> Evidence:
    """What a streamed answer says; ``fault`` and ``error`` tell how the connection broke, "" where it did not."""
    columns = stream.columns()
    far = f" after {len(stream.instants)} chunks"
    if stream.error:
        return Evidence("error", columns | {"error": f"{stream.error}{far}"})
    if not stream.finished:
        return Evidence("error", columns | {"error": f"the stream ended{far}, without a finish reason{f': {error}' if fault else ''}"})
    if not stream.instants:
        return Evidence("wrong", columns | {"error": "the stream has no text"})
    return Evidence("", columns)


def judge_whole(content: Any, exchange: Exchange) -> Evidence:
    """What an answer in one piece says."""
    if message := error_in(content):
        return Evidence("error", {"error": f"an error inside a {exchange.status}: {message}"})
    if not isinstance(content, dict):
        return Evidence("wrong", {"error": f"{exchange.status} without a JSON object: {answer.excerpt(exchange)}"})
    columns = tokens(content["usage"], 0) if isinstance(content.get("usage"), dict) else {}
    choices = content.get("choices")
    if not isinstance(choices, list) or not choices:
        return Evidence("wrong", columns | {"error": f"{exchange.status} without 'choices': {answer.excerpt(exchange)}"})
    if not any(isinstance(choice, dict) and generated(choice) for choice in choices):
        return Evidence("wrong", columns | {"error": "the answer has no text"})
    return Evidence("", columns)


def tokens(usage: Mapping[str, Any], chunks: int) -> dict[str, Any]:
    """The columns of tokens: the service's own counts, or else one for each of ``chunks``."""
    counted = {
        column: usage[name]
        for column, name in (("tokens_in", "prompt_tokens"), ("tokens_out", "completion_tokens"))
        if isinstance(usage.get(name), int) and not isinstance(usage[name], bool)
    }
    if "tokens_out" in counted:
        return counted | {"tokens_from": "usage"}
    return counted | ({"tokens_out": chunks, "tokens_from": "chunks"} if chunks else {})
