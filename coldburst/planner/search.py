"""Which settings meet the objectives, and which of them is cheapest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from coldburst.planner.model.scenario import Scenario
from coldburst.planner.predict import Figures, Pool, Prediction, figure_text, predict_all
from coldburst.record.objectives import TIMES, Objective, objective
from coldburst.schedule.stages import Stage
from coldburst.serverless.errors import PolicyError

METRICS = ("p50", "p95", "p99", "mean", "success", "queue_timeouts", "cold_share", "throughput", "cost")
# Runs of a first look at many settings, and settings that are then simulated with all seeds.
LOOK_SEEDS, VERIFIED = 4, 3
# A setting that meets them in this share of the first runs may be one that holds; the next larger ones are looked at too.
LIKELY, BEYOND = 0.5, 2
# An objective is met by a setting if nine of ten runs meet it.
SURE = 0.9
_WORTH = {"workers_min": 0, "idle_timeout_s": 1, "concurrency": 2, "scaler_value": 3, "workers_max": 4}


@dataclass(frozen=True, slots=True)
class Rated:
    """A setting with its prediction and the share of its runs that meet all objectives."""

    prediction: Prediction
    met: float

    @property
    def cost(self) -> float:
        """What settings are compared by: USD where the price is known, else worker-seconds; with them the P95 decides between equals."""
        return self.prediction["worker_s"].median

    @property
    def holds(self) -> bool:
        """Whether it meets the objectives in at least SURE of its runs."""
        return self.met >= SURE


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The cheapest setting that meets the objectives.

    Attributes:
        best: None where none does.
        verified: settings that were simulated with all seeds, the cheapest first.
        neighbours: settings next to the best one: what one step down loses.
        tried: how many settings were looked at.
        limit: where none meets them, the objective that binds, with the best value that any setting reaches.
        closest: the setting that reaches it.
    """

    best: Rated | None
    verified: tuple[Rated, ...]
    neighbours: tuple[Rated, ...]
    tried: int
    limit: str = ""
    closest: tuple[Rated, ...] = ()


def read_objectives(text: str) -> tuple[Objective, ...]:
    """``p95<60s, queue_timeouts<0.5%``. Raises ObjectiveError."""
    return tuple(objective(word.strip(), METRICS) for word in text.split(",") if word.strip())


def value_of(figures: Figures, one: Objective) -> float:
    """The objective's metric in one simulated run; NaN, which meets no objective, where it has none."""
    planned = figures.ok + figures.not_ok
    counted = one.share or one.metric in ("success", "cold_share")
    number = {
        "success": figures.ok,
        "queue_timeouts": figures.queue_timeouts,
        "cold_share": figures.cold,
        "throughput": figures.throughput_per_s,
        "cost": figures.usd,
    }.get(one.metric)
    if number is None:
        return float(getattr(figures, f"{one.metric}_s"))
    return number / planned if counted else float(number)


def rate(prediction: Prediction, objectives: Sequence[Objective]) -> Rated:
    """The share of simulated runs that meet all objectives."""
    met = [all(one.met(value_of(run, one)) for one in objectives) for run in prediction.runs]
    return Rated(prediction, sum(met) / len(met))


def grid(scenario: Scenario, axes: Mapping[str, Sequence[float]]) -> list[Scenario]:
    """The scenario under every combination of settings that the platform takes."""
    found = []
    for values in itertools.product(*axes.values()):
        try:
            found.append(scenario.with_settings(**dict(zip(axes, values, strict=True))))
        except PolicyError:  # a minimum above the maximum, for one
            continue
    return found


def recommend(
    scenario: Scenario,
    stages: Sequence[Stage],
    objectives: Sequence[Objective],
    axes: Mapping[str, Sequence[float]],
    *,
    seeds: int,
    pool: Pool | None = None,
    progress: Callable[[str], object] = lambda _: None,
) -> Recommendation:
    """The cheapest setting of ``axes`` that meets the objectives in nine of ten runs.

    Each combination of the other settings gets the fewest workers that meet them, by bisection: more workers are not slower. The cheapest
    of those are then simulated with all seeds, until VERIFIED have been and one holds.

    Raises:
        PredictionError: a setting leaves what was measured.
    """
    others = {name: values for name, values in axes.items() if name != "workers_max"}
    maxima = sorted(int(value) for value in axes["workers_max"])
    looked: dict[Scenario, Rated] = {}

    def look(candidates: Sequence[Scenario]) -> None:
        fresh = [candidate for candidate in dict.fromkeys(candidates) if candidate not in looked]
        for prediction in predict_all(fresh, stages, seeds=LOOK_SEEDS, pool=pool):
            looked[prediction.scenario] = rate(prediction, objectives)
        progress(f"{len(looked)} settings looked at")

    spans = _spans(scenario, others, maxima)
    look([at[-1] for at in spans])
    looks = [_Bisection(at) for at in spans if looked[at[-1]].met]
    while middles := [one.middle for one in looks if one.open]:
        look(middles)
        for one in looks:
            if one.open:
                one.narrow(looked[one.middle].met >= LIKELY)
    look([scenario for one in looks for scenario in one.boundary])
    verified = _verify(looked, stages, objectives, seeds, pool, progress)
    best = next((one for one in verified if one.holds), None)
    if best is None:
        limit, closest = _limit(looked.values(), objectives)
        return Recommendation(None, verified, (), len(looked), limit, (closest,))
    beside = _neighbours(best.prediction.scenario, axes)
    neighbours = [rate(one, objectives) for one in predict_all(beside, stages, seeds=seeds, pool=pool)]
    return Recommendation(best, verified, tuple(neighbours), len(looked))


