"""Answers of OpenAI's chat and text completions: what they say, whole or streamed."""

from __future__ import annotations

from typing import Any

from coldburst.targets import answer
from coldburst.targets.answer_shapes import error_in, generated
from coldburst.targets.exchange import Exchange
from coldburst.targets.outcome import Evidence
from coldburst.targets.streamed_answer import StreamedAnswer, tokens


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
