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

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.models import ascending, rank

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

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Placed:
    """Attempts on their workers, as arrays in the order of the rows.

    Attributes:
        worker: the worker's id, "" where the attempt is on none.
        sent_s, start_s, end_s: seconds; NaN where not known, an end that was not seen is infinite.
        answered: whether a worker's answer is there to be judged.
    """

    worker: NDArray[np.object_]
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
    start: NDArray[np.intp]
    job_s: Floats


def judge(attempts: pd.DataFrame, starts: pd.DataFrame, cold_after_s: float) -> pd.DataFrame:
    """The rule's result, a row an attempt, in the order and with the index of ``attempts``.

    Columns:

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
    cold, by = _cold(attempts, placed, found, starts, wait_s, cold_after_s)
    told = attempts["queue_s"].notna() | attempts["execution_s"].notna()
    result = pd.DataFrame({"start_s": placed.start_s, "first": found.first, "wait_s": wait_s}, attempts.index)
    result["cold"] = pd.array(cold, dtype="boolean")
    result["cold_by"] = by
    result["condition"] = np.select(
        [result["cold"].fillna(False), result["cold"].isna(), ~told.to_numpy(), wait_s >= cold_after_s],
        ["cold", "", "untold", "queued"],
        "warm",
    )
    return result.assign(**_parts(placed, found, starts, result["cold"].fillna(False).to_numpy(dtype=bool) & told.to_numpy()))


def timed(starts: pd.DataFrame, attempts: pd.DataFrame) -> pd.DataFrame:
    """``starts`` with ready_s, when the worker became ready, and cold_start_s, from its start to then.

    ready_s = at_s; or the first start of an attempt on the worker, where that is more than SLACK_S before the
    look that showed it ready.
    """
    job_s = _hand_overs(_placed(attempts), starts).job_s
    ready_s = starts["at_s"].mask(job_s < starts["at_s"] - SLACK_S, job_s)
    return starts.assign(ready_s=ready_s, cold_start_s=(starts["seconds"] - (starts["at_s"] - ready_s)).clip(lower=0.0))


def _placed(attempts: pd.DataFrame) -> Placed:
    sent, done, queue, execution = (attempts[name].to_numpy(dtype=np.float64) for name in ("sent_s", "done_s", "queue_s", "execution_s"))
    outcome = attempts["outcome"]
    # Without a queue delay, a job that ran into the platform's limit does not tell when it started.
    answered = (outcome.isin(ANSWERED) & ~((outcome == "timed_out") & np.isnan(queue))).to_numpy(dtype=bool)
    by_end = np.where(answered, np.where(np.isnan(execution), done, done - execution), np.nan)
    start = np.where(np.isnan(sent + queue), by_end, sent + queue)
    worker = np.where(np.isnan(start) | (outcome == "not_sent"), "", attempts["worker_id"].to_numpy(dtype=object))
    return Placed(worker, sent, start, np.where(np.isnan(done), np.inf, done), answered & (worker != ""))


def _hand_overs(placed: Placed, starts: pd.DataFrame) -> HandOvers:
    first, start = np.zeros(len(placed.worker), dtype=bool), np.full(len(placed.worker), -1)
    job_s = np.full(len(starts), np.nan)
    told = _by_worker(starts["worker_id"], starts["from_s"].to_numpy(dtype=np.float64))
    for worker, rows in _by_worker(pd.Series(placed.worker), placed.start_s).items():
        at, ends = placed.start_s[rows], placed.end_s[rows]
        news = told.get(worker, np.array([], dtype=np.intp))
        from_s = starts["from_s"].to_numpy(dtype=np.float64)[news]
        begins = _begins(at, ends, from_s)
        for begin in {0, *begins[begins >= 0]}:
            first[rows[_hand_over(at, ends, begin)]] = True
        job_s[news] = np.where(begins >= 0, at[begins], np.nan)
        known = np.searchsorted(from_s, at + SLACK_S, side="right") - 1
        start[rows] = np.where(known >= 0, news[known], -1) if len(news) else -1
    return HandOvers(first, start, job_s)


def _by_worker(workers: pd.Series[str], at_s: Floats) -> dict[str, NDArray[np.intp]]:
    """The places of each named worker's rows, in order of ``at_s``."""
    order = np.argsort(at_s, kind="stable")
    groups = workers.iloc[order].reset_index(drop=True).groupby(workers.iloc[order].to_numpy(), sort=False).indices
    return {str(worker): order[np.asarray(places, dtype=np.intp)] for worker, places in groups.items() if worker != ""}


def _begins(at: Floats, ends: Floats, from_s: Floats) -> NDArray[np.intp]:
    """For each instant from which the worker was ready again, the place of the first start since; -1 = none."""
    begins = np.searchsorted(at, from_s - SLACK_S)
    at_work = [bool(((at < since - SLACK_S) & (ends > since) & np.isfinite(ends)).any()) for since in from_s]
    return np.where((begins == len(at)) | np.array(at_work, dtype=bool), -1, begins)


