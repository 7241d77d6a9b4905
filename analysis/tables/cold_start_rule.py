"""Which attempts met a cold start: one rule over all rows of a run, in any order and from any generator.

docs/methodology.md, "Cold starts", has the rule, the terms (start on a worker, first hand-over) and its limits.

Worker starts are the events ``worker_ready``. The worker list is polled, so an event has the time of the *poll* that first showed the
worker ready. ``from_s`` is the earliest time at which it can have become ready: the poll before (its row in endpoint.csv), or the
worker's start if that is later. The list has the uptime in whole seconds, so half a second is added.
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

# Several load generators poll the list every few seconds; they see the same start at most this far apart.
SAME_S = 5.0
START_COLUMNS = ("worker_id", "from_s", "at_s", "seconds")
# The default of ``cold_after_s``: more than the second that the worker's SDK sleeps between polls for jobs.
COLD_AFTER_S = 2.0
SLACK_S = 0.25
# Percentile of the service times taken as one without a wait. Behind a queue even the median includes waits.
QUICK = 10
OUTLIER_N, OUTLIER_IQR, OUTLIER_RATIO = 8, 3.0, 1.3
BY = ("said", "worker_list", "first_on_worker", "execution")
CONDITIONS = ("cold", "queued", "warm", "untold")
ANSWERED = ("ok", "failed", "wrong", "timed_out", "busy", "refused")
PARTS = ("scaler_s", "cold_start_s", "hand_over_s")
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
class ColdStartJudgement:
    """The result of the rule.

    Attributes:
        attempts: a row per attempt, see ``judge_cold_starts``.
        starts: a row per start of an endpoint worker, with ready_s (when it became ready) and cold_start_s (from its start to then).
    """

    attempts: pd.DataFrame
    starts: pd.DataFrame


def judge_cold_starts(attempts: pd.DataFrame, starts: pd.DataFrame, cold_after_s: float) -> ColdStartJudgement:
    """Apply the rule to ``attempts`` (keeping their order and index) and ``starts``.

    Columns of the result's attempts:

    * ``start_s``: the start on the worker; ``first``: in a first hand-over
    * ``wait_s``: the queue delay; without it start − sent if the execution time is known, and otherwise service time less the
      QUICK-th percentile of the service times (an estimate, at least 0)
    * ``cold``: True, False or empty; ``cold_by``: one of BY, or ""
    * ``condition``: one of CONDITIONS, or "". ``queued`` waited cold_after_s or longer on warm workers, ``warm`` did not;
      ``untold``: not cold, and the wait is unknown
    * the parts of the wait of cold attempts whose worker start is known: ``scaler_s`` (sent → worker start), ``cold_start_s``
      (worker start → ready, while the attempt waited for it), ``hand_over_s`` (ready → start)
    """
    placed = _placed(attempts)
    found = _hand_overs(placed, starts)
    wait_s = _wait(attempts, placed, found)
    by, unknown = _cold(attempts, placed, found, starts, wait_s, cold_after_s)
    reported = (attempts["queue_s"].notna() | attempts["execution_s"].notna()).to_numpy()
    cold = by > 0
    condition = np.select([cold, unknown, ~reported, wait_s >= cold_after_s], [np.int8(code) for code in (1, 0, 4, 2)], np.int8(3))
    columns = {
        "start_s": placed.start_s,
        "first": found.first,
        "wait_s": wait_s,
        "cold": pd.arrays.BooleanArray(cold, unknown),
        "cold_by": pd.Categorical.from_codes(by, dtype=BY_TYPE),
        "condition": pd.Categorical.from_codes(condition, dtype=CONDITION_TYPE),
        **_parts(placed, found, starts, cold & reported),
    }
    return ColdStartJudgement(pd.DataFrame(columns, attempts.index, copy=False), _timed(starts, found.job_s))


def _timed(starts: pd.DataFrame, job_s: Floats) -> pd.DataFrame:
    """ready_s = at_s, or the first start of an attempt there if that is more than SLACK_S before the poll that saw it ready."""
    ready_s = starts["at_s"].mask(job_s < starts["at_s"] - SLACK_S, job_s)
    return starts.assign(ready_s=ready_s, cold_start_s=(starts["seconds"] - (starts["at_s"] - ready_s)).clip(lower=0.0))


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
    return PlacedAttempts(worker, names, sent, start, np.where(np.isnan(done), np.inf, done), answered & ~nowhere)


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


def _wait(attempts: pd.DataFrame, placed: PlacedAttempts, found: HandOvers) -> Floats:
    wait_s = floats(attempts["queue_s"]).copy()
    untold = np.flatnonzero(np.isnan(wait_s))
    rows = attempts[["sent_s", "done_s", "execution_s"]].take(untold)
    by_service = np.maximum(_service(rows) - _quick(attempts, placed, found), 0.0)
    by_execution = placed.start_s[untold] - placed.sent_s[untold]
    wait_s[untold] = np.where(placed.answered[untold], np.where(rows["execution_s"].isna(), by_service, by_execution), np.nan)
    return wait_s


def _quick(attempts: pd.DataFrame, placed: PlacedAttempts, found: HandOvers) -> float:
    """Service time without a wait, if the endpoint reports no times: the quickest waited least. NaN if all are first."""
    if not _rest(attempts, placed, found).any():
        return np.nan
    untold = attempts["queue_s"].isna() & attempts["execution_s"].isna() & (attempts["outcome"] == "ok")
    known = ascending(_service(attempts.loc[untold.to_numpy(dtype=bool) & placed.answered, ["sent_s", "done_s"]]))
    return float(known[nearest_rank(len(known), QUICK) - 1]) if len(known) else np.nan


def _service(attempts: pd.DataFrame) -> Floats:
    return floats(attempts["done_s"] - attempts["sent_s"])


def _rest(attempts: pd.DataFrame, placed: PlacedAttempts, found: HandOvers) -> Flags:
    """The answers for comparison: ok, on a worker, outside first hand-overs."""
    return np.asarray((attempts["outcome"] == "ok").to_numpy(dtype=bool) & placed.answered & ~found.first)


def _cold(
    attempts: pd.DataFrame, placed: PlacedAttempts, found: HandOvers, starts: pd.DataFrame, wait_s: Floats, cold_after_s: float
) -> tuple[NDArray[np.int8], Flags]:
    """Per attempt the rule that makes it cold, as a place in BY from 1, or 0; and whether it is unknown."""
    word = attempts["cold"].notna().to_numpy()
    by = attempts["cold"].fillna(False).to_numpy(dtype=np.int8)
    untold = ~word & ~placed.answered
    candidates = np.flatnonzero(placed.answered & found.first & ~word)
    rows = attempts[["outcome", "sent_s", "done_s", "execution_s", "audio_s"]].take(candidates)
    start, sent_s, wait_s = found.start[candidates], placed.sent_s[candidates], wait_s[candidates]
    from_s, at_s = (_of_start(starts[name], start) for name in ("from_s", "at_s"))
    # Sent between the two polls: a worker that was ready before would have taken it at once.
    starting = (sent_s <= from_s) | ((sent_s <= at_s) & (wait_s > SLACK_S))
    by[candidates] = np.select([starting, (start < 0) & (wait_s >= cold_after_s), _outliers(rows, attempts, placed, found)], [2, 3, 4], 0)
    untold[candidates] = np.isnan(wait_s) & ~(_service(rows) < cold_after_s) & ~(sent_s > at_s) & (by[candidates] == 0)
    return by, untold


def _of_start(values: pd.Series[float], start: NDArray[np.int32]) -> Floats:
    return np.append(floats(values), np.nan)[start]


def _outliers(rows: pd.DataFrame, attempts: pd.DataFrame, placed: PlacedAttempts, found: HandOvers) -> Flags:
    """Which of ``rows`` have an outlying execution time; rows with and without audio are compared separately."""
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
    """Execution time, per second of audio if the audio is known; and whether it is known."""
    execution, audio = floats(rows["execution_s"]), floats(rows["audio_s"])
    heard = audio > 0
    return np.divide(execution, audio, out=execution.copy(), where=heard), heard


def _parts(placed: PlacedAttempts, found: HandOvers, starts: pd.DataFrame, cold: Flags) -> dict[str, Floats]:
    """The three parts of the wait of cold attempts, which add up to start − sent; NaN if the worker's start is unknown."""
    rows = np.flatnonzero(cold & found.first)
    sent, start = placed.sent_s[rows], placed.start_s[rows]
    began_s = _of_start(starts["at_s"] - starts["seconds"], found.start[rows])
    ready = np.fmin(_of_start(starts["at_s"], found.start[rows]), start)
    known = ~np.isnan(began_s) & (ready >= sent)
    parts = (np.clip(began_s - sent, 0.0, ready - sent), np.clip(ready - np.maximum(began_s, sent), 0.0, None), start - ready)
    columns = {name: np.full(len(cold), np.nan) for name in PARTS}
    for name, part in zip(PARTS, parts, strict=True):
        columns[name][rows[known]] = part[known]
    return columns


