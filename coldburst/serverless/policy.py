"""What an operator sets (Policy), and what the platform does with it (Platform): every number of the core with its source."""

from __future__ import annotations

import math
import reprlib
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

TERMINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")
KINDS = ("QUEUE", "LOAD_BALANCER")
SCALERS = ("QUEUE_DELAY", "REQUEST_COUNT")


class PolicyError(ValueError):
    """A setting that cannot be; one sentence that names the value and a right one."""


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def shown(value: Any) -> str:
    """``repr(value)`` for a sentence, cut where a value of a stranger's is long or deep."""
    return _SHORT.repr(value)


def _insist(holds: bool, sentence: str) -> None:
    if not holds:
        raise PolicyError(sentence)


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator sets; REST v2 can change all but the kind.

    Attributes:
        kind: QUEUE or LOAD_BALANCER.
        workers_min, workers_max: bounds of the number of workers.
        idle_timeout_s: 1..3600; how long a worker without a job is kept. Of no effect with REQUEST_COUNT on a queue endpoint.
        scaler: QUEUE_DELAY or REQUEST_COUNT; a load balancer takes REQUEST_COUNT only.
        scaler_value: seconds of waiting (at least 0.5), or requests per worker (a whole number, at least 1).
        execution_timeout_s: 0 = none.
        flashboot: whether a worker that is scaled down keeps its state.
        gpu: name of the GPU.

    Raises:
        PolicyError: a value outside these bounds. Source: REST v2's specification.
    """

    kind: str = "QUEUE"
    workers_min: int = 0
    workers_max: int = 3
    idle_timeout_s: float = 5.0
    scaler: str = "QUEUE_DELAY"
    scaler_value: float = 4.0
    execution_timeout_s: float = 600.0
    flashboot: bool = False
    gpu: str = "NVIDIA RTX A5000"

    def __post_init__(self) -> None:
        _insist(self.kind in KINDS, f"kind {self.kind!r} is not known: it is QUEUE or LOAD_BALANCER")
        _insist(self.scaler in SCALERS, f"scaler {self.scaler!r} is not known: it is QUEUE_DELAY or REQUEST_COUNT")
        _insist(
            self.kind == "QUEUE" or self.scaler == "REQUEST_COUNT",
            f"scaler {self.scaler} is not for a load balancer: it takes REQUEST_COUNT",
        )
        _insist(_whole(self.workers_min, 0), f"workers_min {self.workers_min!r} is not a whole number of at least 0")
        _insist(
            _whole(self.workers_max, self.workers_min),
            f"workers_max {self.workers_max!r} is not a whole number of at least workers_min ({self.workers_min})",
        )
        _insist(1 <= self.idle_timeout_s <= 3600, f"idle_timeout_s {self.idle_timeout_s!r} is not within 1 to 3600 seconds")
        self._check_scaler_value()
        _insist(
            0 <= self.execution_timeout_s < math.inf,
            f"execution_timeout_s {self.execution_timeout_s!r} is not a number of seconds from 0 (none) on",
        )

    def _check_scaler_value(self) -> None:
        value = self.scaler_value
        if self.scaler == "REQUEST_COUNT":
            whole = math.isfinite(value) and value == int(value) and value >= 1
            _insist(whole, f"scaler_value {value!r} is not a whole number of at least 1, as REQUEST_COUNT takes it")
        else:
            _insist(0.5 <= value < math.inf, f"scaler_value {value!r} is below the 0.5 seconds that QUEUE_DELAY takes at least")

    @property
    def idles(self) -> bool:
        """Whether the idle time-out applies: not with REQUEST_COUNT on a queue endpoint (REST v2 answers 422)."""
        return self.kind == "LOAD_BALANCER" or self.scaler == "QUEUE_DELAY"

    def changed(self, **settings: Any) -> Policy:
        """The policy with some settings changed.

        Raises:
            PolicyError: an unknown setting, a change of the kind, or a value outside its bounds.
        """
        known = [entry.name for entry in fields(self)]
        for name in settings:
            _insist(name in known, f"there is no setting {name!r}: there are {', '.join(known)}")
        _insist(settings.get("kind", self.kind) == self.kind, f"the kind stays {self.kind}: it is fixed when an endpoint is made")
        return replace(self, **settings)


def _whole(value: float, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


class Limit(NamedTuple):
    """A row of the rate limits; None = no such limit."""

    operation: str
    per_window: int
    concurrent: int | None
    per_worker: int
    """Requests per window that each running worker stands for, where that is more than ``per_window`` in all."""


LIMITS = (
    Limit("run", 1000, 200, 50),
    Limit("runsync", 2000, 400, 50),
    Limit("status", 2000, 400, 50),
    Limit("status-sync", 2000, 400, 50),
    Limit("stream", 2000, 400, 50),
    Limit("openai", 2000, 400, 50),
    Limit("cancel", 100, 20, 50),
    Limit("purge-queue", 2, None, 0),
    Limit("requests", 10, 2, 0),
)
"""Source: RunPod's documentation, "send requests"; the 50 per worker are the example of its 2025-10 text."""


