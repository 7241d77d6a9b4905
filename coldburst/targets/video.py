"""Video services: asks for a video, waits for its end or polls its job, and reads the phases of the work.

One request that waits (``POST /v1/videos?wait=true``) needs no polls, and the service cancels its job when the client leaves. Proxies end a
silent request after 60 or 100 s, so at https:// jobs are submitted, polled and fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from coldburst.keys import VIDEO_KEY
from coldburst.targets import answer
from coldburst.targets.address import without_overlap
from coldburst.targets.answer_shapes import phases
from coldburst.targets.body_template import NO_VALUES
from coldburst.targets.checks import ANY, Checks
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.outcome import Evidence
from coldburst.targets.payload import Payload, json_bodies
from coldburst.targets.transcription_answer import timing
from coldburst.targets.video_jobs import VideoJobs, columns

SCRIPT = "A cold start is the time from the start of a worker to its first answer. Video {{seq}}."
DEFAULT_BODY: Mapping[str, Any] = {"script": SCRIPT}
# Error codes of the service that are causes of their own.
CAUSES = ("double_load", "race", "out_of_memory", "worker_lost")


@dataclass(frozen=True, slots=True)
class VideoOptions:
    """How videos are asked for.

    Attributes:
        path: the route.
        poll: "status-sync" waits in one request, "status" polls; "auto" waits at http:// and polls at https://.
        poll_s: interval between two polls of a job.
        cancel: whether polled jobs that are given up are cancelled.
        checks: what is expected of the finished job's object.

    Raises:
        ValueError: another poll.
    """

    path: str = "/v1/videos"
    poll: str = "auto"
    poll_s: float = 1.0
    cancel: bool = True
    checks: Checks = ANY

    def __post_init__(self) -> None:
        if self.poll not in ("auto", "status", "status-sync"):
            raise ValueError(f"--poll '{self.poll}' is not for a video service: give status, status-sync or auto")

    def polls(self, host: str) -> bool:
        """Whether jobs of the service at ``host`` are polled."""
        return self.poll == "status" or (self.poll == "auto" and host.startswith("https://"))


class VideoTarget:
    """One service with ``POST /v1/videos``.

    Args:
        host: origin of the service; a path that the route begins with (``…/v1``) is understood.
        payload: a template with the request's JSON, or nothing: then DEFAULT_BODY is sent.
        key: API key, or "" for an open service.
    """

    kind: ClassVar[str] = "video"

    def __init__(self, host: str, payload: Payload, options: VideoOptions, limits: Timeouts, key: str = "") -> None:
        self._templates, path = json_bodies(video_payload(payload)), options.path
        self._checks = options.checks
        self._path, self._sender = f"{path}?wait=true", answer.Sender(self.kind, key, VIDEO_KEY)
        headers = {"User-Agent": "coldburst", "Accept": "application/json", "Content-Type": "application/json"}
        host = without_overlap(host, path)
        self.client = HttpClient(host, limits, headers | answer.credentials(key))
        self.url = host + path
        self._jobs = VideoJobs(self.client, path, limits, options.poll_s, cancel=options.cancel) if options.polls(host) else None

    def send(self, seq: int, name: str, exchange: Exchange, values: Mapping[str, Any] = NO_VALUES) -> Evidence:
        """See factory.Target."""
        body, known = self._templates[seq % len(self._templates)].body(seq, name, values), exchange.known
        known["bytes_out"] = len(body)
        headers = {"X-Request-ID": name}
        if self._jobs:
            content = self._jobs.run(body, headers, exchange)
        else:
            self.client.send(exchange, "POST", self._path, body, headers)
            content = answer.parse_json(exchange.body)
            known["bytes_in"] = exchange.received
        if exchange.fault:
            return Evidence(measured=known | {"error": exchange.error})
        known |= columns(content) | timing(exchange.headers) | phases(content)
        found = judge(exchange, content, known, self._sender)
        if found.says or found.measured.get("error"):
            return found
        says, measured = self._checks.judge(content, exchange)
        return Evidence(says, {**found.measured, **measured})

    def share(self, generators: int) -> None:
        """See factory.Target: no rate limit is known here."""

    def close(self) -> None:
        """Cancels polled jobs that have not ended, and closes the idle connections."""
        if self._jobs:
            self._jobs.close()
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
