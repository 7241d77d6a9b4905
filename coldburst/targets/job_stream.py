"""The output of a job in chunks, as a generator handler yields them: when they came, and the tokens in them.

/stream is polled: each poll returns the chunks since the one before, so their times are those of polls. Chunks are texts of server-sent
events or objects of OpenAI's completions (``openai_route``), objects of the vLLM worker's own, or anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coldburst.targets.chunk_times import between
from coldburst.targets.streamed_answer import StreamedAnswer, tokens

# Chunks that are kept, to be judged like an output.
MOST_CHUNKS = 1000


def asks_for_tokens(tree: Any) -> tuple[bool, bool]:
    """Whether a template's job is a completion, by ``openai_route``, ``prompt`` or ``messages``; whether it asks for a stream."""
    job_input = tree.get("input", tree) if isinstance(tree, dict) else None
    if not isinstance(job_input, dict):
        return False, False
    body = job_input.get("openai_input")
    streams = job_input.get("stream") is True or (isinstance(body, dict) and body.get("stream") is True)
    return any(name in job_input for name in ("openai_route", "prompt", "messages")), streams


class JobStream:
    """The chunks of one job.

    Args:
        known: the attempt's columns; ``ttft_s`` is set when the first chunk with content comes.
        sent_s: when the job was sent, by ``time.perf_counter``.

    Attributes:
        chunks: the first MOST_CHUNKS of them.
    """

    def __init__(self, known: dict[str, Any], sent_s: float) -> None:
        self._known, self._sent_s = known, sent_s
        self._completion = StreamedAnswer(known, sent_s, 200)
        self._is_completion = self._has_events = False
        self._usage: Mapping[str, Any] = {}
        self._instants: list[float] = []
        self.chunks: list[Any] = []

    @classmethod
    def of(cls, output: Any) -> JobStream:
        """The chunks of a job's whole output, without times."""
        stream = cls({}, 0.0)
        for chunk in output if isinstance(output, list) else [output]:
            stream.take(chunk, 0.0)
        return stream

    def feed(self, content: Mapping[str, Any], at_s: float) -> None:
        """Takes the answer of /stream that came at ``at_s``."""
        parts = content.get("stream")
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict) and "output" in part:
                self.take(part["output"], at_s)

    def take(self, chunk: Any, at_s: float) -> None:
        """Takes one chunk."""
        if len(self.chunks) < MOST_CHUNKS:
            self.chunks.append(chunk)
        if isinstance(chunk, str) and (self._has_events or chunk.startswith(("data:", ":", "event:"))):
            self._is_completion = self._has_events = True
            self._completion.receive(chunk.encode(errors="replace"), at_s)
            return
        for one in chunk if isinstance(chunk, list) else [chunk]:
            self._object(one, at_s)

    def columns(self) -> dict[str, Any]:
        """Tokens, and the times between polls that brought content, in seconds."""
        usage, counted = self._completion.usage or self._usage, len(self._completion.instants)
        return tokens(usage, counted) | between(sorted({*self._completion.instants, *self._instants}))

    def judge(self) -> tuple[str, str]:
        """What the chunks of a job that was COMPLETED say (one of outcome.WORDS, or ""), and the error."""
        answer = self._completion
        if answer.error:
            return "error", f"{answer.error} after {len(answer.instants)} chunks"
        if self._is_completion and not (answer.instants or self._instants):
            return "wrong", "the stream has no text"
        return "", ""

    def _object(self, chunk: Any, at_s: float) -> None:
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        if isinstance(choices, list) and any(isinstance(choice, dict) and "delta" in choice for choice in choices):
            self._is_completion = True
            self._completion.take(chunk, at_s)
            return
        if isinstance(chunk, dict) and isinstance(chunk.get("usage"), dict):
            self._usage = chunk["usage"]
        if not self._completion.instants and not self._instants:
            self._known["ttft_s"] = at_s - self._sent_s
        self._instants.append(at_s)
