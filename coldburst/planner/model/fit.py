"""Service times, starts and overheads out of a run's rows: what the planner knows of an endpoint."""

from __future__ import annotations

import csv
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from coldburst.planner.model.distributions import ALONE, Distribution, measured
from coldburst.planner.model.scenario import SPREAD
from coldburst.record import run_json
from coldburst.record.attempt import COLUMNS, Attempt, value
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.simulation.service_curve import ServiceCurve

# Fewer values than this describe no distribution; fewer on a worker, or beside as many others, no worker and no point of the curve.
LEAST, LEAST_EACH = 8, 5
# Mean time from the hand-over of a job to its start, measured with the SDK 1.12.0: see modelled_worker.py.
PICK_UP_S = 0.05
# Seconds between two polls of the worker list.
LOOK_S = 2.1
# A free worker takes a job within this time: one that waited longer waited for its worker.
WAITED_S = 0.25


class FitError(ValueError):
    """The run does not show what the planner needs; the message says which figure, and how to measure or state it."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What a run shows of its endpoint; times in seconds.

    Attributes:
        service: of a job beside the fewest others that the run shows well: the first point of ``curve``, mostly alone.
        curve: how much longer it takes beside more.
        concurrency: most jobs at a time on one worker.
        start: launch of a worker to its readiness; None where no worker started during the run.
        spread: how much workers differ, as a share of their mean; SPREAD where it cannot be measured.
        spread_measured: whether it was.
        spread_error: by how much it may be off, since times differ by chance too.
        workers: how many workers answered.
        overhead_s: time of a request outside queue and worker.
        kind: QUEUE or LOAD_BALANCER.
    """

    service: Distribution
    curve: ServiceCurve
    concurrency: int
    start: Distribution | None
    spread: float
    spread_measured: bool
    overhead_s: float
    kind: str
    workers: int = 0
    spread_error: float = 0.0


@dataclass(frozen=True, slots=True)
class _Served:
    """One answered request at its worker.

    Attributes:
        order: ascending as the requests were sent: the platform hands them over first in, first out.
        late_s: by how much its instants may be too late.
        held: whether it began as a place became free.
    """

    worker_id: str
    from_s: float
    to_s: float
    order: tuple[float, int]
    late_s: float = 0.0
    held: bool = False

    @property
    def took_s(self) -> float:
        return self.to_s - self.from_s


def fit(folder: Path, per_worker: int = 1, most_rows: int | None = None) -> Fit:
    """What the run in ``folder`` shows.

    Args:
        per_worker: requests at a time that the balancer forwards to a worker; of use only where the answers tell no execution time.
        most_rows: rows that are read; None = all.

    Raises:
        FitError: too few answers, or none whose time on the worker is known.
        RunJsonError: this is no run.
    """
    about = run_json.read(folder)
    kind = "QUEUE" if (about.get("target") or {}).get("kind") == "queue" else "LOAD_BALANCER"
    read = islice(read_attempts(folder / "attempts.csv"), most_rows)
    rows = [row for row in read if row.outcome == "ok" and row.phase != "warm-up"]
    target = about.get("target") or {}
    # Only RunPod's balancer keeps a place for longer than its request.
    slot_s = Platform().slot_s if target.get("kind") == "balancer" else 0.0
    if slot_s and not target.get("simulated"):
        # The queue delay is that of the worker's own server: the time for which RunPod held the request is not in it.
        rows = [replace(row, queue_s=None) for row in rows]
    served = [*_told(rows), *_inferred([row for row in rows if row.execution_s is None], per_worker, slot_s)]
    if len(served) < LEAST:
        raise FitError(
            f"{folder.name}: the time on the worker is known of {len(served)} answers, but at least {LEAST} are needed: "
            "use a run with more requests, or state the time with --service-time"
        )
    beside = _beside(served)
    if slot_s:
        # Here the next request comes when a place is free, later than the answer before it: an end at the instant of a start is chance.
        clear = [(one, jobs) for (one, jobs), (_, most) in zip(beside, _beside(served, -1.0), strict=True) if jobs == most or not one.held]
        beside = clear if 2 * len(clear) > len(beside) else beside
    service, curve = _by_concurrency(served, beside)
    differ = _spread(served, beside)
    spread, spread_error = differ or (SPREAD, 0.0)
    return Fit(
        service=service,
        curve=curve,
        concurrency=max(count for _, count in beside),
        start=_starts((about.get("platform") or {}).get("workers") or (), rows, median(service.numbers)),
        spread=spread,
        spread_measured=differ is not None,
        overhead_s=_overhead_of(rows),
        kind=kind,
        workers=len({one.worker_id for one in served}),
        spread_error=spread_error,
    )


