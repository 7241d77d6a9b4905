"""Custom Locust events: cold starts, queueing, platform time-outs, throttling.

They are ``EventHook``s on ``locust.events`` (and ``environment.events``), fired with keyword arguments.
A listener takes the ones it needs and ``**kwargs``, and must not block::

    from locust import events
    import coldburst.load.events

    @events.throttled.add_listener
    def slow_down(seq, retry_after_s, **kwargs):
        print(f"request {seq} was throttled")
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from locust import events
from locust.event import EventHook
from locust.stats import StatsEntry

from coldburst.record.attempt import Attempt, response_s

METHOD = "POST"
# Queue delay from which a response counts as ``queued``. Shorter ones are the endpoint worker's own hand-over.
QUEUED_S = 0.1
HOOKS = {
    "attempt": "a row was written: attempt (an Attempt)",
    "cold_start": "the first response of an endpoint worker came after a wait: seq, worker_id, seconds (the wait), at_s",
    "worker_ready": "an endpoint worker started and became ready: worker_id, seconds (start to ready), at_s, detail",
    "worker_log": "one of the last log lines of an endpoint worker, read once for each cause: worker_id, cause, at_s, detail (the line)",
    "queued": "a request waited in the endpoint's queue: seq, stage, worker_id, seconds, at_s",
    "failed": "an error of the service: seq, stage, seconds (sent to response), at_s, cause, detail",
    "wrong": "a response without the expected content: seq, stage, seconds (sent to response), at_s, cause, detail",
    "queue_timeout": "the platform stopped waiting for an endpoint worker: seq, stage, seconds (sent to response), at_s, cause, detail",
    "throttled": "429: seq, stage, seconds (sent to response), at_s, cause, retry_after_s (None if not given), detail",
    "busy": "503, the service has no room: seq, stage, seconds (sent to response), at_s, cause, detail",
    "refused": "any other 4xx: seq, stage, seconds (sent to response), at_s, cause, detail",
    "timed_out": "the platform's execution limit passed: seq, stage, seconds (sent to response), at_s, cause, detail",
    "unreachable": "no connection, or a broken one: seq, stage, seconds (sent to the break), at_s, cause, detail",
    "abandoned": "the request's deadline passed: seq, stage, seconds (sent to deadline), at_s, cause, detail",
    "rate_limited": "the endpoint's answers allowed no further job, so a request waited: seq, stage, at_s, detail",
    "object_retried": "boto3 sent a call to the object store again: seq, stage, at_s, detail",
    "object_pool_full": "boto3 discarded a connection, because more than its pool holds were in use: seq, stage, at_s, detail",
    "generator_lost": "on the master: a load generator fell silent: generator, seconds (its silence so far), at_s, detail",
    "generator_back": "on the master: a lost generator reported again: generator, at_s, detail",
    "generator_joined": "on the master: a generator joined the running test: generator, at_s, detail",
    "share_dealt": "on the master: others take over its share from at_s: generator, seconds (since its last report), at_s, detail",
}
# The hooks that write rows in events.csv.
KINDS = tuple(name for name in HOOKS if name != "attempt")
# The outcomes that have a hook of the same name, with a cause.
EXPLAINED = ("failed", "wrong", "queue_timeout", "throttled", "busy", "refused", "timed_out", "unreachable", "abandoned")


def install(on: Any = events) -> None:
    """Adds the hooks to Locust's events. Existing hooks keep their listeners."""
    for name in HOOKS:
        if not hasattr(on, name):
            setattr(on, name, EventHook())  # type: ignore[no-untyped-call]


def announce(row: Attempt, *, cause: str = "", cold: bool = False, retry_after_s: float | None = None, on: Any = events) -> None:
    """Fires the events of one attempt, ``attempt`` first. ``cold``: first response of its endpoint worker, after a wait."""
    on.attempt.fire(attempt=row)
    queued = row.queue_s is not None and row.queue_s >= QUEUED_S
    if not (cold or queued or row.outcome in EXPLAINED):
        return
    about = {name: getattr(row, name) for name in ("seq", "attempt", "stage", "worker_id")}
    about |= {"at_s": row.done_s, "detail": row.error}
    if cold:
        on.cold_start.fire(seconds=row.queue_s, **about)
    if queued:
        on.queued.fire(seconds=row.queue_s, **about)
    if row.outcome in EXPLAINED:
        about["seconds"] = None if row.done_s is None or row.sent_s is None else row.done_s - row.sent_s
        if row.outcome == "throttled":
            about["retry_after_s"] = retry_after_s
        getattr(on, row.outcome).fire(cause=cause, **about)


def announce_further(row: Attempt, happened: Iterable[tuple[str, str]], *, on: Any = events) -> None:
    """Fires the events, by name and detail, that happened during an attempt besides those of ``announce``."""
    for kind, detail in happened:
        at_s = {} if row.done_s is None else {"at_s": row.done_s}
        getattr(on, kind).fire(seq=row.seq, attempt=row.attempt, stage=row.stage, detail=detail, **at_s)


class NotOkError(Exception):
    """An attempt that did not end ok, for Locust's own statistics."""


class RequestStatistics:
    """Passes the attempts of one target to Locust's own statistics.

    If the web UI or a listener follows them, this happens at once by the event ``request``. Otherwise successes are added up until
    ``flush``, as Locust adds up the statistics of its workers.
    """

    def __init__(self, environment: Any, kind: str, url: str) -> None:
        self._environment, self._kind, self._url = environment, kind, url
        self._batch: Any = StatsEntry(environment.stats, kind, METHOD)

    def add(self, row: Attempt) -> None:
        """Counts an attempt, with its response time in milliseconds."""
        took_s = response_s(row) or 0.0
        if row.outcome == "ok" and not self._is_followed():
            self._batch.log(took_s * 1000, row.bytes_in or 0)
            return
        status = "" if row.status is None else f" ({row.status})"
        self._environment.events.request.fire(
            request_type=METHOD,
            name=self._kind,
            response_time=took_s * 1000,
            response_length=row.bytes_in or 0,
            response=None,
            context={"attempt": row},
            exception=None if row.outcome == "ok" else NotOkError(f"{row.outcome}{status}"),
            start_time=time.time() - took_s,
            url=self._url,
        )

    def flush(self) -> None:
        """Brings Locust's statistics up to date."""
        if self._batch.num_requests:
            statistics = self._environment.stats
            for entry in (statistics.total, statistics.entries[self._kind, METHOD]):
                entry.extend(self._batch)
            self._batch.reset()

    def _is_followed(self) -> bool:
        # The first listener is that of Locust's statistics.
        return self._environment.web_ui is not None or len(self._environment.events.request._handlers) > 1


install()
