"""What the next run, or the next burst of the same size, may show: see ``statistics.next_burst``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..runs.csv_columns import floats
from ..statistics.next_burst import next_burst, slots
from .run_tables import Tables, cached_table

# A prediction needs this share of the requests answered ok: others change what the queue is.
LEAST_OK = 0.95
# Requests that are computed at most.
MOST_REQUESTS = 20_000


@dataclass(frozen=True)
class Prediction:
    """What the response times of the next burst or run may be.

    Attributes:
        ranges: the 95 % prediction interval of each percentile, in seconds.
        draws: how many bursts or runs it is from.
        unit: "burst" or "run".
        method: how it is computed and what it assumes, in a sentence.
    """

    ranges: Mapping[int, tuple[float, float]]
    draws: int
    unit: str
    method: str


REPLAYED = (
    "The next burst of this size is predicted by replaying this one's queue with resampled service times: it holds if the workers are "
    "alike, and as many."
)


@cached_table
def prediction(of: Tables) -> Prediction | None:
    """The prediction of the next burst or run; None if there is none."""
    ranges = next_burst_s(of)
    return Prediction(ranges, 1, "burst", REPLAYED) if ranges else None


@cached_table
def next_burst_s(of: Tables) -> Mapping[int, tuple[float, float]]:
    """For each percentile, the 95 % prediction interval of the response time of a next burst, in seconds; empty if there is none.

    Needs a run whose requests were all due at once, and an endpoint that reports queue delay and execution time.
    """
    rows = of.requests
    if of.throughput.not_offered != "all at once" or not 0 < len(rows) <= MOST_REQUESTS or (rows["tries"] > 1).any():
        return {}
    ok = rows[(rows["outcome"] == "ok") & rows["queue_s"].notna() & rows["execution_s"].notna()]
    if len(ok) < LEAST_OK * len(rows):
        return {}
    due_s = floats(ok["scheduled_s"])
    begun_s = floats(ok["sent_s"]) - due_s + floats(ok["queue_s"])
    return next_burst(slots(ok["worker_id"].astype(str).tolist(), begun_s, begun_s + floats(ok["execution_s"]), floats(ok["response_s"])))
