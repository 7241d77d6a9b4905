"""Services with OpenAI's chat or text completions: sends JSON bodies, and reads whole and streamed answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from coldburst.targets import answer
from coldburst.targets.address import CHAT_PATH, without_overlap
from coldburst.targets.body_template import NO_VALUES
from coldburst.targets.chat_answer import judge_stream, judge_whole
from coldburst.targets.checks import ANY, Checks
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.outcome import Evidence
from coldburst.targets.payload import Payload, json_bodies
from coldburst.targets.rate_limiter import RequestLimit
from coldburst.targets.streamed_answer import StreamedAnswer
from coldburst.targets.transcription_answer import timing

JOBS_ROUTE = "/openai/v1/"
"""Below /v2/ID, where RunPod makes jobs of requests."""
PROMPT = "Explain in three sentences what a cold start of a serverless GPU worker is."
DEFAULT_BODY: Mapping[str, Any] = {
    "messages": [{"role": "user", "content": PROMPT}],
    "max_tokens": 128,
    "stream": True,
    "stream_options": {"include_usage": True},
}


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """How completions are requested.

    Attributes:
        path: the route, as in /v1/chat/completions or /v1/completions.
        model: goes into bodies that name none; "" = not sent.
        key_variable: the environment variable of the key, for messages.
        checks: what makes an answer in one piece an error or wrong.
    """

    path: str = CHAT_PATH
    model: str = ""
    key_variable: str = ""
    checks: Checks = ANY


class ChatTarget:
    """One service: ``send`` sends a completion request and reads the answer.

    Args:
        host: origin of the service; a path that the route begins with (``…/v1``) is understood.
        payload: a template with the request's JSON, or nothing: then DEFAULT_BODY is sent.
        key: API key, or "" for an open service.
    """

    kind: ClassVar[str] = "chat"

    def __init__(self, host: str, payload: Payload, options: ChatOptions, limits: Timeouts, key: str = "") -> None:
        self._templates = json_bodies(chat_payload(payload, options.model))
        self._options, self._sender = options, answer.Sender(self.kind, key, options.key_variable)
        headers = {"User-Agent": "coldburst", "Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        host = without_overlap(host, options.path)
        self.client = HttpClient(host, limits, headers | answer.credentials(key))
        self.url = host + options.path
        # RunPod limits the jobs behind this route, as it does others. Elsewhere such headers may be of one of many workers.
        self._limit = RequestLimit() if JOBS_ROUTE in self.url else None

    def send(self, seq: int, name: str, exchange: Exchange, values: Mapping[str, Any] = NO_VALUES) -> Evidence:
        """Sends the request ``seq``, called ``name`` on the wire, fills ``exchange`` in and returns what came back."""
        body, known = self._templates[seq % len(self._templates)].body(seq, name, values), exchange.known
        known["bytes_out"] = len(body)
        stream = _Listener(exchange)
        turn = self._limit.enter(exchange) if self._limit else 0
        self.client.send(exchange, "POST", self._options.path, body, {"X-Request-ID": name}, on_body=stream.receive)
        if self._limit:
            self._limit.hear(turn, exchange.headers)
        if exchange.first is None:
            return Evidence(measured=known | {"error": exchange.error})
        known |= {"bytes_in": exchange.received} | timing(exchange.headers)
        if not exchange.fault:
            # A stream may be empty.
            stream.receive(b"", exchange.done or 0.0)
        if streamed := stream.streamed:
            return self._of_stream(streamed, exchange)
        if exchange.fault:
            return Evidence(measured=known | {"error": exchange.error})
        content = answer.parse_json(exchange.body)
        if not 200 <= (exchange.status or 0) < 300:
            return answer.refusal(exchange, content, known, self._sender)
        found = judge_whole(content, exchange)
        says, checked = self._options.checks.judge(content, exchange)
        if says == "error" or not found.says:
            return Evidence(says, {**known, **found.measured, **checked})
        return Evidence(found.says, {**known, **found.measured})

    def share(self, generators: int) -> None:
        """See factory.Target."""
        if self._limit:
            self._limit.share(generators)

    def close(self) -> None:
        """Closes the idle connections."""
        self.client.close()

    def _of_stream(self, stream: StreamedAnswer, exchange: Exchange) -> Evidence:
        """A stream that breaks is the service's failure, with the status that it began with; our own deadline stays what it is."""
        stream.end(exchange.done or 0.0)
        found = judge_stream(stream, exchange.fault, exchange.error)
        measured = {**exchange.known, **found.measured}
        if exchange.fault == "deadline":
            return Evidence(measured=measured | {"error": f"{exchange.error}, {len(stream.instants)} chunks so far"})
        if exchange.fault:
            exchange.fault, exchange.status = "", stream.status
        return Evidence(found.says, measured)


class _Listener:
    """Takes the body of one answer; ``streamed`` is what it is, where it is a stream of events."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._first = True
        self.streamed: StreamedAnswer | None = None

    def receive(self, piece: bytes, at_s: float) -> None:
        if self._first:
            self._first = False
            kind = str(self._exchange.headers.get("content-type", ""))
            if kind.startswith("text/event-stream") and self._exchange.status and 200 <= self._exchange.status < 300:
                self.streamed = StreamedAnswer(self._exchange.known, self._exchange.sent or 0.0, self._exchange.status)
        if self.streamed:
            self.streamed.receive(piece, at_s)


def chat_payload(payload: Payload, model: str) -> Payload:
    """The template, or DEFAULT_BODY without one, with ``model`` where the body names none."""
    tree = dict(DEFAULT_BODY) if payload.tree is None else payload.tree
    if model and isinstance(tree, dict) and "model" not in tree:
        tree = {"model": model} | tree
    return replace(payload, tree=tree)
