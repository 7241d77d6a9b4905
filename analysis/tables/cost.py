"""What a run cost: its endpoint workers, second by second as the endpoint listed them, at a known price."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from coldburst.record import prices
from coldburst.record.prices import PriceError

from .run_tables import Tables

BILLED = ("initializing", "idle", "running")
"""States of the worker list in which an endpoint worker is paid for: from its start to its stop."""


@dataclass(frozen=True)
class Cost:
    """``worker_s`` and ``usd`` of a whole run; None, and ``why``, where they cannot be told."""

    worker_s: float | None
    usd: float | None
    why: str = ""


def cost(of: Tables) -> Cost:
    """Worker-seconds × price, of a run that is no sweep. An estimate: the platform's bill is another count."""
    options = of.run.about.get("options")
    said = options.get("price") if isinstance(options, dict) else None
    if not isinstance(said, str) or not said:
        return Cost(None, None, "no price is known: give --price, as in --price 4090")
    try:
        price = prices.read(said, datetime.now(UTC).date())
    except PriceError as error:
        return Cost(None, None, f"the price in run.json cannot be used: {error}")
    seconds = worker_seconds(of)
    if seconds is None:
        return Cost(None, None, "the endpoint did not list its workers, so nobody knows how long they ran")
    return Cost(seconds, seconds * price.usd_per_s)


def worker_seconds(of: Tables) -> float | None:
    """Endpoint workers that are paid for × time, from second 0 to the run's end; None where the worker list was never answered.

    Each answer holds until the next, and the first one back to second 0 too.
    """
    rows = of.run.endpoint
    good = None if rows is None else rows[(rows["view"] == "workers") & (rows["error"] == "")].sort_values("at_s")
    if good is None or good.empty:
        return None
    at_s = good["at_s"].to_numpy(dtype=np.float64).clip(min=0.0)
    at_s[0] = 0.0
    counts = good[list(BILLED)].astype("float64").fillna(0.0).sum(axis=1).to_numpy()
    end_s = max(float(of.run.about.get("elapsed_s") or 0.0), float(at_s[-1]))
    return float((counts * np.diff(np.append(at_s, end_s))).sum())
