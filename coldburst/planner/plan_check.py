"""A plan against a real run: how far each figure is off, and which assumption is the reason."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from coldburst.planner.measured_run import NOTHING, UnknownSettingsError, client_of, policy_of
from coldburst.planner.model import fit
from coldburst.planner.model.scenario import SETTINGS, Scenario
from coldburst.planner.plan_file import Plan
from coldburst.planner.predict import Prediction, Range, predict_all
from coldburst.record import run_json
from coldburst.record.attempt import Attempt
from coldburst.schedule.stages import Stage
from coldburst.serverless.errors import PolicyError

SEEDS = 20
# Figures whose errors decide which assumption is off.
DECIDING = ("p50_s", "p95_s", "worker_s")
# An assumption is named if the run's value in its place takes away this share of the error, and the error is worth a word.
SHARE, WORTH = 0.3, 0.05
AS_PLANNED, ALL = "as planned", "all three"
Measured = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a plan, and what was measured; None if it was not."""

    name: str
    predicted: Range
    measured: float | None

    @property
    def error(self) -> float | None:
        """(predicted − measured) ÷ measured; None without a measured figure above zero."""
        if self.measured is None or math.isnan(self.predicted.median) or not self.measured:
            return None
        return self.predicted.median / self.measured - 1

    @property
    def inside(self) -> bool | None:
        """Whether the range held; None if nothing was measured."""
        return None if self.measured is None else self.predicted.low <= self.measured <= self.predicted.high


@dataclass(frozen=True, slots=True)
class Assumption:
    """One assumption: its value in the plan and in the run as text, and the prediction with the run's value; None where that is unknown."""

    name: str
    planned: str
    measured: str
    prediction: Prediction | None


@dataclass(frozen=True, slots=True)
class PlanCheck:
    """The result.

    Attributes:
        as_planned: the prediction for the run's own arrivals.
        together: the same with all of the run's values, what is left is the platform's.
        off: names of the assumptions that are off, the largest first; empty if every figure is in its range.
        apart: settings of the endpoint that differ, in words.
    """

    figures: tuple[Figure, ...]
    assumptions: tuple[Assumption, ...]
    as_planned: Prediction
    together: Prediction
    off: tuple[str, ...]
    apart: tuple[str, ...]

    @property
    def held(self) -> bool:
        """Whether every figure that is known lies in its range."""
        return all(one.inside is not False for one in self.figures)


def check(plan: Plan, plan_folder: Path, folder: Path, due_s: Sequence[float], measured: Measured) -> PlanCheck:
    """Compares the plan in ``plan_folder`` with the run in ``folder``.

    Args:
        due_s: when the run's requests were due, ascending.
        measured: its figures, by the names of Figures and ``cold_share``; None where one is unknown.

    Raises:
        FitError: the run does not show how long a job takes.
    """
    about = run_json.read(folder)
    planned = plan.scenario
    found = fit.fit(folder, int(planned.policy.scaler_value) if planned.policy.kind == "LOAD_BALANCER" else 1)
    changes = _changes(planned, found, about)
    together = planned
    for change in changes.values():
        together = replace(together, **change)
    scenarios = [planned, *(replace(planned, **change) for change in changes.values()), together]
    stage = Stage("plan", max(due_s[-1], 1e-3), at=tuple(due_s))
    # What was not measured is refused where a plan is made; here it is compared as it was assumed.
    known = [replace(one, concurrency_seen=0, cold_seen=True) for one in scenarios]
    now, *replaced, whole = predict_all(known, [stage], seeds=SEEDS)
    by_name = dict(zip(changes, replaced, strict=True))
    figures = tuple(Figure(name, _predicted(plan, name), measured.get(name)) for name in (*DECIDING, "not_ok", "cold_share"))
    assumptions = (
        Assumption("service", _times(planned.service), _times(found.service), by_name.get("service")),
        Assumption("start", _start_text(planned), "" if found.start is None else _times(found.start), by_name.get("start")),
        Assumption("client", _client_text(planned), _client_text(replace(planned, **changes["client"])), by_name.get("client")),
        Assumption("scaler", _arrivals(plan_folder, {}), _arrivals(folder, about), None),
    )
    off = _off(measured, now, by_name, whole)
    return PlanCheck(figures, assumptions, now, whole, off, _apart(planned, about))


