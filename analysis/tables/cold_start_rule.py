"""Which attempts met a cold start: one rule over all rows of a run, in any order and from any generator.

docs/methodology.md, "Cold starts", has the rule, the terms (start on a worker, first hand-over) and its limits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..runs.csv_columns import Flags, Floats, floats
from ..runs.disk_columns import on_disk, release
from ..statistics.percentiles import nearest
from . import balanced_waits
from .balanced_waits import OUTLIER_IQR, OUTLIER_N, OUTLIER_RATIO, FirstWaits, Life, Limits
from .worker_list import WorkerList

# The default of ``cold_after_s``: more than the second that the worker's SDK sleeps between polls for jobs.
COLD_AFTER_S = 2.0
SLACK_S = 0.25
BY = ("said", "worker_list", "first_on_worker", "execution")
CONDITIONS = ("cold", "queued", "warm", "untold")
ANSWERED = ("ok", "failed", "wrong", "timed_out", "busy", "refused")
PARTS = ("scaler_s", "cold_start_s", "hand_over_s", "load_s")
BY_TYPE, CONDITION_TYPE = (pd.CategoricalDtype(["", *names]) for names in (BY, CONDITIONS))

# Small integers in the smallest type that holds them.
Codes = NDArray[Any]


@dataclass(frozen=True)
class PlacedAttempts:
    """Attempts on their workers, as arrays in the order of the rows.

    Attributes:
        worker: index in ``names``, -1 if the attempt is on no worker.
        names: ids of endpoint workers.
        sent_s, start_s, end_s: seconds; NaN if unknown, infinite for an end that was not seen.
        answered: whether a worker answered.
    """

    worker: Codes
    names: pd.Index[str]
    sent_s: Floats
    start_s: Floats
    end_s: Floats
    answered: Flags


@dataclass(frozen=True)
class HandOvers:
    """First hand-overs.

    Attributes:
        first: whether an attempt is in a first hand-over.
        start: the worker's last start before it (a row of ``starts``), or -1.
        job_s: for each worker start, the first start of an attempt after it; NaN if unknown.
    """

    first: Flags
    start: NDArray[np.int32]
    job_s: Floats


@dataclass(frozen=True)
class Waits:
    """Per attempt whether the endpoint reports times, its wait, and what it took longer than others because a model loaded in it."""

    reported: Flags
    wait_s: Floats
    load_s: Floats


@dataclass(frozen=True)
class ColdStartJudgement:
    """The result of the rule.

    Attributes:
        attempts: a row per attempt, see ``judge_cold_starts``.
        starts: a row per start of an endpoint worker, with ready_s (when it became ready), ready_least_s (the earliest that can have
            been) and cold_start_s (from its start to ready_s).
    """

    attempts: pd.DataFrame
    starts: pd.DataFrame


def judge_cold_starts(
    attempts: pd.DataFrame, starts: pd.DataFrame, cold_after_s: float, listed: WorkerList | None = None
) -> ColdStartJudgement:
    """Apply the rule to ``attempts`` (keeping their order and index), ``starts`` and, if known, the polls of the worker list.

    Columns of the result's attempts:

    * ``start_s``: the start on the worker; ``first``: in a first hand-over
    * ``wait_s``: the queue delay; without it start − sent if the execution time is known, and otherwise an estimate
      (``balanced_waits``); empty if there is none. ``wait_least_s`` and ``wait_most_s``: bounds, equal to it where it is reported
    * ``cold``: True, False or empty: uncertain; ``cold_by``: one of BY, or ""
    * ``condition``: one of CONDITIONS, or "". ``queued`` waited cold_after_s or longer on warm workers, ``warm`` did not;
      ``untold``: not cold, and the wait is unknown
    * the parts of the wait of cold attempts whose worker start is known: ``scaler_s`` (sent → worker start), ``cold_start_s``
      (worker start → ready, while the attempt waited for it), ``hand_over_s`` (ready → start); and ``load_s``, what a first request
      took longer than others because a model loads in it
    """
    placed = _placed(attempts)
    starts = starts if listed is None else _with_unlisted(_with_ages(starts, listed), placed, listed)
    reported = (attempts["queue_s"].notna() | attempts["execution_s"].notna()).to_numpy()
    found = _hand_overs(placed, starts)
    limits = Limits(cold_after_s, SLACK_S, listed is not None, None if listed is None else listed.per_worker)
    firsts = _first_waits(attempts, placed, found, starts, ~reported, limits)
    found = replace(found, first=np.where(reported, found.first, firsts.first), job_s=np.fmin(found.job_s, firsts.ready_s))
    wait_s = on_disk(_wait(attempts, placed, firsts))
    load_s = on_disk(np.where(reported, 0.0, firsts.load_s))
    by, unknown = _cold(attempts, placed, found, starts, Waits(reported, wait_s, load_s), cold_after_s)
    judged = ~reported & placed.answered & attempts["cold"].isna().to_numpy()
    by[judged] = np.maximum(firsts.cold[judged], 0)
    unknown[judged] = firsts.cold[judged] == balanced_waits.UNCERTAIN
    release()
    cold = by > 0
    condition = np.select([cold, unknown, ~reported, wait_s >= cold_after_s], [np.int8(code) for code in (1, 0, 4, 2)], np.int8(3))
    columns = {
        "start_s": placed.start_s,
        "first": found.first,
        "wait_s": wait_s,
        "wait_least_s": on_disk(np.where(reported, wait_s, firsts.least_s)),
        "wait_most_s": on_disk(np.where(reported, wait_s, firsts.most_s)),
        "cold": pd.arrays.BooleanArray(cold, unknown),
        "cold_by": pd.Categorical.from_codes(by, dtype=BY_TYPE),
        "condition": pd.Categorical.from_codes(condition, dtype=CONDITION_TYPE),
        **_parts(placed, found, starts, cold, Waits(reported, wait_s, load_s)),
    }
    release()
    exact = ~np.isnan(found.job_s if reported[placed.answered].all() else firsts.ready_s)
    return ColdStartJudgement(pd.DataFrame(columns, attempts.index, copy=False), _timed(starts, found.job_s, exact))


def _timed(starts: pd.DataFrame, job_s: Floats, exact: Flags) -> pd.DataFrame:
    """ready_s = at_s, or the first start of an attempt there if that is more than SLACK_S before the poll that saw it ready.

    ready_least_s is the same where the start of that attempt is ``exact``, else from_s.
    """
    ready_s = starts["at_s"].mask(job_s < starts["at_s"] - SLACK_S, job_s)
    ready_least_s = ready_s.where(exact, np.fmin(starts["from_s"], ready_s))
    return starts.assign(
        ready_s=ready_s, ready_least_s=ready_least_s, cold_start_s=(starts["seconds"] - (starts["at_s"] - ready_s)).clip(lower=0.0)
    )


def _placed(attempts: pd.DataFrame) -> PlacedAttempts:
    sent, done, queue, execution = (floats(attempts[name]) for name in ("sent_s", "done_s", "queue_s", "execution_s"))
    outcome = attempts["outcome"]
    # Without a queue delay, the start of a job that reached the platform's time limit is unknown.
    answered = outcome.isin(ANSWERED).to_numpy() & ~((outcome == "timed_out").to_numpy() & np.isnan(queue))
    start = sent + queue
    untold = np.flatnonzero(np.isnan(start))
    by_end = np.where(np.isnan(execution[untold]), done[untold], done[untold] - execution[untold])
    start[untold] = np.where(answered[untold], by_end, np.nan)
    worker, names = _codes(attempts["worker_id"])
    nowhere = np.isnan(start) | (outcome == "not_sent").to_numpy() | np.append(names == "", True)[worker]
    worker = np.where(nowhere, worker.dtype.type(-1), worker)
    return PlacedAttempts(worker, names, sent, on_disk(start), on_disk(np.where(np.isnan(done), np.inf, done)), answered & ~nowhere)


def _codes(texts: pd.Series[str]) -> tuple[Codes, pd.Index[str]]:
    """Each text as a place in the index of distinct texts; -1 if it is empty."""
    kept = texts.astype("category")
    return kept.cat.codes.to_numpy(), pd.Index(kept.cat.categories, dtype="str")


def _hand_overs(placed: PlacedAttempts, starts: pd.DataFrame) -> HandOvers:
    first, start = np.zeros(len(placed.worker), dtype=bool), np.full(len(placed.worker), -1, dtype=np.int32)
    since_s, job_s = starts["from_s"].to_numpy(dtype=np.float64), np.full(len(starts), np.nan)
    told = _by_worker(placed.names.get_indexer(pd.Index(starts["worker_id"])), since_s)
    for worker, rows in _by_worker(placed.worker, placed.start_s).items():
        at, ends = placed.start_s[rows], placed.end_s[rows]
        news = told.get(worker, np.array([], dtype=np.intp))
        from_s = since_s[news]
        begins = _begins(at, ends, from_s)
        for begin in {0, *begins[begins >= 0]}:
            first[rows[_hand_over(at, ends, begin)]] = True
        job_s[news] = np.where(begins >= 0, at[begins], np.nan)
        known = np.searchsorted(from_s, at + SLACK_S, side="right") - 1
        start[rows] = np.where(known >= 0, news[known], -1) if len(news) else -1
    return HandOvers(first, start, job_s)


def _by_worker(workers: Codes, at_s: Floats) -> dict[int, NDArray[np.intp]]:
    """The places of each worker's rows, in order of ``at_s``; without worker -1."""
    order = np.lexsort((at_s, workers))
    codes = workers[order]
    order, codes = order[np.searchsorted(codes, 0) :], codes[np.searchsorted(codes, 0) :]
    edges = np.flatnonzero(np.diff(codes, prepend=-1, append=-1))
    return {int(codes[begin]): order[begin:end] for begin, end in pairwise(edges)}


