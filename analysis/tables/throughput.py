"""Offered rate, throughput and measured wall time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from coldburst.lines import one_line

from ..runs.csv_columns import MOST, Floats, floats
from ..runs.load import Run


@dataclass(frozen=True)
class Throughput:
    """How much was offered and how much came back.

    Attributes:
        ok: requests answered ok.
        wall_s: from the first scheduled instant to the last end; None where nothing ended.
        per_s: ok ÷ wall_s.
        offered_per_s: planned arrivals ÷ the schedule's duration; None with the reason in ``not_offered``.
    """

    ok: int
    wall_s: float | None
    per_s: float | None
    offered_per_s: float | None
    not_offered: str


def wall_s(rows: pd.DataFrame) -> float | None:
    """Measured wall time: from the first scheduled instant to the last end; None where nothing ended or took time."""
    return span_s(floats(rows["scheduled_s"]), floats(rows["done_s"]))


def span_s(scheduled_s: Floats, done_s: Floats) -> float | None:
    """The same of arrays of instants."""
    span = float(np.fmax.reduce(done_s) - scheduled_s.min()) if len(done_s) else 0.0
    return span if span > 0 else None  # NaN, where nothing ended, is not above 0


def throughput(run: Run, rows: pd.DataFrame) -> Throughput:
    """Completed ok ÷ measured wall time, and the offered rate: planned arrivals ÷ the schedule's duration."""
    ok, span = int((rows["outcome"] == "ok").sum()), wall_s(rows)
    offered, reason = offered_per_s(run)
    return Throughput(ok, span, ok / span if span else None, offered, reason)


def offered_per_s(run: Run) -> tuple[float | None, str]:
    """The schedule's own rate in arrivals per second, or None and why it has none."""
    stages = planned_stages(run)
    if not stages:
        return None, "no schedule is known"
    if any(stage.get("closed") for stage in stages):
        return None, "closed loop: completions decide when requests are sent"
    duration_s = sum(stage.get("duration_s") or 0.0 for stage in stages)
    count = run.about.get("planned")
    if duration_s <= 0:
        return None, "all at once"
    return (None, "no number was planned") if count is None else (count / duration_s, "")


def planned_stages(run: Run) -> list[dict[str, Any]]:
    """The run's stages as run.json has them: name, planned, duration_s, closed; what is no such stage is left out."""
    kinds = {"name": str, "planned": int | None, "duration_s": int | float | None, "closed": bool}
    stages = [stage for stage in run.about.get("stages") or () if isinstance(stage, dict)]
    stages = [stage for stage in stages if all(isinstance(stage.get(key), kind) for key, kind in kinds.items())]
    good = [stage for stage in stages if all(0 <= (stage.get(key) or 0) <= MOST for key in ("planned", "duration_s"))]
    return [{**stage, "name": one_line(stage["name"])} for stage in good]
