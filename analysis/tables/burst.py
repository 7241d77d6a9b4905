"""What the next run, or the next burst of the same size, may show: see ``statistics.next_burst`` and ``statistics.next_run``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..runs.csv_columns import Floats, floats
from ..statistics.next_burst import next_burst, slots
from ..statistics.next_run import FEWEST_REPLAYS, LEAST_RUNS, ServedQueue, next_of, next_queue, served_queue
from .run_tables import Tables, cached_table
from .throughput import planned_stages

# A replay needs this share of the requests answered ok: others change what the queue is.
LEAST_OK = 0.95
# Requests that are computed at most, and that a replayed queue needs at least.
MOST_REQUESTS, LEAST_QUEUED = 30_000, 50
# A burst with this share of its workers started for it is a cold one.
COLD_WORKERS = 0.5
BURST, RUN = "burst", "run"
ALIKE = "it holds if the workers are alike, and as many."
REPLAYED = f"The next burst of this size is predicted by replaying this one's queue with resampled service times: {ALIKE}"
QUEUED = "The next run of this schedule is predicted by replaying this one's queue with resampled service times and new arrivals: " + ALIKE
OVERLOADED = " The load may be more than the workers can serve: in a longer run the times would go on growing."


@dataclass(frozen=True)
class Draw:
    """One burst, or one run: its requests; ``cold`` if most of its workers started for it."""

    name: str
    requests: pd.DataFrame
    cold: bool

    @property
    def ok_s(self) -> Floats:
        """The response times of answered ok."""
        return floats(self.requests.loc[self.requests["outcome"] == "ok", "response_s"])


@dataclass(frozen=True)
class Prediction:
    """What the response times of the next burst or run may be.

    Attributes:
        ranges: the 95 % prediction interval of each percentile, in seconds.
        draws: how many bursts or runs it is from.
        unit: BURST or RUN.
        method: how it is computed and what it assumes, in sentences.
    """

    ranges: Mapping[int, tuple[float, float]]
    draws: int
    unit: str
    method: str


def is_burst(of: Tables) -> bool:
    """Whether all requests of a stage were due at once."""
    return of.throughput.not_offered == "all at once"


@cached_table
def draws(of: Tables) -> tuple[Draw, ...]:
    """The bursts of a run with --repeats, or the run itself; and those of the runs that are pooled with it."""
    found = []
    for tables in (of, *of.others):
        rows, name = tables.requests, tables.run.id
        repeats = tables.run.about.get("repeats")
        if isinstance(repeats, int) and repeats > 1:
            parts = {str(stage["name"]): rows[rows["stage"] == stage["name"]] for stage in planned_stages(tables.run)}
            found += [Draw(f"{name} {stage}" if of.others else stage, part, _is_cold(part)) for stage, part in parts.items() if len(part)]
        else:
            found.append(Draw(name, rows, _is_cold(rows)))
    return tuple(found)


def _is_cold(rows: pd.DataFrame) -> bool:
    known = rows.loc[rows["worker_id"].notna() & rows["cold"].notna(), ["worker_id", "cold"]]
    each = known.groupby("worker_id", observed=True)["cold"].any()
    return len(each) > 0 and float(each.mean()) >= COLD_WORKERS


def comparable(of: Tables) -> list[Draw]:
    """Those of ``draws`` with answers that can be taken together: the larger group of cold and other ones."""
    answered = [draw for draw in draws(of) if len(draw.ok_s)]
    groups = [[draw for draw in answered if draw.cold == cold] for cold in (False, True)]
    return max(groups, key=len)


@cached_table
def prediction(of: Tables) -> Prediction | None:
    """The prediction of the next burst or run; None if there is none."""
    unit = BURST if is_burst(of) else RUN
    alike = comparable(of)
    if len(alike) >= LEAST_RUNS:
        others = len(draws(of)) - len(alike)
        kept = "with" if alike[0].cold else "without"
        left = f" Left out: {others}, because the prediction is for {unit}s that begin {kept} cold starts." if others else ""
        return Prediction(
            next_of([draw.ok_s for draw in alike]),
            len(alike),
            unit,
            f"The next {unit} is predicted from the percentiles of {len(alike)} {unit}s by Student's t.{left}",
        )
    if unit == BURST:
        ranges = next_burst_s(of)
        return Prediction(ranges, 1, unit, REPLAYED) if ranges else None
    return _next_queue(of)


@cached_table
def next_burst_s(of: Tables) -> Mapping[int, tuple[float, float]]:
    """For each percentile, the 95 % prediction interval of the response time of a next burst, in seconds; empty if there is none.

    From the last burst of the run, and an endpoint that reports queue delay and execution time.
    """
    if not is_burst(of):
        return {}
    ok = _served(draws(of)[-1].requests)
    if ok is None:
        return {}
    due_s = floats(ok["scheduled_s"])
    begun_s = floats(ok["sent_s"]) - due_s + floats(ok["queue_s"])
    return next_burst(slots(ok["worker_id"].astype(str).tolist(), begun_s, begun_s + floats(ok["execution_s"]), floats(ok["response_s"])))


def _served(rows: pd.DataFrame) -> pd.DataFrame | None:
    """The answered requests of a queue that can be replayed; None if it cannot."""
    if not 0 < len(rows) <= MOST_REQUESTS or (rows["tries"] > 1).any():
        return None
    ok = rows[(rows["outcome"] == "ok") & rows["queue_s"].notna() & rows["execution_s"].notna()]
    return ok if len(ok) >= LEAST_OK * len(rows) else None


def _next_queue(of: Tables) -> Prediction | None:
    """The next run of an open loop behind a queue; None if its values look independent, or the queue cannot be replayed."""
    if not of.response["ok"].at(50).alike or of.throughput.offered_per_s is None or of.run.about.get("sweep"):
        return None
    ok = _served(of.requests)
    if ok is None or len(ok) < LEAST_QUEUED or _held(ok):
        return None
    due_s = floats(ok["scheduled_s"])
    begun_s = floats(ok["sent_s"]) + floats(ok["queue_s"])
    cold = floats(ok["cold"].fillna(False).astype(float))
    queue = served_queue(
        ok["worker_id"].astype(str).tolist(), due_s, begun_s, begun_s + floats(ok["execution_s"]), floats(ok["done_s"]), cold
    )
    arrivals = _arrivals(of, due_s)
    return Prediction(next_queue(queue, arrivals), 1, RUN, QUEUED + _overload(queue, due_s))


def _overload(queue: ServedQueue, due_s: Floats) -> str:
    return OVERLOADED if queue.may_be_overloaded(float(due_s.max() - due_s.min())) else ""


def _held(ok: pd.DataFrame) -> bool:
    """Whether the in-flight cap delayed requests: then the cap is a queue too."""
    return bool((ok["held_s"].fillna(0.0) > 0).any())


def _arrivals(of: Tables, due_s: Floats) -> list[Floats]:
    """The arrivals of the next run: the same if evenly spaced, new ones for each stage with random arrivals of one rate."""
    if "poisson" not in str(of.run.about.get("schedule")):
        return [due_s]
    texts = str(of.run.about.get("schedule")).split(",")
    ends: list[tuple[float, float, bool]] = []
    begin = 0.0
    for stage, text in zip(planned_stages(of.run), texts, strict=False):
        end = begin + float(stage["duration_s"] or 0.0)
        ends.append((begin, end, "poisson" in text and ".." not in text))
        begin = end
    draw = np.random.default_rng(1)
    return [_redrawn(due_s, ends, draw) for _ in range(FEWEST_REPLAYS)]


def _redrawn(due_s: Floats, ends: list[tuple[float, float, bool]], draw: np.random.Generator) -> Floats:
    """``due_s`` with as many new arrivals of a Poisson process in each stretch that is random."""
    found = due_s.copy()
    for begin, end, is_random in ends:
        inside = (due_s >= begin) & (due_s < end)
        if is_random and inside.any():
            found[inside] = np.sort(draw.uniform(begin, end, int(inside.sum())))
    return found
