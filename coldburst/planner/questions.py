"""The questions that have a shape of their own: rates, fixed workers, idle time-outs; and the settings that a search looks at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from coldburst.planner.arguments import PlanError, Question
from coldburst.planner.model.scenario import Scenario
from coldburst.planner.model.theory import least_servers
from coldburst.planner.predict import Pool, Prediction, figure_text, predict
from coldburst.planner.search import LOOK_SEEDS, Rated, rate
from coldburst.record.objectives import Objective
from coldburst.schedule.stages import Stage

STEPS = 10
# A maximum of workers that a search looks at unless another is given.
MOST = 30
IDLE_S = (5.0, 30.0, 120.0, 600.0)
# With so many times the workers that a rate needs, hardly any request waits.
ENOUGH = 4
MINIMA = (0, 1, 2, 4, 8)
# The same for help texts.
_IDLE = ", ".join(f"{seconds:g}" for seconds in IDLE_S)
SEARCHED = {
    "workers_min": ", ".join(map(str, MINIMA)),
    "workers_max": f"1 to {MOST}",
    "concurrency": "those of 1, 2, 4, 8 that the run had",
    "idle_timeout_s": _IDLE,
}
IDLED = {"workers_min": "0 and 1", "idle_timeout_s": _IDLE}


def steady(rate_per_s: float, minutes: float) -> tuple[Stage, ...]:
    """Random arrivals at a rate, their number random too."""
    return (Stage("steady", minutes * 60, None, rate_per_s, rate_per_s, poisson=True, free=True),)


def whatif_rates(text: str) -> list[float]:
    """STEPS rates per second in equal ratios, from ``0.2..2``. Raises PlanError."""
    low, _, high = text.removesuffix("/s").partition("..")
    try:
        first, last = float(low), float(high)
    except ValueError:
        first = last = math.nan
    if not 0 < first < last < math.inf:
        raise PlanError(f"'--rate {text}' is not a range of requests per second: write it as in '--rate 0.2..2'")
    return [first * (last / first) ** (step / (STEPS - 1)) for step in range(STEPS)]


def over_rates(scenario: Scenario, rates: Sequence[float], minutes: float, seeds: int, pool: Pool | None) -> list[tuple[float, Prediction]]:
    """The same setting at each rate."""
    return [(one, predict(scenario, steady(one, minutes), seeds=seeds, pool=pool)) for one in rates]


def fixed_workers(question: Question, rate_per_s: float, objectives: Sequence[Objective], seeds: int, pool: Pool | None) -> list[Rated]:
    """Numbers of workers that are always on, ascending from what Little's law needs to the first that meets the objectives.

    Raises:
        PlanError: even ENOUGH times as many do not meet them.
    """
    scenario = question.scenario
    alone_s = scenario.service.mean_s * scenario.curve.factor(scenario.concurrency) / scenario.concurrency
    count = least_servers(rate_per_s, alone_s)
    most = ENOUGH * count
    found: list[Rated] = []
    while not found or not found[-1].holds:
        if count > most:
            raise PlanError(
                f"{most} workers, {ENOUGH} times what the rate needs, do not meet {', '.join(one.text for one in objectives)}: the P95 is "
                f"{figure_text(found[-1].prediction['p95_s'].median)} s, which is the service's own; more workers do not make it shorter"
            )
        setting = scenario.with_settings(workers_max=count).with_settings(workers_min=count)
        look = rate(predict(setting, question.stages, seeds=LOOK_SEEDS, pool=pool), objectives)
        found.append(rate(predict(setting, question.stages, seeds=seeds, pool=pool), objectives) if look.met else look)
        count += 1
    return found


def recommended_axes(question: Question, given: Mapping[str, Sequence[float]]) -> dict[str, Sequence[float]]:
    """The settings that a search looks at: those given, and usual values for the others."""
    scenario = question.scenario
    most = int(max(given.get("workers_max", (MOST,))))
    fewest = scenario.curve.jobs[0] if scenario.concurrency_seen else 1
    axes: dict[str, Sequence[float]] = {
        "workers_min": sorted({count for count in MINIMA if count <= most}),
        "workers_max": range(1, most + 1),
        "idle_timeout_s": IDLE_S,
        "concurrency": sorted({jobs for jobs in (1, 2, 4, 8) if fewest <= jobs <= scenario.concurrency_seen}) or (scenario.concurrency,),
    }
    if scenario.policy.kind == "LOAD_BALANCER":
        del axes["concurrency"]
        axes["scaler_value"] = sorted({value for value in (1, int(scenario.policy.scaler_value)) if value >= fewest})
    return axes | {name: tuple(values) for name, values in given.items() if name != "workers_max" or len(values) > 1}


def idle_axes(given: Mapping[str, Sequence[float]]) -> dict[str, Sequence[float]]:
    """Idle time-outs with none and with one worker that is always on, unless others are given."""
    return {"workers_min": (0, 1), "idle_timeout_s": IDLE_S} | dict(given)
