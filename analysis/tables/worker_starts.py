"""Starts of endpoint workers, as the events ``worker_ready`` tell them.

The list of workers is asked now and then, so an event comes at the *look* that first showed the worker
ready. ``from_s`` is the earliest instant at which it can have become so: the look before (its row in
endpoint.csv), or the worker's own start where that is later. The list tells whole seconds of uptime: half
of the second that was cut off is added. Without such rows an event is taken at its word.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..statistics.percentiles import ascending

SAME_S = 5.0
"""Load generators that each ask the list see one start at most this far apart (they ask every few seconds)."""
COLUMNS = ("worker_id", "from_s", "at_s", "seconds")


def worker_starts(events: pd.DataFrame | None, endpoint: pd.DataFrame | None) -> pd.DataFrame:
    """A row a start, in order of time; one that several load generators saw stands once.

    Columns: worker_id ("" where only a count told of it); from_s and at_s, between which it became
    ready (below zero: before second 0); seconds, its start to at_s, NaN where that is not known.
    """
    if events is None:
        return pd.DataFrame({name: pd.Series(dtype="str" if name == "worker_id" else "float64") for name in COLUMNS})
    rows = events[(events["kind"] == "worker_ready") & events["at_s"].notna()].sort_values(["at_s", "generator"])
    look_s = _look_before(rows["at_s"], endpoint)
    cut_s = ((look_s < rows["at_s"]) & (rows["seconds"] % 1 == 0)).astype("float64")
    from_s = np.fmax(look_s, (rows["at_s"] - rows["seconds"] - cut_s).to_numpy())
    rows = rows.assign(from_s=from_s, seconds=rows["seconds"] + cut_s / 2)
    nameless = rows["worker_id"] == ""
    kept = pd.concat([rows[nameless & (rows["generator"] == _busiest(rows.loc[nameless, "generator"]))], _once(rows[~nameless])])
    return kept.sort_values(["at_s", "worker_id"], ignore_index=True)[list(COLUMNS)]


def _look_before(at_s: pd.Series[float], endpoint: pd.DataFrame | None) -> np.typing.NDArray[np.float64]:
    """For each event the look before the one that made it; the event's own instant where there is none."""
    told: np.typing.NDArray[np.float64] = np.asarray(at_s, dtype=np.float64)
    if endpoint is None:
        return told
    answered = (endpoint["view"] == "workers") & (endpoint["error"] == "")
    looks = ascending(endpoint.loc[answered, "at_s"])
    place = np.searchsorted(looks, told, side="right") - 2
    return np.where(place >= 0, looks[np.maximum(place, 0)], told) if len(looks) else told


def _busiest(generators: pd.Series[str]) -> str:
    """The generator that tells the most: counts without a name cannot be told apart, so one of them is believed."""
    return str(generators.value_counts().sort_index().idxmax()) if len(generators) else ""


def _once(rows: pd.DataFrame) -> pd.DataFrame:
    """Named starts, without those that another generator told of up to SAME_S before."""
    seen: dict[str, tuple[float, str]] = {}
    keep = []
    for worker, at_s, generator in zip(rows["worker_id"], rows["at_s"], rows["generator"], strict=True):
        before = seen.get(worker)
        new = before is None or generator == before[1] or at_s - before[0] > SAME_S
        keep.append(new)
        if new:
            seen[worker] = (at_s, generator)
    return rows[np.array(keep, dtype=bool)]
