"""What the planner predicts for the endpoint of a run under settings next to its own."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np

from coldburst.planner.what_if import NothingToSayError, WhatIf, what_if
from coldburst.record.prices import PriceError

from ..runs.csv_columns import Floats, floats
from ..runs.load import RUNPOD
from ..statistics.percentiles import nearest
from .cost import worker_seconds
from .price import worker_price
from .run_tables import Tables, cached_table
from .throughput import wall_s

# Outcomes that the model has; with more than this share of others it would predict another endpoint.
MODELLED, MOST_OTHERS = ("ok", "queue_timeout", "abandoned"), 0.05


@dataclass(frozen=True)
class Measured:
    """The same figures of the run itself, of the requests that were simulated; None if unknown."""

    p50_s: float | None
    p95_s: float | None
    ok_per_s: float | None
    not_ok: int
    cold: int
    worker_s: float | None
    usd: float | None


@dataclass(frozen=True)
class WhatIfOfRun:
    """``found`` is None, and ``why`` says it, where nothing can be predicted."""

    found: WhatIf | None
    why: str = ""
    measured: Measured | None = None


@cached_table
def run_what_if(of: Tables) -> WhatIfOfRun | None:
    """The predictions; None for a service whose workers no platform starts, a sweep, and a run that is a prediction itself."""
    about = of.run.about
    target = about.get("target")
    simulated = isinstance(target, dict) and target.get("simulated") is True
    if of.run.totals is not None or of.run.kind not in RUNPOD or about.get("sweep") or simulated:
        return None
    others = sum(count for name, count in of.ledger.counts.items() if name not in MODELLED)
    if others > MOST_OTHERS * of.ledger.planned:
        return WhatIfOfRun(None, f"requests failed for reasons that the model does not have: {others:,} of {of.ledger.planned:,}")
    due_s = np.sort(floats(of.requests["scheduled_s"]))
    usd_per_s = _usd_per_s(of)
    sent = {str(stage): int(count) for stage, count in of.requests["stage"].value_counts().items()}
    try:
        found = what_if(of.run.path, array("d", due_s[np.isfinite(due_s)].tobytes()), sent, usd_per_s)
    except NothingToSayError as error:
        return WhatIfOfRun(None, str(error))
    return WhatIfOfRun(found, "", _measured(of, found, due_s, usd_per_s))


def _usd_per_s(of: Tables) -> float:
    try:
        price = worker_price(of.run.about)
    except PriceError:
        return 0.0
    return price.usd_per_s if price else 0.0


def _measured(of: Tables, found: WhatIf, due_s: Floats, usd_per_s: float) -> Measured:
    rows = of.requests
    whole = found.load.requests == found.load.planned
    rows = rows if whole else rows[floats(rows["scheduled_s"]) <= due_s[found.load.requests - 1]]
    ok = rows["outcome"] == "ok"
    half, most = nearest(floats(rows.loc[ok, "response_s"]), (50, 95)) or (None, None)
    worker_s = worker_seconds(of) if whole else None
    lasted_s = wall_s(rows)
    return Measured(
        half,
        most,
        int(ok.sum()) / lasted_s if lasted_s else None,
        int((~ok).sum()),
        int(rows["cold"].fillna(False).astype(bool).sum()),
        worker_s,
        worker_s * usd_per_s if worker_s is not None and usd_per_s else None,
    )
