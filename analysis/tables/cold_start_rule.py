"""Which attempts met a cold start: one rule over all rows of a run, whatever their order and whoever wrote them.

An attempt is **on a worker** where its row names one and its start there is known: sent + queue delay,
without a queue delay done − execution time, without both done. Attempts that never ended count only
with a queue delay.

A worker's **first hand-over** is its earliest start and those within SLACK_S of it and before the
earliest one's end (several at a time are one hand-over). It begins anew where the endpoint tells that
the worker became ready again: at the first start from that instant on, less SLACK_S. It does not where
the worker was at work at that instant, since the list of workers then came late.

An attempt that was answered is cold if

* ``said``: the endpoint says so itself. Its word counts the other way too.

or else if it is in a first hand-over, and

* ``worker_list``: the worker became ready after the attempt was sent and before it started there; or
* ``first_on_worker``: the endpoint does not tell when the worker became ready, and the attempt waited
  ``cold_after_s`` or longer; or
* ``execution``: its execution time is an outlier of the answers outside first hand-overs: above
  Q3 + OUTLIER_IQR × (Q3 − Q1), and OUTLIER_RATIO × their median or more, with OUTLIER_N of them or
  more. Execution time per second of audio where the audio is known.

``first_on_worker`` never applies where the worker was ready before the attempt was sent: a worker that
is warm and busy makes others queue. Other answered attempts on a worker are not cold; where nobody
can tell (no worker named; or first, and the wait not known) ``cold`` is empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..runs.csv_columns import Flags, Floats, floats
from ..statistics.percentiles import ascending, nearest_rank

COLD_AFTER_S = 2.0
"""Where run.json has no ``cold_after_s``. Above the second that the worker's SDK sleeps between looks for jobs."""
SLACK_S = 0.25
QUICK = 10
"""Percentile of the service times that stands for one without a wait. Behind a queue even the median has waits in it."""
OUTLIER_N, OUTLIER_IQR, OUTLIER_RATIO = 8, 3.0, 1.3
BY = ("said", "worker_list", "first_on_worker", "execution")
CONDITIONS = ("cold", "queued", "warm", "untold")
ANSWERED = ("ok", "failed", "wrong", "timed_out", "busy", "refused")
PARTS = ("scaler_s", "cold_start_s", "hand_over_s")
BY_TYPE, CONDITION_TYPE = (pd.CategoricalDtype(["", *names]) for names in (BY, CONDITIONS))

Codes = NDArray[Any]
"""Small whole numbers, as few bytes each as they need."""


@dataclass(frozen=True)
class PlacedAttempts:
    """Attempts on their workers, as arrays in the order of the rows.

    Attributes:
        worker: which of ``names``, -1 where the attempt is on none.
        names: ids of endpoint workers.
        sent_s, start_s, end_s: seconds; NaN where not known, an end that was not seen is infinite.
        answered: whether a worker's answer is there to be judged.
    """

    worker: Codes
    names: pd.Index[str]
    sent_s: Floats
    start_s: Floats
    end_s: Floats
    answered: Flags


@dataclass(frozen=True)
class HandOvers:
    """``first``: whether an attempt is in a first hand-over. ``start``: the worker's last start known by then (a row of ``starts``), or -1.

    ``job_s``: for each worker start, the first start of an attempt after it; NaN where none is known.
    """

    first: Flags
    start: NDArray[np.int32]
    job_s: Floats


@dataclass(frozen=True)
class ColdStartJudgement:
    """What the rule makes of a run.

    Attributes:
        attempts: a row an attempt, see ``judge_cold_starts``.
        starts: a row a start of an endpoint worker, with ready_s, when the worker became ready, and cold_start_s, from its start to then.
    """

    attempts: pd.DataFrame
    starts: pd.DataFrame


def judge_cold_starts(attempts: pd.DataFrame, starts: pd.DataFrame, cold_after_s: float) -> ColdStartJudgement:
    """The rule's result: of ``attempts`` in their order and with their index, and of ``starts``.

    Columns of the attempts':

    * ``start_s``: the start on the worker; ``first``: in a first hand-over
    * ``wait_s``: the queue delay; without it start − sent where the execution time is told, and otherwise
      service time less that of the quickest answers, their QUICK-th percentile (an estimate, never below 0)
    * ``cold``: True, False or empty; ``cold_by``: one of BY, or ""
    * ``condition``: one of CONDITIONS, or "". ``queued`` waited cold_after_s or longer on warm workers, ``warm`` did
      not, ``untold``: not cold, and the endpoint does not tell the wait
    * of cold attempts whose worker start is known, the parts of the wait: ``scaler_s`` (sent → worker
      start), ``cold_start_s`` (worker start → ready, as far as the attempt waited for it), ``hand_over_s`` (ready → start)
    """
    placed = _placed(attempts)
    found = _hand_overs(placed, starts)
    wait_s = _wait(attempts, placed, found)
    by, unknown = _cold(attempts, placed, found, starts, wait_s, cold_after_s)
    told = (attempts["queue_s"].notna() | attempts["execution_s"].notna()).to_numpy()
    cold = by > 0
    condition = np.select([cold, unknown, ~told, wait_s >= cold_after_s], [np.int8(code) for code in (1, 0, 4, 2)], np.int8(3))
    columns = {
        "start_s": placed.start_s,
        "first": found.first,
        "wait_s": wait_s,
        "cold": pd.arrays.BooleanArray(cold, unknown),
        "cold_by": pd.Categorical.from_codes(by, dtype=BY_TYPE),
        "condition": pd.Categorical.from_codes(condition, dtype=CONDITION_TYPE),
        **_parts(placed, found, starts, cold & told),
    }
    return ColdStartJudgement(pd.DataFrame(columns, attempts.index, copy=False), _timed(starts, found.job_s))


