"""Live figures for Prometheus: the page /metrics of Locust's web UI.

Every figure is read from the run when the page is requested, so it cannot differ from the rows on disk; a figure that the run does not
know is left out. Totals belong to a run: they stay until the next run, which starts again at 0, as after a counter's reset.

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
    """Adds the page to Locust's web UI, behind its login if it has one.

    Args:
        current: returns the current or last run; None before the first.
    """
    registry = CollectorRegistry()
    registry.register(RunCollector(current))
    page = make_wsgi_app(registry)

    @web_ui.app.route(ROUTE)  # type: ignore[untyped-decorator]
    @web_ui.auth_required_if_enabled  # type: ignore[untyped-decorator]
    def live_figures() -> Response:
        return Response.from_app(page, request.environ)


class RunCollector(Collector):
    """Collects the figures of the run that ``current`` returns, or of the run before if the current one could not start."""

    def __init__(self, current: Callable[[], RunView | None]) -> None:
        self._current = current
        self._run: RunView | None = None

    def collect(self) -> Iterator[Metric]:
        """The figures at this moment."""
        self._run = run = self._current() or self._run
        now = None if run is None else snapshot(run)
        yield _gauge("running", "1 during a run, else 0", now is not None and not now.finished)
        yield from _totals(now)
        if now is not None:
            labels = {"id": now.id, "question": now.question, "kind": now.kind, "stage": now.stage}
            about = GaugeMetricFamily(f"{PREFIX}run_info", "The run: directory, test, type of endpoint and stage", labels=tuple(labels))
            about.add_metric(tuple(labels.values()), 1)
            yield about
            if not now.finished:
                yield from _present(now)


def _totals(now: RunSnapshot | None) -> Iterator[Metric]:
    """Figures that stay after a run. They are 0 before the first one: a counter that appears with the value 30 has no rate."""
    yield _counter("requests_sent", "Requests sent in this run, without retries", now.sent if now else 0)
    counts = now.attempts if now else dict.fromkeys(OUTCOMES, 0)
    yield _counter("attempts", "Attempts that ended in this run (rows of attempts.csv), by outcome", counts, "outcome")
    yield _counter("queue_timeouts", "Attempts for which the platform found no endpoint worker in time", counts["queue_timeout"])
    yield _counter("cold_starts", "Cold starts so far; the report decides again with all rows", now.cold_starts if now else 0)
    yield _gauge("in_flight", "Requests in flight", now.in_flight if now else 0)
    yield _gauge("held", "Arrivals that are due and wait at the in-flight limit", now.held if now else 0)


def _present(now: RunSnapshot) -> Iterator[Metric]:
    """Figures that exist only during a run."""
    yield _gauge("generators", "Live load generators in this run", now.generators)
    yield _gauge("run_elapsed_seconds", "Time since the run's second 0, in seconds", now.elapsed_s)
    if now.planned is not None:
        yield _gauge("requests_planned", "Requests in the whole schedule", now.planned)
    if now.offered_per_s is not None:
        text = "Arrivals per second that the schedule plans now; a burst, whose arrivals are due at one instant, counts as 0"
        yield _gauge("offered_requests_per_second", text, now.offered_per_s)
    text = "Largest send delay (sent - scheduled - held) of the last full second and the current one, in seconds"
    yield _gauge("lateness_seconds", text, now.lateness_s)
    text = "Endpoint workers by state, from /health (view health) and the worker list (view workers); states of /health overlap"
    workers = GaugeMetricFamily(f"{PREFIX}endpoint_workers", text, labels=("view", "state"))
    for view, states in now.workers.items():
        for state, count in states.items():
            workers.add_metric((view, state), count)
    yield workers
    yield _gauge("endpoint_jobs", "Jobs at the endpoint by state, from /health", now.jobs, "state")


def _gauge(name: str, text: str, value: float | Mapping[str, float], label: str = "") -> Metric:
    return _filled(GaugeMetricFamily(PREFIX + name, text, labels=(label,) if label else ()), value)


def _counter(name: str, text: str, value: float | Mapping[str, float], label: str = "") -> Metric:
    return _filled(CounterMetricFamily(PREFIX + name, text, labels=(label,) if label else ()), value)


def _filled(metric: GaugeMetricFamily | CounterMetricFamily, value: float | Mapping[str, float]) -> Metric:
    """``metric`` with one value, or with one for each value of its label."""
    for label, one in value.items() if isinstance(value, Mapping) else [("", value)]:
        metric.add_metric((label,) if isinstance(value, Mapping) else (), one)
    return metric