def _begins(at: Floats, ends: Floats, from_s: Floats) -> NDArray[np.intp]:
    """For each time from which the worker was ready again, the place of the first start since then, or -1."""
    begins = np.searchsorted(at, from_s - SLACK_S)
    latest = np.maximum.accumulate(np.append(-np.inf, np.where(np.isfinite(ends), ends, -np.inf)))  # end of those before each
    return np.where((begins == len(at)) | (latest[begins] > from_s), -1, begins)


def _hand_over(at: Floats, ends: Floats, begin: int) -> slice | NDArray[np.intp]:
    """The starts of the hand-over at ``begin``. If a start is only an end (no times reported), only SLACK_S decides."""
    start = at[begin]
    same, until = np.searchsorted(at, start, side="right"), np.searchsorted(at, start + SLACK_S, side="right")
    begin = int(np.searchsorted(at, start))
    end = float(ends[begin:same].max())
    return slice(begin, until) if end <= start else begin + np.flatnonzero((at[begin:until] < end) | (at[begin:until] == start))


def _wait(attempts: pd.DataFrame, placed: PlacedAttempts, firsts: FirstWaits) -> Floats:
    wait_s = floats(attempts["queue_s"]).copy()
    untold = np.flatnonzero(np.isnan(wait_s))
    by_execution = placed.start_s[untold] - placed.sent_s[untold]
    estimate = np.where(attempts["execution_s"].isna().to_numpy()[untold], firsts.wait_s[untold], by_execution)
    wait_s[untold] = np.where(placed.answered[untold], estimate, np.nan)
    return wait_s


