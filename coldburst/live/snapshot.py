"""A snapshot of a run, for /metrics, the live page and the progress on the terminal.

Every figure comes from the run itself, so no two places can differ. A figure that the run does not know is None, not 0.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from coldburst.load.run_options import RunPlan
from coldburst.load.spend_limit import Spending
from coldburst.load.stage_hooks import StageHooks
from coldburst.record import prices
from coldburst.record.attempt import OUTCOMES, Attempt
from coldburst.record.ledger import Ledger
from coldburst.schedule.stages import Stage
from coldburst.targets.status_sampler import LIST_EVERY_S, WORKERS, EndpointSamples

# A status of the endpoint counts as current for this many polling intervals.
STALE_POLLS = 5
JOBS = ("in_queue", "in_progress")


class _Load(Protocol):
    """The load of one process (``load.dispatcher``) or of all generators (``distributed.stage_sequencer``)."""

    @property
    def stage(self) -> str: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def held(self) -> int: ...
    @property
    def stopping(self) -> bool: ...
    @property
    def begun_s(self) -> float: ...
    def now(self) -> float: ...


class _Recorder(Protocol):
    """A run's recorder, see ``record.run_directory.Recorder``."""

    counts: Counter[str]
    rows: Counter[str]
    events: Counter[str]
    attempt_listeners: list[Callable[[Sequence[Attempt]], object]]
    event_listeners: list[Callable[[Mapping[str, Any]], object]]
    folder: Path

    @property
    def id(self) -> str: ...
    @property
    def question(self) -> str: ...


class RunView(Protocol):
    """What a run in one process (``load.run.LoadRun``) and a distributed one (``distributed.master.DistributedRun``) have in common."""

    plan: RunPlan
    samples: EndpointSamples
    ledger: Ledger | None
    hooks: StageHooks | None
    spending: Spending | None
    ended_by: str

    @property
    def load(self) -> _Load:
        """The load: a dispatcher or a stage sequencer."""

    @property
    def recorder(self) -> _Recorder:
        """The recorder of the run's rows."""

    @property
    def generators(self) -> int:
        """Number of live load generators with a share."""

    @property
    def sent(self) -> int:
        """Requests sent, without retries."""

    @property
    def lateness_s(self) -> float:
        """Largest send delay of the last full second and the current one."""


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """A run at one moment. Times in seconds from second 0, which in a distributed run is before the schedule's start.

    Attributes:
        id, question, kind, folder: name of the run, its test, type of endpoint and directory.
        stage, place, stages: current stage, its number (from 1; 0 before the first), and the number of stages.
        elapsed_s: since second 0.
        left_s: until the schedule stops sending; None if completions decide.
        planned: requests in the schedule; None if completions decide.
        sent, in_flight, held: requests sent; sent but not ended; arrivals waiting at the in-flight limit.
        offered_per_s, due: see the functions of these names.
        outcomes: ended requests by outcome, a retried one by its last attempt; every outcome is a key.
        attempts: rows of attempts.csv by outcome; every outcome is a key.
        cold_starts: seen so far; the report decides again with all rows.
        lateness_s: largest send delay of the last full second and the current one.
        generators: live load generators with a share.
        workers: endpoint workers by view (health, workers) and state; without views that are out of date.
        paid_workers: endpoint workers that cost money now: those with a container, by the worker list; None without the list.
        jobs: jobs at the endpoint by state, from /health.
        usd_per_s: price of an endpoint worker in USD per second; None if unknown.
        spent_usd, limit_usd: metered cost, and what --max-spend allows; None without it.
        stopping: no further requests are sent.
        finished: every request has ended and the files are closed.
        ended_by, ledger: of a finished run, else "".
    """

    id: str
    question: str
    kind: str
    folder: Path
    stage: str
    place: int
    stages: int
    elapsed_s: float
    left_s: float | None
    planned: int | None
    sent: int
    in_flight: int
    held: int
    offered_per_s: float | None
    due: float | None
    outcomes: Mapping[str, int]
    attempts: Mapping[str, int]
    cold_starts: int
    lateness_s: float
    generators: int
    workers: Mapping[str, Mapping[str, int]]
    paid_workers: int | None
    jobs: Mapping[str, int]
    usd_per_s: float | None
    spent_usd: float | None
    limit_usd: float | None
    stopping: bool
    finished: bool
    ended_by: str
    ledger: str

    @property
    def ok(self) -> int:
        """Requests that ended ok."""
        return self.outcomes["ok"]

    @property
    def not_ok(self) -> int:
        """Requests that were sent and did not end ok; ``not_sent`` is left out because stopping a run produces all of them at once."""
        return sum(self.outcomes.values()) - self.ok - self.outcomes["not_sent"]

    @property
    def view(self) -> str:
        """The view to show workers by: the worker list, else /health; "" without either."""
        return next((view for view in ("workers", "health") if view in self.workers), "")


