"""Live figures for Prometheus: the page /metrics of Locust's web UI, read from the run when it is asked for.

Nothing is counted here: each figure is the run's own at that moment, so that the page cannot come to differ from the rows on
disk. What a run cannot tell is left out, and is no zero. The totals are a run's: they stay until the next run, and begin
again at 0 with it, which Prometheus takes for a counter's reset.

Names and units: https://prometheus.io/docs/practices/naming.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flask import request
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from werkzeug.wrappers import Response

from rig.attempt import OUTCOMES
from rig.schedule import Stage
from rig.watch import LIST_EVERY_S, WORKERS

if TYPE_CHECKING:
    from rig.master import MasterRun
    from rig.run import Run

    AnyRun = Run | MasterRun  # names alone: the tests read a run's figures without Locust

ROUTE = "/metrics"
PREFIX = "coldburst_"
STALE_ASKS = 5
"""For so many questions the endpoint's last word stands for its present state, should they go unanswered."""
JOBS = ("in_queue", "in_progress")


def register(web_ui: Any, current: Callable[[], AnyRun | None]) -> None:
    """Adds the page to Locust's web UI, behind its login where it has one.

    Args:
        current: the run that goes on, or the last one; None before the first.
    """
    registry = CollectorRegistry()
    registry.register(Figures(current))
    page = make_wsgi_app(registry)

    @web_ui.app.route(ROUTE)  # type: ignore[untyped-decorator]
    @web_ui.auth_required_if_enabled  # type: ignore[untyped-decorator]
    def live_figures() -> Response:
        return Response.from_app(page, request.environ)


class Figures(Collector):
    """Collects the figures of the run that ``current`` returns; of the one before, where there is none because it could not begin."""

    def __init__(self, current: Callable[[], AnyRun | None]) -> None:
        self._current = current
        self._run: AnyRun | None = None

    def collect(self) -> Iterator[Metric]:
        """The figures at this moment."""
        self._run = run = self._current() or self._run
        yield _gauge("running", "1 while a run goes on, 0 otherwise", run is not None and run.ledger is None)
        yield from _totals(run)
        if run is not None:
            yield _about(run)
            if run.ledger is None:
                yield from _present(run)


def offered_per_s(stages: Sequence[Stage], at_s: float) -> float | None:
    """Arrivals per second that ``stages`` plan at ``at_s`` seconds from second 0; 0 after the last stage.

    The law's rate at that instant; for recorded arrivals those of the second before it. None in a closed loop, and
    after one, whose end only answers decide. A burst (a count without a duration) has no rate: all are due in one instant.
    """
    start_s = 0.0
    for stage in stages:
        if stage.closed:
            return None
        end_s = start_s + (stage.duration_s or 0.0)
        if at_s < end_s:
            return _rate(stage, at_s - start_s)
        start_s = end_s
    return 0.0


def _rate(stage: Stage, into_s: float) -> float:
    """Of an open stage with a duration, ``into_s`` seconds from its start."""
    if stage.at:
        return float(bisect_right(stage.at, into_s) - bisect_right(stage.at, into_s - 1.0))
    return stage.rate + (stage.rate_end - stage.rate) * into_s / (stage.duration_s or math.inf)


def _totals(run: AnyRun | None) -> Iterator[Metric]:
    """What stays after a run. Zeros before the first one: a counter that comes up with 30 has no rate."""
    yield _counter("requests_sent", "Requests sent in this run, retries not counted", run.sent if run else 0)
    counts = {outcome: run.recorder.rows[outcome] if run else 0 for outcome in OUTCOMES}
    yield _counter("attempts", "Attempts that ended in this run (rows of attempts.csv), by outcome", counts, "outcome")
    told = "Attempts of this run for which the platform gave up waiting for an endpoint worker"
    yield _counter("queue_timeouts", told, counts["queue_timeout"])
    told = "Cold starts seen in this run so far: first answers of endpoint workers after a wait (the report decides again)"
    yield _counter("cold_starts", told, run.recorder.events["cold_start"] if run else 0)
    yield _gauge("in_flight", "Requests in flight", run.load.in_flight if run else 0)
    yield _gauge("held", "Arrivals that are due and wait at the in-flight cap", run.load.held if run else 0)


def _about(run: AnyRun) -> Metric:
    labels = {
        "id": run.recorder.id,
        "question": run.recorder.question,
        "kind": run.plan.kind,
        "stage": run.load.stage,
    }
    told = "The run: its directory, question, kind of endpoint and present stage"
    about = GaugeMetricFamily(f"{PREFIX}run_info", told, labels=tuple(labels))
    about.add_metric(tuple(labels.values()), 1)
    return about


def _present(run: AnyRun) -> Iterator[Metric]:
    """What is only true while the run goes on."""
    now_s = run.load.now()
    yield _gauge("generators", "Load generators alive in this run", getattr(run, "generators", 1))
    yield _gauge("run_elapsed_seconds", "Time since the run's second 0, in seconds", now_s)
    if run.plan.planned is not None:
        yield _gauge("requests_planned", "Requests that the whole schedule plans", run.plan.planned)
    offered = None if run.conductor else offered_per_s(run.plan.schedule, now_s)
    if offered is not None:
        told = "Arrivals per second that the schedule plans now (none in a closed loop; a burst's are all due in one instant)"
        yield _gauge("offered_requests_per_second", told, 0.0 if run.load.stopping else offered)
    told = "Largest lateness (sent - scheduled - held at the cap) of the last full second and the present one, in seconds"
    yield _gauge("lateness_seconds", told, run.lateness_s)
    yield from _endpoint(run, now_s)


def _endpoint(run: AnyRun, now_s: float) -> Iterator[Metric]:
    """The endpoint's word, as it said it: the two views disagree by design."""
    words = _words(run, now_s)
    told = "Endpoint workers by state, as /health (view health) and the worker list (view workers) have them; states overlap"
    workers = GaugeMetricFamily(f"{PREFIX}endpoint_workers", told, labels=("view", "state"))
    for view, word in words.items():
        for state in WORKERS:
            if word.get(state) is not None:
                workers.add_metric((view, state), word[state])
    yield workers
    health = words.get("health", {})
    jobs = {state: health[state] for state in JOBS if health.get(state) is not None}
    yield _gauge("endpoint_jobs", "Jobs at the endpoint by state, as /health has them", jobs, "state")


def _words(run: AnyRun, now_s: float) -> dict[str, Mapping[str, Any]]:
    """What the endpoint said last, by view; without what is too old to be its present state."""
    since_s = now_s - STALE_ASKS * max(run.plan.sample_s, LIST_EVERY_S)
    return {word["view"]: word for word in run.said.between(since_s, math.inf) if word["at_s"] >= since_s and not word["error"]}


def _gauge(name: str, told: str, value: float | Mapping[str, float], label: str = "") -> Metric:
    return _filled(GaugeMetricFamily(PREFIX + name, told, labels=(label,) if label else ()), value)


def _counter(name: str, told: str, value: float | Mapping[str, float], label: str = "") -> Metric:
    return _filled(CounterMetricFamily(PREFIX + name, told, labels=(label,) if label else ()), value)


def _filled(metric: GaugeMetricFamily | CounterMetricFamily, value: float | Mapping[str, float]) -> Metric:
    """``metric`` with one value, or with one for each value of its label."""
    if isinstance(value, Mapping):
        for said, one in value.items():
            metric.add_metric((said,), one)
    else:
        metric.add_metric((), value)
    return metric