def _timed(starts: pd.DataFrame, job_s: Floats) -> pd.DataFrame:
    """ready_s = at_s; or the first start of an attempt there, where that is more than SLACK_S before the look that showed it ready."""
    ready_s = starts["at_s"].mask(job_s < starts["at_s"] - SLACK_S, job_s)
    return starts.assign(ready_s=ready_s, cold_start_s=(starts["seconds"] - (starts["at_s"] - ready_s)).clip(lower=0.0))


def _placed(attempts: pd.DataFrame) -> PlacedAttempts:
    sent, done, queue, execution = (floats(attempts[name]) for name in ("sent_s", "done_s", "queue_s", "execution_s"))
    outcome = attempts["outcome"]
    # Without a queue delay, a job that ran into the platform's limit does not tell when it started.
    answered = outcome.isin(ANSWERED).to_numpy() & ~((outcome == "timed_out").to_numpy() & np.isnan(queue))
    start = sent + queue
    untold = np.flatnonzero(np.isnan(start))
    by_end = np.where(np.isnan(execution[untold]), done[untold], done[untold] - execution[untold])
    start[untold] = np.where(answered[untold], by_end, np.nan)
    worker, names = _codes(attempts["worker_id"])
    nowhere = np.isnan(start) | (outcome == "not_sent").to_numpy() | np.append(names == "", True)[worker]
    worker = np.where(nowhere, worker.dtype.type(-1), worker)
    return PlacedAttempts(worker, names, sent, start, np.where(np.isnan(done), np.inf, done), answered & ~nowhere)


def _codes(texts: pd.Series[str]) -> tuple[Codes, pd.Index[str]]:
    """Each text as its place in an index of those that occur; -1 where it is empty."""
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
    """The places of each worker's rows, in order of ``at_s``; of none (-1) there are none."""
    order = np.lexsort((at_s, workers))
    codes = workers[order]
    order, codes = order[np.searchsorted(codes, 0) :], codes[np.searchsorted(codes, 0) :]
    edges = np.flatnonzero(np.diff(codes, prepend=-1, append=-1))
    return {int(codes[begin]): order[begin:end] for begin, end in pairwise(edges)}


def _begins(at: Floats, ends: Floats, from_s: Floats) -> NDArray[np.intp]:
    """For each instant from which the worker was ready again, the place of the first start since; -1 = none."""
    begins = np.searchsorted(at, from_s - SLACK_S)
    latest = np.maximum.accumulate(np.append(-np.inf, np.where(np.isfinite(ends), ends, -np.inf)))  # end of those before each
    return np.where((begins == len(at)) | (latest[begins] > from_s), -1, begins)


def _hand_over(at: Floats, ends: Floats, begin: int) -> slice | NDArray[np.intp]:
    """Those that start with the one at ``begin``; where its start is only its end (no times told), within SLACK_S alone decides."""
    start = at[begin]
    same, until = np.searchsorted(at, start, side="right"), np.searchsorted(at, start + SLACK_S, side="right")
    begin = int(np.searchsorted(at, start))
    end = float(ends[begin:same].max())
    return slice(begin, until) if end <= start else begin + np.flatnonzero((at[begin:until] < end) | (at[begin:until] == start))


def _wait(attempts: pd.DataFrame, placed: PlacedAttempts, found: HandOvers) -> Floats:
    wait_s = floats(attempts["queue_s"]).copy()
    untold = np.flatnonzero(np.isnan(wait_s))
    rows = attempts[["sent_s", "done_s", "execution_s"]].take(untold)
    by_service = np.maximum(_service(rows) - _quick(attempts, placed, found), 0.0)
    by_execution = placed.start_s[untold] - placed.sent_s[untold]
    wait_s[untold] = np.where(placed.answered[untold], np.where(rows["execution_s"].isna(), by_service, by_execution), np.nan)
    return wait_s


