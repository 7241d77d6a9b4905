"""The bill of a run, from the life of each container (run.json, ``platform``) and the jobs on it.

A container is billed from its start to its stop, rounded up to a whole second. A stop lies between two polls of the worker list: it is
the idle timeout after the worker's last job where that lies between them, else their middle. A worker that was there at the last poll
stops the idle timeout after its last job; the workers of the minimum stay, and count to the end of the run.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from .worker_list import Platform, Settings, Span, read_platform

# Begin and end on the worker, and whether the platform reported both: else the wait for a worker is in it.
_Job = tuple[float, float, bool]


# Seconds from the end of a job to the stop of a worker, seen once where no idle timeout applies (RunPod's golden path 15).
SURPLUS_S = 57.0
# A balancer's place at a worker outlives the request by so much (docs/fidelity.md, probe 1), and the worker is idle only then.
PLACE_S = 0.16


@dataclass(frozen=True)
class BilledTime:
    """Seconds of all endpoint workers that a bill counts.

    Attributes:
        start_s, execution_s, idle_s: containers that start, with a job, without one; ``total_s``: whole seconds per container.
        starts_s: for each container that became ready in the run: the seconds until then.
        minimum, maximum: of workers, by the settings; None if unknown.
    """

    start_s: float
    execution_s: float
    idle_s: float
    total_s: float
    starts_s: tuple[float, ...]
    minimum: int | None
    maximum: int | None


def billed_time(about: Mapping[str, Any], attempts: pd.DataFrame) -> BilledTime | None:
    """The billed time of a run, from run.json and its rows; None if the worker list was not recorded with its containers."""
    platform = read_platform(about)
    if platform is None:
        return None
    jobs = _jobs(attempts)
    end_s = float(about.get("elapsed_s") or 0.0)
    stay = _standing(platform)
    for span in platform.workers:
        span.ready_s = _ready_s(span, jobs.get(span.worker_id, []))
    _expect_ready(platform.workers)
    parts = [
        _parts(span, jobs.get(span.worker_id, []), _stop_s(span, jobs, platform, end_s if at in stay else None))
        for at, span in enumerate(platform.workers)
    ]
    start_s, execution_s, idle_s, total_s = (float(sum(part[at] or 0.0 for part in parts)) for at in range(4))
    starts_s = tuple(part[4] for part in parts if part[4] is not None)
    limits = [None if n is None else int(n) for n in (platform.settings.workers_min, platform.settings.workers_max)]
    return BilledTime(start_s, execution_s, idle_s, total_s, starts_s, limits[0], limits[1])


def _ready_s(span: Span, jobs: list[_Job]) -> float | None:
    """When the worker was ready: at its first job, or at the poll that showed it if that was earlier."""
    begun = [begin for begin, _, exact in jobs if exact and begin >= span.start_s and (span.gone_s is None or begin < span.gone_s)]
    return min([*begun, *([] if span.ready_s is None else [span.ready_s])], default=None)


def _expect_ready(spans: list[Span]) -> None:
    """Gives workers that still started at the last poll the median start of the others."""
    known = [span.ready_s - span.start_s for span in spans if span.ready_s is not None and span.start_s >= 0]
    for span in spans:
        if span.ready_s is None and span.gone_s is None and known:
            span.ready_s = max(span.start_s + statistics.median(known), span.seen_s)


def _standing(platform: Platform) -> set[int]:
    """Positions of the workers that the minimum keeps after the run."""
    there = [at for at, span in enumerate(platform.workers) if span.gone_s is None]
    return set(there[: int(platform.settings.workers_min or 0)])


def _idle_s(settings: Settings) -> float | None:
    """The idle timeout, or how long REQUEST_COUNT keeps a queue endpoint's worker without work. None if unknown."""
    return SURPLUS_S if settings.type == "QUEUE" and settings.scaler == "REQUEST_COUNT" else settings.idle_timeout_s


def _stop_s(span: Span, jobs: Mapping[str, list[_Job]], platform: Platform, end_s: float | None) -> float:
    """When the container stops, or the end of the run (``end_s``) for one that stays."""
    if end_s is not None:
        return max(end_s, span.start_s)
    until_s = math.inf if span.gone_s is None else span.gone_s
    # Each is at most the true end: a poll shows a worker with a job while it has one.
    place_s = PLACE_S if platform.settings.type == "LOAD_BALANCER" else 0.0
    busy = [end + place_s for _, end, _ in jobs.get(span.worker_id, ()) if span.start_s < end <= until_s]
    busy += [] if span.busy_s is None else [span.busy_s]
    last_s = max(busy, default=span.ready_s)
    idle_s = _idle_s(platform.settings)
    due_s = None if idle_s is None or last_s is None else last_s + idle_s
    if span.gone_s is None:
        return span.seen_s if due_s is None else max(span.seen_s, due_s)
    if due_s is not None and span.seen_s <= due_s <= span.gone_s:
        return due_s
    return (min(max(span.seen_s, last_s or 0.0), span.gone_s) + span.gone_s) / 2


def _parts(span: Span, jobs: list[_Job], stop_s: float) -> tuple[float, float, float, float, float | None]:
    """Start, execution and idle seconds within the run, the billed seconds, and the whole start (None if it is not known)."""
    begin_s = max(span.start_s, 0.0)
    whole = math.ceil(round(stop_s - span.start_s, 6)) - math.ceil(round(max(-span.start_s, 0.0), 6))
    here = [job for job in jobs if begin_s < job[1] and job[0] < stop_s]
    ready_s = span.ready_s
    start_s = max(min(stop_s if ready_s is None else ready_s, stop_s) - begin_s, 0.0) if span.start_s >= 0 else 0.0
    mine = [(max(begin, begin_s + start_s), min(end, stop_s)) for begin, end, _ in here]
    execution_s = _union_s(mine)
    idle_s = max(whole - start_s - execution_s, 0.0)
    return start_s, execution_s, idle_s, float(max(whole, 0)), start_s if ready_s is not None and span.start_s >= 0 else None


def _jobs(attempts: pd.DataFrame) -> dict[str, list[_Job]]:
    """Begin and end of the work on each worker: by the platform's times, or from sending to the answer."""
    if attempts.empty or "worker_id" not in attempts:
        return {}
    rows = attempts[attempts["worker_id"].fillna("").astype(str) != ""]
    # Backwards from the end, because a submission may have been on its way for a while.
    end = rows["done_s"]
    begin = (end - rows["execution_s"]).fillna(rows["sent_s"])
    found: dict[str, list[_Job]] = {}
    for worker, from_s, to_s, exact in zip(rows["worker_id"].astype(str), begin, end, rows["execution_s"].notna(), strict=True):
        if from_s <= to_s:
            found.setdefault(worker, []).append((float(from_s), float(to_s), bool(exact)))
    return found


def _union_s(intervals: Iterable[tuple[float, float]]) -> float:
    """Seconds that at least one interval covers."""
    total, until = 0.0, -math.inf
    for begin, end in sorted(intervals):
        total += max(end - max(begin, until), 0.0)
        until = max(until, end)
    return total