def read_attempts(path: Path) -> Iterable[Attempt]:
    """The rows of attempts.csv; columns that it lacks keep their defaults."""
    with path.open(encoding="utf-8", newline="") as file:
        for cells in csv.DictReader(file):
            yield Attempt(**{column.name: value(column, cells[column.name]) for column in COLUMNS if column.name in cells})


def _overhead_of(rows: Sequence[Attempt]) -> float:
    """The median of requests that were sent apart from others. Those sent together hold each other up: then the shortest one."""
    times_s = sorted((row.sent_s, overhead_s) for row in rows if row.sent_s is not None and (overhead_s := _overhead_s(row)) is not None)
    if not times_s:
        return 0.0
    apart = [
        overhead_s
        for before, (sent_s, overhead_s), after in zip([(-math.inf, 0.0), *times_s], times_s, [*times_s[1:], (math.inf, 0.0)], strict=False)
        if sum(before) <= sent_s and sent_s + overhead_s <= after[0]
    ]
    return max(median(apart) if len(apart) >= LEAST_EACH else min(overhead_s for _, overhead_s in times_s), 0.0)


def _overhead_s(row: Attempt) -> float | None:
    if row.done_s is None or row.sent_s is None or row.queue_s is None or row.execution_s is None:
        return None
    return row.done_s - row.sent_s - row.queue_s - row.execution_s


def _told(rows: Sequence[Attempt]) -> Iterable[_Served]:
    """Times on the worker where the endpoint reports them.

    A job was submitted within the time that its request and the answer to that took, which may be long in a burst.
    """
    overheads = [overhead_s for row in rows if (overhead_s := _overhead_s(row)) is not None]
    least_s = min(overheads, default=0.0)
    for row in rows:
        if row.done_s is not None and row.execution_s is not None:
            # executionTime counts from the hand-over; the SDK looks for taken jobs every 0.1 s.
            looked_s = min(PICK_UP_S, row.execution_s / 2) if row.job_id else 0.0
            late_s = (_overhead_s(row) or 0.0) - least_s if row.job_id else 0.0
            order = (row.sent_s or 0.0, row.seq)
            yield _Served(row.worker_id, row.done_s - row.execution_s + looked_s, row.done_s, order, max(late_s, 0.0))


def _inferred(rows: Sequence[Attempt], per_worker: int, slot_s: float) -> Iterable[_Served]:
    """Times on the worker where nobody reports them, from the order of the answers.

    A balancer forwards in order of arrival, and the next request as soon as a place is free. So the j-th request of a worker starts when
    it arrives, or when the place of the worker's (j - places)-th answer is free again, whichever is later. The first ones, which may have
    waited for the worker's start, tell nothing.
    """
    by_worker: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    for row in rows:
        if row.done_s is not None and row.sent_s is not None:
            by_worker[row.worker_id].append((row.sent_s, row.done_s, row.seq))
    for worker_id, times in by_worker.items():
        left_s = sorted(done_s for _, done_s, _ in times)
        # Requests sent together may arrive in another order: their answers' order then stands for it.
        for number, (sent_s, done_s, seq) in enumerate(sorted(times, key=lambda one: (round(one[0], 1), one[1]))):
            if number < per_worker and sent_s <= left_s[0]:
                continue
            free_s = left_s[number - per_worker] + slot_s if number >= per_worker else sent_s
            if done_s > (from_s := max(sent_s, free_s)):
                yield _Served(worker_id, from_s, done_s, (sent_s, seq), held=from_s > sent_s)


def _beside(served: Sequence[_Served], earlier: float = 1.0) -> list[tuple[_Served, int]]:
    """Each answer with the jobs on its worker at its start, itself included.

    Jobs that a worker takes together begin within 10 ms, in the order in which they were sent. Their ends do not tell it: taking the first
    to end for the first to begin would find that jobs beside others take longer wherever times vary by themselves.

    Args:
        earlier: 1 = jobs that end at that instant have ended, -1 = they have not.
    """
    by_worker: dict[str, list[_Served]] = defaultdict(list)
    for one in sorted(served, key=lambda one: (round(one.from_s, 2), one.order)):
        by_worker[one.worker_id].append(one)
    found: list[tuple[_Served, int]] = []
    for begun in by_worker.values():
        # Times are whole milliseconds, and some from the answers' arrival: a job that ends as another begins is not beside it.
        ended = sorted(max(one.to_s - earlier * max(0.002, 0.02 * one.took_s, one.late_s), one.from_s) for one in begun)
        found += [(one, max(number - bisect_right(ended, one.from_s), 1)) for number, one in enumerate(begun, 1)]
    return found


