"""Streamed answers and chat: time to first token or first byte, times between chunks, tokens per second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..runs.csv_columns import Floats, floats
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
    ok = ((rows["outcome"] == "ok") & ((rows["tokens_out"] > 0) | rows["ttft_s"].notna())).fillna(False).to_numpy(dtype=bool)
    n = int(ok.sum())
    if not n:
        return None

    def known(name: str) -> Floats:
        """A column of those rows; one at a time, as there may be many."""
        return floats(rows[name])[ok]

    span = wall_s(rows)
    generated = float(np.nansum(known("tokens_out")))
    return Tokens(
        n,
        time_summary(known("ttft_s"), n),
        time_summary(_per_token(*map(known, ("service_s", "ttft_s", "tokens_out"))), n),
        time_summary(known("itl_p50_s"), n),
        time_summary(known("itl_p95_s"), n),
        _of_known(known("itl_max_s"), np.max),
        None if (prompts := _of_known(known("tokens_in"), np.sum)) is None else int(prompts),
        int(generated),
        generated / span if span else None,
        int((rows["tokens_from"] == "chunks").to_numpy(dtype=bool)[ok].sum()),
    )


def _of_known(values: Floats, figure: Callable[[Floats], Any]) -> float | None:
    there = values[~np.isnan(values)]
    return float(figure(there)) if len(there) else None


def _per_token(service_s: Floats, ttft_s: Floats, out: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        each: Floats = (service_s - ttft_s) / (out - 1)
    each[~np.isfinite(each)] = np.nan
    return each
