"""What the emulator's command line and its configuration file ask for, checked."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coldburst.emulator import command_line, faults
from coldburst.emulator.command_line import KINDS, SCALERS
from coldburst.emulator.configuration_file import configured
from coldburst.emulator.faults import Fault, FaultError
from coldburst.emulator.platform_parameters import platform_of, platform_table
from coldburst.emulator.service_times import ServiceTime
from coldburst.serverless.errors import PolicyError
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.policy import Policy
from coldburst.transcriber import recognisers

RESERVED = ("serverless",)
"""Paths below /v2 that are no endpoint."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What an endpoint's workers are; seconds in ``_s``, memory in GB (0 = no bound), ``env`` as REST v2 sets it."""

    worker: str
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
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """One endpoint: its settings, what the platform does, what its workers are; ``price_per_s`` in USD per worker-second."""

    name: str
    policy: Policy
    platform: Platform
    work: WorkerSpec
    price_per_s: float
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class EmulatorOptions:
    """The emulator itself; seconds in ``_s``."""

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
    management_per_minute: int


def parse(words: Sequence[str] | None = None) -> tuple[EmulatorOptions, tuple[EndpointSpec, ...]]:
    """The emulator's options and its endpoints; exits with code 2 and one sentence on stderr when they are not right."""
    words = list(sys.argv[1:] if words is None else words)
    whole = command_line.everything()
    if "help" in whole.parse_args(words).platform:
        print(platform_table(), end="")
        whole.exit(0)
    try:
        own, of_endpoints = command_line.of_emulator().parse_known_args(words)
        own, tables = configured(own, words)
        hostings = tuple(_hosting(name, [*of_endpoints, *table]) for name, table in tables)
    except ValueError as error:
        whole.error(str(error))
    options = {one.name: getattr(own, one.name) for one in dataclasses.fields(EmulatorOptions)}
    return EmulatorOptions(**options), hostings


def _hosting(name: str, words: list[str]) -> EndpointSpec:
    """One endpoint from its words.

    Raises:
        ValueError: one sentence.
    """
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii() or name in RESERVED:
        raise ValueError(f"'{name}' cannot be an endpoint's name: use letters, digits, '-' and '_', as in 'demo'")
    said = command_line.of_endpoint().parse_args(words)
    shortcuts = {"pull_s": said.pull, "start_s": said.start, "load_s": said.load}
    try:
        platform = platform_of(said.platform, {key: value for key, value in shortcuts.items() if value is not None})
        return EndpointSpec(name, _policy(said), platform, _work(said), said.price_per_s, tuple(map(_fault, said.fault)))
    except (PolicyError, FaultError) as error:
        raise ValueError(f"endpoint '{name}': {error}") from None


def _policy(said: argparse.Namespace) -> Policy:
    scaler = said.scaler or ("request-count" if said.kind == "balancer" else "queue-delay")
    return Policy(
        kind=KINDS[said.kind],
        workers_min=said.workers_min,
        workers_max=said.workers_max,
        idle_timeout_s=said.idle_timeout_s,
        scaler=SCALERS[scaler],
        scaler_value=said.scaler_value,
        execution_timeout_s=said.execution_timeout_s,
        flashboot=said.flashboot,
        gpu=said.gpu,
    )


def _work(said: argparse.Namespace) -> WorkerSpec:
    if said.health_path and not said.health_path.startswith("/"):
        raise ValueError(f"'--health-path {said.health_path}' is no path: write it from its slash on, as in '/ping'")
    if said.worker == "sdk":
        recognisers.check(said.engine, said.model)
        if said.engine == "fixed" and said.service_time.fixed_s is None:
            raise ValueError(f"engine 'fixed' takes a fixed service time: write '--service-time 0.5' instead of '{said.service_time.text}'")
    return WorkerSpec(
        said.worker,
        _command(said.command) if said.worker == "command" else (),
        said.concurrency,
        said.engine,
        said.model,
        said.service_time,
        said.load or 0.0,
        said.first_extra_s,
        said.card_gb,
        said.shared_gb,
        said.job_gb,
        said.health_path or ("/health" if said.worker == "sdk" else "/ping"),
    )


def _command(text: str) -> tuple[str, ...]:
    """The words of a command line, with each file among them by its full path: workers run in folders of their own."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"--command '{text}' cannot be taken apart ({error}): write it as in --command 'python handler.py'") from None
    if not words:
        raise ValueError("'--worker command' needs the command: add --command 'python handler.py'")
    if shutil.which(words[0]) is None:
        raise ValueError(f"there is no program '{words[0]}' to run: name one, as in --command 'python handler.py'")
    program = shutil.which(words[0]) or words[0]
    return str(Path(program).absolute()), *(str(Path(word).absolute()) if Path(word).is_file() else word for word in words[1:])


def _fault(text: str) -> Fault:
    try:
        asked = json.loads(text)
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        raise FaultError(f"'{text}' is no JSON object: write a fault as in '{{\"throttle\": 1}}'")
    if "kill" in asked:
        raise FaultError("there is no worker to kill before the start: send the fault to /emulator/NAME/fault once there is one")
    return faults.fault(asked)
