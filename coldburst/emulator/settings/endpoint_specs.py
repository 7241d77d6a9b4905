"""The specs that the settings are read into: of the emulator, of an endpoint and of its workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from coldburst.emulator.settings.fault_notation import Fault
from coldburst.emulator.settings.service_times import ServiceTime
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.policy import Policy


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """An endpoint's workers; seconds in ``_s``, memory in GB.

    Attributes:
        kind: sdk, modelled or command.
        env_names: variables that REST v2 may set.
        env: their values.
    """

    kind: str
    command: tuple[str, ...]
    concurrency: int
    engine: str
    model: str
    service_time: ServiceTime
    extra_load_s: float
    first_extra_s: float
    card_gb: float
    shared_gb: float
    job_gb: float
    health_path: str
    env_names: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """One endpoint: its policy, its platform, its workers and its faults; ``price_per_s`` in USD per worker-second."""

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
