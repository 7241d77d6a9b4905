"""Offered rate, throughput and measured wall time, of the run and of each stage; audio throughput."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from coldburst.lines import one_line

from ..runs.csv_cells import MOST
from ..runs.csv_columns import Flags, Floats, floats
from ..runs.load import Run
from ..statistics.percentiles import nearest, time_summary


@dataclass(frozen=True)
class Throughput:
    """Offered and completed requests.

    Attributes:
        ok: requests answered ok.
        wall_s: from the first scheduled instant to the last end; None if nothing ended.
        per_s: ok ÷ wall_s.
        offered_per_s: planned arrivals ÷ the schedule's duration; None with the reason in ``not_offered``.
    """

    ok: int
    wall_s: float | None
    per_s: float | None
    offered_per_s: float | None
    not_offered: str


def wall_s(rows: pd.DataFrame) -> float | None:
    """Measured wall time, from the first scheduled instant to the last end; None if nothing ended or no time passed."""
    return _span_s(floats(rows["scheduled_s"]), floats(rows["done_s"]))


def _span_s(scheduled_s: Floats, done_s: Floats) -> float | None:
    span = float(np.fmax.reduce(done_s) - scheduled_s.min()) if len(done_s) else 0.0
    return span if span > 0 else None  # NaN if nothing ended


def throughput(run: Run, rows: pd.DataFrame) -> Throughput:
    """The Throughput of ``run`` and its ``requests``."""
    ok, span = int((rows["outcome"] == "ok").sum()), wall_s(rows)
    offered, reason = _offered_per_s(run)
    return Throughput(ok, span, ok / span if span else None, offered, reason)


def _offered_per_s(run: Run) -> tuple[float | None, str]:
    """The schedule's rate in arrivals per second, or None and the reason."""
    stages = planned_stages(run)
    if not stages:
        return None, "the schedule is unknown"
    if any(stage.get("closed") for stage in stages):
        return None, "closed loop: completions decide when requests are sent"
    duration_s = sum(stage.get("duration_s") or 0.0 for stage in stages)
    count = run.about.get("planned")
    if duration_s <= 0:
        return None, "all at once"
    return (None, "no number was planned") if count is None else (count / duration_s, "")


@dataclass(frozen=True)
class Backlog:
    """A service that fell behind: what arrived and ended a second from the first end to the last arrival, and what was unfinished."""

    arrived_per_s: float
    ended_per_s: float
    unfinished: int


def backlog(run: Run, rows: pd.DataFrame) -> Backlog | None:
    """How the service fell behind arrivals at a rate; None if it kept up, if too few requests tell, and for bursts and closed loops.

    More must have arrived than ended, by more than two standard deviations of the difference of two Poisson counts, and in the second
    half of that time too: a queue that a cold start left no longer grows by then.
    """
    stages = [stage for stage in planned_stages(run) if stage.get("planned") != 0]
    if not stages or any(stage.get("closed") or not stage.get("duration_s") for stage in stages):
        return None
    sent = rows["sent_s"].notna().to_numpy()
    due_s, done_s = floats(rows["scheduled_s"])[sent], floats(rows["done_s"])[sent]
    if not len(due_s) or np.isnan(done_s).all():
        return None
    begin_s, end_s = float(np.nanmin(done_s)), float(due_s.max())
    # The whole time, then its second half.
    counts = [(_between(due_s, since_s, end_s), _between(done_s, since_s, end_s)) for since_s in (begin_s, (begin_s + end_s) / 2)]
    if end_s <= begin_s or any(arrived - ended <= 2 * (arrived + ended) ** 0.5 for arrived, ended in counts):
        return None
    arrived, ended = counts[0]
    unfinished = len(due_s) - int(np.count_nonzero(done_s <= end_s))
    return Backlog(arrived / (end_s - begin_s), ended / (end_s - begin_s), unfinished)


def _between(times_s: Floats, begin_s: float, end_s: float) -> int:
    return int(np.count_nonzero((times_s > begin_s) & (times_s <= end_s)))


def planned_stages(run: Run) -> list[dict[str, Any]]:
    """The valid stages in run.json: name, planned, duration_s, closed."""
    kinds = {"name": str, "planned": int | None, "duration_s": int | float | None, "closed": bool}
    stages = [stage for stage in run.about.get("stages") or () if isinstance(stage, dict)]
    stages = [stage for stage in stages if all(isinstance(stage.get(key), kind) for key, kind in kinds.items())]
    good = [stage for stage in stages if all(0 <= (stage.get(key) or 0) <= MOST for key in ("planned", "duration_s"))]
    return [{**stage, "name": one_line(stage["name"])} for stage in good]


def by_stage(run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    """A row per stage, in the order of the schedule.

    Columns: planned (None in a closed loop), requests, ok, p50_s and p95_s (response time of answered ok), throughput_per_s (ok ÷ the
    stage's own wall time).
    """
    expected = {stage["name"]: stage.get("planned") for stage in planned_stages(run)}
    codes, seen = pd.factorize(rows["stage"])
    codes = codes.astype(np.int32)  # half the memory
    due = pd.Series(floats(rows["scheduled_s"]))
    first = due.groupby(codes).idxmin()  # the place of the first one due
    places = [int(code) for code in np.lexsort((first, due[first]))] if len(seen) else []
    codes_of, ok = {str(seen[code]): code for code in places}, (rows["outcome"] == "ok").to_numpy()
    found = {name: _stage(rows, codes == codes_of.get(name, -1), ok) for name in dict.fromkeys([*expected, *codes_of])}
    return pd.DataFrame([{"stage": name, "planned": expected.get(name), **stage} for name, stage in found.items()])


def _stage(rows: pd.DataFrame, within: Flags, ok: Flags) -> dict[str, float | int | None]:
    n, span = int(np.count_nonzero(within)), _span_s(floats(rows["scheduled_s"])[within], floats(rows["done_s"])[within])
    response = time_summary(floats(rows["response_s"])[within & ok], n)
    return {
        "requests": n,
        "ok": response.n,
        "p50_s": response.at(50).value,
        "p95_s": response.at(95).value,
        "throughput_per_s": response.n / span if span else None,
    }


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
    (half, slow), wer = nearest(factors, (50, 5)) or (None, None), floats(rows["wer"])
    wer = wer[heard & ~np.isnan(wer)]
    return Audio(
        n,
        seconds,
        seconds / span if span else None,
        half,
        slow,
        len(wer),
        float(wer.mean()) if len(wer) else None,
        float(wer.max()) if len(wer) else None,
    )
