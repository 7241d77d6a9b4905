"""What the endpoint of a run would have done with the same load under settings next to its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coldburst.planner.measured_run import UnknownSettingsError, measured_run
from coldburst.planner.model.earlier_runs import Starts
from coldburst.planner.model.fit import FitError
from coldburst.planner.model.scenario import Scenario
from coldburst.planner.predict import Prediction, PredictionError, a_day, predict_all
from coldburst.planner.recorded_load import RecordedLoad, recorded_load
from coldburst.planner.setting_points import IDLE_S, SettingPoint, points_around
from coldburst.record import run_json
from coldburst.record.run_json import RunJsonError
from coldburst.serverless.errors import PolicyError
from coldburst.serverless.simulation.service_curve import ServiceCurve

# Rows that the run's times come from.
MOST_ROWS = 2000
# Simulated runs of each setting: fewer where the run is long, so that a report takes five seconds more at most (10,000 requests).
SEEDS, FEW_SEEDS, LEAST_SEEDS, REQUESTS = 20, 5, 3, 2000
# Longer jobs or loads are not simulated: the model looks at the scaler every second.
LONGEST_S = 86_400.0
NOW = "as it is"
BEST, WORST = "at best", "at worst"
FIGURES = ("p50_s", "p95_s", "throughput_per_s", "not_ok", "cold", "worker_s")


class NothingToSayError(ValueError):
    """Nothing can be predicted from the run; the message says why, without a full stop."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """A setting; ``prediction`` is None, and ``why`` says it, where it cannot be predicted.

    ``bound``: BEST or WORST where the run shows too few at a time on a worker, so that only bounds of the service time are known.
    """

    name: str
    prediction: Prediction | None
    why: str = ""
    bound: str = ""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The present setting first, then those next to it.

    Attributes:
        load: what was simulated.
        spread: how much workers are taken to differ, and whether that was measured.
        concurrency_seen: most jobs at a time on a worker in the run.
        starts: how long workers take to start, and where that comes from.
        warm: workers that were up already when the run began, beyond the minimum; 0 where one started.
        points: a grid of settings around the present one; empty if it would take too long.
    """

    alternatives: tuple[Alternative, ...]
    load: RecordedLoad
    spread: float
    spread_measured: bool
    concurrency_seen: int
    starts: Starts
    warm: int = 0
    points: tuple[SettingPoint, ...] = ()

    @property
    def predictions(self) -> list[tuple[str, Prediction]]:
        """Those that could be predicted, with their names."""
        return [(one.name, one.prediction) for one in self.alternatives if one.prediction is not None]


def what_if(folder: Path, due_s: Sequence[float], sent: Mapping[str, int], usd_per_s: float) -> WhatIf:
    """Predictions for the load and the endpoint of the run in ``folder``.

    Args:
        due_s: when its requests were due, ascending.
        sent: requests by stage.
        usd_per_s: price of a worker-second; 0 = unknown.

    Raises:
        NothingToSayError: the settings are unknown, or the rows do not show service times and starts.
    """
    if not due_s:
        raise NothingToSayError("no request was recorded")
    try:
        load = recorded_load(str(run_json.read(folder).get("schedule") or ""), due_s, sent)
        if due_s[load.requests - 1] - due_s[0] > LONGEST_S:
            raise NothingToSayError("the run is longer than a day")
        found = measured_run(folder, usd_per_s, MOST_ROWS)
        if max(found.fit.service.numbers) > LONGEST_S:
            raise NothingToSayError("a job took longer than a day")
        warm = 0 if found.fit.start else max(found.fit.workers - found.scenario.policy.workers_min, 0)
        alternatives = _predicted(found.scenario, load, warm)
        points = points_around(alternatives[0].prediction, [one.prediction for one in alternatives if not one.bound], load)
    except (FitError, PredictionError, PolicyError, RunJsonError, UnknownSettingsError) as error:
        raise NothingToSayError(str(error)) from error
    fit = found.fit
    return WhatIf(alternatives, load, fit.spread, fit.spread_measured, fit.concurrency, found.starts, warm, points)


