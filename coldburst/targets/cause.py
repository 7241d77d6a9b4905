"""Finds the cause of an attempt that did not end ok, from its answer, outcome, time, error and the endpoint's status.

What an answer or an outcome proves is taken from it. Where a request waited in vain (``queue_timeout``; ``abandoned`` before any worker
was seen to have the job), the reason is at the endpoint, and only samples of its status can show it. They are read with the known faults of
/health in mind: ``running`` counts workers that are wanted before any container exists, ``ready`` counts cached workers whose container has
ended, and a min worker is never ``ready``. So neither proves that anything works. Work means jobs in progress, or a growing count of
completed jobs. /health also flickers, so one sample proves nothing: "seen" is two samples, "the end" the last two. In this order:

1. ``no_workers``: no worker in any state, in all samples. /health does not tell whether none is wanted or none is available.
2. ``crash_loop``: no work, and one of these. Workers failed (``unhealthy``) are seen, or jobs were dispatched again. Fewer workers
   starting than before are seen, and no worker was ever idle or ready. At the end jobs wait and workers are ``running``, but none is idle,
   ready or starting: this looks like a lack of capacity, but more workers would crash as well.
3. ``throttled_hosts``: workers ``throttled`` are seen, in at least half of the samples.
4. ``slow_start``: workers starting in the last sample are seen, in at least half of all: they came too late, or took too long.
5. ``no_capacity``: work, no worker starting in the last sample, and none idle at the end: all workers are busy.
6. Otherwise nothing is proven: ``own_deadline`` for an abandoned attempt, ``unknown`` for the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from coldburst.targets.outcome import gave_up_waiting, may_end_a_wait

CAUSES: Mapping[str, str] = {
    "no_capacity": "all endpoint workers were busy: raise workersMax, or send less",
    "throttled_hosts": "endpoint workers were wanted, but no host had room for them: allow more GPU types or regions",
    "crash_loop": "endpoint workers were started and never worked: read their logs (image, model, port, memory)",
    "slow_start": "endpoint workers were starting and not ready in time: the cold start is longer than the wait",
    "no_workers": "the endpoint had no worker in any state: either none is wanted, because workersMax is 0, which RunPod sets after a week "
    "without requests (raise workersMax), or no host has the GPU that it asks for (allow more GPU types or regions)",
    "worker_lost": "an endpoint worker took the job and was not heard from again, twice: it died, or its SDK rejected the input",
    "out_of_memory": "the worker ran out of memory: use fewer requests at a time, smaller inputs or a larger GPU",
    "double_load": "models were loaded more than once at the same time and filled the memory: load each once, with a lock (single flight)",
    "race": "several requests used the same model at the same time: give it a lock, or each worker its own",
    "bad_request": "the request was not accepted: read the error",
    "wrong_address": "nothing is known at this address: check the endpoint id and the path",
    "wrong_model": "the service does not have the model: name one that it has by --model",
    "bad_key": "the key was not accepted: check it, and what it may access",
    "no_key": "no key was sent, and the service requires one: set the environment variable named in the error",
    "account": "the account has no balance or quota left: top it up or raise its limit; retries do not help",
    "reconfiguring": "the endpoint was being changed, and RunPod answers 409 for minutes then: wait until it has settled",
    "rate_limit": "more requests than the platform's limit allows: send less, or ask for a higher limit",
    "busy": "the service reported that it had no room: send less, or add workers",
    "same_job": "the platform gave several requests the same job id: report it to the operator of the endpoint",
    "cancelled": "the job was cancelled, and not by this run",
    "own_deadline": "--deadline passed: the work takes longer, or nothing else explains it",
    "execution_limit": "the time limit of the platform or service passed: raise it, or send less work per request",
    "edge_limit": "the edge before the service (Cloudflare) ended a request that got no first byte for about 100 s: poll jobs instead of "
    "waiting, stream, or have a worker warm",
    "wrong_answer": "the answer is not what was asked for: read the error",
    "service_error": "the worker's own code failed: read its logs",
    "platform_error": "RunPod's API failed before any endpoint worker had the job: try again later",
    "gateway": "a proxy or gateway answered instead of the service: check whether the service runs, and the proxy's limits and logs",
    "object_store": "the object store failed, not the endpoint: read the error, and check the store, its limits and the credentials",
    "polls_failed": "the job was accepted, and no poll showed its state: read the answers to the polls; the job may still run",
    "unreachable": "nothing was reached at the address, or the connection broke: check the address, and whether the service runs",
    "unknown": "nothing proves a cause",
}
# Samples that a state must be in to count: one may be a flicker of /health.
SEEN = 2
WORKERS = ("idle", "initializing", "ready", "running", "throttled", "unhealthy")
_MEMORY = re.compile(r"out of memory|\boom\b|memoryerror|cannot allocate memory", re.IGNORECASE)
_LOST = re.compile(r"job timed out after \d+ retr|\bworker lost\b", re.IGNORECASE)
_DOUBLE_LOAD = re.compile(r"\bdouble load\b|loaded twice", re.IGNORECASE)
_RACE = re.compile(r"\brace( condition)?:", re.IGNORECASE)
# The error of a job that is given up though its polls were answered (targets.queue).
_POLLS = re.compile(r"its job may still run, but \d+ of \d+ polls .*?last try: (?P<status>\d+)", re.DOTALL)
_BEGUN = re.compile(r"\bIN_PROGRESS\b|\bRUNNING\b|\bCOMPLETED\b")
# Start of the error of a job that belongs to another request.
SAME_JOB = "the platform gave this request the same job id"
_DIRECT = {
    "throttled": "rate_limit",
    "busy": "busy",
    "timed_out": "execution_limit",
    "unreachable": "unreachable",
    "wrong": "wrong_answer",
}

Sample = Mapping[str, Any]


def cause(outcome: str, elapsed_s: float | None, status: int | None, error: str, samples: Sequence[Sample] = (), proven: str = "") -> str:
    """One of CAUSES, or "" for an outcome that needs none (ok, unfinished, not_sent).

    Args:
        outcome: one of attempt.OUTCOMES.
        elapsed_s: from sending to the end; None = not known.
        status: HTTP status; None = no answer.
        error: the attempt's error, or the answer's body.
        samples: the endpoint's status during that time, in order, with the columns of attempt.ENDPOINT.
        proven: the cause that the answer proves, "" = none (outcome.Evidence).
    """
    if outcome in ("ok", "unfinished", "not_sent"):
        return ""
    if proven or outcome in _DIRECT:
        return proven or _DIRECT[outcome]
    if outcome == "queue_timeout" and gave_up_waiting(error):
        return "no_capacity"
    if outcome == "failed":
        return _of_failure(error)
    if outcome == "refused" and not may_end_a_wait(status, elapsed_s, error):
        return "wrong_address" if status == 404 else "bad_key" if status in (401, 403) else "bad_request"
    if outcome == "abandoned" and _BEGUN.search(error):
        return "own_deadline"
    return _of_endpoint(samples) or ("own_deadline" if outcome == "abandoned" else "unknown")


def _of_failure(error: str) -> str:
    if polls := _POLLS.match(error):
        if polls["status"] in ("401", "403"):
            return "no_key" if "no key was sent" in error else "bad_key"
        return "polls_failed"
    for words, name in ((_DOUBLE_LOAD, "double_load"), (_RACE, "race"), (_MEMORY, "out_of_memory"), (_LOST, "worker_lost")):
        if words.search(error):
            return name
    if error.startswith(SAME_JOB):
        return "same_job"
    return "cancelled" if error.startswith("CANCELLED") else "service_error"


def _of_endpoint(samples: Sequence[Sample]) -> str:
    """Why no worker took a request, "" if the samples do not show it."""
    answered = [sample for sample in samples if not sample.get("error")]
    jobs = [sample for sample in answered if sample.get("in_queue") is not None]
    if len(jobs) < SEEN:
        return ""
    workers = [sample for sample in answered if any(sample.get(name) is not None for name in WORKERS)]
    if not any(_n(sample, name) for sample in workers for name in WORKERS):
        return "no_workers" if len(workers) >= SEEN else ""
    end = jobs[-SEEN:]
    if not _works(jobs) and (_failing(workers, jobs) or _in_vain(jobs) or all(map(_phantom, end))):
        return "crash_loop"
    if _often(workers, "throttled"):
        return "throttled_hosts"
    if _n(end[-1], "initializing"):
        return "slow_start" if _often(workers, "initializing") else ""
    return "no_capacity" if _works(jobs, SEEN) and not any(_n(sample, "idle") for sample in end) else ""


def _works(jobs: Sequence[Sample], least: int = 1) -> bool:
    """Whether anything was worked on to an end, or was being worked on in ``least`` samples.

    A job that is dispatched again and again is not.
    """
    if _grew(jobs, "completed"):
        return True
    return _seen(jobs, "in_progress", least) and not _grew(jobs, "retried")


def _failing(workers: Iterable[Sample], jobs: Sequence[Sample]) -> bool:
    return _seen(workers, "unhealthy") or _grew(jobs, "retried")


def _in_vain(jobs: Sequence[Sample]) -> bool:
    """Whether starts ended, and no worker was ever there."""
    if any(_n(sample, name) for sample in jobs for name in ("idle", "ready", "in_progress", "throttled")):
        return False
    most = second = fewer = 0
    for sample in jobs:
        now = _n(sample, "initializing")
        fewer += now < second
        most, second = max(most, now), max(second, min(most, now))
    return fewer >= SEEN


def _phantom(sample: Sample) -> bool:
    """Workers that are wanted while jobs wait, and no sign that any of them is there or coming."""
    there = ("idle", "ready", "initializing", "throttled")
    return bool(_n(sample, "running") and _n(sample, "in_queue")) and not any(_n(sample, name) for name in there)


def _often(samples: Sequence[Sample], name: str) -> bool:
    """Whether a count is seen, in at least half of the samples that have it."""
    having = [sample for sample in samples if sample.get(name) is not None]
    return _seen(having, name) and 2 * sum(_n(sample, name) > 0 for sample in having) >= len(having)


def _seen(samples: Iterable[Sample], name: str, least: int = SEEN) -> bool:
    """Whether a count is above 0 in so many samples."""
    return sum(_n(sample, name) > 0 for sample in samples) >= least


def _grew(samples: Sequence[Sample], name: str) -> bool:
    counts = [sample[name] for sample in samples if sample.get(name) is not None]
    return len(counts) > 1 and counts[-1] > counts[0]


def _n(sample: Sample, name: str) -> int:
    return int(sample.get(name) or 0)