def _with_ages(starts: pd.DataFrame, listed: WorkerList) -> pd.DataFrame:
    """``starts`` with their seconds to the millisecond where the list tells the containers' starts."""
    told = zip(starts["worker_id"], starts["at_s"], starts["seconds"], strict=True)
    return starts.assign(seconds=pd.Series([listed.age_s(*one) for one in told], starts.index, dtype="float64"))


def _with_unlisted(starts: pd.DataFrame, placed: PlacedAttempts, listed: WorkerList) -> pd.DataFrame:
    """``starts`` and those that no poll showed."""
    known = starts.groupby("worker_id")[["from_s", "at_s"]]
    told = {str(name): rows.to_numpy(dtype=np.float64) for name, rows in known}
    found = []
    for worker, rows in _by_worker(np.where(placed.answered, placed.worker, -1), placed.start_s).items():
        name = placed.names[worker]
        for from_s, at_s in listed.unlisted_starts(name, placed.start_s[rows]):
            before = told.get(name, np.empty((0, 2)))
            if not ((before[:, 0] <= at_s + SLACK_S) & (before[:, 1] >= from_s)).any():
                found.append((name, from_s, at_s, np.nan))
    if not found:
        return starts
    more = pd.DataFrame(found, columns=["worker_id", "from_s", "at_s", "seconds"])
    return pd.concat([starts, more] if len(starts) else [more], ignore_index=True).sort_values(["at_s", "worker_id"], ignore_index=True)


