"""Streamed answers and chat: time to first token or first byte, times between chunks, tokens per second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..runs.csv_columns import floats
from ..statistics.percentiles import TimeSummary, time_summary
from .throughput import wall_s


@dataclass(frozen=True)
class Tokens:
    """The n requests answered ok that generated tokens, or whose answers were streamed.

    Attributes:
        ttft: time to first token (speech: first byte), in seconds from sending; empty unless answers were streamed.
        per_token: (service time − time to first token) ÷ (tokens − 1) of each request, in seconds.
        gap_p50, gap_p95: each request's P50 and P95 of the times between its chunks, in seconds.
        gap_max_s: longest time between two chunks of any request, in seconds.
        tokens_in: tokens of the prompts; None if no service reported them.
        per_s: tokens generated per second of wall time.
        counted: requests whose tokens are counted chunks, because the service reported no usage.
    """

    n: int
    ttft: TimeSummary
    per_token: TimeSummary
    gap_p50: TimeSummary
    gap_p95: TimeSummary
    gap_max_s: float | None
    tokens_in: int | None
    tokens_out: int
    per_s: float | None
    counted: int


def tokens(rows: pd.DataFrame) -> Tokens | None:
    """The Tokens of ``rows`` (requests); None if no ok row has any."""
    ok = rows[(rows["outcome"] == "ok") & ((rows["tokens_out"] > 0) | rows["ttft_s"].notna())]
    if ok.empty:
        return None
    ttft, out, known, span = floats(ok["ttft_s"]), floats(ok["tokens_out"]), ok["tokens_in"].dropna(), wall_s(rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_token = (floats(ok["service_s"]) - ttft) / (out - 1)
    per_token[~np.isfinite(per_token)] = np.nan
    gaps = ok["itl_max_s"].dropna()
    return Tokens(
        len(ok),
        time_summary(ttft, len(ok)),
        time_summary(per_token, len(ok)),
        time_summary(floats(ok["itl_p50_s"]), len(ok)),
        time_summary(floats(ok["itl_p95_s"]), len(ok)),
        float(gaps.max()) if len(gaps) else None,
        int(known.sum()) if len(known) else None,
        int(np.nansum(out)),
        float(np.nansum(out)) / span if span else None,
        int((ok["tokens_from"] == "chunks").sum()),
    )
