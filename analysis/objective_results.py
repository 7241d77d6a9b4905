"""Objectives of a run that has ended: what each one names, its value with its interval, and whether it is met."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis import generators, prose, totals
from analysis.bootstrap import Interval, of_mean, share
from analysis.cold_table import cold_starts
from analysis.cost import cost
from analysis.sheet import Sheet
from analysis.sweep.answer import Answer
from analysis.tables import Tables, Times
from analysis.verdict import Verdict, beyond_run_time
from coldburst.record import objectives
from coldburst.record.attempt import one_line
from coldburst.record.ledger import Ledger
from coldburst.record.objectives import COUNTS, MISSED, OF_TIMES, TIMES, Change, Objective, ObjectiveError

MET, MISS, UNTOLD = "met", "missed", "cannot tell"
CHOSEN = ("success", "wer", "throughput", "cost_per_1000", *objectives.POINTS)
"""Metrics that are, in a sweep, those of the setting that it decides for."""
MIXED = ("offered", "real_time_factor", "cold_share", "cost", *(name for name in TIMES if not name.startswith("lateness_")))
"""Metrics that a whole sweep has not: its settings, and its warm-up, would be mixed."""


@dataclass(frozen=True)
class Measured:
    """A run as far as objectives need it."""

    tables: Tables
    verdict: Verdict
    answer: Answer | None = None


@dataclass(frozen=True)
class Found:
    """A metric's value with its 95 % interval, where there is one; ``why`` there is none of them; ``of``: which setting it is of."""

    value: float | None
    lower: float | None = None
    upper: float | None = None
    why: str = ""
    of: str = ""


@dataclass(frozen=True)
class Result:
    """What became of an objective.

    Attributes:
        text: the objective.
        state: met, missed or cannot tell.
        found: what the run has; ``shown``, ``interval`` and ``limit`` in words.
        remark: what a reader must know: why it cannot be told, or that the interval holds the limit.
        passes: whether a gate lets it through.
    """

    text: str
    metric: str
    state: str
    found: Found
    shown: str
    interval: str
    limit: str
    remark: str
    passes: bool

    @property
    def said(self) -> str:
        """State, value and remark in one line."""
        value = f": {self.shown}" if self.found.value is not None else ""
        return f"{self.state}{value}{f' ({self.remark})' if self.remark else ''}"


def asked(about: Mapping[str, Any]) -> tuple[tuple[Objective, ...], str]:
    """The objectives that run.json has, and a sentence where it has some that cannot be read; () and "" where it has none."""
    said = about.get("objectives")
    if not said:
        return (), ""
    try:
        return objectives.objectives({"objective": said}).objectives, ""
    except ObjectiveError as error:
        return (), f"run.json: {one_line(str(error))}"


def results(of: Measured, objectives: Sequence[Objective]) -> tuple[Result, ...]:
    """What became of each objective."""
    return tuple(_result(of, one) for one in objectives)


def own(of: Measured) -> tuple[Result, ...]:
    """What became of the objectives that the run was given."""
    found, fault = asked(of.tables.run.about)
    unread = (_made("objectives of the run", "", UNTOLD, Found(None, why=fault), "", fault, False, False),) if fault else ()
    return (*results(of, found), *unread)


def changes(of: Measured, base: Measured, limits: Sequence[Change], differ: str = "", *, anyway: bool = False) -> tuple[Result, ...]:
    """What became of each limit against a baseline; ``differ``: why the two cannot be, unless it is done ``anyway``."""
    return tuple(_change(of, base, limit, differ, anyway) for limit in limits)


def sheet(found: Sequence[Result]) -> Sheet | None:
    """The results as a table; None of nothing."""
    if not found:
        return None
    rows = tuple((one.text, one.state, one.shown, one.interval, one.remark) for one in found)
    head = ("Objective", "Result", "Found", "95 % interval", "Remark")
    return Sheet("Objectives", head, rows, "Intervals hold within this run only.", aside=True)


def plain(found: Sequence[Result]) -> list[dict[str, Any]] | None:
    """The results for metrics.json; None of nothing."""
    return [
        {
            "objective": one.text,
            "metric": one.metric,
            "state": one.state,
            "value": one.found.value,
            "interval": None if one.found.lower is None else [one.found.lower, one.found.upper],
            "remark": one.remark,
            "said": one.said,
            "passes": one.passes,
        }
        for one in found
    ] or None


def find(of: Measured, metric: str) -> Found:
    """What the run has of ``metric``: seconds, a share of 1, a number, or USD."""
    if metric == "verdict":
        return Found(float(objectives.VERDICTS.index(of.verdict.state)))
    if of.tables.run.totals is not None:
        return _of_totals(of, metric)
    if of.answer is not None and metric in CHOSEN:
        return _chosen(of.answer, metric)
    if of.answer is not None and metric in MIXED:
        return Found(None, why="this run is a sweep, whose settings and warm-up it would mix")
    if metric in TIMES:
        return _time(of.tables, metric)
    if metric in COUNTS:
        return Found(float(of.tables.ledger.counts.get(COUNTS[metric], 0)))
    return _OTHERS[metric](of)


