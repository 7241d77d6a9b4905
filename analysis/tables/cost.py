"""The cost of a run: the time for which its endpoint workers are billed, at a known price."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coldburst.record.prices import PriceError

from .billing import billed_time
from .price import worker_price
from .run_tables import Tables

# States in which an endpoint worker is paid for.
BILLED = ("initializing", "idle", "running")


@dataclass(frozen=True)
class Cost:
    """``worker_s`` and ``usd`` of a run; None, and ``why``, if unknown."""

    worker_s: float | None
    usd: float | None
    why: str = ""


def cost(of: Tables) -> Cost:
    """Worker-seconds × price of a run that is not a sweep: an estimate, because the platform counts for itself."""
    try:
        price = worker_price(of.run.about)
    except PriceError as error:
        return Cost(None, None, f"the price in run.json is invalid: {error}")
    if price is None:
        return Cost(None, None, "the price is unknown: give --price, as in --price 4090")
    seconds = worker_seconds(of)
    if seconds is None:
        return Cost(None, None, "the endpoint did not list its workers, so their running time is unknown")
    return Cost(seconds, seconds * price.usd_per_s)


def worker_seconds(of: Tables) -> float | None:
    """Seconds for which endpoint workers are billed; None without a worker list, or if no worker was listed although requests were ok."""
    found = billed_time(of.run.about, of.attempts)
    total_s = _listed_s(of) if found is None else found.total_s
    return total_s or (None if of.ledger.counts.get("ok") else total_s)


def _listed_s(of: Tables) -> float | None:
    """The same without the containers' starts: each answer of the list counts until the next one, and the first one from second 0."""
    rows = of.run.endpoint
    good = None if rows is None else rows[(rows["view"] == "workers") & (rows["error"] == "")].sort_values("at_s")
    if good is None or good.empty:
        return None
    at_s = good["at_s"].to_numpy(dtype=np.float64).clip(min=0.0)
    at_s[0] = 0.0
    counts = good[list(BILLED)].astype("float64").fillna(0.0).sum(axis=1).to_numpy()
    end_s = max(float(of.run.about.get("elapsed_s") or 0.0), float(at_s[-1]))
    return float((counts * np.diff(np.append(at_s, end_s))).sum())
