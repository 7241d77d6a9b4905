"""Hook events by kind."""

from __future__ import annotations

import pandas as pd

from ..runs.load import Run


def events(run: Run) -> pd.DataFrame:
    """A row a kind of hook event: count, total_s and longest_s (0 where the kind has no duration)."""
    if run.events is None:
        return pd.DataFrame(columns=["kind", "count", "total_s", "longest_s"])
    seconds = run.events.assign(seconds=run.events["seconds"].fillna(0.0)).groupby("kind")["seconds"]
    return seconds.agg(count="size", total_s="sum", longest_s="max").reset_index()
