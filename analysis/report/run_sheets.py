"""The tables as text, ready to stand in a page, in Markdown or on a terminal."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import pandas as pd

from coldburst.lines import one_line
from coldburst.record.attempt import OUTCOMES

from ..runs import locust_totals
from ..statistics.percentiles import PERCENTS, TimeSummary
from ..sweep_report.sweep_answer import SweepAnswer
from ..tables import run_tables
from ..tables.attempt_outcomes import COMMONEST, by_outcome
from ..tables.hook_events import events
from ..tables.requests_by_stage import by_stage
from ..tables.run_tables import ENDLESS, POLICIES, Tables
from ..text.number_format import NONE, interval_text, number, percent, percentile_text, seconds
from ..text.sheet import Sheet
from . import endpoint_sheets

ERROR_SHOWN = 120
LEADING = "The commonest first, at most 20."


def run_sheets(of: Tables, answer: SweepAnswer | None = None) -> list[Sheet]:
    """Every table of the report that the run can fill, in order; the ledger first.

    Of a sweep its own tables stand in place of those that would mix its settings, and its warm-up, together.
    """
    if of.run.totals is not None:
        return list(_plain(of))
    if answer is not None:
        rest = [*endpoint_sheets.cold_sheets(of), *endpoint_sheets.retry_sheets(of), _lateness(of), _outcomes(of)]
        return [sheet for sheet in [_ledger(of), *answer.sheets(), *rest, *endpoint_sheets.cause_sheets(of), *_events(of)] if sheet.rows]
    made = [_ledger(of), _times("Response time", of.response, "done − scheduled, to the end of the last attempt.", of)]
    made.append(_times("Service time", of.service, "done − sent, of the last attempt.", of))
    made += [*endpoint_sheets.cold_sheets(of), *endpoint_sheets.queue_sheets(of), *endpoint_sheets.retry_sheets(of)]
    made += [_throughput(of), _lateness(of), *_audio(of), _outcomes(of), *endpoint_sheets.cause_sheets(of), _stages(of), *_events(of)]
    return [sheet for sheet in made if sheet.rows]


def times_sheet(of: Tables) -> Sheet:
    """Response time alone, for a terminal."""
    return _times("Response time", of.response, "", of)


def absent_tables(of: Tables) -> list[str]:
    """A sentence for each table that the run cannot fill."""
    if of.run.totals is not None:
        return []
    missing = []
    if of.audio is None:
        missing.append("No audio length is recorded, so there is no audio throughput and no real-time factor.")
    if not run_tables.queue_and_execution(of.requests):
        missing.append("The endpoint told neither queue delay nor execution time.")
    if of.cold_judgement["cold"].isna().all():
        missing.append("No answer says which endpoint worker gave it, so which requests met a cold start is not known.")
    if of.run.events is None:
        missing.append("No hook event is recorded: no start of an endpoint worker, queueing, queue time-out or throttling was seen.")
    return missing


def _ledger(of: Tables) -> Sheet:
    book = of.ledger
    counts = [(name, book.counts[name], meaning) for name, meaning in OUTCOMES.items() if book.counts.get(name)]
    if book.missing:
        counts.append(("missing", book.missing, "planned, and no row tells what became of it"))
    rows = tuple((name, f"{n:,}", _share(n, book.planned), meaning) for name, n, meaning in counts)
    return Sheet("Ledger", ("Outcome", "Requests", "Share", "Meaning"), rows, "A retried request counts with its last attempt.", aside=True)


def _share(part: int, whole: int) -> str:
    return percent(part / whole) if whole else NONE


def method_remark(*samples: TimeSummary) -> str:
    """What a reader must know of the percentiles and intervals of ``samples``."""
    alike = any(percentile.alike for times in samples for percentile in times.percentiles)
    basis = "or from blocks of time where neighbours are alike" if alike else "which supposes independent requests"
    return f"Nearest rank; 95 % intervals within this run only, from order statistics, {basis}."


def _times(title: str, both: dict[str, TimeSummary], formula: str, of: Tables) -> Sheet:
    """A row a percentile; two columns a policy: the figure, and its interval."""
    head = ["", *(part for policy, label in POLICIES.items() for part in (f"{label} (n = {both[policy].n:,})", "95 % interval"))]
    rows = [
        (
            f"P{p}",
            *(part for times in both.values() for part in (seconds(times.at(p).value), interval_text(times.at(p)))),
        )
        for p in PERCENTS
    ]
    rows.append(("max", *(part for times in both.values() for part in (seconds(times.maximum), ""))))
    rows.append(("mean", *(part for times in both.values() for part in (seconds(times.mean), ""))))
    endless = sum(of.ledger.counts.get(name, 0) for name in ENDLESS)
    left = f" Left out, without an end: {endless:,} ({' and '.join(ENDLESS)})." if endless else ""
    return Sheet(title, tuple(head), tuple(rows), f"{formula} {method_remark(*both.values())}{left}".strip())


def _throughput(of: Tables) -> Sheet:
    found = of.throughput
    offered = number(found.offered_per_s, "requests per s") if found.offered_per_s is not None else found.not_offered
    rows = (
        ("offered rate", offered, "planned arrivals ÷ the schedule's duration"),
        ("throughput", number(found.per_s, "ok per s"), "ok ÷ measured wall time; failures never count"),
        ("measured wall time", seconds(found.wall_s), "first scheduled to last done"),
    )
    return Sheet("Throughput", ("", "Value", "How"), rows, aside=True)


def _lateness(of: Tables) -> Sheet:
    found = of.lateness
    rows = [(f"P{p}", seconds(found.times.at(p).value), interval_text(found.times.at(p))) for p in PERCENTS if p != 90]
    rows.append(("max", seconds(found.times.maximum), f"n = {found.times.n:,} sent"))
    held = f"{found.held:,} of {found.of:,}" + (f", up to {seconds(found.held_max_s)}" if found.held else "")
    rows.append(("held back by the in-flight cap", held, "not in the lateness"))
    return Sheet(
        "Lateness",
        ("", "Value", "95 % interval"),
        tuple(rows),
        f"sent − scheduled − held, of the first attempt. {method_remark(found.times)}",
    )


def _audio(of: Tables) -> Iterator[Sheet]:
    heard = of.audio
    if heard is None:
        return
    rows = [
        (
            "audio throughput",
            number(heard.per_s, "audio s per s"),
            "higher is better; audio of the ok rows ÷ measured wall time",
        ),
        ("real-time factor P50", number(heard.p50, "×"), "higher is faster; each ok row's audio ÷ its own service time"),
        ("real-time factor P5", number(heard.p5, "×"), "19 in 20 rows are at least as fast"),
    ]
    if heard.wer_n:
        rows.append(("word error rate, mean", percent(heard.wer_mean), f"n = {heard.wer_n:,}; lower is better"))
        rows.append(("word error rate, max", percent(heard.wer_max), ""))
    remark = f"n = {heard.n:,} rows answered ok, {number(heard.seconds)} s of audio."
    yield Sheet("Audio", ("", "Value", "How"), tuple(rows), remark, aside=True)


def _outcomes(of: Tables) -> Sheet:
    found = by_outcome(of.attempts)
    rows = tuple(
        (str(name), f"{int(n):,}", seconds(first), seconds(last), _counts(statuses), _counts(errors))
        for name, n, first, last, statuses, errors in found.itertuples()
    )
    head = ("Outcome", "Attempts", "First due", "Last due", "Statuses", "Commonest errors")
    remark = f"Over attempts, so a failure that was retried shows here. At most {COMMONEST} statuses and errors."
    return Sheet("By outcome", head, rows, remark, aside=True)


def _counts(pairs: list[tuple[Any, int]]) -> str:
    return "; ".join(f"{one_line(str(value), ERROR_SHOWN)} ({n:,})" for value, n in pairs)


def _stages(of: Tables) -> Sheet:
    rows = tuple(map(_stage, by_stage(of.run, of.requests).to_dict("records")))
    head = ("Stage", "Planned", "Requests", "ok", "P50", "P95", "Throughput")
    return Sheet("By stage", head, rows, "Response time of answered ok; throughput over the stage's own wall time.")


def _stage(row: dict[Hashable, Any]) -> tuple[str, ...]:
    return (
        one_line(str(row["stage"])),
        NONE if pd.isna(row["planned"]) else f"{int(row['planned']):,}",
        f"{row['requests']:,}",
        f"{row['ok']:,}",
        percentile_text(row["p50_s"], row["ok"], 50),
        percentile_text(row["p95_s"], row["ok"], 95),
        number(row["throughput_per_s"], "per s"),
    )


def _events(of: Tables) -> Iterator[Sheet]:
    rows = tuple(
        (one_line(str(kind)), f"{n:,}", seconds(total), seconds(longest))
        for kind, n, total, longest in events(of.run).itertuples(index=False)
    )
    yield Sheet("Events", ("Kind", "Count", "In all", "Longest"), rows, "From the event hooks.")


def _plain(of: Tables) -> Iterator[Sheet]:
    assert of.run.totals is not None
    rows = tuple(map(_name, locust_totals.by_name(of.run.totals).to_dict("records")))
    head = ("Request", "Requests", "Failures", "Requests/s", "P50", "P90", "P95", "P99", "max", "mean")
    yield Sheet("Locust's totals", head, rows, "Times from the instant of sending, failures included, two digits.")
    failures = of.run.totals.failures
    if failures is not None and {"Name", "Error", "Occurrences"} <= set(failures.columns):
        worst = failures.sort_values("Occurrences", ascending=False, kind="stable").head(20)
        errors = zip(worst["Name"], worst["Error"], worst["Occurrences"], strict=True)
        found_errors = tuple((one_line(str(name)), f"{n:,}", one_line(str(error), ERROR_SHOWN)) for name, error, n in errors)
        if found_errors:
            yield Sheet("Failures", ("Request", "Occurrences", "Error"), found_errors, LEADING, aside=True)
    exceptions = of.run.totals.exceptions
    if exceptions is not None and exceptions["Count"].sum() > 0:
        worst = exceptions.sort_values("Count", ascending=False, kind="stable").head(20)
        raised = zip(worst["Count"], worst["Message"].fillna(""), strict=True)
        found_raised = tuple((f"{n:,}", one_line(str(message), ERROR_SHOWN)) for n, message in raised)
        yield Sheet("Exceptions in tasks", ("Occurrences", "Message"), found_raised, LEADING, aside=True)


def _name(row: dict[Hashable, Any]) -> tuple[str, ...]:
    times_s = (row[name] for name in ("p50_s", "p90_s", "p95_s", "p99_s", "max_s", "mean_s"))
    counts = (one_line(str(row["name"])), f"{row['requests']:,}", f"{row['failures']:,}", number(row["requests_per_s"]))
    return (*counts, *map(seconds, times_s))
