"""The platform's numbers: every parameter of the model with its default, how well it is known, and its source."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from coldburst.serverless.errors import require
from coldburst.serverless.job import TERMINAL_STATES


class OperationLimit(NamedTuple):
    """A row of the rate limits; None = no such limit."""

    operation: str
    per_window: int
    concurrent: int | None
    per_worker: int
    """Requests per window that each running worker stands for, where that is more than ``per_window`` in all."""


RATE_LIMITS = (
    OperationLimit("run", 1000, 200, 50),
    OperationLimit("runsync", 2000, 400, 50),
    OperationLimit("status", 2000, 400, 50),
    OperationLimit("status-sync", 2000, 400, 50),
    OperationLimit("stream", 2000, 400, 50),
    OperationLimit("openai", 2000, 400, 50),
    OperationLimit("cancel", 100, 20, 50),
    OperationLimit("purge-queue", 2, None, 0),
    OperationLimit("requests", 10, 2, 0),
)
"""Source: RunPod's documentation, "send requests"; the 50 per worker are the example of its 2025-10 text."""


def _parameter(default: Any, known: str, source: str, unit: str, meaning: str) -> Any:
    return field(default=default, metadata={"known": known, "source": source, "unit": unit, "meaning": meaning})


@dataclass(frozen=True, slots=True)
class Platform:
    """What the platform does. Metadata of a field: ``known`` (documented, measured, inferred, unverified), source, unit, meaning.

    Raises:
        PolicyError: a number below zero, or a word outside its set.
    """

    check_s: float = _parameter(1.0, "unverified", "period not published", "s", "time between two checks of the scaler")
    step: int = _parameter(
        1, "unverified", "not published", "workers", "workers added per check at most; 0 = no bound (one with QUEUE_DELAY)"
    )
    surplus_s: float = _parameter(
        0.0, "unverified", "not published", "s", "how long a queue endpoint's worker is idle before REQUEST_COUNT takes it away"
    )
    starting_at_once: int = _parameter(
        1, "inferred", "live trace of a cold burst", "workers", "workers that initialize before more are added; 0 = no bound"
    )
    starting_after_failure: int = _parameter(1, "unverified", "not published", "workers", "the same while starts fail; 0 = no bound")
    first_at_once: bool = _parameter(
        True, "documented", "endpoint configurations", "", "from zero workers, the first request adds one without waiting for a check"
    )
    extra_workers: int = _parameter(0, "documented", "workers overview: up to 2 on spikes", "workers", "workers above workers_max")
    pull_s: float = _parameter(0.0, "unverified", "depends on image and host", "s", "image pull")
    start_s: float = _parameter(2.0, "inferred", "first dispatch of a cold endpoint after 8 s", "s", "container start")
    load_s: float = _parameter(6.0, "inferred", "first dispatch of a cold endpoint after 8 s", "s", "model load, of modelled workers only")
    resume_s: float = _parameter(
        1.0, "inferred", "Flash execution model: warm about 1 s", "s", "return of a worker whose state FlashBoot kept"
    )
    keep_s: float = _parameter(1800.0, "unverified", "not published", "s", "how long FlashBoot keeps the state of a worker")
    init_limit_s: float = _parameter(420.0, "documented", "RUNPOD_INIT_TIMEOUT", "s", "a start that takes longer is unhealthy")
    lb_init_limit_s: float = _parameter(480.0, "documented", "load balancing overview", "s", "the same on a load balancer, then terminated")
    unhealthy_retry_s: float = _parameter(
        10.0, "unverified", "not published", "s", "pause after a failed start, doubled with each one after it"
    )
    unhealthy_retry_max_s: float = _parameter(300.0, "unverified", "not published", "s", "longest pause after failed starts")
    hosts: int | None = _parameter(
        None, "inferred", "live traces", "workers", "workers that the hosts have room for, the rest is throttled; none = no bound"
    )
    jitter: float = _parameter(
        0.0, "unverified", "not published", "share", "by which pull, start, load and resume vary, evenly, up and down"
    )
    lease_s: float = _parameter(40.0, "inferred", "live trace", "s", "silence after which a taken job is dispatched again")
    ping_s: float = _parameter(10.0, "measured", "SDK 1.12.0", "s", "time between two pings of a worker")
    job_retries: int = _parameter(1, "inferred", "live trace", "", "re-dispatches of a job before it fails")
    requeue_first: bool = _parameter(
        True, "unverified", "not published", "", "whether a job that is dispatched again goes before all that wait"
    )
    purge_state: str = _parameter(
        "CANCELLED", "unverified", "not published", "", "how a job ends that is purged: CANCELLED, FAILED or TIMED_OUT"
    )
    keep_run_s: float = _parameter(1800.0, "documented", "send requests", "s", "how long the result of a /run is kept")
    keep_sync_s: float = _parameter(60.0, "documented", "send requests", "s", "how long the result of a /runsync is kept")
    ttl_s: float = _parameter(86400.0, "documented", "send requests", "s", "life of a job from its submission where it does not say")
    ttl_min_s: float = _parameter(10.0, "documented", "send requests", "s", "shortest policy.ttl")
    execution_timeout_min_s: float = _parameter(5.0, "documented", "send requests", "s", "shortest policy.executionTimeout")
    policy_max_s: float = _parameter(604800.0, "documented", "send requests", "s", "longest policy.ttl and policy.executionTimeout")
    execution_timeout_state: str = _parameter(
        "TIMED_OUT", "unverified", "documents say failed", "", "how a job ends that runs too long: TIMED_OUT or FAILED"
    )
    execution_timeout_error: str = _parameter(
        "executionTimeout exceeded", "unverified", "not published", "", "the error that such a job then has"
    )
    sync_wait_s: float = _parameter(90.0, "documented", "operation reference", "s", "how long /runsync waits where it does not say")
    sync_wait_min_s: float = _parameter(1.0, "documented", "operation reference", "s", "shortest wait of /runsync")
    sync_wait_max_s: float = _parameter(300.0, "documented", "operation reference", "s", "longest wait of /runsync")
    queue_limit: int | None = _parameter(
        None, "unverified", "a rule was removed in 2025-10", "jobs", "queued jobs beyond which /run answers 429; none = no bound"
    )
    hold_s: float = _parameter(
        120.0, "documented", "load balancing overview", "s", "how long the balancer holds a request without a worker"
    )
    processing_s: float = _parameter(
        330.0, "documented", "load balancing overview", "s", "how long a worker may process a request before the 524"
    )
    per_worker: int | None = _parameter(
        None, "unverified", "natural reading of requestCount", "requests", "in flight at one worker at most; none = the scaler's value"
    )
    strict_hold_s: float = _parameter(300.0, "documented", "worker affinity", "s", "how long a strict request waits for its worker")
    choose: str = _parameter(
        "least_in_flight", "unverified", "not published", "", "which worker gets a request: least_in_flight or round_robin"
    )
    bill_pull: bool = _parameter(False, "inferred", "pricing against workers overview", "", "whether the image pull is billed")
    limits_on: bool = _parameter(True, "documented", "send requests", "", "whether the rate limits hold")
    window_s: float = _parameter(10.0, "documented", "send requests", "s", "window of the rate limits")
    limits: tuple[OperationLimit, ...] = _parameter(RATE_LIMITS, "documented", "send requests", "requests", "the table of the rate limits")
    retry_after: bool = _parameter(False, "unverified", "not published", "", "whether a 429 says Retry-After")
    run_bytes: float = _parameter(10e6, "documented", "operation reference", "bytes", "largest body of /run, and of its result")
    sync_bytes: float = _parameter(20e6, "documented", "operation reference", "bytes", "largest body of /runsync, and of its result")
    chunk_bytes: float = _parameter(1e6, "documented", "operation reference", "bytes", "longest text of a stream in one piece; cut above")
    lb_bytes: float = _parameter(30e6, "documented", "load balancing overview", "bytes", "largest body through the balancer, each way")

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, int | float):
                require(0 <= value < math.inf, f"{entry.name} {value!r} is not a number from 0 on")
        for name in ("check_s", "lease_s", "ping_s", "window_s"):
            require(getattr(self, name) >= 0.001, f"{name} {getattr(self, name)!r} is not a time of at least 0.001 seconds")
        require(self.chunk_bytes >= 4, f"chunk_bytes {self.chunk_bytes!r} has no room for a character: it is at least 4")
        require(self.jitter < 1, f"jitter {self.jitter!r} is not a share below 1")
        require(self.per_worker != 0, "per_worker 0 lets no request through: it is at least 1")
        require(self.choose in ("least_in_flight", "round_robin"), f"choose {self.choose!r} is not least_in_flight or round_robin")
        require(self.purge_state in TERMINAL_STATES[1:], f"purge_state {self.purge_state!r} is not FAILED, CANCELLED or TIMED_OUT")
        require(
            self.execution_timeout_state in ("TIMED_OUT", "FAILED"),
            f"execution_timeout_state {self.execution_timeout_state!r} is not TIMED_OUT or FAILED",
        )
