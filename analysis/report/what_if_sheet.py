"""The section "What if": the run's load under the settings next to its own, as a table and in one line."""

from __future__ import annotations

import math
import shlex

from coldburst.planner.predict import Prediction, Range, a_day, ranges_text
from coldburst.planner.recorded_load import RecordedLoad
from coldburst.planner.setting_points import FEW_POINTS, axes_around
from coldburst.planner.what_if import NOW, Alternative, WhatIf, points_data

from ..command_name import PLAN
from ..tables.burst import prediction
from ..tables.run_tables import Tables
from ..tables.what_if import Measured, run_what_if
from ..text.number_format import NONE, number, percent, plural, seconds
from ..text.sheet import Sheet
from .setting_moves import Moves, moves

TITLE = "What if"
# A smaller difference between workers would be shown as none.
LEAST_SPREAD = 0.005
OPTIONS = {
    "workers_min": "--workers-min",
    "workers_max": "--workers-max",
    "scaler_value": "--scaler-value",
    "idle_timeout_s": "--idle-timeout",
}


def what_if_sheet(of: Tables) -> Sheet | None:
    """The run as it was measured, its prediction, and those of the settings next to it; None without predictions."""
    made = run_what_if(of)
    if made is None or made.found is None or made.measured is None:
        return None
    found = made.found
    priced, closed = any(one.scenario.usd_per_s for _, one in found.predictions), found.load.closed
    head = ("", "P50", "P95", *(("Ok per s",) if closed else ()), "Not ok", "Cold", "Worker-seconds")
    rows = [_measured(made.measured, priced, closed), *(_row(name, one, priced, found.load) for name, one in found.predictions)]
    other = (
        " The range of the next burst or run among the key figures comes from response times alone, without this model."
        if prediction(of)
        else ""
    )
    return Sheet(TITLE, (*head, *(("USD", "USD a day") if priced else ())), tuple(rows), f"{_remark(found)}{other}")


def what_if_line(of: Tables) -> str:
    """The P95 of each prediction in one sentence; "" without predictions."""
    made = run_what_if(of)
    if made is None or made.found is None:
        return ""
    now, *others = made.found.predictions
    parts = [f"{name}: {_range(one['p95_s'])}{_costs(one, now[1])}" for name, one in others]
    return f"predicted P95 of this load {NOW}: {_range(now[1]['p95_s'])}; {'; '.join(parts)}."


def what_if_moves(of: Tables) -> Moves | None:
    """The grid around the present setting, to be moved in the page; None without one."""
    made = run_what_if(of)
    if made is None or made.found is None:
        return None
    return moves(points_data(made.found), made.found.predictions[0][1].scenario.settings)


def unmoved(of: Tables) -> tuple[str, str] | tuple[()]:
    """For a run that is too large for a whole grid: a sentence, and the command that makes a page of one; () otherwise."""
    made = run_what_if(of)
    if made is None or made.found is None or len(made.found.points) > FEW_POINTS:
        return ()
    present = made.found.predictions[0][1].scenario
    axes = {name: sorted(values[:3]) for name, values in axes_around(present.policy).items()}
    if present.policy.kind == "LOAD_BALANCER":  # whose scaler's value is a concurrency, which a plan refuses beyond the measured one
        axes["scaler_value"] = [value for value in axes["scaler_value"] if value <= present.concurrency_seen]
    words = " ".join(f"{OPTIONS[name]} {','.join(f'{value:g}' for value in values)}" for name, values in axes.items())
    said = "For so many requests a report has few settings to move; this command makes a page with more of them:"
    return said, f"{PLAN} sweep --from {shlex.quote(str(of.run.path))} {words} --picture plan.html"


def _measured(of: Measured, priced: bool, closed: bool) -> tuple[str, ...]:
    rate = (number(of.ok_per_s),) if closed else ()
    cells = ("measured", seconds(of.p50_s), seconds(of.p95_s), *rate, f"{of.not_ok:,}", f"{of.cold:,}", number(of.worker_s))
    return (*cells, number(of.usd), "") if priced else cells


def _row(name: str, one: Prediction, priced: bool, load: RecordedLoad) -> tuple[str, ...]:
    cells = (
        f"predicted {name}" if name == NOW else name,
        seconds(one["p50_s"].median) if not math.isnan(one["p50_s"].median) else NONE,
        _range(one["p95_s"]),
        *((number(one["throughput_per_s"].median),) if load.closed else ()),
        _count(one["not_ok"]),
        _count(one["cold"]),
        number(one["worker_s"].median),
    )
    usd_per_s = one.scenario.usd_per_s
    of_day = number(a_day(one, load.every_s).median * usd_per_s)
    return (*cells, number(one["usd"].median), of_day) if priced else cells


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
    runs, load = len(of.predictions[0][1].runs), of.load
    part = "" if load.requests == load.planned else f" Of the first {load.requests:,} of {plural(load.planned, 'request')}."
    differ = f"differ by ±{percent(of.spread)}" if of.spread >= LEAST_SPREAD else "do not differ"
    apart = f"Workers {differ}, {'as measured' if of.spread_measured else 'assumed'}"
    loop = " A closed loop sends more where answers come sooner: compare P95 and ok per second." if load.closed else ""
    left = " ".join(_left_out(one) for one in of.alternatives if one.prediction is None)
    return (
        f"{ranges_text(runs)} The platform's model with this run's times.{part} {apart}.{loop}{_bounded(of)}{_started(of)} "
        f"USD are for this load alone, USD a day for {again(load)} with what the minimum of workers costs in between. {left}"
    ).rstrip()


def again(load: RecordedLoad) -> str:
    """How often a day has the load."""
    return "this load once an hour" if load.every_s else "this load again and again"


def _started(of: WhatIf) -> str:
    began = f" It began with {of.warm} more workers up than the minimum; predictions begin with the minimum." if of.warm else ""
    if of.starts.source:
        return f" No worker started in this run: starts are those of {of.starts.source}.{began}"
    if not of.starts.assumed:
        return ""
    return (
        f" No worker started in this run: each simulated run assumes one start time from {of.starts.time} s for all its workers, so ranges "
        f"are wide where workers start; locustfiles/coldstart.py measures it.{began}"
    )


def _bounded(of: WhatIf) -> str:
    if not any(one.bound for one in of.alternatives):
        return ""
    seen = of.concurrency_seen
    return (
        f" More than {seen} at a time on a worker was not measured: at best a job takes no longer beside more others, at worst longer in "
        "proportion, as if they took turns; locustfiles/concurrency.py measures it."
    )


def _left_out(of: Alternative) -> str:
    return f"Left out: {of.name} ({of.why})."