def _result(of: Measured, one: Objective) -> Result:
    found = find(of, one.metric)
    if one.share and found.value is not None:
        found = _share(int(found.value), of.tables.ledger.planned, "no request was planned")
    stopped = of.tables.run.about.get("ended_by") == f"{MISSED}{one.text}"
    if found.value is None:
        state, remark = (MISS if stopped else UNTOLD), found.why
    else:
        state = MET if one.met(found.value) and not stopped else MISS
        remark = _unsure(found, one.value, one.metric, one.share)
    if stopped:
        remark = "; ".join(part for part in ("the run was stopped early for it", remark) if part)
    passes = state == MET or (state == UNTOLD and one.may_be_missing)
    return _made(one.text, one.metric, state, found, one.text.removeprefix(one.metric).strip(), remark, passes, one.share)


def _change(of: Measured, base: Measured, limit: Change, differ: str, anyway: bool) -> Result:
    found, before = find(of, limit.metric), find(base, limit.metric)
    if (differ and not anyway) or found.value is None or before.value is None:
        reason = "" if anyway else differ
        reason = reason or (found.why if found.value is None else f"the baseline: {before.why}")
        return _made(limit.text, limit.metric, UNTOLD, Found(None, why=reason), "", reason, False, False)
    most = before.value * (1 + limit.share)
    met = found.value <= most if limit.metric not in objectives.HIGHER else found.value >= most
    by = found.value / before.value - 1 if before.value else 0.0
    moved = f"{'+' if by >= 0 else ''}{prose.brief(by * 100)} %" if before.value else "from 0"
    remark = "; ".join(part for part in (moved, _overlap(found, before, limit), differ) if part)
    shown = f"{show(limit.metric, most)} (the baseline has {show(limit.metric, before.value)})"
    return _made(limit.text, limit.metric, MET if met else MISS, found, shown, remark, met, False)


def _made(text: str, metric: str, state: str, found: Found, limit: str, remark: str, passes: bool, parted: bool) -> Result:
    interval = "" if found.lower is None else f"{show(metric, found.lower, parted)} to {show(metric, found.upper, parted)}"
    shown = show(metric, found.value, parted) + (f" ({one_line(found.of)})" if found.of else "")
    return Result(text, metric, state, found, shown, interval, limit, remark, passes)


def _unsure(found: Found, limit: float, metric: str, parted: bool) -> str:
    """Says so where the interval holds the limit."""
    if found.lower is None or found.upper is None:
        return found.why
    if not found.lower <= limit <= found.upper or found.lower == found.upper:
        return ""
    return f"not certain: {show(metric, found.lower, parted)} to {show(metric, found.upper, parted)}"


def _overlap(found: Found, before: Found, limit: Change) -> str:
    """Says so where both runs' intervals leave it open on which side of the limit the run is."""
    if found.lower is None or found.upper is None or before.lower is None or before.upper is None:
        return found.why or before.why
    low, high = (end * (1 + limit.share) for end in (before.lower, before.upper))
    if found.lower > high or found.upper < low:
        return ""
    mine, its = (f"{show(limit.metric, a)} to {show(limit.metric, b)}" for a, b in ((found.lower, found.upper), (low, high)))
    return f"not certain: {mine} against a limit of {its}"


def show(metric: str, value: float | None, parted: bool = False) -> str:
    """A metric's value as people read it; ``parted``: a count as a share of those planned."""
    if value is None:
        return prose.NONE
    if metric == "verdict":
        return objectives.VERDICTS[int(value)]
    if metric in TIMES:
        return prose.seconds(value)
    if metric in (*objectives.PARTS, "wer", "efficiency") or parted:
        return prose.percent(value)
    if metric in objectives.COUNTED:
        return f"{value:,.0f}"
    units = {"throughput": "per s", "offered": "per s", "real_time_factor": "×", "cost": "USD", "cost_per_1000": "USD"}
    return prose.number(value, units[metric])


def _time(of: Tables, metric: str) -> Found:
    before = max((name for name in OF_TIMES if metric.startswith(name)), key=len)
    times, untold = _TIMES[before](of)
    point = metric.removeprefix(before)
    if times is None or not times.n:
        return Found(None, why=untold)
    if point in ("max", "mean"):
        return Found(times.maximum if point == "max" else times.mean)
    found = times.at(int(point[1:]))
    if found.maximum:
        return Found(None, why=f"n = {found.n:,} is too small for a {point.upper()}: it would be the maximum, {prose.seconds(found.value)}")
    return Found(found.value, found.lower, found.upper, f"no interval: {found.remark}" if found.remark else "")


_TIMES: Mapping[str, Callable[[Tables], tuple[Times | None, str]]] = {
    "": lambda of: (of.response["ok"], "no answer was ok"),
    "service_": lambda of: (of.service["ok"], "no answer was ok"),
    "queue_": lambda of: (of.queue_and_execution.get("queue delay"), "the endpoint told no queue delay"),
    "execution_": lambda of: (of.queue_and_execution.get("execution time"), "the endpoint told no execution time"),
    "cold_start_": lambda of: (cold_starts(of).start_s, "no start of an endpoint worker was seen from its beginning"),
    "lateness_": lambda of: (of.lateness.times, "nothing was sent"),
}


