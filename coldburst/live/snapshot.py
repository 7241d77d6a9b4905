"""A snapshot of a run at one moment, for /metrics, the web UI's pages and the progress lines.

Nothing is counted here: each figure is the run's own, so that no two places can come to differ, nor any of them from the rows
on disk. What a run cannot tell is None, and is no zero.
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
from coldburst.load.stage_hooks import StageHooks
from coldburst.record import prices
from coldburst.record.attempt import OUTCOMES, Attempt
from coldburst.record.ledger import Ledger
from coldburst.schedule.stages import Stage
from coldburst.targets.status_sampler import LIST_EVERY_S, WORKERS, EndpointSamples

STALE_ASKS = 5
"""For so many questions the endpoint's last word stands for its present state, should they go unanswered."""
JOBS = ("in_queue", "in_progress")
BILLED = ("initializing", "idle", "running")
"""States of an endpoint worker that cost: a worker is paid from its start to its stop."""


class LoadView(Protocol):
    """What the load of a run shows: of one process (``load.dispatcher``) or of all generators (``distributed.stage_sequencer``)."""

    @property
    def stage(self) -> str:
        """The present stage, "" before the first."""

    @property
    def in_flight(self) -> int:
        """Requests in flight."""

    @property
    def held(self) -> int:
        """Arrivals that wait at the in-flight cap."""

    @property
    def stopping(self) -> bool:
        """Whether nothing more is sent."""

    @property
    def begun_s(self) -> float:
        """When the schedule begins, in seconds from second 0."""

    def now(self) -> float:
        """Seconds since second 0."""


class RecorderView(Protocol):
    """What a run's recorder shows; see ``record.run_directory.Recorder``."""

    counts: Counter[str]
    rows: Counter[str]
    events: Counter[str]
    attempt_listeners: list[Callable[[Sequence[Attempt]], object]]
    event_listeners: list[Callable[[Mapping[str, Any]], object]]
    folder: Path

    @property
    def id(self) -> str:
        """The run's name."""

    @property
    def question(self) -> str:
        """What the run asks."""


class RunView(Protocol):
    """What a run in one process (``load.run.LoadRun``) and a distributed one (``distributed.master.DistributedRun``) have in common."""

    plan: RunPlan
    samples: EndpointSamples
    ledger: Ledger | None
    hooks: StageHooks | None
    ended_by: str

    @property
    def load(self) -> LoadView:
        """What sends, or has others send."""

    @property
    def recorder(self) -> RecorderView:
        """What writes the rows."""

    @property
    def generators(self) -> int:
        """Load generators that live and have a part."""

    @property
    def sent(self) -> int:
        """Requests sent, retries not counted."""

    @property
    def lateness_s(self) -> float:
        """Largest send delay of the last full second and the present one."""


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """One moment of a run. Seconds from its second 0, which in a distributed run lies before the schedule's beginning.

    Attributes:
        id, question, kind, folder: which run, what it asks, of which kind of endpoint, and where its files are.
        stage, place, stages: the present stage, which one it is (from 1; 0 before the first), and how many there are.
        elapsed_s: since second 0.
        left_s: until nothing more is sent, by the schedule; None where completions decide.
        planned: requests that the schedule plans; None where completions decide.
        sent, in_flight, held: requests sent, of them not ended, and arrivals that wait at the in-flight cap.
        offered_per_s, due: see ``offered_per_s`` and ``due``.
        outcomes: requests that ended, by outcome (a retried one counts with its last attempt); every outcome is there.
        attempts: rows of attempts.csv by outcome; every outcome is there.
        cold_starts: seen so far; the report decides again, with all rows.
        lateness_s: largest lateness (sent - scheduled - held) of the last full second and the present one.
        generators: load generators that live and have a part.
        workers: endpoint workers by view (health, workers) and state, as the endpoint has them; empty where its word is too old.
        jobs: at the endpoint by state, as /health has them.
        usd_per_s: what an endpoint worker costs, USD a second; None where no price is known.
        stopping: nothing more is sent, what is in flight is waited for.
        finished: each request has ended and the files are closed.
        ended_by, ledger: of a finished run; "" before.
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
    jobs: Mapping[str, int]
    usd_per_s: float | None
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
        """Requests that were sent and ended otherwise: not those that never left, all of which end in one instant when a run is stopped."""
        return sum(self.outcomes.values()) - self.ok - self.outcomes["not_sent"]

    @property
    def view(self) -> str:
        """The view by which endpoint workers are told: the records where there are any, else the scheduler's gauge; "" = none."""
        return next((view for view in ("workers", "health") if view in self.workers), "")

    @property
    def paid_workers(self) -> int | None:
        """Endpoint workers that cost at this moment, by their records; the gauge's states overlap, and None is known of it."""
        seen = self.workers.get("workers")
        return None if seen is None else sum(seen.get(state, 0) for state in BILLED)


