"""May these figures be believed? The rules, each with its number, its limit and the next step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from coldburst.lines import one_line
from coldburst.record.exit_codes import RUN_TIME
from coldburst.record.ledger import Ledger

from ..runs.load import Run
from ..statistics.percentiles import smallest_sample
from ..statistics.two_groups import two_groups_sentence
from ..tables.run_tables import Tables
from ..tables.throughput import planned_stages
from ..text.number_format import percent, plural, seconds
from . import lost_generators

LATE_LEAST_S = 0.020
LATE_SHARE = 0.05
CPU_FULL = 0.90
CPU_SHARE = 0.10
RATE_KEPT = 0.95
GRACE_S, GRACE_SHARE = 1.0, 0.05
"""A stage's requests may leave until so long after its last was due: seconds, or a share of its duration."""
ALIKE = 0.30
TOTALS = (
    "There is no ledger: Locust's totals do not know how many requests were planned, so a request that never ended is not seen.",
    "Failures are mixed into the percentiles: a fast failure makes the service look faster.",
    "Percentiles are rounded to two digits: 1,049 and 951 ms both read 1,000.",
    "Times count from the instant of sending: requests that the generator sent late look as fast as the others.",
    "Locust writes these files every few seconds and not at the end: the last seconds may be absent.",
)


@dataclass(frozen=True)
class Verdict:
    """``state`` is one of ``coldburst.record.objectives.VERDICTS``; ``reasons`` explain it, gravest first; ``notes`` stand beside it."""

    state: str
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def judge(run: Run, tables: Tables) -> Verdict:
    """The verdict on ``run``: the gravest rule that it breaks decides.

    * invalid: nothing was sent; the ledger of an ended run does not balance, and no generator was lost; the lateness P99 is above
      the limit; a generator's CPU was above CPU_FULL of a core for more than CPU_SHARE of its seconds.
    * degraded: the run did not end, or neither by its schedule nor by --run-time; a generator was lost; requests are unfinished or
      were not sent, though no --run-time ended the run before their turn; the in-flight cap let less than RATE_KEPT of a stage's
      requests leave while it lasted; the lateness P99 is above half the limit; the input is Locust's totals only.
    * valid: none of these. Failures of the service do not make a measurement of it less valid.
    """
    if run.totals is not None:
        return Verdict("degraded", ("These are totals only, without a row a request.",), (*TOTALS, *run.notes))
    invalid, degraded = list(_invalid(tables)), list(_degraded(tables))
    state = "invalid" if invalid else "degraded" if degraded else "valid"
    return Verdict(state, (*_nothing_ok(tables), *invalid, *degraded), (*_notes(tables), *run.notes))


def lateness_limit_s(tables: Tables) -> float:
    """The largest lateness P99 that leaves the times believable: 20 ms, or 5 % of the median service time."""
    median_s = tables.service["ended"].at(50).value
    return max(LATE_LEAST_S, LATE_SHARE * (median_s or 0.0))


def beyond_run_time(tables: Tables) -> pd.Series:
    """Which requests were not sent only because --run-time ended the run, as asked.

    They were due later, or are of a stage without a rate. What was due GRACE_S before the end at the latest and had not left
    was held back by the in-flight cap. Where run.json does not tell the limit, the run's whole length stands for it.
    """
    about, rows = tables.run.about, tables.requests
    stayed = (rows["outcome"] == "not_sent") & (rows["tries"] == 0)
    limit_s = about.get("run_time_s", about.get("elapsed_s"))
    if about.get("ended_by") != RUN_TIME or not isinstance(limit_s, int | float):
        return stayed & False
    rated = [stage["name"] for stage in planned_stages(tables.run) if stage.get("duration_s") and not stage["closed"]]
    return stayed & (~rows["stage"].isin(rated) | (rows["scheduled_s"] >= limit_s - GRACE_S))


def busiest_generator(generator: pd.DataFrame) -> tuple[str, float]:
    """The load generator with the largest share of its seconds above CPU_FULL, and that share; one second alone is the start."""
    full = (generator["cpu"] > CPU_FULL).groupby(generator["generator"])
    shares = full.mean()[full.size() > 1]
    return (str(shares.idxmax()), float(shares.max())) if len(shares) else ("", 0.0)


def _nothing_ok(tables: Tables) -> Iterator[str]:
    sent = int(tables.attempts["sent_s"].notna().sum())
    if sent and not tables.ledger.counts.get("ok"):
        yield f"No answer was ok ({plural(sent, 'attempt')} sent): look at the outcomes and their errors below before any time."


def _invalid(tables: Tables) -> Iterator[str]:
    about, book = tables.run.about, tables.ledger
    if not tables.attempts["sent_s"].notna().any():
        yield "No request was sent, so nothing was measured: see whether the target and the schedule are right, and run again."
    if about.get("state") == "ended" and not book.balanced and not (book.missing > 0 and lost_generators.lost_names(tables.run)):
        yield _unbalanced(book)
    late, limit = tables.lateness.times.at(99), lateness_limit_s(tables)
    if late.value is not None and late.value > limit:
        yield (
            f"The generator sent late: lateness P99 is {seconds(late.value)} and may be {seconds(limit)}; "
            "use more or faster generators, or a lower rate."
        )
    if tables.run.generator is not None:
        yield from _too_busy(tables.run.generator)


