"""What is known of queue jobs beside their times: how polling saw their ends, and the platform's own retries."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis.tables import Times, summary


@dataclass(frozen=True)
class Polling:
    """Over attempts whose end polling saw.

    Attributes:
        late: seen − done, in seconds: how late it saw the end. In no response time.
        polls: how often a job was asked after.
    """

    late: Times
    polls: Times


def polling(attempts: pd.DataFrame) -> Polling | None:
    """See Polling; None where no end was seen by polling."""
    seen = attempts[attempts["seen_s"].notna() & attempts["done_s"].notna()]
    if seen.empty:
        return None
    return Polling(summary(seen["seen_s"] - seen["done_s"], len(attempts)), summary(seen["polls"].astype("float64"), len(attempts)))


def dispatched_again(requests: pd.DataFrame) -> int:
    """How many requests the platform dispatched again by itself; RunPod says so only where it did."""
    return int((requests["platform_retries"].fillna(0) > 0).sum())
