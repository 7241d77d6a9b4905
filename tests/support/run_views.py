"""A run as it goes, for what only looks at one: no Locust, no load."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

from coldburst.schedule.stages import parse
from coldburst.targets.status_sampler import EndpointSamples

HEALTH = {"view": "health", "error": "", "in_queue": 3, "in_progress": 2, "idle": 1, "ready": 2, "running": None}
LISTED = {"view": "workers", "error": "", "idle": 0, "running": 2}


def run_of(schedule="steady 60s 4/s", now_s=10.5, **more):
    """A run that tells all that there is to tell; 7 requests sent, one of them tried twice."""
    load = SimpleNamespace(now=lambda: now_s, in_flight=2, held=3, stage="steady", stopping=False, begun_s=0.0)
    plan = SimpleNamespace(schedule=parse(schedule), planned=240, kind="queue", sample_s=2.0, options={})
    recorder = SimpleNamespace(
        id="20261121-120000-burst",
        question="burst",
        folder=Path("runs/20261121-120000-burst"),
        counts=Counter(ok=4, queue_timeout=1),
        rows=Counter(ok=4, queue_timeout=1, busy=1),
        events=Counter(cold_start=2, queued=9),
        attempt_listeners=[],
        event_listeners=[],
    )
    about = {
        "plan": plan,
        "load": load,
        "recorder": recorder,
        "sent": 7,
        "lateness_s": 0.004,
        "generators": 1,
        "samples": EndpointSamples(),
    }
    return SimpleNamespace(**about | {"ledger": None, "hooks": None, "ended_by": ""} | more)
