"""The settings as records: of the emulator, of an endpoint, of its workers and their service times."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from coldburst.emulator.settings.fault_notation import Fault
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.policy import Policy
from coldburst.serverless.simulation.service_curve import ServiceCurve
from coldburst.serverless.simulation.token_generation import TokenRate


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """How long a job takes: its notation, the seconds for the next job, and the seconds where they are constant."""

    text: str
    sample: Callable[[random.Random], float]
    fixed_s: float | None = None


def service_time(text: str) -> ServiceTime:
    """From ``0.5`` (seconds), ``exp:0.5`` (exponential, by its mean) or ``uniform:0.2:0.8``; ValueError."""
    kind, _, rest = text.partition(":") if text.startswith(("exp:", "uniform:")) else ("", "", text)
    try:
        numbers = [float(part) for part in rest.split(":")]
    except ValueError:
        numbers = []
    if all(0 <= number < math.inf for number in numbers):
        match kind, numbers:
            case "", [fixed_s]:
                return ServiceTime(text, lambda _: fixed_s, fixed_s)
            case "exp", [mean_s] if mean_s > 0:
                return ServiceTime(text, lambda rng: rng.expovariate(1 / mean_s))
            case "uniform", [low_s, high_s] if low_s <= high_s:
                return ServiceTime(text, lambda rng: rng.uniform(low_s, high_s))
    raise ValueError(f"'{text}' is not a service time: use seconds as in '0.5', 'exp:0.5' or 'uniform:0.2:0.8'")


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """An endpoint's workers; seconds in ``_s``, memory in GB.

    Attributes:
        kind: sdk, modelled or command.
        service_curve: service time of modelled workers by their jobs at a time; None = by service_time alone.
        tokens: how fast modelled workers generate tokens.
        env_names: variables that REST v2 may set.
        env: their values.
    """

    kind: str
    command: tuple[str, ...]
    concurrency: int
    engine: str
    model: str
    service_time: ServiceTime
    tokens: TokenRate
    extra_load_s: float
    first_extra_s: float
    card_gb: float
    shared_gb: float
    job_gb: float
    health_path: str
    service_curve: ServiceCurve | None = None
    env_names: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """One endpoint; ``price_per_s`` in USD per worker-second."""

    name: str
    policy: Policy
    platform: Platform
    workers: WorkerSpec
    price_per_s: float
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class EmulatorOptions:
    """Options of the emulator itself; seconds in ``_s``."""

    host: str
    port: int
    https: bool
    log: str
    until_stdin_closes: bool
    seed: int
    ready: bool
    poll_hold_s: float
    grace_s: float
    health_every_s: float
    health_failures: int
    health_timeout_s: float
    too_large_status: int
    webhook_waits_s: tuple[float, ...]
    webhook_timeout_s: float
    webhook_hosts: tuple[str, ...]
    allow_host: tuple[str, ...]
    management_per_minute: int
