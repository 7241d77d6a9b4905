"""A grid of settings around that of a run, small enough to be predicted for every report."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coldburst.planner.model.scenario import Scenario
from coldburst.planner.predict import Prediction, PredictionError, check, predict_all
from coldburst.planner.recorded_load import RecordedLoad
from coldburst.serverless.errors import PolicyError
from coldburst.serverless.policy import Policy

# Idle time-outs that are tried.
IDLE_S = (5.0, 30.0, 120.0, 600.0, 3600.0)
# Simulated runs of a point.
SEEDS = 5
# Work is counted in simulated requests, so that two machines make the same page: this many take a second of CPU on a machine of 2024,
# and so many simulated seconds cost as much as one request.
PER_CPU_S, SECONDS = 40_000, 100.0
# CPU seconds for a grid with many values of each setting, and for the smallest one that a larger run gets.
MANY_S, FEW_S = 0.5, 2.5
# With fewer values of a setting there is nothing to move.
LEAST_VALUES = 2
# Of the largest of the smallest grids: two values of each of four settings.
FEW_POINTS = LEAST_VALUES**4
# The settings that the smallest grid of a large run lacks, first the one that tells least.
LEFT_OUT = ((), ("scaler_value",), ("scaler_value", "idle_timeout_s"))


@dataclass(frozen=True, slots=True)
class SettingPoint:
    """One combination of settings, see ``Scenario.settings``; ``prediction`` is None, and ``why`` says it, where there is none."""

    settings: Mapping[str, Any]
    prediction: Prediction | None
    why: str = ""


def points_around(now: Prediction | None, known: Sequence[Prediction | None], load: RecordedLoad) -> tuple[SettingPoint, ...]:
    """Every combination of settings around the present one: fewer values, settings and simulated runs for a large run.

    Args:
        now: of the present setting.
        known: predictions that are points of the grid already.
    """
    if now is None:
        return ()
    present = now.scenario
    seeds = min(len(now.runs), SEEDS)
    work = (now.planned + now["end_s"].median / SECONDS) * seeds
    axes = fitted(axes_around(present.policy), int(MANY_S * PER_CPU_S / work)) or smallest(present.policy, int(FEW_S * PER_CPU_S / work))
    asked = [_asked(present, dict(zip(axes, values, strict=True))) for values in itertools.product(*axes.values())]
    there = {one.scenario: one for one in known if one is not None}
    fresh = list(dict.fromkeys(scenario for _, scenario, _ in asked if scenario is not None and scenario not in there))
    there |= dict(zip(fresh, predict_all(fresh, load.stages, seeds=seeds), strict=True))
    return tuple(SettingPoint(settings, there[scenario] if scenario else None, why) for settings, scenario, why in asked)


def _asked(present: Scenario, changed: Mapping[str, float]) -> tuple[Mapping[str, Any], Scenario | None, str]:
    settings: Mapping[str, Any] = {**present.settings, **changed}
    try:
        scenario = present.with_settings(**changed)
        settings = scenario.settings
        check(scenario)
    except (PolicyError, PredictionError) as error:
        return settings, None, str(error)
    return settings, scenario, ""


def axes_around(policy: Policy) -> dict[str, tuple[float, ...]]:
    """The settings that can be moved, each with its values: the present one first, then by how much they tell."""
    least, most = policy.workers_min, policy.workers_max
    value = policy.scaler_value
    whole = policy.scaler == "REQUEST_COUNT"
    halved = max(value // 2, 1) if whole else max(value / 2, 0.5)
    axes: dict[str, tuple[float, ...]] = {
        "workers_min": _different(least, least + 1, 0, least + 2),
        "workers_max": _different(most, most + 1, 2 * most, max(most - 1, 1), max(most // 2, 1)),
        "scaler_value": _different(value, 2 * value, halved),
    }
    if policy.idles:
        longer = [seconds for seconds in IDLE_S if seconds > policy.idle_timeout_s]
        axes["idle_timeout_s"] = _different(policy.idle_timeout_s, *longer[:2], *reversed(IDLE_S[: len(IDLE_S) - len(longer)]))[:3]
    return axes


def smallest(policy: Policy, most: int) -> dict[str, tuple[float, ...]]:
    """Two values of as many settings as ``most`` points allow, of two settings in any case; ascending."""
    for left_out in LEFT_OUT:
        axes = {name: tuple(sorted(values[:LEAST_VALUES])) for name, values in axes_around(policy).items() if name not in left_out}
        if math.prod(map(len, axes.values())) <= most:
            break
    return axes


def _different(*values: float) -> tuple[float, ...]:
    return tuple(dict.fromkeys(values))


def fitted(axes: Mapping[str, Sequence[float]], most: int) -> dict[str, tuple[float, ...]]:
    """The axes with as many of their first values as ``most`` points allow, ascending; empty if that leaves nothing to move."""
    kept = {name: list(values) for name, values in axes.items()}
    while math.prod(map(len, kept.values())) > most:
        longest = max(reversed(kept.values()), key=len)
        if len(longest) <= LEAST_VALUES:
            return {}
        longest.pop()
    return {name: tuple(sorted(values)) for name, values in kept.items()}