def _first_waits(
    attempts: pd.DataFrame, placed: PlacedAttempts, found: HandOvers, starts: pd.DataFrame, unreported: Flags, limits: Limits
) -> FirstWaits:
    """The estimates for answers without reported times."""
    done_s, ok = floats(attempts["done_s"]), (attempts["outcome"] == "ok").to_numpy(dtype=bool)
    rows = np.flatnonzero(unreported & placed.answered)
    order = rows[np.lexsort((done_s[rows], placed.sent_s[rows], found.start[rows], placed.worker[rows]))]
    edges = np.flatnonzero((np.diff(placed.worker[order], prepend=-2) != 0) | (np.diff(found.start[order], prepend=-2) != 0))
    # A worker that the list showed at its first poll was ready before.
    lives, unknown = [], (-np.inf, -np.inf if limits.listed else np.inf)
    for part in np.split(order, edges[1:]) if len(order) else ():
        start = int(found.start[part[0]])
        between = (float(starts["from_s"].iloc[start]), float(starts["at_s"].iloc[start])) if start >= 0 else unknown
        lives.append(Life(part, start, *between))
    return balanced_waits.first_waits(lives, placed.sent_s, done_s, ok, len(starts), limits)


def _rest(attempts: pd.DataFrame, placed: PlacedAttempts, found: HandOvers) -> Flags:
    """The answers for comparison: ok, on a worker, outside first hand-overs."""
    return np.asarray((attempts["outcome"] == "ok").to_numpy(dtype=bool) & placed.answered & ~found.first)


def _cold(
    attempts: pd.DataFrame, placed: PlacedAttempts, found: HandOvers, starts: pd.DataFrame, waits: Waits, cold_after_s: float
) -> tuple[NDArray[np.int8], Flags]:
    """Per attempt the rule that makes it cold, as a place in BY from 1, or 0; and whether it is unknown. For reported times.

    Fills in ``waits.load_s``.
    """
    word = attempts["cold"].notna().to_numpy()
    by = attempts["cold"].fillna(False).to_numpy(dtype=np.int8)
    unknown = ~word & ~placed.answered
    candidates = np.flatnonzero(placed.answered & found.first & ~word)
    rows = attempts[["outcome", "sent_s", "done_s", "execution_s", "audio_s"]].take(candidates)
    start, sent_s, wait_s = found.start[candidates], placed.sent_s[candidates], waits.wait_s[candidates]
    from_s, at_s = (_of_start(starts[name], start) for name in ("from_s", "at_s"))
    # Sent between the two polls: a worker that was ready before would have taken it at once.
    between = (sent_s > from_s) & (sent_s <= at_s)
    starting = (sent_s <= from_s) | (between & (wait_s > SLACK_S))
    load_s = _loads(rows, attempts, placed, found)
    by[candidates] = np.select([starting, (start < 0) & (wait_s >= cold_after_s), load_s > 0], [2, 3, 4], 0)
    waits.load_s[candidates] = np.where(waits.reported[candidates], load_s, waits.load_s[candidates])
    unknown[candidates] = between & (by[candidates] == 0)
    return by, unknown


