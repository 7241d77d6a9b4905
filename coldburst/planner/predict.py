"""Many simulated runs of one scenario: the figures, each with an interval for one run of the real endpoint."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial

from coldburst.planner.model.scenario import DAY_S, Scenario
from coldburst.planner.model.simulate import Totals, simulate
from coldburst.randomness import stream
from coldburst.record.attempt import OUTCOMES, Attempt, response_s
from coldburst.schedule.stages import Stage
from coldburst.serverless.simulation.service_curve import ServiceCurve

SEEDS = 20
# Of the interval: nine of ten runs end inside it, if the endpoint is as assumed.
LEVEL = 0.9
# A worker takes some time for a job, however much they differ.
MOST_SPREAD = 0.9


def figure_text(value: float) -> str:
    """Three digits, or all of a larger whole number."""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def ranges_text(runs: int) -> str:
    """What the ranges of so many simulated runs are, as a sentence."""
    if runs == 1:
        return "Predicted, by one simulated run, which gives no ranges."
    level = (runs - 1) / (runs + 1)
    if level >= LEVEL:
        return f"Predicted, by {runs:,} simulated runs: 9 of 10 real ones should end in these ranges."
    return f"Predicted, by {runs:,} simulated runs: {level:.0%} of real ones should end in these ranges."


class PredictionError(ValueError):
    """The question lies outside what is known of the endpoint; the message says what is missing and how to measure it."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one simulated run; times in seconds, money in USD. Percentiles are nearest rank over ok requests, NaN without any."""

    p50_s: float
    p95_s: float
    p99_s: float
    mean_s: float
    throughput_per_s: float
    ok: int
    not_ok: int
    queue_timeouts: int
    cold: int
    start_s: float
    execution_s: float
    idle_s: float
    worker_s: float
    usd: float
    end_s: float


# A scenario with a seed, what its run gave, and what runs many of them.
Task = tuple[Scenario, int]
Result = tuple[Figures, Counter[str]]
Pool = Callable[[Callable[[Task], Result], list[Task]], list[Result]]


@dataclass(frozen=True, slots=True)
class Range:
    """The median over the simulated runs, and the interval in which a further run ends with probability LEVEL."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is to be expected of ``scenario``.

    Attributes:
        ranges: by the names of Figures.
        runs: the simulated runs' figures, one for each seed.
        outcomes: mean number of requests with each outcome.
        planned: mean number of requests of a run.
    """

    scenario: Scenario
    ranges: Mapping[str, Range]
    runs: tuple[Figures, ...]
    outcomes: Mapping[str, float]
    planned: float

    def __getitem__(self, name: str) -> Range:
        return self.ranges[name]


def predict(scenario: Scenario, stages: Sequence[Stage], *, seeds: int = SEEDS, first: int = 1, pool: Pool | None = None) -> Prediction:
    """Simulates ``seeds`` runs, with the seeds from ``first`` on.

    Each draws its own arrivals, times and workers, and what the measurement leaves uncertain: another resample of measured times, another
    difference between workers (Barton, Nelson, Xie: Quantifying input uncertainty via simulation confidence intervals, INFORMS Journal on
    Computing 2014).

    Raises:
        PredictionError: the setting leaves what was measured.
    """
    return predict_all([scenario], stages, seeds=seeds, first=first, pool=pool)[0]


def predict_all(
    scenarios: Sequence[Scenario], stages: Sequence[Stage], *, seeds: int = SEEDS, first: int = 1, pool: Pool | None = None
) -> list[Prediction]:
    """``predict`` for several scenarios, with the same seeds for each, so that they meet the same arrivals."""
    for scenario in scenarios:
        check(scenario)
    # By seed, since runs of one seed share what they draw.
    tasks = [(scenario, seed) for seed in range(first, first + seeds) for scenario in scenarios]
    run = partial(_one, tuple(stages))
    found = pool(run, tasks) if pool else [run(task) for task in tasks]
    return [_prediction(scenario, found[at :: len(scenarios)]) for at, scenario in enumerate(scenarios)]


def check(scenario: Scenario) -> None:
    """Raises PredictionError where the scenario leaves what was measured."""
    seen = scenario.concurrency_seen
    if seen and scenario.concurrency > seen:
        raise PredictionError(
            f"the run shows at most {seen} at a time on a worker, so {scenario.concurrency} at a time cannot be predicted from it: "
            "measure that setting, or give the service times as --service-curve 1:0.3,8:0.4"
        )
    stated = scenario.curve.jobs
    if seen and scenario.concurrency < stated[0]:
        raise PredictionError(
            f"the run shows at least {stated[0]:g} at a time on a worker, so {scenario.concurrency} at a time cannot be predicted from it: "
            "measure that setting, or give the service times as --service-curve 1:0.3,8:0.4"
        )
    if not seen and len(stated) > 1 and scenario.concurrency > stated[-1]:
        raise PredictionError(
            f"the service curve {scenario.curve} ends at {stated[-1]:g} at a time on a worker, so {scenario.concurrency} at a time cannot "
            "be predicted from it: give --service-curve a point for that"
        )
    if not scenario.cold_seen and scenario.policy.workers_max > scenario.policy.workers_min:
        raise PredictionError(
            "neither this run nor an earlier one of the endpoint beside it has a cold start, so workers that start cannot be predicted: "
            "measure one with coldburst run coldstart, or state what a start takes, as in --start 40 or --start range:10:120"
        )