def _success(of: Measured) -> Found:
    book = of.tables.ledger
    if book.missing < 0:
        return Found(None, why=_surplus(book))
    return _share(book.counts.get("ok", 0), book.planned - int(beyond_run_time(of.tables).sum()), "no request was planned")


def _missing(of: Measured) -> Found:
    book = of.tables.ledger
    return _plainly(float(book.missing) if book.missing >= 0 else None, _surplus(book))


def _surplus(book: Ledger) -> str:
    return f"{-book.missing:,} more requests than were planned"


def _cold_share(of: Measured) -> Found:
    found = cold_starts(of.tables)
    return _share(found.cold, found.known, "nobody can tell which requests met a cold start")


def _share(part: int, whole: int, why: str) -> Found:
    if not whole:
        return Found(None, why=why)
    found = share(min(max(part, 0), whole), whole)
    return Found(part / whole, found.lower, found.upper)


def _wer(of: Measured) -> Found:
    rows = of.tables.requests
    known = rows.loc[rows["outcome"] == "ok", "wer"].dropna().to_list()
    return _interval(of_mean(known), "no word error rate was measured")


def _interval(found: Interval, why: str, of: str = "") -> Found:
    none = f"no interval: {found.basis}" if found.lower is None else ""
    return Found(None, why=why) if found.value is None else Found(found.value, found.lower, found.upper, none, of)


def _plainly(value: float | None, why: str, of: str = "") -> Found:
    return Found(None, why=why) if value is None else Found(value, of=of)


def _throughput(of: Measured) -> Found:
    return _plainly(of.tables.throughput.per_s, "nothing ended")


def _offered(of: Measured) -> Found:
    found = of.tables.throughput
    return _plainly(found.offered_per_s, found.not_offered)


def _real_time_factor(of: Measured) -> Found:
    heard = of.tables.audio
    return _plainly(None if heard is None else heard.p50, "no audio length is recorded")


def _efficiency(of: Measured) -> Found:
    """The smallest of a sweep's settings beside its baseline."""
    if of.answer is None:
        return Found(None, why="this run is no sweep: python -m analysis gate holds one of locustfiles/scaling.py against it")
    sweep = of.answer.sweep
    others = [cell for cell in sweep.deciding if cell is not sweep.baseline]
    if not others or sweep.baseline is None:
        return Found(None, why="no two settings were measured whole")
    refused = [f"{cell.name}: {sweep.relative[cell.name].refusal}" for cell in others if sweep.relative[cell.name].efficiency.value is None]
    if refused:
        return Found(None, why=refused[0])
    least = min(others, key=lambda cell: sweep.relative[cell.name].efficiency.value or 0.0)
    return _interval(sweep.relative[least.name].efficiency, "", least.name)


def _cost(of: Measured) -> Found:
    found = cost(of.tables)
    return _plainly(found.usd, found.why)


def _cost_per_1000(of: Measured) -> Found:
    found, ok = cost(of.tables), of.tables.ledger.counts.get("ok", 0)
    return Found(found.usd / ok * 1000) if found.usd is not None and ok else Found(None, why=found.why or "no answer was ok")


_OTHERS: Mapping[str, Callable[[Measured], Found]] = {
    "success": _success,
    "missing": _missing,
    "cold_share": _cold_share,
    "wer": _wer,
    "efficiency": _efficiency,
    "throughput": _throughput,
    "offered": _offered,
    "real_time_factor": _real_time_factor,
    "cost": _cost,
    "cost_per_1000": _cost_per_1000,
    "generators_lost": lambda of: Found(float(len(generators.lost(of.tables.run)))),
}


def _chosen(answer: Answer, metric: str) -> Found:
    """What the setting has for which the sweep decides."""
    cell = answer.decision.main.cell
    if cell is None:
        return Found(None, why="the sweep decides for no setting")
    if metric == "throughput":
        return _interval(cell.throughput, "nothing was measured", cell.name)
    if metric == "cost_per_1000":
        return _plainly(cell.usd_per_1000, "no price, or no number of endpoint workers is known", cell.name)
    return _interval(cell.interval(metric), "it was not measured", cell.name)


def _of_totals(of: Measured, metric: str) -> Found:
    """What Locust's own totals tell: times of sending to end, failures included, two digits, without an interval."""
    assert of.tables.run.totals is not None
    rows = totals.by_name(of.tables.run.totals)
    whole = rows[rows["name"] == "Aggregated"].to_dict("records")
    columns = {name: f"{name}_s" for name in objectives.POINTS}
    if not whole or metric not in (*columns, "success"):
        return Found(None, why="Locust's totals do not tell it: name a run directory")
    sent = int(whole[0]["requests"])
    if metric == "success" or not sent:
        return _share(sent - int(whole[0]["failures"]), sent, "nothing was sent")
    value = float(whole[0][columns[metric]])
    return _plainly(None if math.isnan(value) else value, "Locust's totals do not tell it", "failures included")