def _quick(attempts: pd.DataFrame, placed: PlacedAttempts, found: HandOvers) -> float:
    """What an answer takes that does not wait, where no times are told: the quickest ones waited least. NaN where all are first."""
    if not _rest(attempts, placed, found).any():
        return np.nan
    untold = attempts["queue_s"].isna() & attempts["execution_s"].isna() & (attempts["outcome"] == "ok")
    known = ascending(_service(attempts.loc[untold.to_numpy(dtype=bool) & placed.answered, ["sent_s", "done_s"]]))
    return float(known[nearest_rank(len(known), QUICK) - 1]) if len(known) else np.nan


def _service(attempts: pd.DataFrame) -> Floats:
    return floats(attempts["done_s"] - attempts["sent_s"])


def _rest(attempts: pd.DataFrame, placed: PlacedAttempts, found: HandOvers) -> Flags:
    """The answers that others are held against: ok, on a worker, outside first hand-overs."""
    return np.asarray((attempts["outcome"] == "ok").to_numpy(dtype=bool) & placed.answered & ~found.first)


def _cold(
    attempts: pd.DataFrame, placed: PlacedAttempts, found: HandOvers, starts: pd.DataFrame, wait_s: Floats, cold_after_s: float
) -> tuple[NDArray[np.int8], Flags]:
    """What tells that an attempt is cold, as its place among BY from 1; 0 where it is not, or (the second array) nobody knows."""
    word = attempts["cold"].notna().to_numpy()
    by = attempts["cold"].fillna(False).to_numpy(dtype=np.int8)
    untold = ~word & ~placed.answered
    candidates = np.flatnonzero(placed.answered & found.first & ~word)
    rows = attempts[["outcome", "sent_s", "done_s", "execution_s", "audio_s"]].take(candidates)
    start, sent_s, wait_s = found.start[candidates], placed.sent_s[candidates], wait_s[candidates]
    from_s, at_s = (_of_start(starts[name], start) for name in ("from_s", "at_s"))
    # Sent between the two looks: a worker that had been ready before would have taken it at once.
    starting = (sent_s <= from_s) | ((sent_s <= at_s) & (wait_s > SLACK_S))
    by[candidates] = np.select([starting, (start < 0) & (wait_s >= cold_after_s), _outliers(rows, attempts, placed, found)], [2, 3, 4], 0)
    untold[candidates] = np.isnan(wait_s) & ~(_service(rows) < cold_after_s) & ~(sent_s > at_s) & (by[candidates] == 0)
    return by, untold


def _of_start(values: pd.Series[float], start: NDArray[np.int32]) -> Floats:
    return np.append(floats(values), np.nan)[start]


def _outliers(rows: pd.DataFrame, attempts: pd.DataFrame, placed: PlacedAttempts, found: HandOvers) -> Flags:
    """Which of ``rows`` have an execution time far above what the others took; those whose audio is known among themselves."""
    outlier = np.zeros(len(rows), dtype=bool)
    if not len(rows):
        return outlier
    rest = _rest(attempts, placed, found)
    (pace, heard), (all_pace, all_heard) = _pace(rows), _pace(attempts)
    for alike, all_alike in ((heard, all_heard), (~heard, ~all_heard)):
        usual = ascending(all_pace[rest & all_alike])
        if len(usual) >= OUTLIER_N:
            low, middle, high = (usual[nearest_rank(len(usual), p) - 1] for p in (25, 50, 75))
            outlier |= alike & (pace > high + OUTLIER_IQR * (high - low)) & (pace >= OUTLIER_RATIO * middle)
    return outlier & (rows["outcome"] == "ok").to_numpy()


def _pace(rows: pd.DataFrame) -> tuple[Floats, Flags]:
    """Execution time, per second of audio where the audio is known; and where that is so."""
    execution, audio = floats(rows["execution_s"]), floats(rows["audio_s"])
    heard = audio > 0
    return np.divide(execution, audio, out=execution.copy(), where=heard), heard


def _parts(placed: PlacedAttempts, found: HandOvers, starts: pd.DataFrame, cold: Flags) -> dict[str, Floats]:
    """The wait of cold attempts in three, which add up to start − sent; NaN where the worker's start is not known."""
    rows = np.flatnonzero(cold & found.first)
    sent, start = placed.sent_s[rows], placed.start_s[rows]
    began_s = _of_start(starts["at_s"] - starts["seconds"], found.start[rows])
    ready = np.fmin(_of_start(starts["at_s"], found.start[rows]), start)
    known = ~np.isnan(began_s) & (ready >= sent)
    parts = (np.clip(began_s - sent, 0.0, ready - sent), np.clip(ready - np.maximum(began_s, sent), 0.0, None), start - ready)
    told = {name: np.full(len(cold), np.nan) for name in PARTS}
    for name, part in zip(PARTS, parts, strict=True):
        told[name][rows[known]] = part[known]
    return told
