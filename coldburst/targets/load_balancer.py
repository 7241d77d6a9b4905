"""RunPod's load-balancing endpoints: sends requests to a route of the endpoint workers, which answer themselves.

Nothing is queued. A request without a free worker is held for two minutes, then answered 400 (documented); one that takes longer than
five and a half minutes is cut with 524. ``outcome.judge_400`` distinguishes that 400 from a worker's own.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from coldburst.keys import RUNPOD_KEY
from coldburst.pieces import Body
from coldburst.targets import answer
from coldburst.targets.address import without_overlap
from coldburst.targets.answer_shapes import phases
from coldburst.targets.body_template import NO_VALUES, BodyTemplate
from coldburst.targets.checks import ANY, Checks
from coldburst.targets.clips import Clip, form_pieces
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.outcome import HOLD_FROM_S, HOLD_TO_S, Evidence, judge_400
from coldburst.targets.payload import Payload, form_bodies, json_bodies
from coldburst.targets.row_clip import row_clip
from coldburst.targets.transcript_shapes import STREAM, form_fields
from coldburst.targets.transcript_stream import TranscriptStream
from coldburst.targets.transcription_answer import judge, judge_stream, timing
from coldburst.targets.word_error_rate import ANY_WER, judge_output, warm_up


@dataclass(frozen=True, slots=True)
class LoadBalancerOptions:
    """How requests to a load-balancing endpoint are made.

    Attributes:
        path: the worker's route. Clips without a template are sent as a transcription service's form.
        model, language: that form's fields.
        hold_from_s, hold_to_s: time from sending within which a 400 is the platform's own (documented: about 120 s;
            the bounds leave room for connecting and uploading).
        checks: what makes a JSON answer an error or wrong.
        max_wer: an answer with a word error rate above this is ``wrong``; infinity = only compared, None = not.
        shape: of the form's answer, one of transcript_shapes.SHAPES.

    Raises:
        ValueError: bounds that are not ascending.
    """

    path: str = "/"
    model: str = "whisper-1"
    language: str = "en"
    hold_from_s: float = HOLD_FROM_S
    hold_to_s: float = HOLD_TO_S
    checks: Checks = ANY
    max_wer: float | None = ANY_WER
    shape: str = "json"

    def __post_init__(self) -> None:
        if not 0 <= self.hold_from_s < self.hold_to_s:
            raise ValueError(
                f"--hold-from {self.hold_from_s:g} must be below --hold-to {self.hold_to_s:g}: give two ascending times, as in 110 and 135"
            )


class LoadBalancerTarget:
    """One load-balancing endpoint.

    Args:
        host: the endpoint's address, as in ``https://ID.api.runpod.ai``.
        payload: a template, clips, or neither: then GET requests without a body are sent.
        key: API key, or "".

    Raises:
        ValueError: the payload cannot be sent.
    """

    kind: ClassVar[str] = "balancer"

    def __init__(self, host: str, payload: Payload, options: LoadBalancerOptions, limits: Timeouts, key: str = "") -> None:
        boundary = uuid.uuid4().hex
        self._spoken, self._method = payload.spoken, "POST"
        self._form = payload.tree is None and bool(payload.clips or payload.spoken)
        self._fields, self._boundary = form_fields(options.model, options.language, options.shape), boundary
        headers = {"User-Agent": "coldburst", "Accept": "application/json"}
        if self._form:
            self._templates = form_bodies(payload, self._fields, boundary)
            headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
        elif payload.tree is not None:
            self._templates, headers["Content-Type"] = json_bodies(payload), "application/json"
        else:
            self._templates, self._method = (BodyTemplate(None, b""),), "GET"
        self._options, self._sender = options, answer.Sender(self.kind, key, RUNPOD_KEY)
        host = without_overlap(host, options.path)
        self.client = HttpClient(host, limits, headers | answer.credentials(key))
        self.url = host + options.path
        warm_up(payload.texts, options.max_wer)

    def send(self, seq: int, name: str, exchange: Exchange, values: Mapping[str, Any] = NO_VALUES) -> Evidence:
        """See factory.Target."""
        clip, body = self._filled(seq, name, values)
        known = exchange.known
        known["bytes_out"] = len(body)
        if clip:
            known["audio_s"] = clip.audio_s
        stream = TranscriptStream(exchange) if self._form and self._options.shape == STREAM else None
        listener = stream.receive if stream else None
        self.client.send(exchange, self._method, self._options.path, body, {"X-Request-ID": name}, on_body=listener)
        if exchange.fault and not (stream and stream.status):
            return Evidence(measured=known | {"error": exchange.error})
        known |= {"bytes_in": exchange.received} | timing(exchange.headers)
        if worker := exchange.headers.get("x-runpod-worker-id"):
            known["worker_id"] = worker
        if clip and stream and stream.status:
            return judge_stream(stream, clip.text, self._options, known)
        if not 200 <= (exchange.status or 0) < 300:
            return self._refused(exchange, known)
        if self._form and clip:
            return judge(exchange, clip.text, self._options, known, self._sender)
        return self._judge(exchange, clip.text if clip else "", known)

    def _filled(self, seq: int, name: str, values: Mapping[str, Any]) -> tuple[Clip | None, Body]:
        """The clip in the request, if any, and its body."""
        if self._form and self._spoken:
            clip = row_clip(values, self._spoken, data=True)
            return clip, form_pieces(clip, self._fields, self._boundary)
        template = self._templates[seq % len(self._templates)]
        return row_clip(values, self._spoken) if self._spoken else template.clip, template.body(seq, name, values)

    def share(self, generators: int) -> None:
        """See factory.Target. No rate limit is known here."""

    def close(self) -> None:
        """Closes the idle connections."""
        self.client.close()

    def _refused(self, exchange: Exchange, known: Mapping[str, Any]) -> Evidence:
        """What an answer outside 200..299 says; the time of a 400 shows whether the platform or a worker sent it."""
        evidence = answer.refusal(exchange, answer.parse_json(exchange.body), known, self._sender)
        if exchange.status != 400:
            return evidence
        error, took_s = str(evidence.measured["error"]), (exchange.done or 0.0) - (exchange.sent or 0.0)
        says, note = judge_400(took_s, error, self._options.hold_from_s, self._options.hold_to_s)
        return Evidence(says, {**known, "error": error + note})

    def _judge(self, exchange: Exchange, reference: str, known: Mapping[str, Any]) -> Evidence:
        content = answer.parse_json(exchange.body)
        says, measured = self._options.checks.judge(content, exchange)
        if says:
            return Evidence(says, {**known, **measured})
        says, compared = judge_output(content, reference, self._options.max_wer)
        return Evidence(says, {**known, **phases(content), **measured, **compared})
