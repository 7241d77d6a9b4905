"""Can the figures of a run be trusted? Each rule gives the value, its limit and the next step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from coldburst.lines import one_line
from coldburst.record.exit_codes import RUN_TIME
from coldburst.record.ledger import Ledger

from ..command_name import PROGRAM
from ..runs.load import Run
from ..statistics.percentiles import smallest_sample
from ..statistics.two_groups import two_groups_sentence
from ..tables.burst import is_burst, prediction
from ..tables.price import other_gpu
from ..tables.run_tables import RATE_LIMIT, Tables
from ..tables.throughput import planned_stages
from ..text.number_format import percent, plural, seconds

LATE_LEAST_S = 0.020
LATE_SHARE = 0.05
CPU_FULL = 0.90
CPU_SHARE = 0.10
RATE_KEPT = 0.95
# A stage's requests may leave this long after its last one was due: seconds, or a share of its duration.
GRACE_S, GRACE_SHARE = 1.0, 0.05
# HTTP statuses of a key that is missing or not accepted.
KEY_REFUSED = (401, 403)
# A larger difference between the clocks of a generator and the master is noted.
CLOCK_S = 0.02
TOTALS = (
    "There is no ledger: Locust's totals do not say how many requests were planned, so a request that never ended is not visible.",
    "The percentiles include failures: a fast failure makes the service look faster.",
    "Percentiles are rounded to two digits: 1,049 and 951 ms both become 1,000.",
    "Times start when a request is sent: requests that the generator sent late look as fast as the others.",
    "Locust writes these files every few seconds and not at the end: the last seconds may be missing.",
)


@dataclass(frozen=True)
class Verdict:
    """``state``: one of ``coldburst.record.objectives.VERDICTS``; ``reasons``: why, the most serious first; ``notes``: other remarks."""

    state: str
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def judge(run: Run, tables: Tables) -> Verdict:
    """The verdict on ``run``; the most serious rule that it breaks decides (docs/methodology.md, "Verdict")."""
    if run.totals is not None:
        return Verdict("degraded", ("The input has only totals, without a row per request.",), (*TOTALS, *run.notes))
    invalid, degraded = list(_invalid(tables)), list(_degraded(tables))
    state = "invalid" if invalid else "degraded" if degraded else "valid"
    return Verdict(state, (*invalid, *degraded), (*_notes(tables), *run.notes))


def lateness_limit_s(tables: Tables) -> float:
    """The limit of the P99 send delay: 20 ms, or 5 % of the median service time."""
    median_s = tables.service["ended"].at(50).value
    return max(LATE_LEAST_S, LATE_SHARE * (median_s or 0.0))


def lost_names(run: Run) -> list[str]:
    """Generators that the master lost at any time, in that order, including those that came back."""
    if run.events is None:
        return []
    lost = run.events[run.events["kind"] == "generator_lost"]["generator"].dropna()
    return [one_line(str(name)) for name in dict.fromkeys(lost)]


def beyond_run_time(tables: Tables) -> pd.Series:
    """Which requests were not sent only because --run-time ended the run.

    They were due later, or are of a stage without a rate. Requests due more than GRACE_S before the end were delayed by the
    in-flight cap instead. If run.json does not have the limit, the run's duration replaces it.
    """
    about, rows = tables.run.about, tables.requests
    stayed = (rows["outcome"] == "not_sent") & (rows["tries"] == 0)
    limit_s = about.get("run_time_s", about.get("elapsed_s"))
    if about.get("ended_by") != RUN_TIME or not isinstance(limit_s, int | float):
        return stayed & False
    rated = [stage["name"] for stage in planned_stages(tables.run) if stage.get("duration_s") and not stage["closed"]]
    return stayed & (~rows["stage"].isin(rated) | (rows["scheduled_s"] >= limit_s - GRACE_S))


def _invalid(tables: Tables) -> Iterator[str]:
    about, book = tables.run.about, tables.ledger
    if not tables.attempts["sent_s"].notna().any():
        yield f"No request was sent, so nothing was measured: {_unsent(tables)}"
    elif why := _nothing_measured(tables):
        yield why
    if about.get("state") == "ended" and not book.balanced and not (book.missing > 0 and lost_names(tables.run)):
        yield _unbalanced(book)
    late, limit = tables.lateness.times.at(99), lateness_limit_s(tables)
    if late.value is not None and late.value > limit:
        yield (f"Lateness: P99 send delay {seconds(late.value)} (limit {seconds(limit)}); use more or faster generators, or a lower rate.")
    if tables.run.generator is not None:
        yield from _too_busy(tables.run.generator)


def _unsent(tables: Tables) -> str:
    errors = tables.attempts["error"].dropna().astype(str)
    failed = errors[errors.str.startswith("upload: ")]
    if failed.empty and _cut(tables.run):
        return f"the run was ended first ({one_line(str(tables.run.about.get('ended_by')))})."
    if failed.empty:
        return "check the target and the schedule, and run again."
    return f"{plural(len(failed), 'upload')} failed, most often with '{one_line(str(failed.mode().get(0)))}'."


def _cut(run: Run) -> bool:
    """Whether something else than its schedule ended the run."""
    return run.about.get("state") == "ended" and run.about.get("ended_by") not in ("schedule", RUN_TIME)


def _nothing_measured(tables: Tables) -> str:
    """Why the requests that were sent measure nothing: none was answered, or each was refused; "" otherwise."""
    sent = tables.attempts.loc[tables.attempts["sent_s"].notna(), ["outcome", "status", "error"]]
    # A job that was given up had been accepted, which was an answer.
    silent = ("unreachable",) if tables.run.kind == "queue" else ("unreachable", "abandoned")
    answered = sent[sent["status"].notna() | ~sent["outcome"].isin((*silent, "unfinished"))]
    if not len(answered) and (sent["outcome"] == "unfinished").all():
        return f"The run was cut before the first answer ({plural(len(sent), 'attempt')} sent), so nothing was measured: let it run longer."
    if not len(answered):
        first = one_line(str(sent["error"].dropna().mode().get(0, "no error recorded")))
        return (
            f"No request was answered ({plural(len(sent), 'attempt')} sent), so nothing was measured: {first}. Check --host, and run again."
        )
    if (answered["outcome"] == "refused").all():
        first = one_line(str(answered["error"].dropna().mode().get(0, "no error recorded")))
        if answered["status"].isin(KEY_REFUSED).all():
            return f"Every answer refused the key, so nothing was measured: {first}."
        return f"Every request was refused, so nothing was measured: {first}. Check --host, --path and what is sent, and run again."
    return ""


def _unbalanced(book: Ledger) -> str:
    if book.missing > 0:
        return (
            f"The ledger does not balance: {book.missing:,} of {book.planned:,} planned requests are missing. "
            "A generator or its rows were lost; check generator.csv and run again."
        )
    return (
        f"The ledger does not balance: there are {-book.missing:,} more requests than the {book.planned:,} planned; "
        "rows of another run may be mixed in."
    )


def _too_busy(generator: pd.DataFrame) -> Iterator[str]:
    full = (generator["cpu"] > CPU_FULL).groupby(generator["generator"])
    shares = full.mean()[full.size() > 1]  # a single second is the start
    if len(shares) and shares.max() > CPU_SHARE:
        yield (
            f"The load generator {one_line(str(shares.idxmax()))!r} used more than {percent(CPU_FULL)} of a core in "
            f"{percent(float(shares.max()))} of its seconds (limit {percent(CPU_SHARE)}), so the times include its own delays; "
            "spread the load over more generators."
        )


def _degraded(tables: Tables) -> Iterator[str]:
    about, counts = tables.run.about, tables.ledger.counts
    sent = int(tables.attempts["sent_s"].notna().sum())
    if sent and not counts.get("ok") and not _nothing_measured(tables):
        yield f"No answer was ok ({plural(sent, 'attempt')} sent), so there is no response time: find the cause in the outcomes and errors."
    if about.get("state") != "ended":
        yield "The run has no recorded end: it was killed or is still running; requests in flight then are missing."
    elif _cut(tables.run):
        yield f"The run was cut short ({one_line(str(about.get('ended_by')))}): the figures cover only the time until then."
    yield from _lost(tables.run, tables.ledger)
    if counts.get("unfinished"):
        yield (
            f"{plural(counts['unfinished'], 'request')} had no answer when the run was cut, so the times leave out the slowest; "
            "allow more time to drain."
        )
    stayed = (tables.requests["outcome"] == "not_sent") & ~beyond_run_time(tables)
    again = int((stayed & (tables.requests["tries"] > 0)).sum())
    unfit = stayed & (tables.requests["tries"] == 0) & tables.requests["error"].fillna("").astype(str).ne("")
    if unfit.any():
        first = tables.requests["error"][unfit].iloc[0]
        yield f"{plural(int(unfit.sum()), 'request')} had an error before anything was sent, such as {first}."
    if never := int(stayed.sum()) - again - int(unfit.sum()):
        why = (
            "the run ended before their turn"
            if _cut(tables.run)
            else "the load was lower than planned; raise the in-flight cap or lower the rate"
        )
        yield f"{plural(never, 'request')} never left: {why}."
    if again:
        yield f"{plural(again, 'request')} waited for another try when the run ended: allow more time to drain, or fewer tries."
    yield from _rate_not_kept(tables)
    late, limit = tables.lateness.times.at(99), lateness_limit_s(tables)
    if late.value is not None and limit / 2 < late.value <= limit:
        yield f"Lateness: P99 send delay {seconds(late.value)} is more than half the limit of {seconds(limit)}; add a generator."


def _lost(run: Run, book: Ledger) -> Iterator[str]:
    names = lost_names(run)
    if not names:
        return
    who = f"generator {names[0]} was" if len(names) == 1 else f"generators {', '.join(names)} were"
    effect = (
        f"{book.missing:,} of {book.planned:,} planned requests are missing; to add the rows that it kept, run: "
        f"{PROGRAM} merge {run.path} DIRECTORY_OF_THE_GENERATOR"
        if book.missing > 0
        else "the offered rate was too low until its share was assigned to others"
    )
    yield f"The {who} lost: {effect}."


def _rate_not_kept(tables: Tables) -> Iterator[str]:
    """Stages with a rate of which too many requests left after their end, so the measured rate was lower."""
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
            remedy = "have it raised" if tables.lateness.by == RATE_LIMIT else "raise --max-in-flight"
            yield (
                f"The rate of stage {stage['name']!r} was not kept: only {percent(kept)} of its requests left during the stage, because of "
                f"{tables.lateness.by}; {remedy}, or plan a rate that the endpoint can take."
            )


def _notes(tables: Tables) -> Iterator[str]:
    if not tables.run.about.get("sweep"):  # samples of a sweep mix its settings
        yield from _sample_notes(tables)
    if left := int(beyond_run_time(tables).sum()):
        yield f"--run-time ended the run, as asked: {plural(left, 'planned request')} {'was' if left == 1 else 'were'} not sent."
    lateness = tables.lateness
    if lateness.held:
        yield (
            f"{lateness.by.capitalize()} delayed {lateness.held:,} of {lateness.of:,} requests by up to {seconds(lateness.held_max_s)}; "
            "this is part of the response time, not of the lateness."
        )
    if tables.run.about.get("planned") is None:
        yield "A closed loop limited by time has no planned number of requests: the ledger uses the number sent."
    if tables.run.generator is None:
        yield "There is no generator.csv, so the CPU use of the load generator is unknown."
    if gpus := other_gpu(tables.run.about):
        given, actual = map(one_line, gpus)
        yield f"Costs are those of the workers' GPU, {actual}, by the catalogue, not of --price {given}; USD per second there would count."
    yield from _clock_notes(tables.run)
    own = (tables.run.about.get("ledger") or {}).get("counts")
    if own is not None and own != dict(tables.ledger.counts):
        yield "The ledger in run.json differs from the rows of attempts.csv; this report counts the rows."


def _clock_notes(run: Run) -> Iterator[str]:
    if run.generator is None or "clock_s" not in run.generator:
        return
    most = run.generator["clock_s"].abs().groupby(run.generator["generator"]).max().dropna()
    for name, ahead_s in most[most > CLOCK_S].items():
        who = one_line(str(name))
        yield f"The clock of generator {who} differs from the master's by {seconds(float(ahead_s))}; its times are corrected."


def _sample_notes(tables: Tables) -> Iterator[str]:
    if prediction(tables) is None and (sentence := _no_interval(tables)):
        yield sentence
    ok = tables.requests.loc[tables.requests["outcome"] == "ok", ["response_s", "cold"]]
    if sentence := two_groups_sentence(ok["response_s"], ok["cold"].fillna(False)):
        yield sentence


def _no_interval(tables: Tables) -> str:
    """Why the P95 has no interval, and what gives one; "" if it has one, or nothing was answered."""
    times, least = tables.response["ok"], smallest_sample(95)
    if not times.n or (tail := times.at(95)).lower is not None:
        return ""
    if is_burst(tables):
        return (
            "The P95 has no interval: the answers of a burst share one queue, which can be replayed only if the endpoint reports queue and "
            "execution times and nearly all requests were ok; send the burst several times with --repeats 5."
        )
    if tail.alike:
        return (
            "Percentiles have no interval: successive answers are correlated, as behind a queue, and one run is one draw of it; run the "
            f"test three times and pool the runs with {PROGRAM} report RUN RUN RUN."
        )
    return f"A P95 confidence interval needs {least} successes; you have {times.n}: plan more requests, or repeat the run."
