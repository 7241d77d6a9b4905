"""The section "What if": the run's load under the settings next to its own, as a table and in one line."""

from __future__ import annotations

import math

from coldburst.planner.predict import Prediction, Range, ranges_text
from coldburst.planner.what_if import NOW, Alternative, WhatIf

from ..tables.run_tables import Tables
from ..tables.what_if import Measured, run_what_if
from ..text.number_format import NONE, number, percent, plural, seconds
from ..text.sheet import Sheet

TITLE = "What if"
HEAD = ("", "P50", "P95", "Not ok", "Cold", "Worker-seconds")
HEAD_USD = ("USD", "USD a day idle")


def what_if_sheet(of: Tables) -> Sheet | None:
    """The run as it was measured, its prediction, and those of the settings next to it; None without predictions."""
    made = run_what_if(of)
    if made is None or made.found is None or made.measured is None:
        return None
    priced = any(one.scenario.usd_per_s for _, one in made.found.predictions)
    rows = [_measured(made.measured, priced), *(_row(name, one, priced) for name, one in made.found.predictions)]
    return Sheet(TITLE, (*HEAD, *(HEAD_USD if priced else ())), tuple(rows), _remark(made.found))


def what_if_line(of: Tables) -> str:
    """The P95 of each prediction in one sentence; "" without predictions."""
    made = run_what_if(of)
    if made is None or made.found is None:
        return ""
    now, *others = made.found.predictions
    parts = [f"{name}: {_range(one['p95_s'])}{_costs(one, now[1])}" for name, one in others]
    return f"predicted P95 of this load {NOW}: {_range(now[1]['p95_s'])}; {'; '.join(parts)}."


def _measured(of: Measured, priced: bool) -> tuple[str, ...]:
    cells = ("measured", seconds(of.p50_s), seconds(of.p95_s), f"{of.not_ok:,}", f"{of.cold:,}", number(of.worker_s))
    return (*cells, number(of.usd), "") if priced else cells


def _row(name: str, one: Prediction, priced: bool) -> tuple[str, ...]:
    cells = (
        f"predicted {name}" if name == NOW else name,
        seconds(one["p50_s"].median) if not math.isnan(one["p50_s"].median) else NONE,
        _range(one["p95_s"]),
        _count(one["not_ok"]),
        _count(one["cold"]),
        number(one["worker_s"].median),
    )
    return (*cells, number(one["usd"].median), number(one.scenario.standing_usd_a_day)) if priced else cells


def _costs(one: Prediction, now: Prediction) -> str:
    name, unit = ("usd", "USD") if one.scenario.usd_per_s else ("worker_s", "worker-seconds")
    return f" for {number(one[name].median)} instead of {number(now[name].median)} {unit}"


def _range(of: Range) -> str:
    if math.isnan(of.median):
        return NONE
    low, high = seconds(of.low), seconds(of.high)
    if low.endswith(" s") and high.endswith(" s"):
        low = low.removesuffix(" s")
    return seconds(of.median) if of.low == of.high else f"{seconds(of.median)} ({low} to {high})"


def _count(of: Range) -> str:
    return f"{of.median:.0f}" if of.low == of.high else f"{of.median:.0f} ({of.low:.0f} to {of.high:.0f})"


def _remark(of: WhatIf) -> str:
    runs = len(of.predictions[0][1].runs)
    part = "" if of.requests == of.planned else f" Of the first {of.requests:,} of {plural(of.planned, 'request')}."
    apart = f"Workers differ by ±{percent(of.spread)}, {'as measured' if of.spread_measured else 'assumed'}"
    left = " ".join(_left_out(one) for one in of.alternatives if one.prediction is None)
    return (
        f"{ranges_text(runs)} The platform's model with this run's times.{part} "
        f"{apart}. "
        f"USD are for this load alone; a minimum of workers is billed without load too. {left}"
    ).rstrip()


def _left_out(of: Alternative) -> str:
    return f"Left out: {of.name} ({of.why})."
