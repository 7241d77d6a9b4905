"""The tables of a run as text, for the page, Markdown and the terminal."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import pandas as pd

from coldburst.lines import one_line
from coldburst.record.attempt import OUTCOMES

from ..runs import locust_csv
from ..statistics.percentiles import PERCENTS, TimeSummary, ascending, percentile
from ..sweep_report.sweep_answer import SweepAnswer
from ..tables import attempt_tables
from ..tables.attempt_tables import (
    CAUSES,
    COMMONEST,
    RetrySummary,
    by_outcome,
    cause_words,
    events,
    failure_causes,
    retry_summary,
    worker_logs,
)
from ..tables.burst import Draw, Prediction, draws, is_burst, prediction
from ..tables.run_tables import ENDLESS, POLICIES, Tables
from ..tables.units import asked_unit, units
from ..text.method_remark import method_remark
from ..text.number_format import NONE, interval_text, number, percent, percentile_text, plural, seconds
from ..text.sheet import Sheet
from .cold_sheets import cold_sheets
from .cost_sheet import cost_sheets
from .unit_sheet import unit_sheets
from .workload_sheets import workload_sheets

ERROR_SHOWN = 120
# When a request is due at the endpoint, without and with an upload before it.
_DUE = ("scheduled", "scheduled − upload")
LEADING = "Most frequent first, at most 20."


def run_sheets(of: Tables, answer: SweepAnswer | None = None) -> list[Sheet]:
    """Every table that the run can fill, the ledger first. A sweep has its own tables instead of those that would mix its settings."""
    if of.run.totals is not None:
        return list(_plain(of))
    if answer is not None:
        rest = [*cold_sheets(of), *cost_sheets(of), *retry_sheets(of), _lateness(of), _outcomes(of)]
        return [sheet for sheet in [_ledger(of), *answer.sheets(), *rest, *cause_sheets(of), *_events(of)] if sheet.rows]
    has_uploads = of.object_transfers is not None and of.object_transfers.upload.n > 0
    made = [
        _ledger(of),
        _times("Response time", of.response, f"done − {_DUE[has_uploads]}, up to the end of the last attempt.", of, prediction(of)),
    ]
    made.append(_times("Service time", of.service, "done − sent, of the last attempt.", of, None))
    made += [_draws(of), *cold_sheets(of), *queue_sheets(of), *retry_sheets(of)]
    made += [
        _throughput(of),
        _lateness(of),
        *unit_sheets(of),
        *cost_sheets(of),
        *workload_sheets(of),
        _outcomes(of),
        *cause_sheets(of),
        _stages(of),
        *_events(of),
    ]
    return [sheet for sheet in made if sheet.rows]


def absent_tables(of: Tables) -> list[str]:
    """What this run has no table of, with the reason."""
    if of.run.totals is not None:
        return []
    missing = []
    if asked_unit(of.run.about) and units(of) is None:
        missing.append("units (no ok answer has a number where --unit looks for it)")
    if not of.queue_and_execution:
        missing.append("queue delay and execution time (the endpoint reported neither)")
    if of.cold_judgement["cold"].isna().all():
        missing.append("cold starts (no answer names the endpoint worker that gave it)")
    return missing


def _ledger(of: Tables) -> Sheet:
    book = of.ledger
    counts = [(name, book.counts[name], meaning) for name, meaning in OUTCOMES.items() if book.counts.get(name)]
    if book.missing:
        counts.append(("missing", book.missing, "planned, but no row records how it ended"))
    rows = tuple((name, f"{n:,}", _share(n, book.planned), meaning) for name, n, meaning in counts)
    return Sheet(
        "Ledger", ("Outcome", "Requests", "Share", "Meaning"), rows, "Retried requests count once, by their last attempt.", aside=True
    )


def _share(part: int, whole: int) -> str:
    return percent(part / whole) if whole else NONE


def _times(title: str, both: dict[str, TimeSummary], formula: str, of: Tables, ahead: Prediction | None) -> Sheet:
    """One column of percentiles where every request was answered ok, two where the failures make a difference."""
    shown = {policy: both[policy] for policy in POLICIES if policy == "ok" or both[policy].n != both["ok"].n}
    head = ["", *(part for policy, times in shown.items() for part in (f"{POLICIES[policy]} (n = {times.n:,})", "95 % interval"))]
    rows = [
        (f"P{p}", *(part for times in shown.values() for part in (seconds(times.at(p).value), interval_text(times.at(p)))))
        for p in PERCENTS
    ]
    basis = method_remark(*shown.values())
    if ahead:
        head[2], basis = f"next {ahead.unit}, 95 %", f"Nearest-rank percentiles. {ahead.method}"
        rows = [
            (name, value, f"{seconds(ahead.ranges[p][0])} to {seconds(ahead.ranges[p][1])}", *rest)
            for p, (name, value, _, *rest) in zip(PERCENTS, rows, strict=True)
        ]
    rows.append(("max", *(part for times in shown.values() for part in (seconds(times.maximum), ""))))
    rows.append(("mean", *(part for times in shown.values() for part in (seconds(times.mean), ""))))
    endless = sum(of.ledger.counts.get(name, 0) for name in ENDLESS)
    left = f" Excluded because they never ended: {endless:,} ({' and '.join(ENDLESS)})." if endless else ""
    return Sheet(title, tuple(head), tuple(rows), f"{formula} {basis}{left}".strip())


def _draws(of: Tables) -> Sheet:
    """The percentiles of each burst of a run with --repeats, or of each pooled run; empty for a single one."""
    each = draws(of)
    rows = tuple((one_line(draw.name), f"{len(draw.ok_s):,} of {len(draw.requests):,}", *_each(draw), _met_cold(draw)) for draw in each)
    head = ("", "ok", *(f"P{p}" for p in PERCENTS), "met a cold start")
    return Sheet("Each burst" if is_burst(of) else "Each run", head, rows if len(each) > 1 else (), "Response times of answered ok.")


def _each(of: Draw) -> Iterator[str]:
    ordered = ascending(of.ok_s)
    for p in PERCENTS:
        yield percentile_text(percentile(ordered, p).value, len(ordered), p) if len(ordered) else NONE


def _met_cold(of: Draw) -> str:
    known = of.requests["cold"].dropna()
    return f"{int(known.sum()):,} of {len(known):,}" if len(known) else NONE


def _throughput(of: Tables) -> Sheet:
    found = of.throughput
    offered = number(found.offered_per_s, "requests per s") if found.offered_per_s is not None else found.not_offered
    rows = (
        ("offered rate", offered, "planned arrivals ÷ the schedule's duration"),
        ("throughput", number(found.per_s, "ok per s"), "ok ÷ measured wall time; failures do not count"),
        ("measured wall time", seconds(found.wall_s), "first scheduled to last done"),
    )
    return Sheet("Throughput", ("", "Value", "How"), rows, aside=True)


def _lateness(of: Tables) -> Sheet:
    found = of.lateness
    rows = [(f"P{p}", seconds(found.times.at(p).value), interval_text(found.times.at(p))) for p in PERCENTS if p != 90]
    rows.append(("max", seconds(found.times.maximum), f"n = {found.times.n:,} sent"))
    held = f"{found.held:,} of {found.of:,}" + (f", up to {seconds(found.held_max_s)}" if found.held else "")
    rows.append((f"held back by {found.by}", held, "not counted as lateness"))
    return Sheet(
        "Lateness",
        ("", "Value", "95 % interval"),
        tuple(rows),
        f"sent − scheduled − held (− upload), of the first attempt. {method_remark(found.times)}",
    )


def _outcomes(of: Tables) -> Sheet:
    found = by_outcome(of.attempts)
    rows = tuple(
        (str(name), f"{int(n):,}", seconds(first), seconds(last), _counts(statuses), _counts(errors))
        for name, n, first, last, statuses, errors in found.itertuples()
    )
    head = ("Outcome", "Attempts", "First due", "Last due", "Statuses", "Commonest errors")
    remark = f"Counts attempts, so retried failures are included. At most {COMMONEST} statuses and errors are listed."
    return Sheet("By outcome", head, rows, remark, aside=True)


def _counts(pairs: list[tuple[Any, int]]) -> str:
    return "; ".join(f"{one_line(str(value), ERROR_SHOWN)} ({n:,})" for value, n in pairs)


def _stages(of: Tables) -> Sheet:
    rows = tuple(map(_stage, of.stages.to_dict("records")))
    head = ("Stage", "Planned", "Requests", "ok", "P50", "P95", "Throughput")
    return Sheet("By stage", head, rows, "Response times of requests answered ok; throughput over the wall time of the stage.")


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
    rows = tuple(map(_name, locust_csv.by_name(of.run.totals).to_dict("records")))
    head = ("Request", "Requests", "Failures", "Requests/s", "P50", "P90", "P95", "P99", "max", "mean")
    yield Sheet("Locust's totals", head, rows, "Times count from sending, include failures, and are rounded by Locust to two digits.")
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


def cause_sheets(of: Tables) -> Iterator[Sheet]:
    """The recorded causes of attempts that did not end ok."""
    found = failure_causes(of)
    columns = zip(*(found[name] for name in ("outcome", "cause", "requests", "attempts", "median_s")), strict=True)
    rows = tuple(
        (
            outcome,
            one_line(cause_words(cause)),
            f"{n:,}",
            f"{tried:,}",
            seconds(after_s),
            CAUSES.get(cause, "a cause unknown to this version"),
        )
        for outcome, cause, n, tried, after_s in columns
    )
    unsaid = int((~of.attempts["outcome"].isin(["ok", "unfinished", "not_sent"])).sum()) - int(found["attempts"].sum())
    remark = "Requests: those that finally ended this way. After: median time from sending to the end."
    remark += f" Not listed: {plural(unsaid, 'attempt')} without a recorded cause." if unsaid > 0 else ""
    yield Sheet("Why", ("Outcome", "Cause", "Requests", "Attempts", "After", "In plain words"), rows, remark, aside=True)
    logs = tuple((one_line(cause_words(cause)), worker, one_line(line)) for cause, worker, line in worker_logs(of.run))
    remark = (
        "The last lines of the log of the endpoint worker that had the request, or of one that failed to start; read once for each cause."
    )
    yield Sheet("Worker logs", ("Cause", "Worker", "Line"), logs, remark)


def retry_sheets(of: Tables) -> Iterator[Sheet]:
    """Requests and attempts, if any were retried."""
    found = retry_summary(of)
    if found is None:
        return
    rows = tuple((str(r.outcome), f"{r.first:,}", f"{r.requests:,}", f"{r.attempts:,}") for r in found.outcomes.itertuples())
    head = ("Outcome", "First tries", "Requests", "Attempts")
    yield Sheet("Requests and attempts", head, rows, _amplified(found))
    steps = zip(*(found.success[name] for name in ("try", "tried", "ok", "so_far", "share")), strict=True)
    shown = tuple((f"{k}", f"{tried:,}", f"{ok:,}", f"{so_far:,}", percent(share)) for k, tried, ok, so_far, share in steps)
    yield Sheet("Success by try", ("Try", "Requests sent", "ok at it", "ok so far", "Share of planned"), shown, "Cumulative.")


def _amplified(found: RetrySummary) -> str:
    whole = f"{plural(found.attempts, 'attempt')} for {plural(found.requests, 'request')} sent"
    return f"Amplification {number(found.amplification, '×')}: {whole}; lower is better. The last attempt decides how a request ended."


def queue_sheets(of: Tables) -> Iterator[Sheet]:
    """Queue delay and execution time as the endpoint reports them, and how late polling saw the ends."""
    found = of.queue_and_execution
    rows = tuple(
        (label, f"{t.n:,}", *(percentile_text(t.at(p).value, t.n, p) for p in (50, 95)), seconds(t.maximum)) for label, t in found.items()
    )
    said = ["Reported by the endpoint, for the last attempt of each request answered ok.", *_polled(of), *_again(of)]
    yield Sheet("Queue and execution", ("", "n", "P50", "P95", "max"), rows, " ".join(said))


def _polled(of: Tables) -> Iterator[str]:
    seen = attempt_tables.run_polling(of)
    if seen is not None:
        half, tail = (percentile_text(seen.late.at(p).value, seen.late.n, p) for p in (50, 95))
        yield (
            f"Polling noticed the end of a job {half} late at P50 and {tail} at P95, which these times exclude, "
            f"and took {number(seen.polls.mean)} requests per job (at most {seen.polls.maximum or 0:,.0f}; n = {seen.late.n:,})."
        )


def _again(of: Tables) -> Iterator[str]:
    again = attempt_tables.dispatched_again(of.requests)
    if again or of.run.kind == "queue":
        yield f"The platform itself dispatched {plural(again, 'job')} again."
