"""Video services: asks for a video and waits for its end (``POST /v1/videos?wait=true``), and reads the phases of the work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from coldburst.keys import VIDEO_KEY
from coldburst.targets import answer
from coldburst.targets.address import without_overlap
from coldburst.targets.body_template import NO_VALUES
from coldburst.targets.checks import ANY, Checks
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.outcome import Evidence
from coldburst.targets.payload import Payload, json_bodies
from coldburst.targets.phases import phases
from coldburst.targets.transcription_answer import timing

SCRIPT = "A cold start is the time from the start of a worker to its first answer. Video {{seq}}."
DEFAULT_BODY: Mapping[str, Any] = {"script": SCRIPT}
# Error codes of the service that are causes of their own.
CAUSES = ("double_load", "race", "out_of_memory", "worker_lost")


class VideoTarget:
    """One service with ``POST /v1/videos``.

    Args:
        host: origin of the service; a path that the route begins with (``…/v1``) is understood.
        payload: a template with the request's JSON, or nothing: then DEFAULT_BODY is sent.
        path: the route.
        key: API key, or "" for an open service.
        checks: what is expected of the finished job's object.
    """

    kind: ClassVar[str] = "video"

    def __init__(self, host: str, payload: Payload, path: str, limits: Timeouts, key: str = "", checks: Checks = ANY) -> None:
        self._templates = json_bodies(video_payload(payload))
        self._checks = checks
        self._path, self._sender = f"{path}?wait=true", answer.Sender(self.kind, key, VIDEO_KEY)
        headers = {"User-Agent": "coldburst", "Accept": "application/json", "Content-Type": "application/json"}
        host = without_overlap(host, path)
        self.client = HttpClient(host, limits, headers | answer.credentials(key))
        self.url = host + path

    def send(self, seq: int, name: str, exchange: Exchange, values: Mapping[str, Any] = NO_VALUES) -> Evidence:
        """See factory.Target."""
        body, known = self._templates[seq % len(self._templates)].body(seq, name, values), exchange.known
        known["bytes_out"] = len(body)
        self.client.send(exchange, "POST", self._path, body, {"X-Request-ID": name})
        if exchange.fault:
            return Evidence(measured=known | {"error": exchange.error})
        content = answer.parse_json(exchange.body)
        known |= {"bytes_in": exchange.received} | timing(exchange.headers) | phases(content)
        found = judge(exchange, content, known, self._sender)
        if found.says or found.measured.get("error"):
            return found
        says, measured = self._checks.judge(content, exchange)
        return Evidence(says, {**found.measured, **measured})

    def share(self, generators: int) -> None:
        """See factory.Target: no rate limit is known here."""

    def close(self) -> None:
        """Closes the idle connections."""
        self.client.close()


def judge(exchange: Exchange, content: Any, known: Mapping[str, Any], sender: answer.Sender) -> Evidence:
    """What a complete answer says: the job's own state where it has one, otherwise the HTTP status."""
    job = content if isinstance(content, dict) else {}
    if isinstance(job.get("id"), str):
        known = {**known, "job_id": job["id"]}
    state, error = job.get("status"), job.get("error")
    code, message = (str(error.get(name) or "") for name in ("code", "message")) if isinstance(error, dict) else ("", "")
    if state == "queue_timeout":
        return Evidence("gave_up_waiting", {**known, "error": message or "no worker was free in time"}, "no_capacity")
    if state == "failed":
        return Evidence("error", {**known, "error": message or answer.reason(exchange, content)}, code if code in CAUSES else "")
    if state == "cancelled":
        return Evidence("error", {**known, "error": "CANCELLED, and not by this run"})
    if not 200 <= (exchange.status or 0) < 300:
        return answer.refusal(exchange, content, known, sender)
    if state != "done":
        return Evidence("wrong", {**known, "error": f"{exchange.status} without a finished job: {answer.excerpt(exchange)}"})
    return Evidence("", known)


def video_payload(payload: Payload) -> Payload:
    """The template, or DEFAULT_BODY without one."""
    return payload if payload.tree is not None else replace(payload, tree=dict(DEFAULT_BODY))
