"""Reads RunPod's job object: whether and how the job ended, its times, and the instant of its end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from coldburst.targets import answer

ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")
"""Terminal states; whatever else a job says of itself, it goes on (as RunPod's own clients take it)."""
RUNNING = ("IN_PROGRESS", "RUNNING")
MOST_RETRIES = 1000
"""A larger number of re-dispatches is none: RunPod makes one (inferred)."""
GONE = "GONE"
"""A word of ours: the service knows the job no more."""


def columns(job: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of an attempt that a job object fills: times (s), endpoint worker, re-dispatches.

    ``delayTime`` is submission to the last take by a worker, ``executionTime`` that take to the result, both in
    milliseconds; ``retries`` is there only from 1 on.
    """
    times = {"queue_s": answer.seconds(job.get("delayTime")), "execution_s": answer.seconds(job.get("executionTime"))}
    found: dict[str, Any] = {name: value for name, value in times.items() if value is not None}
    if isinstance(worker := job.get("workerId"), str) and worker:
        found["worker_id"] = worker
    if isinstance(retries := job.get("retries"), int) and not isinstance(retries, bool) and 0 <= retries <= MOST_RETRIES:
        found["platform_retries"] = retries
    elif job.get("status") in ENDED:
        found["platform_retries"] = 0
    return found


def ended_at(accepted: float, asked: float, seen: float, queue_s: float | None, execution_s: float | None) -> float:
    """When a job ended: accepted + delayTime + executionTime, held within [asked, seen]; without the platform's times, seen.

    Polling finds an end late by up to an interval, so the platform's own times are taken where they are given. They begin at
    its acceptance, which is the arrival of /run's answer here, but for half a round trip. What was observed bounds them.

    Args:
        accepted: when /run's answer came.
        asked: when the last poll was sent that saw the job unfinished.
        seen: when the answer came that saw it ended.
    """
    if queue_s is None or execution_s is None:
        return seen
    return min(max(accepted + queue_s + execution_s, asked), seen)


def verdict(job: Mapping[str, Any], last_seen: str, error_at: Sequence[str], needs_output: bool) -> tuple[str, str]:
    """What a terminal job object says, one of attempt.WORDS or "", and the error in words.

    COMPLETED may hold an error in its ``output`` (``error_at``, see answer.error_in), an empty output, or, where a result was
    too large or unreadable for the platform, none at all. TIMED_OUT and GONE (its ttl or its result's life has passed) waited in vain
    if no worker ever had the job, and else ran too long; ``last_seen`` is its state in the last poll before.
    """
    status = job["status"]
    if status == "COMPLETED":
        inner = answer.error_in({"error": job.get("error")}, ("error",)) or answer.error_in(job.get("output"), error_at)
        if inner:
            return "error", f"an error inside COMPLETED: {inner}"
        return ("wrong", lack) if needs_output and (lack := _lack_of_output(job.get("output"))) else ("", "")
    detail = answer.failure(job["error"]) if job.get("error") else ""
    if status == "FAILED":
        return "error", detail or answer.error_in(job.get("output"), error_at) or "FAILED without a reason"
    if status == "CANCELLED":
        return "error", "CANCELLED, and not by this run" + (f": {detail}" if detail else "")
    ran = bool(job.get("workerId") or job.get("executionTime")) or last_seen in RUNNING
    when = "while an endpoint worker had it" if ran else "before any endpoint worker had it"
    return "out_of_time" if ran else "gave_up_waiting", f"{status} {when}" + (f": {detail}" if detail else "")


def _lack_of_output(output: Any) -> str:
    """What an output lacks, with the likely reason; "" where there is one. 0 and false are outputs."""
    if output is None:
        return "COMPLETED without output: nothing was returned, or it was too large for the platform, or no JSON (NaN, Infinity)"
    if output in ("", {}, []):
        return (
            f"COMPLETED with an empty output ({json.dumps(output)}): nothing was returned, or the handler is a generator without "
            "return_aggregate_stream, whose parts are at /stream only"
        )
    return ""