def _fact(default: Any, known: str, source: str, unit: str, meaning: str) -> Any:
    return field(default=default, metadata={"known": known, "source": source, "unit": unit, "meaning": meaning})


@dataclass(frozen=True, slots=True)
class Platform:
    """What the platform does. Metadata of a field: ``known`` (documented, measured, inferred, unverified), source, unit, meaning.

    Raises:
        PolicyError: a number below zero, or a word outside its set.
    """

    check_s: float = _fact(1.0, "unverified", "period not published", "s", "time between two checks of the scaler")
    step: int = _fact(1, "unverified", "not published", "workers", "workers added per check at most; 0 = no bound (one with QUEUE_DELAY)")
    surplus_s: float = _fact(
        0.0, "unverified", "not published", "s", "how long a queue endpoint's worker is idle before REQUEST_COUNT takes it away"
    )
    starting_at_once: int = _fact(
        1, "inferred", "live trace of a cold burst", "workers", "workers that initialize before more are added; 0 = no bound"
    )
    starting_after_failure: int = _fact(1, "unverified", "not published", "workers", "the same while starts fail; 0 = no bound")
    first_at_once: bool = _fact(
        True, "documented", "endpoint configurations", "", "from zero workers, the first request adds one without waiting for a check"
    )
    extra_workers: int = _fact(0, "documented", "workers overview: up to 2 on spikes", "workers", "workers above workers_max")
    pull_s: float = _fact(0.0, "unverified", "depends on image and host", "s", "image pull")
    start_s: float = _fact(2.0, "inferred", "first dispatch of a cold endpoint after 8 s", "s", "container start")
    load_s: float = _fact(6.0, "inferred", "first dispatch of a cold endpoint after 8 s", "s", "model load, of modelled workers only")
    resume_s: float = _fact(1.0, "inferred", "Flash execution model: warm about 1 s", "s", "return of a worker whose state FlashBoot kept")
    keep_s: float = _fact(1800.0, "unverified", "not published", "s", "how long FlashBoot keeps the state of a worker")
    init_limit_s: float = _fact(420.0, "documented", "RUNPOD_INIT_TIMEOUT", "s", "a start that takes longer is unhealthy")
    lb_init_limit_s: float = _fact(480.0, "documented", "load balancing overview", "s", "the same on a load balancer, then terminated")
    unhealthy_retry_s: float = _fact(10.0, "unverified", "not published", "s", "pause after a failed start, doubled with each one after it")
    unhealthy_retry_max_s: float = _fact(300.0, "unverified", "not published", "s", "longest pause after failed starts")
    hosts: int | None = _fact(
        None, "inferred", "live traces", "workers", "workers that the hosts have room for, the rest is throttled; none = no bound"
    )
    jitter: float = _fact(0.0, "unverified", "not published", "share", "by which pull, start, load and resume vary, evenly, up and down")
    lease_s: float = _fact(40.0, "inferred", "live trace", "s", "silence after which a taken job is dispatched again")
    ping_s: float = _fact(10.0, "measured", "SDK 1.12.0", "s", "time between two pings of a worker")
    job_retries: int = _fact(1, "inferred", "live trace", "", "re-dispatches of a job before it fails")
    requeue_first: bool = _fact(True, "unverified", "not published", "", "whether a job that is dispatched again goes before all that wait")
    purge_state: str = _fact(
        "CANCELLED", "unverified", "not published", "", "how a job ends that is purged: CANCELLED, FAILED or TIMED_OUT"
    )
    keep_run_s: float = _fact(1800.0, "documented", "send requests", "s", "how long the result of a /run is kept")
    keep_sync_s: float = _fact(60.0, "documented", "send requests", "s", "how long the result of a /runsync is kept")
    ttl_s: float = _fact(86400.0, "documented", "send requests", "s", "life of a job from its submission where it does not say")
    ttl_min_s: float = _fact(10.0, "documented", "send requests", "s", "shortest policy.ttl")
    execution_timeout_min_s: float = _fact(5.0, "documented", "send requests", "s", "shortest policy.executionTimeout")
    policy_max_s: float = _fact(604800.0, "documented", "send requests", "s", "longest policy.ttl and policy.executionTimeout")
    execution_timeout_state: str = _fact(
        "TIMED_OUT", "unverified", "documents say failed", "", "how a job ends that runs too long: TIMED_OUT or FAILED"
    )
    execution_timeout_error: str = _fact(
        "executionTimeout exceeded", "unverified", "not published", "", "the error that such a job then has"
    )
    sync_wait_s: float = _fact(90.0, "documented", "operation reference", "s", "how long /runsync waits where it does not say")
    sync_wait_min_s: float = _fact(1.0, "documented", "operation reference", "s", "shortest wait of /runsync")
    sync_wait_max_s: float = _fact(300.0, "documented", "operation reference", "s", "longest wait of /runsync")
    queue_limit: int | None = _fact(
        None, "unverified", "a rule was removed in 2025-10", "jobs", "queued jobs beyond which /run answers 429; none = no bound"
    )
    hold_s: float = _fact(120.0, "documented", "load balancing overview", "s", "how long the balancer holds a request without a worker")
    processing_s: float = _fact(
        330.0, "documented", "load balancing overview", "s", "how long a worker may process a request before the 524"
    )
    per_worker: int | None = _fact(
        None, "unverified", "natural reading of requestCount", "requests", "in flight at one worker at most; none = the scaler's value"
    )
    strict_hold_s: float = _fact(300.0, "documented", "worker affinity", "s", "how long a strict request waits for its worker")
    choose: str = _fact("least_in_flight", "unverified", "not published", "", "which worker gets a request: least_in_flight or round_robin")
    bill_pull: bool = _fact(False, "inferred", "pricing against workers overview", "", "whether the image pull is billed")
    limits_on: bool = _fact(True, "documented", "send requests", "", "whether the rate limits hold")
    window_s: float = _fact(10.0, "documented", "send requests", "s", "window of the rate limits")
    limits: tuple[Limit, ...] = _fact(LIMITS, "documented", "send requests", "requests", "the table of the rate limits")
    retry_after: bool = _fact(False, "unverified", "not published", "", "whether a 429 says Retry-After")
    run_bytes: float = _fact(10e6, "documented", "operation reference", "bytes", "largest body of /run, and of its result")
    sync_bytes: float = _fact(20e6, "documented", "operation reference", "bytes", "largest body of /runsync, and of its result")
    chunk_bytes: float = _fact(1e6, "documented", "operation reference", "bytes", "longest text of a stream in one piece; cut above")
    lb_bytes: float = _fact(30e6, "documented", "load balancing overview", "bytes", "largest body through the balancer, each way")

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, int | float):
                _insist(0 <= value < math.inf, f"{entry.name} {value!r} is not a number from 0 on")
        for name in ("check_s", "lease_s", "ping_s", "window_s"):
            _insist(getattr(self, name) >= 0.001, f"{name} {getattr(self, name)!r} is not a time of at least 0.001 seconds")
        _insist(self.chunk_bytes >= 4, f"chunk_bytes {self.chunk_bytes!r} has no room for a character: it is at least 4")
        _insist(self.jitter < 1, f"jitter {self.jitter!r} is not a share below 1")
        _insist(self.per_worker != 0, "per_worker 0 lets no request through: it is at least 1")
        _insist(self.choose in ("least_in_flight", "round_robin"), f"choose {self.choose!r} is not least_in_flight or round_robin")
        _insist(self.purge_state in TERMINAL[1:], f"purge_state {self.purge_state!r} is not FAILED, CANCELLED or TIMED_OUT")
        _insist(
            self.execution_timeout_state in ("TIMED_OUT", "FAILED"),
            f"execution_timeout_state {self.execution_timeout_state!r} is not TIMED_OUT or FAILED",
        )
