"""Live figures for Prometheus: the page /metrics of Locust's web UI, read from the run when it is asked for.

Nothing is counted here: each figure is the run's own at that moment, so that the page cannot come to differ from the rows on
disk. What a run cannot tell is left out, and is no zero. The totals are a run's: they stay until the next run, and begin
again at 0 with it, which Prometheus takes for a counter's reset.

Names and units: https://prometheus.io/docs/practices/naming.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flask import request
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from werkzeug.wrappers import Response

from coldburst.live.snapshot import RunSnapshot, RunView, snapshot
from coldburst.record.attempt import OUTCOMES

ROUTE = "/metrics"
PREFIX = "coldburst_"


def register(web_ui: Any, current: Callable[[], RunView | None]) -> None:
    """Adds the page to Locust's web UI, behind its login where it has one.

    Args:
        current: the run that goes on, or the last one; None before the first.
    """
    registry = CollectorRegistry()
    registry.register(RunCollector(current))
    page = make_wsgi_app(registry)

    @web_ui.app.route(ROUTE)  # type: ignore[untyped-decorator]
    @web_ui.auth_required_if_enabled  # type: ignore[untyped-decorator]
    def live_figures() -> Response:
        return Response.from_app(page, request.environ)


class RunCollector(Collector):
    """Collects the figures of the run that ``current`` returns; of the one before, where there is none because it could not begin."""

    def __init__(self, current: Callable[[], RunView | None]) -> None:
        self._current = current
        self._run: RunView | None = None

    def collect(self) -> Iterator[Metric]:
        """The figures at this moment."""
        self._run = run = self._current() or self._run
        now = None if run is None else snapshot(run)
        yield _gauge("running", "1 while a run goes on, 0 otherwise", now is not None and not now.finished)
        yield from _totals(now)
        if now is not None:
            yield _about(now)
            if not now.finished:
                yield from _present(now)


def _totals(now: RunSnapshot | None) -> Iterator[Metric]:
    """What stays after a run. Zeros before the first one: a counter that comes up with 30 has no rate."""
    yield _counter("requests_sent", "Requests sent in this run, retries not counted", now.sent if now else 0)
    counts = now.attempts if now else dict.fromkeys(OUTCOMES, 0)
    yield _counter("attempts", "Attempts that ended in this run (rows of attempts.csv), by outcome", counts, "outcome")
    text = "Attempts of this run for which the platform gave up waiting for an endpoint worker"
    yield _counter("queue_timeouts", text, counts["queue_timeout"])
    text = "Cold starts seen in this run so far: first answers of endpoint workers after a wait (the report decides again)"
    yield _counter("cold_starts", text, now.cold_starts if now else 0)
    yield _gauge("in_flight", "Requests in flight", now.in_flight if now else 0)
    yield _gauge("held", "Arrivals that are due and wait at the in-flight cap", now.held if now else 0)


def _about(now: RunSnapshot) -> Metric:
    labels = {"id": now.id, "question": now.question, "kind": now.kind, "stage": now.stage}
    text = "The run: its directory, question, kind of endpoint and present stage"
    about = GaugeMetricFamily(f"{PREFIX}run_info", text, labels=tuple(labels))
    about.add_metric(tuple(labels.values()), 1)
    return about


def _present(now: RunSnapshot) -> Iterator[Metric]:
    """What is only true while the run goes on."""
    yield _gauge("generators", "Load generators alive in this run", now.generators)
    yield _gauge("run_elapsed_seconds", "Time since the run's second 0, in seconds", now.elapsed_s)
    if now.planned is not None:
        yield _gauge("requests_planned", "Requests that the whole schedule plans", now.planned)
    if now.offered_per_s is not None:
        text = "Arrivals per second that the schedule plans now (none in a closed loop; a burst's are all due in one instant)"
        yield _gauge("offered_requests_per_second", text, now.offered_per_s)
    text = "Largest lateness (sent - scheduled - held at the cap) of the last full second and the present one, in seconds"
    yield _gauge("lateness_seconds", text, now.lateness_s)
    yield from _endpoint(now)


def _endpoint(now: RunSnapshot) -> Iterator[Metric]:
    """The endpoint's word, as it said it: the two views disagree by design."""
    text = "Endpoint workers by state, as /health (view health) and the worker list (view workers) have them; states overlap"
    workers = GaugeMetricFamily(f"{PREFIX}endpoint_workers", text, labels=("view", "state"))
    for view, states in now.workers.items():
        for state, count in states.items():
            workers.add_metric((view, state), count)
    yield workers
    yield _gauge("endpoint_jobs", "Jobs at the endpoint by state, as /health has them", now.jobs, "state")


def _gauge(name: str, text: str, value: float | Mapping[str, float], label: str = "") -> Metric:
    return _filled(GaugeMetricFamily(PREFIX + name, text, labels=(label,) if label else ()), value)


def _counter(name: str, text: str, value: float | Mapping[str, float], label: str = "") -> Metric:
    return _filled(CounterMetricFamily(PREFIX + name, text, labels=(label,) if label else ()), value)


def _filled(metric: GaugeMetricFamily | CounterMetricFamily, value: float | Mapping[str, float]) -> Metric:
    """``metric`` with one value, or with one for each value of its label."""
    if isinstance(value, Mapping):
        for said, one in value.items():
            metric.add_metric((said,), one)
    else:
        metric.add_metric((), value)
    return metric