def _unbalanced(book: Ledger) -> str:
    if book.missing > 0:
        return (
            f"The ledger does not balance: {book.missing:,} of {book.planned:,} planned are missing; "
            "a generator was lost or its rows were; look for it in generator.csv and run again."
        )
    return (
        f"The ledger does not balance: there are {-book.missing:,} more requests than the {book.planned:,} planned; "
        "rows of another run may be mixed in."
    )


def _too_busy(generator: pd.DataFrame) -> Iterator[str]:
    name, share = busiest_generator(generator)
    if share > CPU_SHARE:
        yield (
            f"The load generator {one_line(name)!r} was above {percent(CPU_FULL)} of a core in {percent(share)} of its seconds "
            f"(may be {percent(CPU_SHARE)}): its own delays are in the times; spread the load over more generators."
        )


def _degraded(tables: Tables) -> Iterator[str]:
    about, counts = tables.run.about, tables.ledger.counts
    if about.get("state") != "ended":
        yield "The run has no end on record: it was killed, or is still running; what was in flight then is missing here."
    elif about.get("ended_by") not in ("schedule", RUN_TIME):
        yield f"The run was cut short ({one_line(str(about.get('ended_by')))}): the figures hold up to that instant only."
    yield from lost_generators.loss_reasons(tables.run, tables.ledger.missing, tables.ledger.planned)
    if counts.get("unfinished"):
        yield (
            f"{plural(counts['unfinished'], 'request')} had no answer when the run was cut: the slowest are left out "
            "of the times; allow more time to drain."
        )
    stayed = (tables.requests["outcome"] == "not_sent") & ~beyond_run_time(tables)
    again = int((stayed & (tables.requests["tries"] > 0)).sum())
    if never := int(stayed.sum()) - again:
        ended = about.get("state") == "ended" and about.get("ended_by") not in ("schedule", RUN_TIME)
        why = "the run ended before their turn" if ended else "less load came than was planned; raise the in-flight cap or lower the rate"
        yield f"{plural(never, 'request')} never left: {why}."
    if again:
        yield f"{plural(again, 'request')} waited for another try when the run ended: allow more time to drain, or fewer tries."
    yield from _rate_not_kept(tables)
    late, limit = tables.lateness.times.at(99), lateness_limit_s(tables)
    if late.value is not None and limit / 2 < late.value <= limit:
        yield f"The generator was near its limit: lateness P99 is {seconds(late.value)} of {seconds(limit)} allowed; add a generator."


def _rate_not_kept(tables: Tables) -> Iterator[str]:
    """Stages with a rate of which too many requests left after their end: what was measured is a lower rate. A burst has none."""
    if not tables.lateness.held:
        return
    rows = tables.attempts
    first = (rows["attempt"] == 1) & rows["sent_s"].notna()
    for stage in planned_stages(tables.run):
        of, duration_s = rows["stage"] == stage["name"], stage.get("duration_s")
        left = first & of
        if stage["closed"] or not duration_s or not left.any():
            continue
        ends_s = rows["scheduled_s"].where(of).max() + max(GRACE_S, GRACE_SHARE * duration_s)
        kept = 1 - int((left & (rows["sent_s"] > ends_s)).sum()) / int(left.sum())
        if kept < RATE_KEPT:
            yield (
                f"The rate of stage {stage['name']!r} was not kept: {percent(kept)} of the requests sent left while it lasted, "
                "the in-flight cap held the others back; raise --max-in-flight, or plan a rate that the endpoint can take."
            )


def _notes(tables: Tables) -> Iterator[str]:
    if not tables.run.about.get("sweep"):  # of a sweep such samples mix its settings: it has notes of its own
        yield from _sampled(tables)
    if left := int(beyond_run_time(tables).sum()):
        yield f"--run-time ended the run, as asked: {plural(left, 'planned request')} {'was' if left == 1 else 'were'} not sent."
    lateness = tables.lateness
    if lateness.held:
        yield (
            f"Held back by the in-flight cap: {lateness.held:,} of {lateness.of:,}, up to {seconds(lateness.held_max_s)}; "
            "this is in the response time and not in the lateness."
        )
    if tables.run.about.get("planned") is None:
        yield "A closed loop bounded by time plans no number of requests: the ledger is held against those that were sent."
    if tables.run.generator is None:
        yield "There is no generator.csv: whether the load generator had CPU to spare is not known."
    yield from lost_generators.clock_notes(tables.run)
    own = (tables.run.about.get("ledger") or {}).get("counts")
    if own is not None and own != dict(tables.ledger.counts):
        yield "The ledger in run.json differs from the rows of attempts.csv; this report counts the rows."


def _sampled(tables: Tables) -> Iterator[str]:
    n, least = tables.response["ok"].n, smallest_sample(95)
    if 0 < n < least:
        yield f"{plural(n, 'ok answer')}: P95 has no interval below {least}; plan more requests, or repeat the run."
    alike = tables.lag1_autocorrelation
    if alike is not None and alike > max(ALIKE, 2 / n**0.5):
        yield (
            f"Neighbouring answers are alike (lag-1 autocorrelation {alike:.2f}), as behind a queue: the interval of independent requests "
            "would be too narrow here, so it is one of blocks of time, or there is none; repeat the run before you decide by it."
        )
    ok = tables.requests.loc[tables.requests["outcome"] == "ok", ["response_s", "cold"]]
    if told := two_groups_sentence(ok["response_s"], ok["cold"].fillna(False)):
        yield told
