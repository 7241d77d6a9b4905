"""Transcription: audio throughput, real-time factor, word error rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..runs.csv_columns import floats
from ..statistics.percentiles import ascending, percentile
from .throughput import wall_s


@dataclass(frozen=True)
class Audio:
    """Transcription: n rows answered ok whose audio duration is known.

    Attributes:
        seconds: audio seconds of those rows.
        per_s: audio seconds per second of wall time (higher is better).
        p50, p5: real-time factor, audio ÷ service time of each row (×, higher is faster).
        wer_mean, wer_max: word error rate of ``wer_n`` rows; None if it was not measured.
    """

    n: int
    seconds: float
    per_s: float | None
    p50: float | None
    p5: float | None
    wer_n: int
    wer_mean: float | None
    wer_max: float | None


def audio(rows: pd.DataFrame) -> Audio | None:
    """The Audio of ``rows``; None if no ok row has an audio duration."""
    heard = ((rows["outcome"] == "ok") & rows["audio_s"].notna()).to_numpy()
    if not heard.any():
        return None
    audio_s, factors = (floats(rows[name])[heard] for name in ("audio_s", "service_s"))
    n, seconds, span = len(audio_s), float(audio_s.sum()), wall_s(rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        np.divide(audio_s, factors, out=factors)
    del audio_s  # a column of millions of rows
    factors[~np.isfinite(factors)] = np.nan
    factors, wer = ascending(factors), floats(rows["wer"])
    wer = wer[heard & ~np.isnan(wer)]
    return Audio(
        n,
        seconds,
        seconds / span if span else None,
        percentile(factors, 50).value,
        percentile(factors, 5).value,
        len(wer),
        float(wer.mean()) if len(wer) else None,
        float(wer.max()) if len(wer) else None,
    )
