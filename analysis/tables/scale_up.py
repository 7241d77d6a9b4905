"""Scale-up delay: how long requests waited because no endpoint worker was ready, whether or not they were the first on one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..runs.csv_columns import Floats, floats
from ..statistics.percentiles import TimeSummary, time_summary
from .cold_start_rule import SLACK_S
from .run_tables import Tables, cached_table
from .worker_list import WorkerList, worker_list


@dataclass(frozen=True)
class ScaleUp:
    """Over requests, by their last attempts.

    Attributes:
        waited: requests that waited because no worker was ready, of ``of`` that were sent.
        least_s, most_s: how long, with bounds where the time at which a worker became ready is only known between two polls.
    """

    waited: int
    of: int
    least_s: TimeSummary
    most_s: TimeSummary


@cached_table
def scale_up(of: Tables) -> ScaleUp | None:
    """The scale-up delay of a run; None without a worker list."""
    listed = worker_list(of.run.about, of.run.endpoint)
    rows = of.requests
    if listed is None or rows.empty:
        return None
    sent_s, until_s, begun_s = _waits(rows)
    work = [begun_s, floats(rows["done_s"])]
    least, most = (_overlap(sent_s, until_s, _not_ready(_served(of.starts, listed, name), *work)) for name in ("ready_least_s", "ready_s"))
    waited = most > SLACK_S
    return ScaleUp(
        int(waited.sum()),
        int((~np.isnan(sent_s)).sum()),
        time_summary(np.minimum(least, most)[waited], int(waited.sum())),
        time_summary(most[waited], int(waited.sum())),
    )


def _waits(rows: pd.DataFrame) -> tuple[Floats, Floats, Floats]:
    """When each request was sent, until when it may have waited, and when work on it began; NaN if unknown."""
    sent_s, done_s, wait_s = (floats(rows[name]) for name in ("sent_s", "done_s", "wait_most_s"))
    begun_s = sent_s + np.where(rows["worker_id"].fillna("") != "", wait_s, np.nan)
    return sent_s, np.where(np.isnan(begun_s), done_s, begun_s), begun_s


def _served(starts: pd.DataFrame, listed: WorkerList, ready: str) -> list[tuple[float, float]]:
    """From when to when each worker was ready: to the last poll that showed it, or to the end of the run."""
    found = []
    for worker, at_s, ready_s in zip(starts["worker_id"], starts["at_s"], starts[ready], strict=True):
        end_s = listed.seen_until(str(worker), float(at_s))
        found.append((-np.inf if at_s < 0 else float(ready_s), max(end_s, float(ready_s))))
    return found


def _not_ready(served: list[tuple[float, float]], begun_s: Floats, done_s: Floats) -> tuple[Floats, Floats]:
    """Begin and end of each time without a ready worker: outside ``served`` and of all work."""
    known = ~np.isnan(begun_s) & (done_s >= begun_s)
    begins = np.concatenate([[begin for begin, _ in served], begun_s[known]])
    ends = np.concatenate([[end for _, end in served], done_s[known]])
    order = np.argsort(begins)
    latest = np.maximum.accumulate(np.append(-np.inf, ends[order]))
    return latest, np.append(begins[order], np.inf)


def _overlap(from_s: Floats, to_s: Floats, gaps: tuple[Floats, Floats]) -> Floats:
    """Seconds of each time within ``gaps``, which are ascending; 0 where it is unknown."""
    begins, ends = gaps
    whole = ends > begins
    known = np.append(from_s[~np.isnan(from_s)], to_s[~np.isnan(to_s)])
    if not whole.any() or not len(known):
        return np.zeros(len(from_s))
    edges = np.clip(np.column_stack((begins[whole], ends[whole])).ravel(), known.min(), known.max())
    so_far = np.cumsum(np.diff(edges, prepend=edges[0]) * (np.arange(len(edges)) % 2))
    return np.nan_to_num(np.maximum(np.interp(to_s, edges, so_far) - np.interp(from_s, edges, so_far), 0.0))
