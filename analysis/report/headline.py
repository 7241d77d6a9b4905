"""The result of a run in one or two sentences."""

from __future__ import annotations

import pandas as pd

from coldburst.lines import one_line
from coldburst.record.attempt import OUTCOMES

from ..runs.load import RUNPOD
from ..tables.attempt_tables import cause_words, failure_causes, retry_summary
from ..tables.burst import BURST, prediction
from ..tables.cold_runs import ColdRun, cold_run
from ..tables.cold_starts import cold_starts
from ..tables.run_tables import Tables
from ..tables.throughput import backlog
from ..text.number_format import brief, plural, seconds, seconds_range

# Outcomes reported with the time until they came.
WAITED = ("queue_timeout", "timed_out", "abandoned")


def headline(tables: Tables) -> str:
    """Load, outcomes and response times; of a RunPod endpoint also its cold starts, which a cold-start test begins with."""
    book, cold = tables.ledger, cold_run(tables)
    answered = f"{book.counts.get('ok', 0):,} of {book.planned:,} ok{_at_first(tables)}"
    causes = {str(outcome): rows for outcome, rows in failure_causes(tables).groupby("outcome")}
    because = {name: _because(name, causes[name], book.counts[name]) for name in causes if book.counts.get(name)}
    worst = [f"{book.counts[name]:,} {name}{because.get(name, '')}" for name in OUTCOMES if name != "ok" and book.counts.get(name)]
    worst += [f"{book.missing:,} missing"] if book.missing else []
    others = f"; {', '.join(worst)}" if any(because.values()) else f" ({', '.join(worst)})" if worst else ""
    if cold is not None and cold.cold.n:
        return f"{_penalty(cold)} {answered}{others}."
    second = _cold_and_warm(tables) if tables.run.kind in RUNPOD else ""
    return f"{_asked(tables)}: {answered}{others}; {_speed(tables)}.{_behind(tables)}{second}"


def _penalty(of: ColdRun) -> str:
    cold, warm = seconds(of.cold.at(50).value), seconds(of.warm.at(50).value)
    if of.penalty_s is None:
        return f"Cold {cold} (median of {of.cold.n:,}); no warm answer to compare with."
    medians = f"medians of {of.cold.n:,} cold and {plural(of.warm.n, 'warm answer')}"
    return f"Cold {cold}, warm {warm}: a cold start costs {seconds(of.penalty_s)} ({medians})."


def _at_first(tables: Tables) -> str:
    found = retry_summary(tables)
    return f", {int(found.success['ok'].iloc[0]):,} at the first try" if found is not None and len(found.success) else ""


def _because(outcome: str, causes: pd.DataFrame, count: int) -> str:
    known = causes[(causes["requests"] > 0) & (causes["cause"] != "unknown")]
    if len(known) == 1 and int(known["requests"].iloc[0]) == count:
        median_s = known["median_s"].iloc[0]
        after = f" after {seconds(float(median_s))}" if outcome in WAITED and pd.notna(median_s) else ""
        words = cause_words(known["cause"].iloc[0])
        return f"{after} ({one_line(words)})" if words != cause_words(outcome) else after
    parts = [f"{n:,} {one_line(cause_words(cause))}" for cause, n in zip(known["cause"], known["requests"], strict=True)]
    return f" ({', '.join(parts)})" if parts else ""


def _behind(tables: Tables) -> str:
    found = backlog(tables.run, tables.requests)
    if found is None:
        return ""
    rates = f"{brief(found.arrived_per_s)} arrived and {brief(found.ended_per_s)} ended"
    return f" It did not keep up: {rates} each second, and {found.unfinished:,} were unfinished when arrivals ended."


def _cold_and_warm(tables: Tables) -> str:
    found = cold_starts(tables)
    parts = []
    if found.starts:
        took = f", median {seconds(found.start_s.at(50).value)}" if found.start_s.n else ""
        met = "" if found.cold == found.starts else f", met by {plural(found.cold, 'request')}"
        parts.append(f"{plural(found.starts, 'cold start')}{took}{met}")
    elif found.known:
        parts.append(f"{found.cold:,} of {found.known:,} met a cold start" if found.cold else "No request met a cold start")
    for condition, label in (("warm", "warm answers"), ("untold", "answers without a cold start")):
        if condition in found.response:
            parts.append(f"half of the {label} within {seconds(found.response[condition].at(50).value)}")
    return f" {'; '.join(parts)}." if found.known else ""


def _asked(tables: Tables) -> str:
    about, planned = tables.run.about, tables.ledger.planned
    schedule = one_line(str(about.get("schedule") or ""))
    if tables.throughput.not_offered == "all at once":
        cap = about.get("max_in_flight")
        capped = tables.lateness.held and isinstance(cap, int)
        return f"{plural(planned, 'request')}, at most {cap:,} in flight" if capped else f"{plural(planned, 'request')} at once"
    return f"{plural(planned, 'request')} ({schedule})" if schedule else plural(planned, "request")


def _speed(tables: Tables) -> str:
    times = tables.response["ok"]
    if not times.n:
        ok = tables.ledger.counts.get("ok", 0)
        return "the rows have no times" if ok else "no response time, because no request was answered ok"
    tail, ahead = times.at(95), prediction(tables)
    if ahead:
        range_s = seconds_range(*ahead.ranges[95])
        which = "such burst" if ahead.unit == BURST else "run"
        return f"half answered within {seconds(times.at(50).value)}, 95 % within {seconds(tail.value)} (the next {which}: {range_s})"
    if tail.maximum:
        return (
            f"half answered within {seconds(times.at(50).value)}, all within {seconds(times.maximum)} (n = {times.n:,}: too few for a P95)"
        )
    why = "" if tail.lower is not None else "; no interval of the P95" if tail.alike else "; too few for an interval of the P95"
    beside = f"n = {times.n:,}{why}"
    return f"half answered within {seconds(times.at(50).value)}, 95 % within {seconds(tail.value)} ({beside})"
