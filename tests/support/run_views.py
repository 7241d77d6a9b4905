"""A run at one moment, for what only looks at one (``live.snapshot.RunView``): no Locust, no load."""

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coldburst.load import run_options
from coldburst.load.run_options import RunPlan
from coldburst.load.spend_limit import Spending
from coldburst.load.stage_hooks import StageHooks
from coldburst.option import attribute
from coldburst.record.ledger import Ledger
from coldburst.targets.status_sampler import EndpointSamples

HEALTH = {"view": "health", "error": "", "in_queue": 3, "in_progress": 2, "idle": 1, "ready": 2, "running": None}
LISTED = {"view": "workers", "error": "", "idle": 0, "running": 2}

CONTAINERS = [{"id": name, "status": "RUNNING", "startedAt": "2026-11-21T12:00:00Z"} for name in ("w1", "w2")]


@dataclass
class Load:
    at_s: float = 10.5
    in_flight: int = 2
    held: int = 3
    stage: str = "steady"
    stopping: bool = False
    begun_s: float = 0.0

    def now(self) -> float:
        return self.at_s


@dataclass
class Rows:
    """A recorder of 7 requests, one of them tried twice."""

    id: str = "20261121-120000-burst"
    question: str = "burst"
    folder: Path = Path("runs/20261121-120000-burst")
    counts: Counter[str] = field(default_factory=lambda: Counter(ok=4, queue_timeout=1))
    rows: Counter[str] = field(default_factory=lambda: Counter(ok=4, queue_timeout=1, busy=1))
    events: Counter[str] = field(default_factory=lambda: Counter(cold_start=2, queued=9))
    attempt_listeners: list[Callable[[Any], object]] = field(default_factory=list)
    event_listeners: list[Callable[[Any], object]] = field(default_factory=list)


@dataclass
class Run:
    plan: RunPlan
    load: Any = field(default_factory=Load)
    recorder: Rows = field(default_factory=Rows)
    samples: EndpointSamples = field(default_factory=EndpointSamples)
    sent: int = 7
    lateness_s: float = 0.004
    generators: int = 1
    ledger: Ledger | None = None
    hooks: StageHooks | None = None
    spending: Spending | None = None
    ended_by: str = ""


def plan_of(**options: Any) -> RunPlan:
    """The plan of a run against a queue endpoint."""
    given = {"host": "http://127.0.0.1:9/v2/demo", "max_wer": "off", "max_in_flight": 10, "runs": tempfile.gettempdir(), **options}
    return run_options.check({**{attribute(option): option.default for option in run_options.OPTIONS}, **given})


def run_of(schedule: str = "steady 60s 4/s", price: str = "", **more: Any) -> Run:
    """A run that tells all that there is to tell."""
    return Run(plan_of(schedule=schedule, price=price), **more)


def listed(run: Run, at_s: float) -> None:
    """Has the run read the worker list: two containers, each with a job."""
    run.samples.add({"at_s": at_s, **LISTED})
    run.samples.spans.see(CONTAINERS, at_s)
