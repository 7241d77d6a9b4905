"""Custom Locust events: cold starts, queueing, the platform's time-outs, throttling.

They are ``EventHook``s on ``locust.events`` (and so on ``environment.events``), fired with keyword
arguments. A listener takes what it needs and ``**kwargs``, and must not block::

    from locust import events
    import coldburst.load.events

    @events.throttled.add_listener
    def slow_down(seq, retry_after_s, **kwargs):
        print(f"request {seq} was throttled")
"""

from __future__ import annotations

from typing import Any

from locust import events
from locust.event import EventHook

from coldburst.record.attempt import Attempt

QUEUED_S = 0.1
"""From this queue delay on, in seconds, an answer counts as ``queued``: below it lies an endpoint worker's own hand-over."""

HOOKS = {
    "attempt": "a row was written: attempt (an Attempt)",
    "cold_start": "the first answer of an endpoint worker came after a wait: seq, worker_id, seconds (the wait), at_s",
    "worker_ready": "an endpoint worker was started and became ready: worker_id, seconds (start to ready), at_s, detail",
    "queued": "a request waited in the endpoint's queue: seq, stage, worker_id, seconds, at_s",
    "failed": "an error of the service: seq, stage, seconds (sent to answer), at_s, cause, detail",
    "wrong": "answered, but not with what was asked for: seq, stage, seconds (sent to answer), at_s, cause, detail",
    "queue_timeout": "the platform gave up waiting for an endpoint worker: seq, stage, seconds (sent to answer), at_s, cause, detail",
    "throttled": "429: seq, stage, seconds (sent to answer), at_s, cause, retry_after_s (None where not said), detail",
    "busy": "no room, in the service's own word: seq, stage, seconds (sent to answer), at_s, cause, detail",
    "refused": "any other 4xx: seq, stage, seconds (sent to answer), at_s, cause, detail",
    "timed_out": "the platform's limit on execution passed: seq, stage, seconds (sent to answer), at_s, cause, detail",
    "unreachable": "no connection, or a broken one: seq, stage, seconds (sent to the break), at_s, cause, detail",
    "abandoned": "our own deadline passed: seq, stage, seconds (sent to giving up), at_s, cause, detail",
    "generator_lost": "at the master: a load generator fell silent: generator, seconds (its silence so far), at_s, detail",
    "generator_back": "at the master: it was heard again: generator, at_s, detail",
    "generator_joined": "at the master: one came while the run went on: generator, at_s, detail",
    "share_dealt": "at the master: what was one's is the others' from at_s on: generator, seconds (since it was last heard), at_s, detail",
}
KINDS = tuple(name for name in HOOKS if name != "attempt")
"""The hooks that have rows in events.csv."""
EXPLAINED = ("failed", "wrong", "queue_timeout", "throttled", "busy", "refused", "timed_out", "unreachable", "abandoned")
"""The outcomes that have a hook of their name, with a cause."""


def install(on: Any = events) -> None:
    """Adds the hooks to Locust's events; those already there stay, with their listeners."""
    for name in HOOKS:
        if not hasattr(on, name):
            setattr(on, name, EventHook())  # type: ignore[no-untyped-call]


def announce(row: Attempt, *, cause: str = "", cold: bool = False, retry_after_s: float | None = None, on: Any = events) -> None:
    """Fires what one attempt gives cause for, ``attempt`` first; ``cold``: it is the first of its endpoint worker, after a wait."""
    on.attempt.fire(attempt=row)
    about = {
        "seq": row.seq,
        "attempt": row.attempt,
        "stage": row.stage,
        "worker_id": row.worker_id,
        "at_s": row.done_s,
        "detail": row.error,
    }
    if cold:
        on.cold_start.fire(seconds=row.queue_s, **about)
    if row.queue_s is not None and row.queue_s >= QUEUED_S:
        on.queued.fire(seconds=row.queue_s, **about)
    if row.outcome in EXPLAINED:
        about["seconds"] = None if row.done_s is None or row.sent_s is None else row.done_s - row.sent_s
        if row.outcome == "throttled":
            about["retry_after_s"] = retry_after_s
        getattr(on, row.outcome).fire(cause=cause, **about)


install()