def _of_start(values: pd.Series[float], start: NDArray[np.int32]) -> Floats:
    return np.append(floats(values), np.nan)[start]


def _loads(rows: pd.DataFrame, attempts: pd.DataFrame, placed: PlacedAttempts, found: HandOvers) -> Floats:
    """By how much the execution time of ``rows`` exceeds the median of the others where it is an outlier, else 0.

    Rows with and without audio are compared separately.
    """
    load_s = np.zeros(len(rows))
    if not len(rows):
        return load_s
    rest, ok = _rest(attempts, placed, found), (rows["outcome"] == "ok").to_numpy(dtype=bool)
    (pace, heard), (all_pace, all_heard) = _pace(rows), _pace(attempts)
    for alike, all_alike in ((heard, all_heard), (~heard, ~all_heard)):
        usual = all_pace[rest & all_alike]
        if np.count_nonzero(~np.isnan(usual)) >= OUTLIER_N:
            low, middle, high = nearest(usual, (25, 50, 75))
            outlier = alike & ok & (pace > high + OUTLIER_IQR * (high - low)) & (pace >= OUTLIER_RATIO * middle)
            load_s = np.where(outlier, floats(rows["execution_s"]) * (1 - middle / np.where(outlier, pace, 1.0)), load_s)
    return load_s


def _pace(rows: pd.DataFrame) -> tuple[Floats, Flags]:
    """Execution time, per second of audio if the audio is known; and whether it is known."""
    execution, audio = floats(rows["execution_s"]), floats(rows["audio_s"])
    heard = audio > 0
    return np.divide(execution, audio, out=execution.copy(), where=heard), heard


def _parts(placed: PlacedAttempts, found: HandOvers, starts: pd.DataFrame, cold: Flags, waits: Waits) -> dict[str, Floats]:
    """The parts of the wait of cold attempts; NaN if the worker's start is unknown. Without load_s they add up to start − sent."""
    columns = {name: on_disk(np.full(len(cold), np.nan)) for name in PARTS}
    rows = np.flatnonzero(cold & (found.first | (waits.load_s > 0)))
    sent = placed.sent_s[rows]
    start = np.where(waits.reported[rows], placed.start_s[rows], sent + waits.wait_s[rows])
    began_s = _of_start(starts["at_s"] - starts["seconds"], found.start[rows])
    # The balancer hands a held request over at once: what is left after that is the load of a model.
    seen_s = np.fmin(_of_start(starts["at_s"], found.start[rows]), start)
    ready = np.where(waits.reported[rows], seen_s, np.fmin(np.append(found.job_s, np.nan)[found.start[rows]], start))
    slow = ~waits.reported[rows] & (waits.load_s[rows] > 0)
    known = ~np.isnan(began_s) & ~np.isnan(start) & (ready >= sent) & ~slow
    scaler, starting = np.clip(began_s - sent, 0.0, ready - sent), np.clip(ready - np.maximum(began_s, sent), 0.0, None)
    rest, reported = start - ready, waits.reported[rows]
    loads_s = np.where(reported, waits.load_s[rows], np.where(rest > SLACK_S, rest, 0.0))
    parts = (scaler, starting, np.where(reported, rest, rest - loads_s), np.where(loads_s > 0, loads_s, np.nan))
    for name, part in zip(PARTS, parts, strict=True):
        columns[name][rows[known]] = part[known]
        release()
    loads = rows[~known & (waits.load_s[rows] > 0)]
    for name, value in zip(PARTS, (0.0, 0.0, np.where(waits.reported[loads], waits.wait_s[loads], 0.0), waits.load_s[loads]), strict=True):
        columns[name][loads] = value
    return columns