class _Bisection:
    """The search for the fewest workers among scenarios by ascending number."""

    def __init__(self, at: Sequence[Scenario]) -> None:
        self._at, self._low, self._high = at, 0, len(at) - 1

    @property
    def open(self) -> bool:
        return self._low < self._high

    @property
    def middle(self) -> Scenario:
        return self._at[(self._low + self._high) // 2]

    @property
    def boundary(self) -> Sequence[Scenario]:
        """The fewest that may hold, and some more."""
        return self._at[self._low : self._low + 1 + BEYOND]

    def narrow(self, likely: bool) -> None:
        middle = (self._low + self._high) // 2
        self._low, self._high = (self._low, middle) if likely else (middle + 1, self._high)


def _spans(scenario: Scenario, others: Mapping[str, Sequence[float]], maxima: Sequence[int]) -> list[list[Scenario]]:
    """For each combination of the other settings the scenarios by ascending maximum of workers."""
    spans: dict[tuple[float, ...], list[Scenario]] = {}
    for values in itertools.product(*others.values()):
        at = grid(scenario, {"workers_max": maxima, **{name: (one,) for name, one in zip(others, values, strict=True)}})
        if at:
            spans[values] = at
    return list(spans.values())


def _verify(
    looked: Mapping[Scenario, Rated],
    stages: Sequence[Stage],
    objectives: Sequence[Objective],
    seeds: int,
    pool: Pool | None,
    progress: Callable[[str], object],
) -> tuple[Rated, ...]:
    candidates = sorted((one for one in looked.values() if one.met), key=_order)
    verified: list[Rated] = []
    for start in range(0, len(candidates), VERIFIED):
        progress(f"simulating settings {start + 1} to {min(start + VERIFIED, len(candidates))} of {len(candidates)} with {seeds} seeds")
        some = [one.prediction.scenario for one in candidates[start : start + VERIFIED]]
        verified += [rate(one, objectives) for one in predict_all(some, stages, seeds=seeds, pool=pool)]
        if any(one.holds for one in verified):
            break
    return tuple(sorted(verified, key=_order))


def _order(one: Rated) -> tuple[float, float]:
    return one.cost, one.prediction["p95_s"].median


def _neighbours(scenario: Scenario, axes: Mapping[str, Sequence[float]]) -> list[Scenario]:
    """The scenarios one step of an axis below or above, cheapest axis first."""
    found = []
    for name in sorted(axes, key=lambda axis: _WORTH.get(axis, 9)):
        values = sorted(axes[name])
        at = values.index(scenario.settings[name])
        for step in (at - 1, at + 1):
            if 0 <= step < len(values):
                found += grid(scenario, {name: (values[step],)})
    return found


def _limit(looked: Collection[Rated], objectives: Sequence[Objective]) -> tuple[str, Rated]:
    """The objective that the fewest settings meet with the best value that any of them reaches, and the setting that reaches it."""

    def reached(rated: Rated, one: Objective) -> float:
        values = sorted(value_of(run, one) for run in rated.prediction.runs)
        return values[len(values) // 2]

    hardest = min(objectives, key=lambda one: sum(one.met(reached(rated, one)) for rated in looked))
    lower = hardest.op.startswith("<")

    def badness(rated: Rated) -> float:
        value = reached(rated, hardest)
        return math.inf if math.isnan(value) else value if lower else -value

    best = min(looked, key=badness)
    value = reached(best, hardest)
    unit = " s" if hardest.metric in TIMES else ""
    text = f"{value:.3%}" if hardest.share else f"{figure_text(value)}{unit}"
    found = "no setting answers any request" if math.isnan(value) else f"the best that any setting reaches is {text}"
    return f"What binds is {hardest.text}: {found}", best