def _hand_over(at: Floats, ends: Floats, begin: int) -> Flags:
    """Those that start with the one at ``begin``; where its start is only its end (no times told), within SLACK_S alone decides."""
    start = at[begin]
    end = float(ends[at == start].max())
    within = (at >= start) & (at <= start + SLACK_S)
    return np.asarray(within & ((at < end) | (at == start) | (end <= start)), dtype=np.bool_)


def _wait(attempts: pd.DataFrame, placed: Placed, found: HandOvers) -> Floats:
    queue, execution = (attempts[name].to_numpy(dtype=np.float64) for name in ("queue_s", "execution_s"))
    service = _service(attempts)
    by_execution = np.where(np.isnan(execution), np.maximum(service - _quick(attempts, placed, found), 0.0), placed.start_s - placed.sent_s)
    return np.where(np.isnan(queue), np.where(placed.answered, by_execution, np.nan), queue)


def _quick(attempts: pd.DataFrame, placed: Placed, found: HandOvers) -> float:
    """What an answer takes that does not wait, where no times are told: the quickest ones waited least. NaN where all are first."""
    if not _rest(attempts, placed, found).any():
        return np.nan
    untold = attempts["queue_s"].isna() & attempts["execution_s"].isna() & (attempts["outcome"] == "ok")
    known = ascending(_service(attempts)[untold.to_numpy(dtype=bool) & placed.answered])
    return float(known[rank(len(known), QUICK) - 1]) if len(known) else np.nan


def _service(attempts: pd.DataFrame) -> Floats:
    return (attempts["done_s"] - attempts["sent_s"]).to_numpy(dtype=np.float64)


def _rest(attempts: pd.DataFrame, placed: Placed, found: HandOvers) -> Flags:
    """The answers that others are held against: ok, on a worker, outside first hand-overs."""
    return np.asarray((attempts["outcome"] == "ok").to_numpy(dtype=bool) & placed.answered & ~found.first)


def _cold(
    attempts: pd.DataFrame, placed: Placed, found: HandOvers, starts: pd.DataFrame, wait_s: Floats, cold_after_s: float
) -> tuple[list[bool | None], list[str]]:
    said, service_s = attempts["cold"], _service(attempts)
    from_s, at_s = (_of_start(starts[name], found.start) for name in ("from_s", "at_s"))
    candidate, listed = placed.answered & found.first, found.start >= 0
    # Sent between the two looks: a worker that had been ready before would have taken it at once.
    starting = listed & ((placed.sent_s <= from_s) | ((placed.sent_s <= at_s) & (wait_s > SLACK_S)))
    by = np.select(
        [candidate & starting, candidate & ~listed & (wait_s >= cold_after_s), candidate & _outliers(attempts, placed, found)], BY[1:], ""
    )
    by = np.where(said.notna(), np.where(said.fillna(False), BY[0], ""), by)
    nobody_knows = candidate & np.isnan(wait_s) & ~(service_s < cold_after_s) & ~(listed & (placed.sent_s > at_s))
    unknown = (by == "") & said.isna().to_numpy() & (~placed.answered | nobody_knows)
    return [None if unsure else bool(how) for unsure, how in zip(unknown, by, strict=True)], [str(how) for how in by]


def _of_start(values: pd.Series[float], start: NDArray[np.intp]) -> Floats:
    return np.where(start >= 0, values.to_numpy(dtype=np.float64)[start], np.nan) if len(values) else np.full(len(start), np.nan)


def _outliers(attempts: pd.DataFrame, placed: Placed, found: HandOvers) -> Flags:
    """Whose execution time is far above what the others took; those whose audio is known among themselves."""
    rest, ok = _rest(attempts, placed, found), (attempts["outcome"] == "ok").to_numpy(dtype=bool)
    execution, audio = (attempts[name].to_numpy(dtype=np.float64) for name in ("execution_s", "audio_s"))
    heard = audio > 0
    pace = np.where(heard, execution / np.where(heard, audio, 1.0), execution)
    outlier = np.zeros(len(pace), dtype=bool)
    for alike in (heard, ~heard):
        usual = ascending(pace[rest & alike])
        if len(usual) >= OUTLIER_N:
            low, middle, high = (usual[rank(len(usual), p) - 1] for p in (25, 50, 75))
            outlier |= alike & ok & (pace > high + OUTLIER_IQR * (high - low)) & (pace >= OUTLIER_RATIO * middle)
    return outlier


def _parts(placed: Placed, found: HandOvers, starts: pd.DataFrame, cold: Flags) -> dict[str, Floats]:
    """The wait of cold attempts in three, which add up to start − sent; NaN where the worker's start is not known."""
    began_s = _of_start(starts["at_s"] - starts["seconds"], found.start)
    ready = np.fmin(_of_start(starts["at_s"], found.start), placed.start_s)
    sent = placed.sent_s
    known = cold & found.first & ~np.isnan(began_s) & (ready >= sent)
    parts = (
        np.clip(began_s - sent, 0.0, ready - sent),
        np.clip(ready - np.maximum(began_s, sent), 0.0, None),
        placed.start_s - ready,
    )
    return {name: np.where(known, part, np.nan) for name, part in zip(PARTS, parts, strict=True)}