def _predicted(present: Scenario, load: RecordedLoad, warm: int) -> tuple[Alternative, ...]:
    # The present setting is what the run had, also if it never filled its workers.
    now = replace(present, concurrency_seen=max(present.concurrency_seen, present.concurrency))
    asked = [(NOW, now, "", ""), *_next_to(now, present.concurrency_seen, warm)]
    scenarios = [scenario for _, scenario, _, _ in asked if scenario is not None]
    seeds = min(max(REQUESTS // load.requests, FEW_SEEDS), SEEDS) if load.requests <= REQUESTS else LEAST_SEEDS
    predictions = iter(predict_all(scenarios, load.stages, seeds=seeds))
    return tuple(Alternative(name, next(predictions) if scenario else None, why, bound) for name, scenario, why, bound in asked)


Asked = tuple[str, Scenario | None, str, str]


def _next_to(now: Scenario, seen: int, warm: int) -> Iterator[Asked]:
    """Name, scenario, why there is none, and which bound it is."""
    policy, twice = now.policy, 2 * now.concurrency
    least = policy.workers_min + 1
    yield f"one more min worker ({least})", _kept(now, least), "", ""
    if warm > 1:
        yield f"as many min workers as were up ({policy.workers_min + warm})", _kept(now, policy.workers_min + warm), "", ""
    wider = now.with_settings(**{"scaler_value" if policy.kind == "LOAD_BALANCER" else "concurrency": twice})
    name = f"twice the concurrency ({twice})"
    if twice <= seen:
        yield name, wider, "", ""
    else:
        yield from ((f"{name}, {bound}", scenario, "", bound) for bound, scenario in bounds(wider, seen))
    yield _longer_idle(now)


def _kept(now: Scenario, least: int) -> Scenario:
    return now.with_settings(workers_min=least, workers_max=max(now.policy.workers_max, least))


def bounds(of: Scenario, seen: int) -> tuple[tuple[str, Scenario], tuple[str, Scenario]]:
    """A concurrency beyond the ``seen`` one: a job takes no longer than beside those, or longer in proportion.

    In proportion means that jobs beyond ``seen`` might as well take turns. A service that slows down even more, as one that runs out of
    memory, is beyond both.
    """
    known = replace(of, concurrency_seen=of.concurrency)
    curve, jobs = of.curve, (*(jobs for jobs in of.curve.jobs if jobs < seen), seen)
    slower = ServiceCurve((*jobs, of.concurrency), (*map(curve.at, jobs), curve.at(seen) * of.concurrency / seen))
    return (BEST, known), (WORST, replace(known, curve=slower))


def _longer_idle(now: Scenario) -> Asked:
    policy = now.policy
    longer_s = next((seconds for seconds in IDLE_S if seconds > policy.idle_timeout_s), None)
    fixed = policy.workers_min == policy.workers_max
    if longer_s is None or not policy.idles or fixed:
        why = "no worker is stopped" if fixed else "this scaler has none" if longer_s else "it is the longest"
        return "a longer idle time-out", None, why, ""
    return f"idle time-out {longer_s:g} s", now.with_settings(idle_timeout_s=longer_s), "", ""


def as_data(of: WhatIf) -> dict[str, Any]:
    """For JSON: figures without a value are None."""
    load = of.load
    return {
        "requests": load.requests,
        "planned": load.planned,
        "closed": load.closed,
        "every_s": load.every_s,
        "starts": {"assumed": of.starts.assumed, "source": of.starts.source},
        "settings": [_alternative(one, load.every_s) for one in of.alternatives],
    }


def points_data(of: WhatIf) -> list[dict[str, Any]]:
    """The grid in the same form: settings, figures, runs, and why there are none."""
    return [_point(one, of.load.every_s) for one in of.points]


def _alternative(of: Alternative, every_s: float) -> dict[str, Any]:
    one = of.prediction
    said = {"name": of.name, "why": of.why, "bound": of.bound}
    if one is None:
        return said | {"settings": None, "runs": 0, "figures": None, "usd_a_day_idle": None}
    standing = one.scenario.standing_usd_a_day if one.scenario.usd_per_s else None
    settings = one.scenario.settings
    return said | {"settings": settings, "runs": len(one.runs), "figures": figures(one, every_s), "usd_a_day_idle": standing}


def _point(of: SettingPoint, every_s: float) -> dict[str, Any]:
    one = of.prediction
    runs, found = (len(one.runs), figures(one, every_s)) if one else (0, None)
    return {"settings": dict(of.settings), "why": of.why, "runs": runs, "figures": found}


def figures(one: Prediction, every_s: float) -> dict[str, dict[str, float | None]]:
    """The figures of a prediction with their ranges, and its cost a day: worker-seconds, and USD where the price is known."""
    day, usd_per_s = a_day(one, every_s), one.scenario.usd_per_s
    ranges = {name: one[name] for name in FIGURES} | ({"usd": one["usd"]} if usd_per_s else {}) | {"worker_s_a_day": day}
    ends = ("median", "low", "high")
    found = {name: {end: getattr(of, end) for end in ends} for name, of in ranges.items()}
    if usd_per_s:
        found["usd_a_day"] = {end: getattr(day, end) * usd_per_s for end in ends}
    return {name: {end: None if math.isnan(value) else value for end, value in of.items()} for name, of in found.items()}