def _changes(planned: Scenario, found: fit.Fit, about: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What of the scenario becomes what in the run, by assumption."""
    service = {"service": found.service, "curve": found.curve, "with_report": True}
    differ = {"spread": found.spread, "spread_error": found.spread_error} if found.spread_measured else {}
    changes: dict[str, dict[str, Any]] = {"service": service | differ}
    if found.start is not None:
        changes["start"] = {"start": found.start, "load": NOTHING}
    return changes | {"client": {"client": client_of(about, found.overhead_s)}}


def _predicted(plan: Plan, name: str) -> Range:
    if name != "cold_share":
        return plan.ranges[name]
    cold, planned = plan.ranges["cold"], max(plan.planned, 1)
    return Range(cold.median / planned, cold.low / planned, cold.high / planned)


def _off(measured: Measured, now: Prediction, replaced: Mapping[str, Prediction], whole: Prediction) -> tuple[str, ...]:
    """Which of the run's values takes away most of the error; the scaler stands for what all of them leave."""
    error = _error(measured, now)
    if error < WORTH:
        return ()
    gains = {name: error - _error(measured, one) for name, one in replaced.items()} | {"scaler": _error(measured, whole)}
    named = [name for name, gain in gains.items() if gain >= SHARE * error and gain >= WORTH / 2]
    return tuple(sorted(named, key=lambda name: -gains[name]))


def _error(measured: Measured, one: Prediction) -> float:
    """The mean distance of the deciding figures, as a ratio."""
    pairs = [(one[name].median, value) for name in DECIDING if (value := measured.get(name))]
    apart = [abs(math.log(predicted / value)) for predicted, value in pairs if predicted > 0]
    return sum(apart) / len(apart) if apart else 0.0


def _times(of: Any) -> str:
    if of.form != "measured":
        return f"{of} s"
    if len(of.numbers) == 1:
        return f"{of.numbers[0]:.3g} s (n = 1)"
    return f"median {median(of.numbers):.3g} s, {of.numbers[0]:.3g} to {of.numbers[-1]:.3g} s (n = {len(of.numbers)})"


def _start_text(of: Scenario) -> str:
    return _times(of.start) if of.load == NOTHING else f"{_times(of.start)}, load {_times(of.load)}"


def _client_text(of: Scenario) -> str:
    client = of.client
    parts = [f"{client.overhead_s:.3g} s outside queue and worker"]
    parts += [f"at most {client.max_in_flight:,} in flight"] if client.max_in_flight else []
    parts += [f"given up after {client.deadline_s:g} s"] if client.deadline_s else []
    return ", ".join([*parts, *([f"{client.retries.most} retries"] if client.retries.most else [])])


def _apart(planned: Scenario, about: Mapping[str, Any]) -> tuple[str, ...]:
    """Settings of the endpoint that differ from the plan's; empty where run.json has none."""
    try:
        policy = policy_of(about)
    except (UnknownSettingsError, PolicyError):
        return ()
    both = [(name, getattr(planned.policy, name), getattr(policy, name)) for name in SETTINGS if name != "concurrency"]
    return tuple(f"{name} {mine} planned, {its} in the run" for name, mine, its in both if mine != its)


def _arrivals(folder: Path, about: Mapping[str, Any]) -> str:
    """When each worker began its first job, else when its container started, by the worker list."""
    if begun := _first_jobs(fit.read_attempts(folder / "attempts.csv")):
        return f"first jobs at {_instants(sorted(begun.values()))}"
    platform = about.get("platform")
    spans = platform.get("workers") if isinstance(platform, dict) else None
    starts = sorted(span["start_s"] for span in spans or () if isinstance(span, dict) and isinstance(span.get("start_s"), int | float))
    return f"started at {_instants(starts)}" if starts else ""


def _first_jobs(rows: Iterable[Attempt]) -> dict[str, float]:
    begun: dict[str, float] = {}
    for row in rows:
        if row.worker_id and row.done_s is not None and row.execution_s is not None:
            begun[row.worker_id] = min(begun.get(row.worker_id, math.inf), row.done_s - row.execution_s)
    return begun


def _instants(ascending: Sequence[float], most: int = 6) -> str:
    shown = ", ".join(f"{instant:.3g}" for instant in ascending[:most])
    return f"{shown}{', …' if len(ascending) > most else ''} s ({len(ascending)} workers)"