def snapshot(run: RunView) -> RunSnapshot:
    """``run`` at this moment."""
    plan, load, recorder = run.plan, run.load, run.recorder
    now_s, running = load.now(), run.ledger is None
    at_s = now_s - load.begun_s
    names = [stage.name for stage in plan.schedule]
    latest = _latest(run, now_s) if running else {}
    price = str(plan.options.get("price") or "")
    return RunSnapshot(
        id=recorder.id,
        question=recorder.question,
        kind=plan.kind,
        folder=recorder.folder,
        stage=load.stage,
        place=names.index(load.stage) + 1 if load.stage in names else 0,
        stages=len(names),
        elapsed_s=now_s,
        left_s=_left_s(run, at_s),
        planned=plan.planned,
        sent=run.sent,
        in_flight=load.in_flight,
        held=load.held,
        offered_per_s=_offered_per_s(run, at_s),
        due=None if run.hooks else due(plan.schedule, at_s),
        outcomes={outcome: recorder.counts[outcome] for outcome in OUTCOMES},
        attempts={outcome: recorder.rows[outcome] for outcome in OUTCOMES},
        cold_starts=recorder.events["cold_start"],
        lateness_s=run.lateness_s,
        generators=run.generators,
        workers={view: _known(sample, WORKERS) for view, sample in latest.items()},
        # The states of /health overlap, and those of the list include workers that FlashBoot keeps.
        paid_workers=run.samples.spans.present if "workers" in latest else None,
        jobs=_known(latest.get("health", {}), JOBS),
        usd_per_s=prices.read(price, date.today()).usd_per_s if price else None,
        spent_usd=run.spending.meter.usd if run.spending else None,
        limit_usd=run.spending.meter.limit_usd if run.spending else None,
        stopping=load.stopping,
        finished=not running,
        ended_by="" if running else run.ended_by or "schedule",
        ledger="" if run.ledger is None else str(run.ledger),
    )


def offered_per_s(stages: Sequence[Stage], at_s: float) -> float | None:
    """Arrivals per second that ``stages`` plan ``at_s`` seconds after their start; 0 before the first and after the last.

    For recorded arrivals, the number in the second before. None in a closed loop and after one, because completions decide when it
    ends. A burst has no rate: all of it is due at one instant.
    """
    start_s = 0.0
    for stage in stages:
        if stage.closed:
            return None
        end_s = start_s + (stage.duration_s or 0.0)
        if at_s < end_s:
            return _rate(stage, at_s - start_s) if at_s >= start_s else 0.0
        start_s = end_s
    return 0.0


def due(stages: Sequence[Stage], at_s: float) -> float | None:
    """Arrivals that ``stages`` plan in their first ``at_s`` seconds: the integral of the rate, plus bursts and recorded arrivals.

    None if one of them is a closed loop, where completions make the arrivals.
    """
    total, start_s = 0.0, 0.0
    for stage in stages:
        if stage.closed:
            return None
        if at_s >= start_s:
            total += _due(stage, at_s - start_s)
        start_s += stage.duration_s or 0.0
    return total


def _due(stage: Stage, into_s: float) -> float:
    if stage.at:
        return float(bisect_right(stage.at, into_s))
    if stage.duration_s is None:
        return float(stage.count or 0)
    into_s = min(into_s, stage.duration_s)
    return stage.rate * into_s + (stage.rate_end - stage.rate) * into_s**2 / (2 * stage.duration_s)


def _rate(stage: Stage, into_s: float) -> float:
    """The rate of an open stage with a duration, ``into_s`` seconds after its start."""
    if stage.at:
        return float(bisect_right(stage.at, into_s) - bisect_right(stage.at, into_s - 1.0))
    return stage.rate + (stage.rate_end - stage.rate) * into_s / (stage.duration_s or math.inf)


def _offered_per_s(run: RunView, at_s: float) -> float | None:
    rate = None if run.hooks else offered_per_s(run.plan.schedule, at_s)
    return 0.0 if run.load.stopping and rate is not None else rate


def _left_s(run: RunView, at_s: float) -> float | None:
    """Only for an open loop or a single closed stage: otherwise completions decide when the next stage starts."""
    stages = run.plan.schedule
    timed = not run.hooks and (len(stages) == 1 or not any(stage.closed for stage in stages))
    if not timed or run.load.stopping or run.ledger is not None or any(stage.closed and stage.duration_s is None for stage in stages):
        return None
    left_s = sum(stage.duration_s or 0.0 for stage in stages) - at_s
    return left_s if left_s > 0 else None


def _latest(run: RunView, now_s: float) -> dict[str, Mapping[str, Any]]:
    """The endpoint's last status by view, without what is out of date."""
    since_s = now_s - STALE_POLLS * max(run.plan.sample_s, LIST_EVERY_S)
    samples = run.samples.between(since_s, math.inf)
    return {sample["view"]: sample for sample in samples if sample["at_s"] >= since_s and not sample["error"]}


def _known(sample: Mapping[str, Any], states: Sequence[str]) -> dict[str, int]:
    return {state: sample[state] for state in states if sample.get(state) is not None}
