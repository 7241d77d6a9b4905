"""Cold starts: how many requests met one, how long they took, and cold next to warm answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..runs.csv_columns import floats
from ..runs.disk_columns import rows_at
from ..statistics.percentiles import TimeSummary, time_summary
from .cold_start_rule import BY, CONDITIONS, PARTS
from .run_tables import Tables, cached_table

FILE = "cold.csv"
# The table has every attempt of up to this many.
WHOLE = 100_000
_SHOWN = ["seq", "attempt", "worker_id", "outcome", "sent_s", "done_s"]


@dataclass(frozen=True)
class ColdStarts:
    """Over requests, by their last attempts.

    Attributes:
        known: requests that are known to be cold or not; ``cold`` of them met a cold start.
        uncertain: answered on a worker of which it is not known whether it became ready before they were sent.
        estimated: whether waits are estimates, because the endpoint reports no times.
        by: how many were recognised by each rule (``cold_start_rule.BY``).
        starts: starts of endpoint workers since second 0; None if no start was seen at any time.
        start_s: cold-start time, from a worker's start to ready.
        response: response time of answered ok, by condition (``cold_start_rule.CONDITIONS``).
        parts: the wait of cold requests by part (``cold_start_rule.PARTS``), if the worker's start is known.
        whole: the wait of the other cold requests: queue and cold start together.
        bounds: the least and the most that the rest can have waited: no answer tells how long one takes without a cold start.
    """

    known: int
    cold: int
    uncertain: int
    estimated: bool
    by: Mapping[str, int]
    starts: int | None
    start_s: TimeSummary
    response: Mapping[str, TimeSummary]
    parts: Mapping[str, TimeSummary]
    whole: TimeSummary
    bounds: tuple[TimeSummary, TimeSummary]

    @property
    def share(self) -> float | None:
        """Cold ÷ known requests."""
        return self.cold / self.known if self.known else None


@cached_table
def cold_starts(of: Tables) -> ColdStarts:
    """The ColdStarts of a run."""
    rows, starts = of.requests, of.starts
    cold = rows_at(rows[["cold_by", "wait_s", "wait_least_s", "wait_most_s", *PARTS]], np.flatnonzero(rows["cold"].fillna(False)))
    apart = cold[PARTS[0]].notna()
    bounded = cold[cold["wait_s"].isna() & ~apart]
    during = starts[starts["at_s"] >= 0]
    ok, response_s = (rows["outcome"] == "ok").to_numpy(), floats(rows["response_s"])
    answered = ((name, response_s[ok & (rows["condition"] == name).to_numpy()]) for name in CONDITIONS)
    return ColdStarts(
        known=int(rows["cold"].notna().sum()),
        cold=len(cold),
        uncertain=int((rows["first"] & rows["cold"].isna()).sum()),
        estimated=bool((rows["cold"].fillna(False) & rows["queue_s"].isna() & rows["execution_s"].isna()).any()),
        by={how: n for how in BY if (n := int((cold["cold_by"] == how).sum()))},
        starts=len(during) if len(starts) else None,
        start_s=time_summary(during["cold_start_s"], len(during)),
        response={name: time_summary(found, int(ok.sum())) for name, found in answered if len(found)},
        parts={part: found for part in PARTS if (found := time_summary(cold.loc[apart, part], len(cold))).n},
        whole=time_summary(cold.loc[~apart, "wait_s"], len(cold)),
        bounds=(time_summary(bounded["wait_least_s"], len(cold)), time_summary(bounded["wait_most_s"], len(cold))),
    )


def cold_start_table(of: Tables) -> pd.DataFrame | None:
    """A row per attempt with the rule's inputs and result; None if it could decide nothing.

    Of more than WHOLE attempts, only those that are cold or in a first hand-over.
    """
    judged = of.cold_judgement
    if not judged["cold"].notna().any():
        return None
    shown = np.arange(len(judged)) if not is_shortened(of) else np.flatnonzero(judged["first"] | judged["cold"].fillna(False))
    rows = pd.concat([rows_at(table, shown).reset_index(drop=True) for table in (of.attempts[_SHOWN], judged)], axis=1)
    rows = rows.sort_values(["seq", "attempt"], ignore_index=True)
    return rows.assign(**{name: rows[name].map({True: "true", False: "false"}) for name in ("first", "cold")})


def is_shortened(of: Tables) -> bool:
    """Whether the table leaves out attempts because there are more than WHOLE."""
    return len(of.attempts) > WHOLE
