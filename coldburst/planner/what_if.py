"""What the endpoint of a run would have done with the same load under settings next to its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coldburst.planner.measured_run import UnknownSettingsError, measured_run
from coldburst.planner.model.fit import FitError
from coldburst.planner.model.scenario import Scenario
from coldburst.planner.predict import Prediction, PredictionError, predict_all
from coldburst.record.run_json import RunJsonError
from coldburst.schedule.stages import Stage
from coldburst.serverless.errors import PolicyError

# Requests of the run that are simulated, the first ones, and rows that its times come from.
MOST_REQUESTS, MOST_ROWS = 1000, 2000
# Simulated runs of each setting: fewer where the run is long, so that a report takes a second or two more at most.
SEEDS, LEAST_SEEDS, REQUESTS = 20, 5, 2000
# A longer idle time-out is the next of these.
IDLE_S = (5.0, 30.0, 120.0, 600.0, 3600.0)
# Longer jobs or loads are not simulated: the model looks at the scaler every second.
LONGEST_S = 86_400.0
NOW = "as it is"


class NothingToSayError(ValueError):
    """Nothing can be predicted from the run; the message says why, without a full stop."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """A setting; ``prediction`` is None, and ``why`` says it, where it cannot be predicted."""

    name: str
    prediction: Prediction | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The present setting first, then those next to it.

    Attributes:
        requests, planned: how many of the run's requests were simulated, and how many there are.
        spread: how much workers are taken to differ, and whether that was measured.
    """

    alternatives: tuple[Alternative, ...]
    requests: int
    planned: int
    spread: float
    spread_measured: bool

    @property
    def predictions(self) -> list[tuple[str, Prediction]]:
        """Those that could be predicted, with their names."""
        return [(one.name, one.prediction) for one in self.alternatives if one.prediction is not None]


def what_if(folder: Path, due_s: Sequence[float], usd_per_s: float) -> WhatIf:
    """Predictions for the load and the endpoint of the run in ``folder``.

    Args:
        due_s: when its requests were due, ascending.
        usd_per_s: price of a worker-second; 0 = unknown.

    Raises:
        NothingToSayError: the settings are unknown, or the rows do not show service times and starts.
    """
    chosen = list(due_s[:MOST_REQUESTS])
    if not chosen or chosen[-1] - chosen[0] > LONGEST_S:
        raise NothingToSayError("the run is longer than a day" if chosen else "no request was recorded")
    try:
        found = measured_run(folder, usd_per_s, MOST_ROWS)
        if max(found.fit.service.numbers) > LONGEST_S:
            raise NothingToSayError("a job took longer than a day")
        asked = [(NOW, found.scenario, ""), *_next_to(found.scenario)]
        scenarios = [scenario for _, scenario, _ in asked if scenario is not None]
        stage = Stage("what if", chosen[-1], at=tuple(chosen))
        seeds = min(max(REQUESTS // len(chosen), LEAST_SEEDS), SEEDS)
        predictions = iter(predict_all(scenarios, [stage], seeds=seeds))
    except (FitError, PredictionError, PolicyError, RunJsonError, UnknownSettingsError) as error:
        raise NothingToSayError(str(error)) from error
    alternatives = tuple(Alternative(name, next(predictions) if scenario else None, why) for name, scenario, why in asked)
    return WhatIf(alternatives, len(chosen), len(due_s), found.fit.spread, found.fit.spread_measured)


def _next_to(now: Scenario) -> Iterator[tuple[str, Scenario | None, str]]:
    """Name, scenario, and why there is none."""
    policy, twice = now.policy, 2 * now.concurrency
    least = policy.workers_min + 1
    settings = {"workers_min": least, "workers_max": max(policy.workers_max, least)}
    yield f"one more min worker ({least})", now.with_settings(**settings), ""
    name = f"twice the concurrency ({twice})"
    if twice <= now.concurrency_seen:
        key = "scaler_value" if policy.kind == "LOAD_BALANCER" else "concurrency"
        yield name, now.with_settings(**{key: twice}), ""
    else:
        yield name, None, f"the run shows at most {now.concurrency_seen} at a time on a worker: locustfiles/concurrency.py measures more"
    yield _longer_idle(now)


def _longer_idle(now: Scenario) -> tuple[str, Scenario | None, str]:
    policy = now.policy
    longer_s = next((seconds for seconds in IDLE_S if seconds > policy.idle_timeout_s), None)
    fixed = policy.workers_min == policy.workers_max
    if longer_s is None or not policy.idles or fixed:
        why = "no worker is stopped" if fixed else "this scaler has none" if longer_s else "it is the longest"
        return "a longer idle time-out", None, why
    return f"idle time-out {longer_s:g} s", now.with_settings(idle_timeout_s=longer_s), ""


def as_data(of: WhatIf) -> dict[str, Any]:
    """For JSON: figures without a value are None."""
    return {"requests": of.requests, "planned": of.planned, "settings": [_alternative(one) for one in of.alternatives]}


def _alternative(of: Alternative) -> dict[str, Any]:
    one = of.prediction
    if one is None:
        return {"name": of.name, "why": of.why, "settings": None, "runs": 0, "figures": None, "usd_a_day_idle": None}
    names = ("p50_s", "p95_s", "not_ok", "cold", "worker_s", *(("usd",) if one.scenario.usd_per_s else ()))
    figures = {name: {"median": one[name].median, "low": one[name].low, "high": one[name].high} for name in names}
    standing = one.scenario.standing_usd_a_day if one.scenario.usd_per_s else None
    settings = one.scenario.settings
    return {"name": of.name, "why": "", "settings": settings, "runs": len(one.runs), "figures": figures, "usd_a_day_idle": standing}
