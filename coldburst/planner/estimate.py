"""What a load would take and cost on an endpoint, before anything is sent: low, likely and high, by the platform's model in virtual time.

More requests than MOST_SIMULATED are computed from the work and the places for it, so that an estimate takes less than a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coldburst.planner.model.distributions import Distribution
from coldburst.planner.model.earlier_runs import LEAST_START_S, MOST_START_S, fits
from coldburst.planner.model.scenario import Client, Scenario
from coldburst.planner.model.simulate import simulate
from coldburst.schedule.stages import Stage
from coldburst.serverless.errors import PolicyError
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.policy import Policy

MOST_SIMULATED = 500
NOTHING = Distribution("fixed", (0.0,))
HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Assumed:
    """Seconds of a request alone on its worker, and from a worker's launch to its readiness."""

    service_s: float
    start_s: float


@dataclass(frozen=True, slots=True)
class Known:
    """What requests of the endpoint took.

    Attributes:
        start_s: None where no worker started for them.
        source: whose times they are, for the basis.
    """

    service_s: float
    start_s: float | None
    source: str = "one request"


# Where nothing is known of the endpoint: a request of 1 to 30 s, a start of 10 s to 2 min.
UNKNOWN = (Assumed(1.0, LEAST_START_S), Assumed(5.0, 40.0), Assumed(30.0, MOST_START_S))
# What one measured time leaves open.
AROUND = (0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Amount:
    """Seconds to the last answer, seconds of billed workers, and USD."""

    duration_s: float
    worker_s: float
    usd: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of one load.

    Attributes:
        basis: what it assumes, in words.
        usd_per_s: price of a worker.
    """

    low: Amount
    likely: Amount
    high: Amount
    basis: str
    usd_per_s: float

    @property
    def text(self) -> str:
        """One line."""
        return f"{', '.join(filter(None, (self._span('duration_s'), self.money)))} ({self.basis})"

    @property
    def money(self) -> str:
        """The cost in words; "" without a price."""
        return f"{self._span('usd')} at {self.usd_per_s * HOUR_S:.3g} USD/h a worker" if self.usd_per_s else ""

    @property
    def brief(self) -> str:
        """Duration and cost alone; without a price the seconds of workers, which are billed."""
        return f"{self._span('duration_s')}, {self._span('usd' if self.usd_per_s else 'worker_s')}"

    def plain(self) -> dict[str, Any]:
        """For run.json."""
        amounts = {name: getattr(self, name) for name in ("low", "likely", "high")}
        return {name: self._plain(one) for name, one in amounts.items()} | {"basis": self.basis, "usd_per_s": self.usd_per_s or None}

    def _plain(self, one: Amount) -> dict[str, float | None]:
        usd = round(one.usd, 6) if self.usd_per_s else None
        return {"duration_s": round(one.duration_s, 1), "worker_s": round(one.worker_s, 1), "usd": usd}

    def _span(self, name: str) -> str:
        low, likely, high = (WRITERS[name](getattr(one, name)) for one in (self.low, self.likely, self.high))
        if low == high:
            return f"about {' '.join(likely)}"
        unit = "" if low[1] == high[1] else f" {low[1]}"
        return f"{low[0]}{unit} to {' '.join(high)} (likely {' '.join(likely)})"


def estimate(
    stages: Sequence[Stage],
    settings: Mapping[str, Any],
    usd_per_s: float,
    *,
    client: Client,
    known: Known | None = None,
    seed: int = 1,
) -> Estimate:
    """What ``stages`` would take and cost.

    Args:
        settings: of the endpoint, see ``targets.platform_facts``; what it lacks is RunPod's default.
        known: of the endpoint; None: UNKNOWN is assumed.
    """
    policy = _policy(settings)
    assumed = _around(known) if known else UNKNOWN
    found = sorted((_amount(stages, policy, one, client, usd_per_s, seed) for one in assumed), key=lambda one: one.worker_s)
    durations = sorted(one.duration_s for one in found)
    amounts = [replace(one, duration_s=duration_s) for one, duration_s in zip(found, durations, strict=True)]
    low, likely, high = amounts
    return Estimate(low, likely, high, _basis(assumed, policy, known), usd_per_s)


def known_from(runs: Path, host: str) -> Known | None:
    """The times in the newest run of that endpoint in the directory ``runs``; None if none of the last runs has them."""
    for name, found in fits(runs, host):
        return Known(found.service.mean_s, found.start.mean_s if found.start else None, name)
    return None


def _around(known: Known) -> tuple[Assumed, ...]:
    starts = [one.start_s if known.start_s is None else known.start_s * part for one, part in zip(UNKNOWN, AROUND, strict=True)]
    return tuple(Assumed(known.service_s * part, start_s) for part, start_s in zip(AROUND, starts, strict=True))


def _policy(settings: Mapping[str, Any]) -> Policy:
    kind = "LOAD_BALANCER" if settings.get("type") == "LOAD_BALANCER" else "QUEUE"
    scaler = "REQUEST_COUNT" if kind == "LOAD_BALANCER" else str(settings.get("scaler") or "QUEUE_DELAY")
    least, most = (settings.get(name) for name in ("workers_min", "workers_max"))
    given: dict[str, Any] = {"workers_min": int(least or 0), "workers_max": 3 if most is None else int(most)}
    if value := settings.get("scaler_value"):
        given["scaler_value"] = int(value) if scaler == "REQUEST_COUNT" else value
    if idle_s := settings.get("idle_timeout_s"):
        given["idle_timeout_s"] = idle_s
    try:
        return Policy(kind=kind, scaler=scaler, flashboot=bool(settings.get("flashboot")), **given)
    except PolicyError:
        # Settings that the model does not know, such as a scaler of later date.
        return Policy(kind=kind, scaler="REQUEST_COUNT" if kind == "LOAD_BALANCER" else "QUEUE_DELAY")


def _basis(assumed: Sequence[Assumed], policy: Policy, known: Known | None) -> str:
    requests = f"requests of {_short(assumed[0].service_s)} to {_short(assumed[-1].service_s)} s"
    starts = f"starts of {_short(assumed[0].start_s)} to {_short(assumed[-1].start_s)} s"
    count = f"{policy.workers_min} to {policy.workers_max} workers"
    if known is None:
        return f"{count}; {requests} and {starts}: assumed"
    took = f"half to twice what {known.source} took"
    return f"{count}; {requests} and {starts}: {took}" if known.start_s else f"{count}; {requests}: {took}; {starts}: assumed"


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"


def _amount(stages: Sequence[Stage], policy: Policy, assumed: Assumed, client: Client, usd_per_s: float, seed: int) -> Amount:
    places = int(policy.scaler_value) if policy.kind == "LOAD_BALANCER" else 1
    slots = max(policy.workers_max, 1) * places
    if policy.workers_max == 0 or sum(_requests(stage, slots, assumed) for stage in stages) > MOST_SIMULATED:
        return _computed(stages, policy, assumed, places, usd_per_s)
    scenario = Scenario(
        policy,
        Platform(),
        Distribution("fixed", (assumed.service_s,)),
        Distribution("fixed", (assumed.start_s,)),
        NOTHING,
        concurrency=places,
        client=client,
        usd_per_s=usd_per_s,
    )
    run = simulate(scenario, stages, seed)
    last_s = max((row.done_s or 0.0 for row in run.rows), default=0.0)
    return Amount(last_s, float(run.bill.billed_s), run.bill.billed_s * usd_per_s)


def _computed(stages: Sequence[Stage], policy: Policy, assumed: Assumed, places: int, usd_per_s: float) -> Amount:
    """From the work and the places for it: every worker is launched once, and stays until the end where work is left for it."""
    slots = max(policy.workers_max, 1) * places
    took_s = work_s = 0.0
    for stage in stages:
        requests = _requests(stage, slots, assumed)
        work_s += requests * assumed.service_s
        took_s += max(stage.duration_s or 0.0, requests * assumed.service_s / _lanes(stage, slots))
    workers = min(max(math.ceil(work_s / places / took_s) if took_s else 1, policy.workers_min, 1), max(policy.workers_max, 1))
    start_s = assumed.start_s if policy.workers_min < workers else 0.0
    duration_s = took_s + start_s
    worker_s = workers * (duration_s + (policy.idle_timeout_s if workers > policy.workers_min else 0.0))
    return Amount(duration_s, worker_s, worker_s * usd_per_s)


def _requests(stage: Stage, slots: int, assumed: Assumed) -> float:
    """How many requests the stage sends: in a closed loop bounded by time, as many as its lanes can take."""
    if not stage.closed or stage.count is not None:
        return stage.expected
    return (stage.duration_s or 0.0) * _lanes(stage, slots) / assumed.service_s


def _lanes(stage: Stage, slots: int) -> int:
    return min(stage.concurrency or slots, slots)


def _time(seconds: float) -> tuple[str, str]:
    if seconds < 120:
        return f"{seconds:.0f}", "s"
    return (f"{seconds / 60:.0f}", "min") if seconds < 2 * HOUR_S else (f"{seconds / HOUR_S:.1f}", "h")


def _money(usd: float) -> tuple[str, str]:
    return (f"{usd:.2f}" if usd >= 0.1 else f"{usd:.2g}"), "USD"


# How each amount is written: a number and its unit.
WRITERS: Mapping[str, Callable[[float], tuple[str, str]]] = {
    "duration_s": _time,
    "worker_s": lambda seconds: (f"{seconds:,.0f}", "worker-seconds"),
    "usd": _money,
}
