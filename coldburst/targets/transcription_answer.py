"""Answers of transcription services read: errors inside a success, empty or wrong text, and the times in their headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coldburst.targets import answer
from coldburst.targets.http import Exchange
from coldburst.targets.outcome import Evidence
from coldburst.targets.word_error_rate import judge_text


def judge(exchange: Exchange, reference: str, max_wer: float | None, known: Mapping[str, Any]) -> Evidence:
    """What a whole answer says: the two kinds of 503 told apart, errors inside a 200, empty or wrong text."""
    status = exchange.status or 0
    content = answer.parse_json(exchange.body)
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


def _milliseconds(value: str) -> float | None:
    try:
        return answer.seconds(float(value.strip('"')))
    except ValueError:
        return None