def worker_starts(events: pd.DataFrame | None, endpoint: pd.DataFrame | None) -> pd.DataFrame:
    """A row per start, in order of time, also if several load generators saw it.

    Columns: worker_id ("" if only a count was reported); from_s and at_s, between which it became ready (negative: before
    second 0); seconds from its start to at_s, NaN if unknown.
    """
    if events is None:
        return pd.DataFrame({name: pd.Series(dtype="str" if name == "worker_id" else "float64") for name in START_COLUMNS})
    rows = events[(events["kind"] == "worker_ready") & events["at_s"].notna()].sort_values(["at_s", "generator"])
    poll_s = _poll_before(rows["at_s"], endpoint)
    cut_s = ((poll_s < rows["at_s"]) & (rows["seconds"] % 1 == 0)).astype("float64")
    from_s = np.fmax(poll_s, (rows["at_s"] - rows["seconds"] - cut_s).to_numpy())
    rows = rows.assign(from_s=from_s, seconds=rows["seconds"] + cut_s / 2)
    nameless = rows["worker_id"] == ""
    kept = pd.concat([rows[nameless & (rows["generator"] == _busiest(rows.loc[nameless, "generator"]))], _once(rows[~nameless])])
    return kept.sort_values(["at_s", "worker_id"], ignore_index=True)[list(START_COLUMNS)]


