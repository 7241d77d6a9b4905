"""Reads RunPod's job objects: whether and how the job ended, and its times."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from coldburst.targets import answer
from coldburst.targets.answer_shapes import error_of, phases
from coldburst.targets.checks import ANY, Checks
from coldburst.targets.outcome import gave_up_waiting

# Terminal states. A job in any other state goes on, as RunPod's own clients take it.
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")
RUNNING = ("IN_PROGRESS", "RUNNING")
# A larger number of re-dispatches is not believed: RunPod makes one (inferred).
MOST_RETRIES = 1000
# Our own state of a job that the service does not know any more.
GONE = "GONE"


def columns(job: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of an attempt that a job object fills: times (s), endpoint worker, re-dispatches, phases of a video.

    ``delayTime`` lasts from submission to the last take by a worker, ``executionTime`` from that to the result, both in milliseconds.
    ``retries`` is present only from 1 on.
    """
    times = {"queue_s": answer.seconds(job.get("delayTime")), "execution_s": answer.seconds(job.get("executionTime"))}
    found: dict[str, Any] = {name: value for name, value in times.items() if value is not None}
    if isinstance(worker := job.get("workerId"), str) and worker:
        found["worker_id"] = worker
    if isinstance(retries := job.get("retries"), int) and not isinstance(retries, bool) and 0 <= retries <= MOST_RETRIES:
        found["platform_retries"] = retries
    elif job.get("status") in ENDED:
        found["platform_retries"] = 0
    return found | phases(job.get("output"))


def verdict(job: Mapping[str, Any], last_seen: str, checks: Checks = ANY) -> tuple[str, str]:
    """What a terminal job object says (one of outcome.WORDS, or ""), and the error in words.

    COMPLETED may hold an error or something unexpected in its ``output`` (``checks``), an empty output, or, if a result was too large or
    unreadable for the platform, none at all. TIMED_OUT and GONE (its ttl or its result's life has passed) waited in vain if no worker
    ever had the job, and otherwise ran too long; ``last_seen`` is its state in the poll before. FAILED may be the end of a wait inside the
    handler, which says so in its error.
    """
    status, output = job["status"], job.get("output")
    if status == "COMPLETED":
        if inner := error_of(job.get("error"), "error") or checks.error(job, output):
            return "error", f"an error inside COMPLETED: {inner}"
        lack = _lack_of_output(output) or checks.lack(job, output)
        return ("wrong", lack) if lack else ("", "")
    detail = answer.failure(job["error"]) if job.get("error") else ""
    if status == "FAILED":
        error = detail or checks.error(job, output) or "FAILED without a reason"
        return "gave_up_waiting" if gave_up_waiting(error) else "error", error
    if status == "CANCELLED":
        return "error", "CANCELLED, and not by this run" + (f": {detail}" if detail else "")
    ran = bool(job.get("workerId") or job.get("executionTime")) or last_seen in RUNNING
    when = "while an endpoint worker had it" if ran else "before any endpoint worker had it"
    return "out_of_time" if ran else "gave_up_waiting", f"{status} {when}" + (f": {detail}" if detail else "")


def _lack_of_output(output: Any) -> str:
    """What is missing in an output, with the likely reason; "" if nothing is. 0 and false are outputs."""
    if output is None:
        return (
            "COMPLETED without output: the handler returned nothing, an 'error' that is not text, "
            "or a result that is too large or not JSON (NaN, Infinity)"
        )
    if output in ("", {}, []):
        return (
            f"COMPLETED with an empty output ({json.dumps(output)}): the handler returned nothing, or is a generator without "
            "return_aggregate_stream, whose parts are at /stream only"
        )
    return ""