def snapshot(run: RunView) -> RunSnapshot:
    """``run`` as it stands now."""
    plan, load, recorder = run.plan, run.load, run.recorder
    now_s, running = load.now(), run.ledger is None
    at_s = now_s - load.begun_s
    names = [stage.name for stage in plan.schedule]
    latest = _latest(run, now_s) if running else {}
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
        jobs=_known(latest.get("health", {}), JOBS),
        usd_per_s=_usd_per_s(plan.options),
        stopping=load.stopping,
        finished=not running,
        ended_by="" if running else run.ended_by or "schedule",
        ledger="" if run.ledger is None else str(run.ledger),
    )


def offered_per_s(stages: Sequence[Stage], at_s: float) -> float | None:
    """Arrivals per second that ``stages`` plan ``at_s`` seconds after their beginning; 0 before it and after the last stage.

    The law's rate at that instant; for recorded arrivals those of the second before it. None in a closed loop, and
    after one, whose end only answers decide. A burst (a count without a duration) has no rate: all are due in one instant.
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
    """Arrivals that ``stages`` plan in their first ``at_s`` seconds: the integral of the law's rate, bursts and recorded ones counted.

    None where a closed loop is among them: its arrivals are made by completions.
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
    """Of an open stage with a duration, ``into_s`` seconds from its start."""
    if stage.at:
        return float(bisect_right(stage.at, into_s) - bisect_right(stage.at, into_s - 1.0))
    return stage.rate + (stage.rate_end - stage.rate) * into_s / (stage.duration_s or math.inf)


def _offered_per_s(run: RunView, at_s: float) -> float | None:
    rate = None if run.hooks else offered_per_s(run.plan.schedule, at_s)
    return 0.0 if run.load.stopping and rate is not None else rate


def _left_s(run: RunView, at_s: float) -> float | None:
    """Only of an open loop, or of one closed stage: where a closed one stands among others, answers decide when the next begins."""
    stages = run.plan.schedule
    timed = not run.hooks and (len(stages) == 1 or not any(stage.closed for stage in stages))
    if not timed or run.load.stopping or run.ledger is not None or any(stage.closed and stage.duration_s is None for stage in stages):
        return None
    left_s = sum(stage.duration_s or 0.0 for stage in stages) - at_s
    return left_s if left_s > 0 else None


def _latest(run: RunView, now_s: float) -> dict[str, Mapping[str, Any]]:
    """What the endpoint said last, by view; without what is too old to be its present state. The two views disagree by design."""
    since_s = now_s - STALE_ASKS * max(run.plan.sample_s, LIST_EVERY_S)
    return {
        sample["view"]: sample for sample in run.samples.between(since_s, math.inf) if sample["at_s"] >= since_s and not sample["error"]
    }


def _known(sample: Mapping[str, Any], states: Sequence[str]) -> dict[str, int]:
    return {state: sample[state] for state in states if sample.get(state) is not None}


def _usd_per_s(options: Mapping[str, Any]) -> float | None:
    """The price of --price, where it is given; it was checked before the run."""
    price = str(options.get("price") or "")
    return prices.read(price, date.today()).usd_per_s if price else None
