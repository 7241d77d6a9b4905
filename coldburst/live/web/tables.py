"""The tabs and tables that Locust's page gets: ledger, cold starts, queue, 400s, endpoint workers, arrivals per second.

Locust's React page asks ``/stats/requests`` every two seconds while a run goes; what is under ``extended_stats`` there fills
the tables that ``template_args`` announces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from coldburst.live.recent_rows import Quantiles
from coldburst.live.run_monitor import LiveRates, RunMonitor
from coldburst.live.snapshot import RunSnapshot
from coldburst.record.attempt import OUTCOMES
from coldburst.targets.status_sampler import WORKERS

Row = Mapping[str, Any]
PREFIX = "coldburst-"
"""Of the tabs' keys: Locust has a tab "workers" of its own."""
SECONDS = 120
"""Rows of arrivals per second."""


def announce(template_args: dict[str, Any], live_page: str) -> None:
    """Adds the tabs to what Locust's page is made of; ``live_page``: where the live page is, as seen from there."""
    template_args["extended_tabs"] = [{"title": title, "key": PREFIX + key} for key, (title, _, _) in TABLES.items()]
    template_args["extended_tables"] = [
        {"key": PREFIX + key, "structure": [{"key": column, "title": head} for column, head in columns.items()]}
        for key, (_, columns, _) in TABLES.items()
    ]
    template_args["extended_csv_files"] = [{"href": live_page, "title": "Live page: charts, and each run's report and files"}]


def filled(monitor: RunMonitor | None) -> list[dict[str, Any]]:
    """The tables' rows; none before the first run."""
    if monitor is None:
        return [{"key": PREFIX + key, "data": []} for key in TABLES]
    now, rates = monitor.snapshot, monitor.live_rates
    return [{"key": PREFIX + key, "data": list(rows(monitor, now, rates))} for key, (_, _, rows) in TABLES.items()]


def _ledger(_: RunMonitor, now: RunSnapshot, __: LiveRates) -> Iterator[Row]:
    ended = sum(now.outcomes.values())
    planned = ended if now.planned is None and now.finished else now.planned
    yield {"what": "planned", "requests": "decided by completions" if planned is None else planned, "share": "", "meaning": ""}
    for outcome, count in now.outcomes.items():
        if count:
            yield {"what": outcome, "requests": count, "share": _share(count, planned), "meaning": OUTCOMES[outcome]}
    if planned is not None and planned != ended:
        word, why = ("missing", "no row tells of them") if now.finished else ("not ended", "in flight, or not due yet")
        yield {"what": word, "requests": planned - ended, "share": _share(planned - ended, planned), "meaning": why}


def _cold(monitor: RunMonitor, _: RunSnapshot, __: LiveRates) -> Iterator[Row]:
    for row in reversed(monitor.events.cold_starts):
        yield {"at": _s(row["at_s"]), "worker": row["worker_id"], "wait": _s(row["seconds"]), "stage": row["stage"], "request": row["seq"]}


def _queue(_: RunMonitor, now: RunSnapshot, rates: LiveRates) -> Iterator[Row]:
    jobs = {"in_queue": "jobs in the endpoint's queue", "in_progress": "jobs with an endpoint worker"}
    for state, what in jobs.items():
        yield {"what": what, "value": now.jobs.get(state, "not told"), "source": "/health"}
    yield {"what": "requests in flight", "value": now.in_flight, "source": "load generator"}
    yield {"what": "arrivals that wait at the in-flight cap", "value": now.held, "source": "load generator"}
    yield from _quantiles("queue delay", rates.queue_s)
    yield from _quantiles("response time", rates.response_s)


def _quantiles(what: str, spread: Quantiles) -> Iterator[Row]:
    source = f"the last {spread.n} answers ok, nearest rank"
    for name, value in (("P50", spread.p50_s), ("P95", spread.p95_s)):
        yield {"what": f"{what}, {name}", "value": "none yet" if value is None else f"{value:.3f} s", "source": source}


def _problems(monitor: RunMonitor, _: RunSnapshot, __: LiveRates) -> Iterator[Row]:
    for one in sorted(monitor.events.problems.values(), key=lambda one: -one.count):
        times = {"first": _s(one.first_s), "last": _s(one.last_s)}
        yield {"outcome": one.outcome, "cause": one.cause, "attempts": one.count, **times, "detail": one.detail}


def _workers(_: RunMonitor, now: RunSnapshot, __: LiveRates) -> Iterator[Row]:
    for state in WORKERS:
        health, listed = (now.workers.get(view, {}).get(state, "not told") for view in ("health", "workers"))
        yield {"state": state, "gauge": health, "records": listed}


def _arrivals(monitor: RunMonitor, _: RunSnapshot, __: LiveRates) -> Iterator[Row]:
    columns = monitor.history.columns(monitor.history.last.at_s - SECONDS)
    for place in reversed(range(len(columns["at_s"]))):
        one = {name: values[place] for name, values in columns.items()}
        yield {
            "at": _s(one["at_s"]),
            "planned": "completions decide" if one["offered_per_s"] is None else round(one["offered_per_s"], 2),
            "sent": round(one["sent_per_s"] or 0.0, 2),
            "ok": round(one["ok_per_s"] or 0.0, 2),
            "other": round(one["not_ok_per_s"] or 0.0, 2),
            "flight": one["in_flight"],
            "late": _ms(one["lateness_s"]),
        }


def _share(count: int, whole: int | None) -> str:
    return f"{count / whole:.1%}" if whole else ""


def _s(seconds: float | str | None) -> str:
    return "" if seconds is None or seconds == "" else f"{float(seconds):.1f} s"


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.1f} ms"


TABLES: Mapping[str, tuple[str, Mapping[str, str], Callable[[RunMonitor, RunSnapshot, LiveRates], Iterator[Row]]]] = {
    "ledger": ("Ledger", {"what": "", "requests": "Requests", "share": "Of planned", "meaning": "Meaning"}, _ledger),
    "cold": (
        "Cold starts",
        {"at": "At", "worker": "Endpoint worker", "wait": "Queue delay", "stage": "Stage", "request": "Request"},
        _cold,
    ),
    "queue": ("Queue", {"what": "", "value": "Now", "source": "Source"}, _queue),
    "mishaps": (
        "400s",
        {"outcome": "Outcome", "cause": "Cause", "attempts": "Attempts", "first": "First", "last": "Last", "detail": "What the last said"},
        _problems,
    ),
    "workers": ("Endpoint workers", {"state": "State", "gauge": "/health", "records": "Worker list"}, _workers),
    "arrivals": (
        "Arrivals/s",
        {
            "at": "Second",
            "planned": "Planned/s",
            "sent": "Sent/s",
            "ok": "ok/s",
            "other": "Ended otherwise/s",
            "flight": "In flight",
            "late": "Lateness, at most",
        },
        _arrivals,
    ),
}
"""Key of a tab: its title, the columns with their heads, and what makes its rows."""
