"""When each endpoint worker became ready, as the run's events say.

Worker starts are the events ``worker_ready``. The worker list is polled, so an event has the time of the *poll* that first showed the
worker ready. ``from_s`` is the earliest time at which it can have become ready: the poll before (its row in endpoint.csv), or the
worker's start if that is later. The event has the uptime in whole seconds, so half a second is added; ``cold_start_rule`` takes the
container's own start where that is known.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..runs.csv_columns import Floats, floats
from ..statistics.percentiles import ascending

# Several load generators poll the list every few seconds; they see the same start at most this far apart.
SAME_S = 5.0
START_COLUMNS = ("worker_id", "from_s", "at_s", "seconds")


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