def _by_concurrency(served: Sequence[_Served], beside: Sequence[tuple[_Served, int]]) -> tuple[Distribution, ServiceCurve]:
    """Times at the fewest jobs at a time that are known well, and how they grow from there."""
    levels: dict[int, list[float]] = defaultdict(list)
    for one, jobs in beside:
        levels[jobs].append(one.took_s)
    known = {jobs: median(took_s) for jobs, took_s in sorted(levels.items()) if len(took_s) >= LEAST_EACH}
    if list(known) == [1] and (line := _straight(known[1], beside)):
        return measured(levels[1]), line
    if not known:
        return measured([one.took_s for one in served]), ALONE
    fewest = min(known)
    curve = ServiceCurve(tuple(known), tuple(took_s / known[fewest] for took_s in known.values()))
    return measured([one.took_s / curve.factor(jobs) for one, jobs in beside if jobs >= fewest]), curve


def _straight(alone_s: float, beside: Sequence[tuple[_Served, int]]) -> ServiceCurve | None:
    """A straight line, from answers of which too few had the same number beside them; None with fewer than LEAST_EACH.

    A ratio of sums: which of the jobs that begin together was the first is known to milliseconds only, and does not change the sums.
    """
    others = [(one.took_s / alone_s - 1, jobs - 1) for one, jobs in beside if jobs > 1]
    if len(others) < LEAST_EACH:
        return None
    grows = max(sum(longer for longer, _ in others) / sum(jobs for _, jobs in others), 0.0)
    most = 1 + max(jobs for _, jobs in others)
    return ServiceCurve((1, most), (1.0, 1 + grows * (most - 1)))


def _spread(served: Sequence[_Served], beside: Sequence[tuple[_Served, int]]) -> tuple[float, float] | None:
    """The largest difference of a worker's median from their mean, as a share, and its error; None without two well-known workers.

    Times of workers that do not differ have medians that do: what chance alone makes, 1.25 standard errors, is taken off.
    """
    by_worker: dict[str, list[float]] = defaultdict(list)
    for one in served:
        by_worker[one.worker_id].append(one.took_s)
    known = {worker_id: took_s for worker_id, took_s in by_worker.items() if worker_id and len(took_s) >= LEAST_EACH}
    if len(known) < 2 or max(jobs for _, jobs in beside) > 1:
        return None
    medians = [median(took_s) for took_s in known.values()]
    mean_s = sum(medians) / len(medians)
    everything = [took_s for all_of_one in known.values() for took_s in all_of_one]
    center_s = sum(everything) / len(everything)
    deviation_s = (sum((took_s - center_s) ** 2 for took_s in everything) / len(everything)) ** 0.5
    by_chance: float = 1.25 * deviation_s / min(map(len, known.values())) ** 0.5 / mean_s
    apart: float = max(abs(one / mean_s - 1) for one in medians)
    return round(max(apart - by_chance, 0.0), 3), round(by_chance, 3)


def _starts(spans: Sequence[Mapping[str, Any]], rows: Sequence[Attempt], service_s: float) -> Distribution | None:
    """From each start in the worker list, see ``WorkerSpan``, to the worker's first work; else the wait of the run's first cold answer.

    The list is polled every two seconds only, but a worker that found work waiting was ready when it took it. The others count only if
    there is no such worker, as ready between two polls. ``service_s``: of a job alone, where the answers do not tell it.
    """
    # Of each worker: when its first work began, and how long that had waited.
    began: dict[str, tuple[float, float]] = {}
    for row in rows:
        if row.done_s is not None and row.sent_s is not None:
            from_s = row.done_s - (service_s if row.execution_s is None else row.execution_s)
            waited_s = from_s - row.sent_s if row.queue_s is None else row.queue_s
            began[row.worker_id] = min(began.get(row.worker_id, (math.inf, 0.0)), (from_s, waited_s))
    exact, about = [], []
    for span in spans:
        # What was ready at the first poll may have been so for long.
        if (seen_s := span["ready_s"]) is None or span["start_s"] < 0:
            continue
        from_s, waited_s = began.get(span["worker_id"], (seen_s, 0.0))
        if waited_s > WAITED_S and from_s - waited_s < seen_s:
            exact.append(min(max(from_s, seen_s - LOOK_S), seen_s) - span["start_s"])
        else:
            about.append(min(from_s, seen_s - LOOK_S / 2) - span["start_s"])
    if seconds := [took_s for took_s in exact or about if took_s > 0]:
        return measured(seconds)
    cold = [row for row in rows if row.cold and row.done_s is not None and row.sent_s is not None]
    if not cold:
        return None
    first = min(cold, key=lambda row: row.done_s or 0.0)
    if first.queue_s is not None:
        return measured([first.queue_s])
    return measured([max((first.done_s or 0.0) - (first.sent_s or 0.0) - service_s, 0.0)])
