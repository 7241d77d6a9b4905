"""What is known of queue jobs beside their times: how polling saw their ends, and the platform's own retries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..runs.csv_columns import floats
from ..statistics.percentiles import TimeSummary, time_summary


@dataclass(frozen=True)
class PollingSummary:
    """Over attempts whose end polling saw.

    Attributes:
        late: seen − done, in seconds: how late it saw the end. In no response time.
        polls: how often a job was asked after.
    """

    late: TimeSummary
    polls: TimeSummary


def polling(attempts: pd.DataFrame) -> PollingSummary | None:
    """See PollingSummary; None where no end was seen by polling."""
    late_s = floats(attempts["seen_s"]) - floats(attempts["done_s"])
    seen = ~np.isnan(late_s)
    if not seen.any():
        return None
    return PollingSummary(time_summary(late_s, len(attempts)), time_summary(floats(attempts["polls"])[seen], len(attempts)))


def dispatched_again(requests: pd.DataFrame) -> int:
    """How many requests the platform dispatched again by itself; RunPod says so only where it did."""
    return int((requests["platform_retries"].fillna(0) > 0).sum())
