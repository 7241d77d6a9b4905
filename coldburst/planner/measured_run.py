"""A run as a scenario: its endpoint's settings from run.json, its times from its rows, its client from its options."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coldburst.planner.model import fit
from coldburst.planner.model.distributions import Distribution
from coldburst.planner.model.earlier_runs import Starts, starts
from coldburst.planner.model.scenario import Client, Scenario
from coldburst.record import run_json
from coldburst.schedule.retries import Retries
from coldburst.serverless.platform_parameters import EMBEDDED, Platform
from coldburst.serverless.policy import Policy

KINDS = {"queue": "QUEUE", "balancer": "LOAD_BALANCER"}
MOST_WORKERS = 1000
NO_SETTINGS = (
    "run.json has no settings of the endpoint: its workers and scaler are read from RunPod's REST v2, with a key in RUNPOD_API_KEY that may"
)
NOTHING = Distribution("fixed", (0.0,))


class UnknownSettingsError(ValueError):
    """run.json does not have the endpoint's settings; the message says why."""


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """A run's endpoint under the setting that it had, and what of it was measured."""

    scenario: Scenario
    fit: fit.Fit
    starts: Starts


def measured_run(folder: Path, usd_per_s: float = 0.0, most_rows: int | None = None) -> MeasuredRun:
    """The endpoint of the run in ``folder``.

    Args:
        usd_per_s: price of a worker-second; 0 = unknown.
        most_rows: rows that are read; None = all.

    Raises:
        UnknownSettingsError: run.json does not have the endpoint's settings.
        FitError: the rows do not show how long a job takes.
        RunJsonError, PolicyError: run.json cannot be used.
    """
    about = run_json.read(folder)
    policy = policy_of(about)
    found = fit.fit(folder, int(policy.scaler_value) if policy.kind == "LOAD_BALANCER" else 1, most_rows)
    start = starts(folder, found)
    scenario = Scenario(
        policy,
        Platform(**parameters_of(about)),
        found.service,
        start.time,
        NOTHING,
        found.curve,
        concurrency=int(policy.scaler_value) if policy.kind == "LOAD_BALANCER" else found.concurrency,
        spread=found.spread,
        spread_error=found.spread_error,
        client=client_of(about, found.overhead_s),
        usd_per_s=usd_per_s,
        concurrency_seen=found.concurrency,
        workers_seen=found.workers,
        with_report=True,
    )
    return MeasuredRun(scenario, found, start)


def policy_of(about: Mapping[str, Any]) -> Policy:
    """The operator's settings in run.json. Raises UnknownSettingsError and PolicyError."""
    settings = settings_of(about)
    if not settings:
        raise UnknownSettingsError(NO_SETTINGS)
    if settings["kind"] == "LOAD_BALANCER" and "scaler_value" not in settings:
        raise UnknownSettingsError("run.json does not have the scaler's value, which is how many requests at a time a worker gets")
    return Policy(**settings)


def settings_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """What run.json has of the arguments of Policy; empty without the numbers of workers."""
    kind = KINDS.get(str(_object(about, "target").get("kind")))
    said = _object(_object(about, "platform"), "settings")
    least, most = (_whole(said.get(name)) for name in ("workers_min", "workers_max"))
    if kind is None or least is None or most is None or most > MOST_WORKERS:
        return {}
    given = {name: value for name in ("idle_timeout_s", "scaler_value") if (value := _number(said.get(name))) is not None}
    scaler = str(said.get("scaler")) if kind == "QUEUE" else "REQUEST_COUNT"
    counts = {"workers_min": least, "workers_max": most}
    return {"kind": kind, "scaler": scaler, "flashboot": said.get("flashboot") is True, **counts, **given}


def parameters_of(about: Mapping[str, Any]) -> Mapping[str, Any]:
    """The platform's parameters that are not the default ones: those of the embedded endpoint, see ``EMBEDDED``."""
    return EMBEDDED if _object(about, "target").get("embedded") is True else {}


def client_of(about: Mapping[str, Any], overhead_s: float) -> Client:
    """How the run sent, by its options."""
    options = _object(about, "options")
    cap = _whole(about.get("max_in_flight")) if about.get("when_full") == "wait" else None
    retries = Retries(min(_whole(options.get("retries")) or 0, 100), _number(options.get("backoff")) or 1.0)
    # A deadline that no request met is left out: nothing waits for it.
    met = _object(_object(about, "ledger"), "counts").get("abandoned")
    return Client(cap or None, (_number(options.get("deadline")) or None) if met else None, retries, overhead_s)


def _object(about: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = about.get(key)
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float | None:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value < 1e9
    return float(value) if fits else None  # type: ignore[arg-type]


def _whole(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number == int(number) else None
