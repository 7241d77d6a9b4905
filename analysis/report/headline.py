"""The sentence that a run comes to."""

from __future__ import annotations

import pandas as pd

from coldburst.lines import one_line
from coldburst.record.attempt import OUTCOMES

from ..runs.load import RUNPOD
from ..tables.cold_starts import cold_starts
from ..tables.failure_causes import cause_words, failure_causes
from ..tables.retry_summary import retry_summary
from ..tables.run_tables import Tables
from ..text.number_format import plural, seconds

WAITED = ("queue_timeout", "timed_out", "abandoned")
"""Outcomes of which it matters after how long they came."""


def equation(tables: Tables) -> str:
    """The ledger in one line; says so where completions, not a plan, made the number."""
    line = str(tables.ledger)
    return line if tables.run.about.get("planned") is not None else line.replace(" planned", " sent in a closed loop", 1)


def headline(tables: Tables) -> str:
    """The run in a sentence: what was asked, what came back and how fast; of RunPod's endpoints a second one, cold and warm."""
    book = tables.ledger
    answered = f"{book.counts.get('ok', 0):,} of {book.planned:,} ok{_at_first(tables)}"
    causes = {str(outcome): rows for outcome, rows in failure_causes(tables).groupby("outcome")}
    because = {name: _because(name, causes[name], book.counts[name]) for name in causes if book.counts.get(name)}
    worst = [f"{book.counts[name]:,} {name}{because.get(name, '')}" for name in OUTCOMES if name != "ok" and book.counts.get(name)]
    worst += [f"{book.missing:,} missing"] if book.missing else []
    others = f"; {', '.join(worst)}" if any(because.values()) else f" ({', '.join(worst)})" if worst else ""
    second = _cold_and_warm(tables) if tables.run.kind in RUNPOD else ""
    return f"{_asked(tables)}: {answered}{others}; {_speed(tables)}.{second}"


def _at_first(tables: Tables) -> str:
    """How many were ok at the first try, where some were tried again."""
    found = retry_summary(tables)
    return f", {int(found.success['ok'].iloc[0]):,} at the first try" if found is not None and len(found.success) else ""


def _because(outcome: str, causes: pd.DataFrame, count: int) -> str:
    """Why ``count`` requests ended with an outcome: `` after 120 s (no capacity)``; "" where no cause is known."""
    known = causes[(causes["requests"] > 0) & (causes["cause"] != "unknown")]
    if len(known) == 1 and int(known["requests"].iloc[0]) == count:
        median_s = known["median_s"].iloc[0]
        after = f" after {seconds(float(median_s))}" if outcome in WAITED and pd.notna(median_s) else ""
        return f"{after} ({one_line(cause_words(known['cause'].iloc[0]))})"
    parts = [f"{n:,} {one_line(cause_words(cause))}" for cause, n in zip(known["cause"], known["requests"], strict=True)]
    return f" ({', '.join(parts)})" if parts else ""


def _cold_and_warm(tables: Tables) -> str:
    """Cold starts, and how fast warm answers came, as a sentence with a blank before it; "" where nothing is known."""
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
            parts.append(f"{label} half within {seconds(found.response[condition].at(50).value)}")
    return f" {'; '.join(parts)}." if found.known else ""


def _asked(tables: Tables) -> str:
    about, planned = tables.run.about, tables.ledger.planned
    schedule = one_line(str(about.get("schedule") or ""))
    if tables.throughput.not_offered == "all at once":
        return f"{plural(planned, 'request')} at once"
    return f"{plural(planned, 'request')} ({schedule})" if schedule else plural(planned, "request")


def _speed(tables: Tables) -> str:
    times = tables.response["ok"]
    if not times.n:
        ok = tables.ledger.counts.get("ok", 0)
        return "the rows tell no time" if ok else "no answer was ok, so there is no response time"
    tail = times.at(95)
    if tail.maximum:
        return (
            f"half answered within {seconds(times.at(50).value)}, all within {seconds(times.maximum)} (n = {times.n:,}: too few for a P95)"
        )
    beside = f"n = {times.n:,}" if tail.lower is not None else f"n = {times.n:,}: the P95 has no interval"
    return f"half answered within {seconds(times.at(50).value)}, 95 % within {seconds(tail.value)} ({beside})"