def _one(stages: Sequence[Stage], task: Task) -> Result:
    scenario, seed = task
    run = simulate(_resampled(scenario, stream(seed, "what was measured")), stages, seed, keep_rows=False)
    between_s = scenario.policy.workers_min * max(scenario.every_s - run.end_s, 0.0)
    idle_s = run.bill.idle_s + between_s
    end_s = max(run.end_s, scenario.every_s)
    return figures(run.totals, run.bill.start_s, run.bill.execution_s, idle_s, scenario.usd_per_s, end_s), run.totals.outcomes


def _resampled(scenario: Scenario, rng: random.Random) -> Scenario:
    """The scenario as another calibration might have measured it: its times, its workers, and what it does not show."""
    service, start, load = (getattr(scenario, name).resampled(rng) for name in ("service", "start", "load"))
    spread, curve, error = scenario.spread, scenario.curve, scenario.spread_error
    if error:
        spread = min(max(rng.uniform(spread - error, spread + error), 0.0), MOST_SPREAD)
    if scenario.workers_seen and service.form == "measured":
        # A uniform spread has a standard deviation of a root of three less.
        service = service.scaled(math.exp(rng.gauss(0, spread / (3 * scenario.workers_seen) ** 0.5)))
    if scenario.concurrency_seen and (fewest := curve.jobs[0]) > 1:
        # A job alone was not seen: it takes as long as beside others, or its share of that, or anything between.
        alone = rng.uniform(1 / fewest, 1)
        service, curve = service.scaled(alone), ServiceCurve((1, *curve.jobs), (alone, *curve.seconds))
    return replace(scenario, service=service, start=start, load=load, spread=spread, curve=curve)


def totals_of(rows: Iterable[Attempt]) -> Totals:
    """The same of the rows of any run."""
    totals = Totals()
    for row in {row.seq: row for row in rows}.values():
        taken_s = response_s(row) if row.outcome == "ok" else None
        totals.count(row.outcome, row.scheduled_s, row.done_s, taken_s, cold=row.cold is True)
    return totals


def figures(totals: Totals, start_s: float, execution_s: float, idle_s: float, usd_per_s: float, end_s: float) -> Figures:
    """The figures of a run."""
    times_s = sorted(totals.times_s)
    ok, requests = len(times_s), totals.outcomes.total()
    wall_s = totals.last_s - totals.first_s if totals.last_s > -math.inf else 0.0
    worker_s = start_s + execution_s + idle_s
    return Figures(
        p50_s=nearest_rank(times_s, 0.5),
        p95_s=nearest_rank(times_s, 0.95),
        p99_s=nearest_rank(times_s, 0.99),
        mean_s=sum(times_s) / ok if ok else math.nan,
        throughput_per_s=ok / wall_s if wall_s else math.nan,
        ok=ok,
        not_ok=requests - ok,
        queue_timeouts=totals.outcomes["queue_timeout"],
        cold=totals.cold,
        start_s=start_s,
        execution_s=execution_s,
        idle_s=idle_s,
        worker_s=worker_s,
        usd=worker_s * usd_per_s,
        end_s=end_s,
    )


def nearest_rank(ascending: Sequence[float], share: float) -> float:
    """The percentile as the reports take it; NaN without values."""
    return ascending[max(math.ceil(share * len(ascending)) - 1, 0)] if ascending else math.nan


def _prediction(scenario: Scenario, found: Sequence[Result]) -> Prediction:
    runs = tuple(one for one, _ in found)
    ranges = {field.name: range_of([float(getattr(run, field.name)) for run in runs]) for field in fields(Figures)}
    outcomes = {name: mean for name in OUTCOMES if (mean := sum(counts[name] for _, counts in found) / len(found))}
    return Prediction(scenario, ranges, runs, outcomes, sum(outcomes.values()))


def a_day(one: Prediction, every_s: float = 0.0) -> Range:
    """Worker-seconds a day if the load comes again every ``every_s``, or once the endpoint is back at its minimum if that takes longer."""
    least = one.scenario.policy.workers_min
    lasts_s = [max(run.end_s, every_s) for run in one.runs]
    in_all = [run.worker_s + least * (lasted_s - run.end_s) for run, lasted_s in zip(one.runs, lasts_s, strict=True)]
    return range_of([worker_s * DAY_S / lasted_s if lasted_s else math.nan for worker_s, lasted_s in zip(in_all, lasts_s, strict=True)])


def range_of(values: Sequence[float]) -> Range:
    """The median, and the order statistics between which a further value lies with probability LEVEL, or the extremes of too few values."""
    known = sorted(value for value in values if not math.isnan(value))
    if not known:
        return Range(math.nan, math.nan, math.nan)
    rank = max(math.floor((1 - LEVEL) / 2 * (len(known) + 1) + 1e-9), 1)
    return Range(nearest_rank(known, 0.5), known[rank - 1], known[-rank])
