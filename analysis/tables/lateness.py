"""How late the generator sent."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ..statistics.percentiles import TimeSummary, time_summary


@dataclass(frozen=True)
class Lateness:
    """How late the generator was, and how often the in-flight cap (which the user set) held an arrival back."""

    times: TimeSummary
    held: int
    of: int
    held_max_s: float


def lateness(rows: pd.DataFrame) -> Lateness:
    """Lateness = sent − scheduled − held, over the requests that were sent; and who was held at the cap."""
    held = rows["held_s"].fillna(0.0)
    return Lateness(time_summary(rows["lateness_s"], len(rows)), int((held > 0).sum()), len(rows), float(held.max()) if len(rows) else 0.0)
