"""Tables as text on what serverless endpoints do: cold starts, causes, tries again, the queue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from coldburst.lines import one_line

from ..statistics.percentiles import TimeSummary
from ..tables import queue_jobs
from ..tables.cold_starts import FILE, ColdStarts, cold_starts, is_shortened
from ..tables.failure_causes import CAUSES, cause_words, failure_causes
from ..tables.retry_summary import RetrySummary, retry_summary
from ..tables.run_tables import Tables
from ..text.number_format import NONE, interval_text, number, percent, percentile_text, plural, seconds
from ..text.sheet import Sheet

TOLD_BY: Mapping[str, str] = {
    "said": "the endpoint said so",
    "worker_list": "its endpoint worker became ready after it was sent",
    "first_on_worker": "first on its endpoint worker, after a wait",
    "execution": "first on its endpoint worker, and an outlier in execution time",
}
PARTS: Mapping[str, tuple[str, str]] = {
    "scaler_s": ("scaler and queue", "sent → start of the endpoint worker"),
    "cold_start_s": ("cold start", "start of the endpoint worker → ready, as far as the request waited for it"),
    "hand_over_s": ("hand-over", "ready → start of the request there"),
}


def cold_sheets(of: Tables) -> Iterator[Sheet]:
    """How many requests met a cold start, cold beside warm answers, and what the cold ones waited for."""
    found = cold_starts(of)
    if found.starts is None and not found.known:
        return
    remark = "Over requests, by the rule of docs/methodology.md (Cold starts)."
    remark += " A start counts to the look that showed it ready, or to its first job." if found.starts else ""
    remark += (
        f" {FILE} has only attempts that are cold or among the first on an endpoint worker." if found.known and is_shortened(of) else ""
    )
    yield Sheet("Cold starts", ("", "Value", "How"), tuple(_cold(found)), remark, FILE if found.known else "", aside=True)
    conditions = _conditions(of.cold_after_s)
    rows = tuple((name, *_half_and_tail(found.response[name]), which) for name, which in conditions.items() if name in found.response)
    head = ("", "n", "P50", "95 % interval", "P95", "95 % interval", "max", "Which")
    yield Sheet("Response time, cold and warm", head, rows, "Of answered ok. Nearest rank; intervals as above.")
    waits = [(*PARTS[part], times) for part, times in found.parts.items()]
    waits += [("queue + cold start", "not told apart: the start of the endpoint worker is not known", found.whole)] if found.whole.n else []
    shown = tuple((label, f"{t.n:,}", percentile_text(t.at(50).value, t.n, 50), seconds(t.maximum), what) for label, what, t in waits)
    yield Sheet("What cold requests waited for", ("", "n", "P50", "max", "From → to"), shown, aside=True)


def _cold(found: ColdStarts) -> Iterator[tuple[str, str, str]]:
    share = f" ({percent(found.share)})" if found.share is not None else ""
    yield "cold requests", f"{found.cold:,} of {found.known:,}{share}", "of those of which it is known"
    yield from ((f"… {how.replace('_', ' ')}", f"{n:,}", TOLD_BY[how]) for how, n in found.by.items())
    if found.starts is None:
        yield "starts of endpoint workers", NONE, "nothing told of any: neither the list of workers nor an event"
        return
    yield "starts of endpoint workers", f"{found.starts:,}", "seen to become ready since second 0"
    if found.start_s.n:
        half = f"median {seconds(found.start_s.at(50).value)}, max {seconds(found.start_s.maximum)}"
        yield "cold-start time", half, f"n = {found.start_s.n:,}; an endpoint worker's start → ready"


def _conditions(after_s: float) -> dict[str, str]:
    return {
        "cold": "met a cold start",
        "warm": f"no cold start, waited less than {seconds(after_s)}",
        "queued": f"no cold start, waited {seconds(after_s)} or longer",
        "untold": "no cold start, and the endpoint does not tell the wait",
    }


def _half_and_tail(times: TimeSummary) -> tuple[str, ...]:
    half, tail = times.at(50), times.at(95)
    middle = (
        seconds(half.value),
        interval_text(half),
        seconds(tail.value),
        interval_text(tail),
    )
    return (f"{times.n:,}", *middle, seconds(times.maximum))


def cause_sheets(of: Tables) -> Iterator[Sheet]:
    """Why attempts did not end ok, where an event names a cause."""
    found = failure_causes(of)
    columns = zip(*(found[name] for name in ("outcome", "cause", "requests", "attempts", "median_s")), strict=True)
    rows = tuple(
        (
            outcome,
            one_line(cause_words(cause)),
            f"{n:,}",
            f"{tried:,}",
            seconds(after_s),
            CAUSES.get(cause, "a cause that this report does not know"),
        )
        for outcome, cause, n, tried, after_s in columns
    )
    unsaid = int((~of.attempts["outcome"].isin(["ok", "unfinished", "not_sent"])).sum()) - int(found["attempts"].sum())
    remark = "Requests: those that ended so in the end. After: median time from sent to the end."
    remark += f" {plural(unsaid, 'attempt')} without a cause on record are not here." if unsaid > 0 else ""
    yield Sheet("Why", ("Outcome", "Cause", "Requests", "Attempts", "After", "In plain words"), rows, remark, aside=True)


def retry_sheets(of: Tables) -> Iterator[Sheet]:
    """Requests beside attempts, where some were tried again."""
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
    whole = f"{plural(found.attempts, 'attempt')} for {plural(found.requests, 'request')} that were sent"
    return f"Amplification {number(found.amplification, '×')}: {whole}; lower is better. A request ends as its last attempt does."


def queue_sheets(of: Tables) -> Iterator[Sheet]:
    """Queue delay and execution time as the endpoint tells them, and how polling saw the ends."""
    found = of.queue_and_execution
    rows = tuple(
        (label, f"{t.n:,}", *(percentile_text(t.at(p).value, t.n, p) for p in (50, 95)), seconds(t.maximum)) for label, t in found.items()
    )
    said = ["Of answered ok, as the endpoint tells them; the last attempt of each request.", *_polled(of), *_again(of)]
    yield Sheet("Queue and execution", ("", "n", "P50", "P95", "max"), rows, " ".join(said))


def _polled(of: Tables) -> Iterator[str]:
    seen = queue_jobs.polling(of.attempts)
    if seen is not None:
        half, tail = (percentile_text(seen.late.at(p).value, seen.late.n, p) for p in (50, 95))
        yield (
            f"Polling saw the ends late by {half} at P50 and {tail} at P95, which is in no time above, "
            f"and asked {number(seen.polls.mean)} times a job (at most {seen.polls.maximum or 0:,.0f}; n = {seen.late.n:,})."
        )


def _again(of: Tables) -> Iterator[str]:
    again = queue_jobs.dispatched_again(of.requests)
    if again or of.run.kind == "queue":
        yield f"The platform dispatched {plural(again, 'job')} again by itself."