def _poll_before(at_s: pd.Series[float], endpoint: pd.DataFrame | None) -> Floats:
    """For each event the poll before the one that made it, or the event's own time without one."""
    seen_s = floats(at_s)
    if endpoint is None:
        return seen_s
    polls = ascending(endpoint.loc[(endpoint["view"] == "workers") & (endpoint["error"] == ""), "at_s"])
    place = np.searchsorted(polls, seen_s, side="right") - 2
    return np.where(place >= 0, polls[np.maximum(place, 0)], seen_s) if len(polls) else seen_s


def _busiest(generators: pd.Series[str]) -> str:
    """The generator with the most events. Starts without a name cannot be matched, so only one generator's are used."""
    return str(generators.value_counts().sort_index().idxmax()) if len(generators) else ""


def _once(rows: pd.DataFrame) -> pd.DataFrame:
    """Named starts, without those that another generator saw up to SAME_S before."""
    seen: dict[str, tuple[float, str]] = {}
    keep = []
    for worker, at_s, generator in zip(rows["worker_id"], rows["at_s"], rows["generator"], strict=True):
        before = seen.get(worker)
        new = before is None or generator == before[1] or at_s - before[0] > SAME_S
        keep.append(new)
        if new:
            seen[worker] = (at_s, generator)
    return rows[np.array(keep, dtype=bool)]
