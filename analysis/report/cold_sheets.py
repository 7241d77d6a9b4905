"""The tables on cold starts and scale-up delay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..statistics.intervals import share_interval
from ..statistics.percentiles import TimeSummary
from ..tables.cold_starts import FILE, ColdStarts, cold_starts, is_shortened
from ..tables.run_tables import Tables
from ..tables.scale_up import scale_up
from ..text.number_format import NONE, interval_text, percent, percentile_text, seconds
from ..text.sheet import Sheet

TOLD_BY: Mapping[str, str] = {
    "said": "reported by the endpoint",
    "worker_list": "its worker became ready after the request was sent",
    "first_on_worker": "first request on its worker, after a wait",
    "execution": "first request on its worker, with an outlying execution time",
}
BOUNDED = "at least to the worker's start, at most to the answer: no answer shows how long one takes without a cold start"
PARTS: Mapping[str, tuple[str, str]] = {
    "scaler_s": ("scaler and queue", "request sent → worker starts"),
    "cold_start_s": ("cold start", "worker starts → ready, while the request waited"),
    "hand_over_s": ("hand-over", "worker ready → request starts on it"),
    "load_s": ("first request", "what it took longer than others: a model that loads in the first request"),
}


def cold_sheets(of: Tables) -> Iterator[Sheet]:
    """Cold starts: how many requests met one, response times cold and warm, and what cold requests waited for."""
    found = cold_starts(of)
    if found.starts is None and not found.known and not found.uncertain:
        return
    remark = "Counts requests, by the cold-start rule in docs/methodology.md."
    remark += " A start ends at the poll that first saw the worker ready, or at its first job." if found.starts else ""
    remark += " Without reported times a wait is the service time less the median of answers that did not wait." if found.estimated else ""
    remark += f" {FILE} lists only attempts that are cold or among the first on a worker." if found.known and is_shortened(of) else ""
    yield Sheet("Cold starts", ("", "Value", "How"), (*_cold(found), *_scale_up(of)), remark, FILE if found.known else "", aside=True)
    conditions = _conditions(of.cold_after_s)
    rows = tuple(_condition(found, name, which) for name, which in conditions.items() if name in found.response or _is_due(found, name))
    head = ("", "n", "P50", "95 % interval", "P95", "95 % interval", "max", "Which")
    yield Sheet("Response time, cold and warm", head, rows, "Requests answered ok. Nearest-rank percentiles; intervals as above.")
    waits = [(*PARTS[part], times) for part, times in found.parts.items()]
    waits += [("queue + cold start", "not separable: the start of the worker is not known", found.whole)] if found.whole.n else []
    shown = [*_bounded(found)]
    for label, what, times in waits:
        shown.append((label, f"{times.n:,}", percentile_text(times.at(50).value, times.n, 50), seconds(times.maximum), what))
    yield Sheet("What cold requests waited for", ("", "n", "P50", "max", "From → to"), tuple(shown), aside=True)


def _between(least: TimeSummary, most: TimeSummary, p: int | None = None) -> str:
    """Both bounds of a percentile, or of the maximum; one where they agree."""
    ends = [seconds(t.maximum if p is None else t.at(p).value) for t in (least, most)]
    return " to ".join(dict.fromkeys(ends))


def _bounded(found: ColdStarts) -> Iterator[tuple[str, ...]]:
    least, most = found.bounds
    if most.n:
        yield "queue + cold start", f"{most.n:,}", _between(least, most, 50), _between(least, most), BOUNDED


def _scale_up(of: Tables) -> Iterator[tuple[str, str, str]]:
    found = scale_up(of)
    if found is None:
        return
    yield (
        "waited because no worker was ready",
        f"{found.waited:,} of {found.of:,}",
        "of requests sent, whether first on their worker or not",
    )
    if found.waited:
        how = f"median {_between(found.least_s, found.most_s, 50)}, max {_between(found.least_s, found.most_s)}"
        yield "scale-up delay", how, f"n = {found.waited:,}; the part of the wait without any ready worker"


def _is_due(found: ColdStarts, condition: str) -> bool:
    """Whether a reader looks for the row: warm, where the endpoint reports waits."""
    return condition == "warm" and bool(found.response) and "untold" not in found.response


def _condition(found: ColdStarts, name: str, which: str) -> tuple[str, ...]:
    if name in found.response:
        return (name, *_half_and_tail(found.response[name]), which)
    return (name, "0", *[NONE] * 5, f"none: each answer met a cold start or waited; {which}")


def _cold(found: ColdStarts) -> Iterator[tuple[str, str, str]]:
    of = share_interval(found.cold, found.known)
    ends = f"; 95 %: {percent(of.lower)} to {percent(of.upper)}" if of.lower is not None else ""
    share = f" ({percent(found.share)}{ends})" if found.share is not None else ""
    yield "cold requests", f"{found.cold:,} of {found.known:,}{share}", "of requests for which this is known; Clopper and Pearson"
    if found.uncertain:
        yield "uncertain", f"{found.uncertain:,}", "first on a worker that became ready at about the time they were sent"
    yield from ((f"… {how.replace('_', ' ')}", f"{n:,}", TOLD_BY[how]) for how, n in found.by.items())
    if found.starts is None:
        yield "starts of endpoint workers", NONE, "neither the worker list nor an event reported any"
        return
    yield "starts of endpoint workers", f"{found.starts:,}", "seen to become ready during the run"
    if found.start_s.n:
        half = f"median {seconds(found.start_s.at(50).value)}, max {seconds(found.start_s.maximum)}"
        yield "cold-start time", half, f"n = {found.start_s.n:,}; worker starts → ready"


def _conditions(after_s: float) -> dict[str, str]:
    return {
        "cold": "met a cold start",
        "warm": f"no cold start, waited less than {seconds(after_s)}",
        "queued": f"no cold start, waited {seconds(after_s)} or longer",
        "untold": "no cold start; the endpoint does not report the wait",
    }


def _half_and_tail(times: TimeSummary) -> tuple[str, ...]:
    half, tail = times.at(50), times.at(95)
    middle = (seconds(half.value), interval_text(half), seconds(tail.value), interval_text(tail))
    return (f"{times.n:,}", *middle, seconds(times.maximum))
