"""What a prediction is about: an endpoint with its settings, its workers, the client, and the price."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from coldburst.planner.model.distributions import ALONE, Distribution
from coldburst.schedule.retries import Retries
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.policy import Policy
from coldburst.serverless.simulation.service_curve import ServiceCurve

# How much workers of one GPU type differ in speed unless it was measured, up and down.
SPREAD = 0.15
DAY_S = 86_400.0
SETTINGS = ("workers_min", "workers_max", "idle_timeout_s", "scaler", "scaler_value", "concurrency", "flashboot")


@dataclass(frozen=True, slots=True)
class Client:
    """How the requests are sent, as the options of a run say it; seconds in ``_s``.

    Attributes:
        max_in_flight: further arrivals wait; None = no cap.
        deadline_s: a request that has not ended this long after it was due is given up; None = never.
        overhead_s: time of a request outside the platform.
    """

    max_in_flight: int | None = None
    deadline_s: float | None = None
    retries: Retries = field(default_factory=Retries)
    overhead_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One endpoint under one setting.

    Attributes:
        service: time of a job alone on its worker; if it was measured, beside the fewest others that were: the first point of ``curve``.
        curve: how much longer it takes beside others.
        start: container start of a worker, load of its model.
        concurrency: jobs at a time on one worker.
        spread: how much workers differ in speed, up and down: 0.15 = from 0.85 to 1.15 times the service time.
        spread_error: by how much a measured one may be off, up and down.
        workers_seen: workers that the service time was measured on; 0 = stated, not measured.
        concurrency_seen: most jobs at a time on a worker that the service time is known for; 0 = stated, not measured.
        usd_per_s: price of a worker-second; 0 = unknown.
        every_s: the traffic comes again after this long, and the minimum of workers is billed until then; 0 = at once.
        cold_seen: whether the times of starts are known.
        with_report: whether ``service`` includes the worker's report of a job's end, as executionTime does.
    """

    policy: Policy
    platform: Platform
    service: Distribution
    start: Distribution
    load: Distribution
    curve: ServiceCurve = ALONE
    concurrency: int = 1
    spread: float = SPREAD
    spread_error: float = 0.0
    client: Client = field(default_factory=Client)
    usd_per_s: float = 0.0
    every_s: float = 0.0
    concurrency_seen: int = 0
    workers_seen: int = 0
    cold_seen: bool = True
    with_report: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """The operator's settings by name, with the concurrency."""
        return {name: getattr(self.policy, name, self.concurrency) for name in SETTINGS}

    @property
    def standing_usd_a_day(self) -> float:
        """What the minimum of workers costs a day, traffic or not."""
        return self.policy.workers_min * DAY_S * self.usd_per_s

    def with_settings(self, **settings: Any) -> Scenario:
        """Another setting of the same endpoint. Raises PolicyError for one out of bounds."""
        concurrency = settings.pop("concurrency", self.concurrency)
        policy = self.policy.changed(**settings)
        if policy.kind == "LOAD_BALANCER":  # which forwards as many to a worker
            concurrency = int(policy.scaler_value)
        return replace(self, policy=policy, concurrency=concurrency)
