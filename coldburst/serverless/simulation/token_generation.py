"""The answers of a modelled language model, chunk by chunk, in the shapes in which RunPod's vLLM worker yields them.

A job asks for tokens with ``openai_route`` and ``openai_input``, which the platform's OpenAI route writes, or with ``stream`` beside
``prompt`` or ``messages``, the worker's own input. Source: runpod-workers/worker-vllm, src/engine.py: streamed answers of the OpenAI route
are texts of server-sent events, all others are objects.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CHAT, TEXT, MODELS = "/v1/chat/completions", "/v1/completions", "/v1/models"
MODEL = "modelled"
# Tokens of an answer whose request has no max_tokens, and the most that are generated.
TOKENS, MOST_TOKENS = 64, 100_000
SENTENCE = "A worker that has scaled to zero starts again before it answers: that is a cold start"
_WORDS = SENTENCE.split()


@dataclass(frozen=True, slots=True)
class TokenRate:
    """How fast a modelled worker generates: seconds to its first token, and tokens per second after it."""

    first_s: float = 0.2
    per_s: float = 50.0


@dataclass(frozen=True, slots=True)
class Generation:
    """One answer of a modelled language model.

    Attributes:
        request: the body of the request.
        route: of OpenAI's interface, "" for the worker's own.
        tokens: tokens that it generates; 0 = an answer without generation, such as an error.
        content: that answer.
    """

    request: Mapping[str, Any]
    route: str
    tokens: int
    rate: TokenRate
    content: Any = None

    @property
    def streamed(self) -> bool:
        """Whether there is a chunk for each token."""
        return self.tokens > 0 and self.request.get("stream") is True

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return self.tokens if self.streamed else 1

    @property
    def took_s(self) -> float:
        """Seconds from its start to its end."""
        return self.rate.first_s + (self.tokens - 1) / self.rate.per_s if self.tokens else 0.0

    def due_s(self, number: int) -> float:
        """Seconds from its start to chunk ``number``, from 0."""
        return self.rate.first_s + number / self.rate.per_s if self.streamed else self.took_s

    def chunk(self, number: int) -> Any:
        """Chunk ``number``, from 0."""
        if not self.streamed:
            return self._whole()
        if not self.route:
            return {"choices": [{"tokens": [_word(number)]}], "usage": {"input": self._prompt_tokens(), "output": number + 1}}
        events = [self._event([self._choice({"role": "assistant", "content": ""})])] if self.route == CHAT and not number else []
        events.append(self._event([self._choice(_word(number))]))
        if number == self.tokens - 1:
            events += self._last_events()
        return "".join(events)

    def output(self) -> list[Any]:
        """The job's output: all chunks, as the SDK aggregates them."""
        return [self.chunk(number) for number in range(self.chunks)]

    def _last_events(self) -> list[str]:
        events = [self._event([self._choice("", "length")])]
        options = self.request.get("stream_options")
        if isinstance(options, Mapping) and options.get("include_usage"):
            events.append(self._event([], usage=self._usage()))
        return [*events, "data: [DONE]\n\n"]

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> str:
        return f"data: {json.dumps(self._object('.chunk' if self.route == CHAT else '', choices) | more)}\n\n"

    def _choice(self, content: str | Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        """A choice of a stream: a word, or a whole delta of a chat."""
        if self.route == TEXT:
            return {"index": 0, "text": content, "finish_reason": finish}
        return {"index": 0, "delta": content if isinstance(content, Mapping) else {"content": content}, "finish_reason": finish}

    def _whole(self) -> Any:
        if not self.tokens:
            return self.content
        text = "".join(map(_word, range(self.tokens)))
        said = {"text": text} if self.route == TEXT else {"message": {"role": "assistant", "content": text}}
        return self._object("", [{"index": 0, **said, "finish_reason": "length"}]) | {"usage": self._usage()}

    def _object(self, ending: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        kind = "chat.completion" if self.route == CHAT else "text_completion"
        return {"id": "modelled-1", "object": kind + ending, "created": 0, "model": self.request.get("model") or MODEL, "choices": choices}

    def _usage(self) -> dict[str, int]:
        prompt = self._prompt_tokens()
        return {"prompt_tokens": prompt, "completion_tokens": self.tokens, "total_tokens": prompt + self.tokens}

    def _prompt_tokens(self) -> int:
        """One for each word of the prompt."""
        return len(json.dumps(self.request.get("messages") or self.request.get("prompt")).split())


def generation(job_input: Any, rate: TokenRate) -> Generation | None:
    """What a modelled language model answers to a job; None if the job does not ask for tokens."""
    if not isinstance(job_input, Mapping):
        return None
    if "openai_route" not in job_input:
        asks = job_input.get("stream") is True and ("prompt" in job_input or "messages" in job_input)
        settings = job_input.get("sampling_params")
        return Generation(job_input, "", _tokens(settings if isinstance(settings, Mapping) else job_input), rate) if asks else None
    route, body = job_input["openai_route"], job_input.get("openai_input")
    request = body if isinstance(body, Mapping) else {}
    if route == MODELS:
        listed = {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "coldburst"}]}
        return Generation(request, route, 0, rate, listed)
    needed = {CHAT: "messages", TEXT: "prompt"}.get(route)
    if needed is None:
        return Generation(request, route, 0, rate, _error("Invalid route"))
    if not request.get(needed):
        return Generation(request, route, 0, rate, _error(f"the field '{needed}' is missing"))
    return Generation(request, route, _tokens(request), rate)


def _tokens(settings: Mapping[str, Any]) -> int:
    for name in ("max_completion_tokens", "max_tokens"):
        if isinstance(value := settings.get(name), int) and value > 0:
            return min(value, MOST_TOKENS)
    return TOKENS


def _word(number: int) -> str:
    return f" {_WORDS[number % len(_WORDS)]}"


def _error(message: str) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}
