"""The platform's parameters: each with its default, how well it is known, its source, unit and meaning."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from coldburst.serverless.errors import require
from coldburst.serverless.quantiles import Quantiles


class OperationLimit(NamedTuple):
    """One row of the rate limits; ``per_worker``: requests per window for each running worker, if that is more than ``per_window``."""

    operation: str
    per_window: int
    concurrent: int | None
    per_worker: int


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
"""Source: RunPod's documentation, "send requests"; 50 per worker is the example of its 2025-10 text."""


# Sources below: CR = alexostapiuk11/coldstart-recon-worker, paid runs of August to October 2026; GPnn = the golden paths of
# runpod/runpod-plugins-official, live in July and August 2026. docs/fidelity.md compares the model with both.
CHOICES = ("fill_first", "least_in_flight", "round_robin")
RESUME = Quantiles((0, 50, 90, 95, 99.5, 100), (0.56, 1.0, 2.0, 2.3, 5.0, 42.0))
REPORT = Quantiles((0, 50, 100), (0.07, 0.14, 0.31))

# Of the endpoint that a run starts for itself. The run is the only client of its management API, so no rate limit is needed there.
# Its workers share this machine, so they start one after the other; RunPod's own pauses would only make a first look at a report slower.
EMBEDDED: dict[str, Any] = {"starting_at_once": 1, "rise_s": 0.0, "surplus_s": 0.0, "slot_s": 0.0, "report_s": 0.0, "hand_over_s": 0.0}


def _of(default: Any, known: str, source: str, unit: str, meaning: str) -> Any:
    return field(default=default, metadata={"known": known, "source": source, "unit": unit, "meaning": meaning})


