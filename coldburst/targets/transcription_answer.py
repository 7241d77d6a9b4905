"""Reads the answers of transcription services, and the times in the headers of any service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from coldburst.targets import answer
from coldburst.targets.checks import Checks
from coldburst.targets.exchange import Exchange
from coldburst.targets.outcome import Evidence
from coldburst.targets.transcript_shapes import WANTED, spoken_text
from coldburst.targets.transcript_stream import TranscriptStream
from coldburst.targets.word_error_rate import judge_text


class Judged(Protocol):
    """The options that decide what an answer is worth."""

    @property
    def checks(self) -> Checks:
        """See transcription.TranscriptionOptions."""

    @property
    def max_wer(self) -> float | None:
        """See transcription.TranscriptionOptions."""

    @property
    def shape(self) -> str:
        """See transcription.TranscriptionOptions."""


def judge(exchange: Exchange, reference: str, options: Judged, known: Mapping[str, Any], sender: answer.Sender) -> Evidence:
    """What a complete answer says: refusals, errors inside a 200, empty or wrong text."""
    status, content = exchange.status or 0, answer.parse_json(exchange.body)
    if not 200 <= status < 300:
        return answer.refusal(exchange, content, known, sender)
    says, measured = options.checks.judge(content, exchange)
    if says:
        return Evidence(says, {**known, **measured})
    text = content.get("text") if isinstance(content, dict) else spoken_text(options.shape, content, exchange.body)
    if not isinstance(text, str):
        lack = "a 'text'" if isinstance(content, dict) else WANTED.get(options.shape, "a JSON object")
        return Evidence("wrong", {**known, "error": f"{status} without {lack}: {answer.excerpt(exchange)}"})
    says, compared = judge_text(text, reference, options.max_wer)
    return Evidence(says, {**known, **measured, **compared})


def judge_stream(stream: TranscriptStream, reference: str, options: Judged, known: Mapping[str, Any]) -> Evidence:
    """What a streamed answer says."""
    says, measured = stream.judge()
    if says or "error" in measured:
        return Evidence(says, {**known, **measured})
    says, compared = judge_text(stream.text, reference, options.max_wer)
    return Evidence(says, {**known, **measured, **compared})


def worker_of(headers: Mapping[str, str]) -> str:
    """The worker in the header ``X-Worker-ID``, or "". nginx's ``$upstream_addr`` lists every upstream tried; the last one answered."""
    return headers.get("x-worker-id", "").replace(" : ", ",").rpartition(",")[2].strip()


def timing(headers: Mapping[str, str]) -> dict[str, Any]:
    """Queue delay, execution time (s) and worker from the answer's headers, if the service sends them.

    Source: W3C Server Timing (``Server-Timing: queue;dur=12.5, exec;dur=501``, milliseconds).
    """
    found: dict[str, Any] = {}
    if worker := worker_of(headers):
        found["worker_id"] = worker
    if not (metrics := headers.get("server-timing", "")):
        return found
    for metric in metrics.split(","):
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
