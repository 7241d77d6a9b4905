"""RunPod's load-balancing endpoints: sends requests of any path and verb, which an endpoint worker answers itself.

Nothing is queued: a request that finds no worker is held for two minutes and then answered 400 (documented), one that
takes longer than five and a half minutes is cut with 524. ``coldburst.targets.outcome.judge_400`` tells that 400 from a worker's own.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from coldburst.keys import RUNPOD_KEY
from coldburst.targets import answer
from coldburst.targets.address import without_overlap
from coldburst.targets.clips import form_fields
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.outcome import HOLD_FROM_S, HOLD_TO_S, Evidence, judge_400
from coldburst.targets.payload import BodyTemplate, Payload, form_bodies, json_bodies
from coldburst.targets.transcription_answer import judge, timing
from coldburst.targets.word_error_rate import judge_text, transcript, warm_up

WORKER_HEADER = "X-Runpod-Worker-Id"


@dataclass(frozen=True, slots=True)
class LoadBalancerOptions:
    """How requests to a load-balancing endpoint are made.

    Attributes:
        path, method: the worker's route. Clips without a template go as a transcription service's form.
        model, language: that form's fields.
        affinity: the worker that is asked for, as RunPod's header says it ("ID", "strict ID", "strict-resume ID"); "" = any.
        hold_from_s, hold_to_s: time from sending within which a 400 is the platform's own (documented: about 120 s;
            the bounds leave room for connecting and uploading). "strict" waits about 300 s.
        error_at: places in a JSON answer where an error stands (answer.error_in); only with a template.
        max_wer: an answer with a word error rate above this is ``wrong``; None = no check.

    Raises:
        ValueError: bounds that hold nothing, a verb or an affinity that cannot stand in a request.
    """

    path: str = "/"
    method: str = "POST"
    model: str = "whisper-1"
    language: str = "en"
    affinity: str = ""
    hold_from_s: float = HOLD_FROM_S
    hold_to_s: float = HOLD_TO_S
    error_at: tuple[str, ...] = ("error",)
    max_wer: float | None = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.hold_from_s < self.hold_to_s:
            raise ValueError(
                f"a hold from {self.hold_from_s:g} to {self.hold_to_s:g} s holds nothing: give two rising times, as in 110 and 135"
            )
        if not re.fullmatch(r"[A-Z]+", self.method):
            raise ValueError(f"'{self.method}' is no verb of HTTP: give one in capitals, as in POST")


class LoadBalancerTarget:
    """One load-balancing endpoint: ``send`` sends a request and reads the answer.

    Args:
        host: the endpoint's address, as in ``https://ID.api.runpod.ai``.
        payload: a template, clips, or neither: then requests have no body.
        key: API key, or "".

    Raises:
        ValueError: the payload cannot be sent; one sentence.
    """

    kind: ClassVar[str] = "balancer"

    def __init__(self, host: str, payload: Payload, options: LoadBalancerOptions, limits: Timeouts, key: str = "") -> None:
        boundary = uuid.uuid4().hex
        self._form = payload.tree is None and bool(payload.clips)
        if self._form:
            self._templates = form_bodies(payload, form_fields(options.model, options.language), boundary)
        else:
            self._templates = (BodyTemplate(None, (b"",)),) if payload.tree is None else json_bodies(payload)
        body = f"multipart/form-data; boundary={boundary}" if self._form else "application/json" if payload.tree is not None else ""
        headers = {"User-Agent": "coldburst", "Accept": "application/json", "Content-Type": body, WORKER_HEADER: options.affinity}
        self._options, self._key = options, key
        host = without_overlap(host, options.path)
        self.client = HttpClient(host, limits, {name: value for name, value in headers.items() if value} | answer.bearer(key))
        self.url = host + options.path
        warm_up((clip.text for clip in payload.clips), options.max_wer)

    def send(self, seq: int, name: str, exchange: Exchange) -> Evidence:
        """Sends the request ``seq``, called ``name`` on the wire, fills ``exchange`` in and says what came back."""
        template = self._templates[seq % len(self._templates)]
        body, known = template.body(seq, name), exchange.known
        known["bytes_out"] = len(body)
        if template.clip:
            known["audio_s"] = template.clip.audio_s
        self.client.send(exchange, self._options.method, self._options.path, body, {"X-Request-ID": name})
        answer.mask_key(exchange, self._key)
        if exchange.fault:
            return Evidence(measured=known | {"error": exchange.error})
        known |= {"bytes_in": exchange.received} | timing(exchange.headers)
        if isinstance(worker := exchange.headers.get(WORKER_HEADER.lower()), str) and worker:
            known["worker_id"] = worker
        if not 200 <= (exchange.status or 0) < 300:
            return self._refused(exchange, known)
        if self._form and template.clip:
            return judge(exchange, template.clip.text, self._options.max_wer, known)
        return self._judge(exchange, template.clip.text if template.clip else "", known)

    def share(self, generators: int) -> None:
        """See Target: no rate limit is known here."""

    def close(self) -> None:
        """Closes the idle connections."""
        self.client.close()

    def _refused(self, exchange: Exchange, known: Mapping[str, Any]) -> Evidence:
        """What an answer outside 200..299 says; here a 400 is told to be the platform's or the worker's, by its time."""
        evidence = answer.refusal(exchange, answer.parse_json(exchange.body), known)
        hint = answer.key_hint(exchange.status, self._key, RUNPOD_KEY) or answer.address_hint(
            exchange.status, "the --path, or the id in --host,"
        )
        error = str(evidence.measured["error"]) + ("" if "affinity" in str(evidence.measured["error"]) else hint)
        if exchange.status != 400:
            return Evidence(evidence.says, {**known, "error": error})
        took_s = (exchange.done or 0.0) - (exchange.sent or 0.0)
        says, note = judge_400(took_s, error, self._options.hold_from_s, self._options.hold_to_s)
        return Evidence(says, {**known, "error": error + note})

    def _judge(self, exchange: Exchange, reference: str, known: Mapping[str, Any]) -> Evidence:
        content = answer.parse_json(exchange.body)
        if inner := answer.error_in(content, self._options.error_at):
            return Evidence("error", {**known, "error": f"an error inside a {exchange.status}: {inner}"})
        if not reference or self._options.max_wer is None:
            return Evidence("", known)
        text = transcript(content)
        if text is None:
            return Evidence("wrong", {**known, "error": f"{exchange.status} without a 'text': {answer.excerpt(exchange.body)}"})
        says, measured = judge_text(text, reference, self._options.max_wer)
        return Evidence(says, {**known, **measured})