@dataclass(frozen=True, slots=True)
class Platform:
    """What the platform does; PolicyError for a value out of bounds.

    Metadata of each field: ``known`` (documented, measured, inferred or unverified), ``source``, ``unit`` and ``meaning``.
    """

    check_s: float = _of(1.0, "unverified", "period not published", "s", "time between two checks of the scaler")
    step: int = _of(1, "unverified", "not published", "workers", "workers added per check; 0 = no limit (one with QUEUE_DELAY)")
    rise_s: float = _of(
        24.0, "inferred", "GP13, cold burst of 6", "s", "REQUEST_COUNT adds a worker this long after the last, at the earliest"
    )
    rise_cached_s: float = _of(7.0, "inferred", "GP13, 9 jobs, 3 warm workers", "s", "the same where it resumes one cached by FlashBoot")
    surplus_s: float = _of(
        57.0, "inferred", "GP15, one worker, its settings unknown", "s", "idle time before REQUEST_COUNT removes a queue endpoint's worker"
    )
    starting_at_once: int = _of(
        0, "measured", "CR burst of two with QUEUE_DELAY: starts overlap", "workers", "workers that may initialize at a time; 0 = no limit"
    )
    starting_after_failure: int = _of(1, "unverified", "not published", "workers", "the same while starts fail; 0 = no limit")
    first_at_once: bool = _of(True, "documented", "endpoint configurations", "", "from zero workers, add one without waiting for a check")
    extra_workers: int = _of(
        0, "measured", "documented: 2 with a cached image; GP13: 3 run of max 3, with 9 jobs", "workers", "workers above workers_max"
    )
    pull_s: float | Quantiles = _of(
        0.0, "unverified", "CR, GP20: 743 to 2167 s for vLLM images", "s", "image pull of a host's first worker; 0: hosts have the image"
    )
    host_again: float = _of(1.0, "measured", "CR: 300 starts of 300", "share", "starts on a free host that has the image, if there is one")
    host_speed: float | Quantiles = _of(
        1.0, "unverified", "CR: 0.82 to 1.00 for one GPU model", "", "service time of a host's modelled workers, as a factor"
    )
    start_s: float | Quantiles = _of(2.0, "inferred", "GP13: first dispatch after 8 s; CR: 4.1 to 4.8 s on a GPU", "s", "container start")
    load_s: float | Quantiles = _of(
        6.0, "inferred", "GP13: first dispatch after 8 s; CR: 35 to 77 s for vLLM", "s", "model load, of modelled workers only"
    )
    resume_s: float | Quantiles = _of(
        RESUME, "measured", "RunPod's blog on FlashBoot: least, P90, P95, most", "s", "resume of a worker cached by FlashBoot"
    )
    hand_over_s: float = _of(
        0.127,
        "inferred",
        "CR recon: 0.127 s; GP18: 4 jobs taken at once after 0.056 to 0.151 s",
        "s",
        "from a job's arrival at a waiting worker to its hand-over, together with jobs that come meanwhile",
    )
    report_s: float | Quantiles = _of(
        REPORT, "measured", "GP16, GP13, GP18: 0.09, 0.15, 0.22 to 0.32", "s", "from a worker's end of a job to its report"
    )
    keep_s: float = _of(1800.0, "unverified", "not published", "s", "how long FlashBoot caches a worker")
    init_limit_s: float = _of(420.0, "documented", "RUNPOD_INIT_TIMEOUT", "s", "a worker that starts for longer is unhealthy")
    lb_init_limit_s: float = _of(480.0, "documented", "load balancing overview", "s", "the same on a load balancer, then terminated")
    unhealthy_retry_s: float = _of(10.0, "unverified", "not published", "s", "pause after a failed start; each further failure doubles it")
    unhealthy_retry_max_s: float = _of(300.0, "unverified", "not published", "s", "longest pause after failed starts")
    hosts: int | None = _of(None, "inferred", "GP13", "workers", "workers that fit on the hosts; more are throttled; none = no limit")
    jitter: float = _of(0.0, "unverified", "not published", "share", "uniform variation of pull, start, load and resume, up and down")
    lease_s: float = _of(40.0, "inferred", "GP15", "s", "silence after which a taken job is dispatched again")
    ping_s: float = _of(10.0, "measured", "SDK 1.12.0", "s", "time between two pings of a worker")
    job_retries: int = _of(1, "inferred", "GP15", "", "re-dispatches of a job before it fails")
    requeue_first: bool = _of(
        True, "unverified", "not published", "", "whether a job that is dispatched again goes to the head of the queue"
    )
    purge_state: str = _of("CANCELLED", "unverified", "not published", "", "state of a purged job: CANCELLED, FAILED or TIMED_OUT")
    keep_run_s: float = _of(1800.0, "documented", "send requests", "s", "how long the result of a /run is kept")
    keep_sync_s: float = _of(60.0, "documented", "send requests", "s", "how long the result of a /runsync is kept")
    ttl_s: float = _of(86400.0, "documented", "send requests", "s", "default policy.ttl, counted from the submission")
    ttl_min_s: float = _of(10.0, "documented", "send requests", "s", "shortest policy.ttl")
    execution_timeout_min_s: float = _of(5.0, "documented", "send requests", "s", "shortest policy.executionTimeout")
    policy_max_s: float = _of(604800.0, "documented", "send requests", "s", "longest policy.ttl and policy.executionTimeout")
    execution_timeout_state: str = _of(
        "TIMED_OUT", "unverified", "documents say failed", "", "state of a job that runs too long: TIMED_OUT or FAILED"
    )
    execution_timeout_error: str = _of("executionTimeout exceeded", "unverified", "not published", "", "error of a job that runs too long")
    sync_wait_s: float = _of(90.0, "documented", "operation reference", "s", "default wait of /runsync")
    sync_wait_min_s: float = _of(1.0, "documented", "operation reference", "s", "shortest wait of /runsync")
    sync_wait_max_s: float = _of(300.0, "documented", "operation reference", "s", "longest wait of /runsync")
    queue_limit: int | None = _of(
        None, "unverified", "a rule was removed in 2025-10", "jobs", "queued jobs beyond which /run answers 429; none = no limit"
    )
    hold_s: float = _of(120.0, "documented", "load balancing overview", "s", "how long the balancer holds a request without a worker")
    processing_s: float = _of(330.0, "documented", "load balancing overview", "s", "how long a worker may process a request before the 524")
    per_worker: int | None = _of(
        None, "measured", "CR LB probes 1 and 3", "requests", "limit in flight per worker; none = the scaler's value"
    )
    slot_s: float = _of(
        0.16, "measured", "CR LB probe 1", "s", "from the end of a balancer's request to the end of its place at the worker"
    )
    edge_s: float = _of(
        100.0, "measured", "GP20, GP03, GP11", "s", "/runsync and /openai are answered 524 without a first byte; 0 = no limit"
    )
    strict_hold_s: float = _of(300.0, "documented", "worker affinity", "s", "how long a strict request waits for its worker")
    choose: str = _of("fill_first", "measured", "CR LB probe 3", "", "who gets a request: fill_first, least_in_flight or round_robin")
    reconfigure_s: float = _of(
        0.0, "measured", "CR recon: for minutes; 0 keeps rehearsals short", "s", "409 on /run and settings after each change"
    )
    bill_pull: bool = _of(False, "inferred", "pricing against workers overview", "", "whether the image pull is billed")
    billing_lag_s: float = _of(0.0, "unverified", "not published", "s", "time until the billing API shows what was used")
    limits_on: bool = _of(True, "documented", "send requests", "", "whether the rate limits apply")
    window_s: float = _of(10.0, "documented", "send requests", "s", "window of the rate limits")
    limits: tuple[OperationLimit, ...] = _of(RATE_LIMITS, "documented", "send requests", "requests", "the rate limits")
    quota: int | None = _of(
        None,
        "unverified",
        "headers documented for REST v2 alone",
        "requests",
        "limit of each operation per window_s, which answers tell in RateLimit; none = the table below, untold",
    )
    retry_after: bool = _of(False, "unverified", "not published", "", "whether a 429 has a Retry-After header")
    run_bytes: float = _of(10e6, "documented", "operation reference", "bytes", "largest body of /run, and of its result")
    sync_bytes: float = _of(20e6, "documented", "operation reference", "bytes", "largest body of /runsync, and of its result")
    chunk_bytes: float = _of(1e6, "documented", "operation reference", "bytes", "longest text of a stream in one piece")
    lb_bytes: float = _of(30e6, "documented", "load balancing overview", "bytes", "largest body through the balancer, each way")

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, int | float):
                require(0 <= value < math.inf, f"{entry.name} {value!r} must be a number of at least 0")
        for name in ("check_s", "lease_s", "ping_s", "window_s"):
            require(getattr(self, name) >= 0.001, f"{name} {getattr(self, name)!r} must be at least 0.001 seconds")
        require(self.chunk_bytes >= 4, f"chunk_bytes {self.chunk_bytes!r} must be at least 4, the size of a character")
        require(self.jitter < 1, f"jitter {self.jitter!r} must be below 1")
        require(self.quota != 0, "quota must be at least 1: 0 lets no request through")
        require(self.per_worker != 0, "per_worker must be at least 1: 0 lets no request through")
        require(self.choose in CHOICES, f"choose {self.choose!r} must be {', '.join(CHOICES[:-1])} or {CHOICES[-1]}")
        require(self.host_again <= 1, f"host_again {self.host_again!r} must be at most 1")
        require(
            self.purge_state in ("FAILED", "CANCELLED", "TIMED_OUT"),
            f"purge_state {self.purge_state!r} must be FAILED, CANCELLED or TIMED_OUT",
        )
        require(
            self.execution_timeout_state in ("TIMED_OUT", "FAILED"),
            f"execution_timeout_state {self.execution_timeout_state!r} must be TIMED_OUT or FAILED",
        )
