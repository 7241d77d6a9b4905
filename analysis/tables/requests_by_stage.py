"""Requests by stage of the schedule."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..runs.csv_columns import Flags, floats
from ..runs.load import Run
from ..statistics.percentiles import time_summary
from .throughput import planned_stages, span_s


def by_stage(run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    """A row a stage, in the order in which they came.

    Columns: planned (None where completions decide it), requests, ok, p50_s and p95_s (response time
    of answered ok), throughput_per_s (ok ÷ the stage's own wall time).
    """
    expected = _planned_by_stage(run)
    codes, seen = _coded(rows["stage"])
    due = pd.Series(floats(rows["scheduled_s"]))
    first = due.groupby(codes).idxmin()  # the place of the first one due, of several the first row
    places = [int(code) for code in np.lexsort((first, due[first]))] if len(seen) else []
    codes_of, ok = {str(seen[code]): code for code in places}, (rows["outcome"] == "ok").to_numpy()
    found = {name: _stage(rows, codes == codes_of.get(name, -1), ok) for name in dict.fromkeys([*expected, *codes_of])}
    return pd.DataFrame([{"stage": name, "planned": expected.get(name), **stage} for name, stage in found.items()])


def _coded(texts: pd.Series[str]) -> tuple[np.typing.NDArray[np.int32], pd.Index[str]]:
    """Each text as its place among those that occur, in half the room that pandas takes."""
    codes, seen = pd.factorize(texts)
    return codes.astype(np.int32), pd.Index(seen)


def _planned_by_stage(run: Run) -> dict[str, int | None]:
    return {stage["name"]: stage.get("planned") for stage in planned_stages(run)}


def _stage(rows: pd.DataFrame, within: Flags, ok: Flags) -> dict[str, float | int | None]:
    n, span = int(np.count_nonzero(within)), span_s(floats(rows["scheduled_s"])[within], floats(rows["done_s"])[within])
    response = time_summary(floats(rows["response_s"])[within & ok], n)
    return {
        "requests": n,
        "ok": response.n,
        "p50_s": response.at(50).value,
        "p95_s": response.at(95).value,
        "throughput_per_s": response.n / span if span else None,
    }
