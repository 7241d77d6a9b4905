"""Jobs of a video service: submitted, polled to their end, fetched, and cancelled when they are given up.

As with RunPod's queues, polling does not lengthen a request: it ends when the service says its job ended, plus the time to fetch the video.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

import gevent
from gevent.pool import Pool

from coldburst.pieces import Body
from coldburst.targets import answer
from coldburst.targets.exchange import Exchange, Timeouts

logger = logging.getLogger("coldburst")
ENDED = ("done", "failed", "cancelled", "queue_timeout")
# Consecutive failed polls, and for how long, before a job counts as lost.
GIVE_UP_AFTER, LOST_S, BACK_OFF_S = 3, 30.0, 10.0
# How long a cancellation may take, and how many are sent at a time.
CANCEL_S, CANCELS = 5.0, 20


class Client(Protocol):
    """What sends a request, see http.HttpClient."""

    def send(
        self,
        exchange: Exchange,
        method: str,
        path: str,
        body: Body = b"",
        headers: Mapping[str, str] | None = None,
        limits: Timeouts | None = None,
    ) -> None:
        """Fills in ``exchange``; network errors are not raised."""


@dataclass(slots=True)
class _Job:
    """A job on its way; instants by ``time.perf_counter``. ``asked``: when the last poll was sent that saw it unfinished."""

    id: str
    accepted: float
    deadline: float
    asked: float
    state: str = "queued"
    failures: int = 0
    failing: float = 0.0

    @property
    def left_s(self) -> float:
        return self.deadline - time.perf_counter()


class VideoJobs:
    """The jobs of one run.

    Args:
        path: route of the service, as in ``/v1/videos``.
        poll_s: interval between two polls of a job.
        cancel: whether jobs that the run gives up are cancelled.
    """

    def __init__(self, client: Client, path: str, limits: Timeouts, poll_s: float, *, cancel: bool) -> None:
        self._client, self._path, self._limits, self._poll_s, self._cancels = client, path, limits, poll_s, cancel
        self._unended: dict[str, None] = {}

    def run(self, body: Body, headers: Mapping[str, str], exchange: Exchange) -> Any:
        """The job object at its end, or what the service answered instead; None with a fault in ``exchange``."""
        self._client.send(exchange, "POST", self._path, body, headers)
        exchange.known["bytes_in"] = exchange.received
        content = answer.parse_json(exchange.body)
        job_id = content.get("id") if isinstance(content, dict) else None
        if exchange.fault or not 200 <= (exchange.status or 0) < 300 or not isinstance(job_id, str) or content.get("status") in ENDED:
            return content
        sent, done = exchange.sent or 0.0, exchange.done or 0.0
        job = _Job(job_id, accepted=done, deadline=sent + self._limits.total_s, asked=sent)
        exchange.known |= {"job_id": job_id, "polls": 0}
        self._unended[job_id] = None
        final = self._follow(job, exchange)
        if final is not None:
            self._unended.pop(job_id, None)
        return self._fetch(job, final, exchange) if final and final.get("status") == "done" else final

    def close(self) -> int:
        """Cancels the jobs that have not ended; returns how many may still run."""
        if self._cancels and self._unended:
            pool = Pool(CANCELS)
            for job_id in list(self._unended):
                pool.spawn(self._cancel, job_id)
            pool.join(timeout=CANCEL_S)
            pool.kill()
        if self._unended:
            logger.warning("%d videos may still be made: POST %s/ID/cancel cancels one", len(self._unended), self._path)
        return len(self._unended)

    def _follow(self, job: _Job, exchange: Exchange) -> Mapping[str, Any] | None:
        while True:
            gevent.sleep(max(0.0, min(self._poll_s if not job.failures else min(self._poll_s * 2**job.failures, BACK_OFF_S), job.left_s)))
            if job.left_s <= 0:
                self._give_up(job, exchange, "deadline", f"still {job.state} after {self._limits.total_s:g} s", job.deadline)
                return None
            poll, exchange.known["polls"] = Exchange(), exchange.known["polls"] + 1
            self._client.send(poll, "GET", self._of(job.id), limits=self._within(job.left_s))
            content, now = answer.parse_json(poll.body), poll.done or time.perf_counter()
            if not poll.fault and poll.status == 200 and isinstance(content, dict) and isinstance(content.get("status"), str):
                job.failures, job.state = 0, content["status"]
                if job.state in ENDED:
                    exchange.seen = now
                    exchange.done = answer.ended_at(
                        job.accepted, job.asked, now, _number(content, "queue_s"), _number(content, "execution_s")
                    )
                    return content
                job.asked = poll.sent or now
            elif answer.says_gone(poll, content):
                exchange.seen = exchange.done = now
                return {"id": job.id, "status": "failed", "error": {"message": f"the job is gone: {answer.reason(poll, content)}"}}
            elif self._lost(job, poll, now):
                why = poll.error if poll.fault else f"{poll.status}: {answer.reason(poll, content)}"
                self._give_up(job, exchange, "reset", f"no poll showed the state of its job for {now - job.failing:.0f} s: {why}", now)
                return None

    @staticmethod
    def _lost(job: _Job, poll: Exchange, now: float) -> bool:
        if not job.failures:
            job.failing = poll.sent or now
        job.failures += 1
        return job.failures >= GIVE_UP_AFTER and now - job.failing >= LOST_S

    def _give_up(self, job: _Job, exchange: Exchange, fault: str, error: str, at: float) -> None:
        exchange.done, exchange.fault, exchange.error = at, fault, error
        if self._cancels:
            self._cancel(job.id)

    def _cancel(self, job_id: str) -> None:
        cancelling = Exchange()
        self._client.send(cancelling, "POST", f"{self._of(job_id)}/cancel", limits=Timeouts(CANCEL_S, CANCEL_S, CANCEL_S))
        if cancelling.status in (200, 404):
            self._unended.pop(job_id, None)

    def _fetch(self, job: _Job, final: Mapping[str, Any], exchange: Exchange) -> Mapping[str, Any]:
        """The job object, once its video has been fetched."""
        fetched, ended = Exchange(), exchange.done or 0.0
        self._client.send(fetched, "GET", f"{self._of(job.id)}/video", limits=self._within(max(job.left_s, CANCEL_S)))
        sent, done = fetched.sent or ended, fetched.done or ended
        exchange.seen, exchange.done = done, ended + done - sent
        exchange.known["bytes_in"] = fetched.received
        if fetched.fault or fetched.status != 200:
            why = fetched.error if fetched.fault else f"{fetched.status}: {answer.reason(fetched, answer.parse_json(fetched.body))}"
            return {"id": job.id, "status": "failed", "error": {"message": f"its video could not be fetched: {why}"}}
        return final

    def _within(self, left_s: float) -> Timeouts:
        return Timeouts(min(self._limits.connect_s, left_s), left_s, left_s)

    def _of(self, job_id: str) -> str:
        return f"{self._path}/{quote(job_id, safe='')}"


def _number(job: Mapping[str, Any], name: str) -> float | None:
    value = job.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None


def columns(job: Any) -> dict[str, Any]:
    """The columns of an attempt that a job object fills: times, and the worker."""
    if not isinstance(job, dict):
        return {}
    found: dict[str, Any] = {name: value for name in ("queue_s", "execution_s") if (value := _number(job, name)) is not None}
    if isinstance(worker := job.get("worker_id"), str) and worker:
        found["worker_id"] = worker
    return found
