"""Objectives of a run that has ended: whether each one is met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coldburst.lines import one_line
from coldburst.record import objectives
from coldburst.record.objectives import MISSED, TIMES, Change, Objective, ObjectiveError

from ..text.number_format import NONE, brief, number, percent, seconds
from ..text.sheet import Sheet
from .objective_metrics import MeasuredRun, MetricValue, metric_value, share_value

MET, MISS, UNTOLD = "met", "missed", "cannot tell"


@dataclass(frozen=True)
class ObjectiveResult:
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
    found: MetricValue
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


def objectives_of(about: Mapping[str, Any]) -> tuple[tuple[Objective, ...], str]:
    """The objectives that run.json has, and a sentence where it has some that cannot be read; () and "" where it has none."""
    said = about.get("objectives")
    if not said:
        return (), ""
    try:
        return objectives.objectives({"objective": said}).objectives, ""
    except ObjectiveError as error:
        return (), f"run.json: {one_line(str(error))}"


def objective_results(of: MeasuredRun, objectives: Sequence[Objective]) -> tuple[ObjectiveResult, ...]:
    """What became of each objective."""
    return tuple(_result(of, one) for one in objectives)


def own_results(of: MeasuredRun) -> tuple[ObjectiveResult, ...]:
    """What became of the objectives that the run was given."""
    found, fault = objectives_of(of.tables.run.about)
    unread = (_made("objectives of the run", "", UNTOLD, MetricValue(None, why=fault), "", fault, False, False),) if fault else ()
    return (*objective_results(of, found), *unread)


def baseline_results(
    of: MeasuredRun, base: MeasuredRun, limits: Sequence[Change], differ: str = "", *, anyway: bool = False
) -> tuple[ObjectiveResult, ...]:
    """What became of each limit against a baseline; ``differ``: why the two cannot be, unless it is done ``anyway``."""
    return tuple(_change(of, base, limit, differ, anyway) for limit in limits)


def objectives_sheet(found: Sequence[ObjectiveResult]) -> Sheet | None:
    """The results as a table; None of nothing."""
    if not found:
        return None
    rows = tuple((one.text, one.state, one.shown, one.interval, one.remark) for one in found)
    head = ("Objective", "Result", "Found", "95 % interval", "Remark")
    return Sheet("Objectives", head, rows, "Intervals hold within this run only.", aside=True)


def results_for_json(found: Sequence[ObjectiveResult]) -> list[dict[str, Any]] | None:
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


def _result(of: MeasuredRun, one: Objective) -> ObjectiveResult:
    found = metric_value(of, one.metric)
    if one.share and found.value is not None:
        found = share_value(int(found.value), of.tables.ledger.planned, "no request was planned")
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


def _change(of: MeasuredRun, base: MeasuredRun, limit: Change, differ: str, anyway: bool) -> ObjectiveResult:
    found, before = metric_value(of, limit.metric), metric_value(base, limit.metric)
    if (differ and not anyway) or found.value is None or before.value is None:
        reason = "" if anyway else differ
        reason = reason or (found.why if found.value is None else f"the baseline: {before.why}")
        return _made(limit.text, limit.metric, UNTOLD, MetricValue(None, why=reason), "", reason, False, False)
    most = before.value * (1 + limit.share)
    met = found.value <= most if limit.metric not in objectives.HIGHER else found.value >= most
    by = found.value / before.value - 1 if before.value else 0.0
    moved = f"{'+' if by >= 0 else ''}{brief(by * 100)} %" if before.value else "from 0"
    remark = "; ".join(part for part in (moved, _overlap(found, before, limit), differ) if part)
    shown = f"{metric_text(limit.metric, most)} (the baseline has {metric_text(limit.metric, before.value)})"
    return _made(limit.text, limit.metric, MET if met else MISS, found, shown, remark, met, False)


def _made(text: str, metric: str, state: str, found: MetricValue, limit: str, remark: str, passes: bool, parted: bool) -> ObjectiveResult:
    interval = "" if found.lower is None else f"{metric_text(metric, found.lower, parted)} to {metric_text(metric, found.upper, parted)}"
    shown = metric_text(metric, found.value, parted) + (f" ({one_line(found.of)})" if found.of else "")
    return ObjectiveResult(text, metric, state, found, shown, interval, limit, remark, passes)


def _unsure(found: MetricValue, limit: float, metric: str, parted: bool) -> str:
    """Says so where the interval holds the limit."""
    if found.lower is None or found.upper is None:
        return found.why
    if not found.lower <= limit <= found.upper or found.lower == found.upper:
        return ""
    return f"not certain: {metric_text(metric, found.lower, parted)} to {metric_text(metric, found.upper, parted)}"


def _overlap(found: MetricValue, before: MetricValue, limit: Change) -> str:
    """Says so where both runs' intervals leave it open on which side of the limit the run is."""
    if found.lower is None or found.upper is None or before.lower is None or before.upper is None:
        return found.why or before.why
    low, high = (end * (1 + limit.share) for end in (before.lower, before.upper))
    if found.lower > high or found.upper < low:
        return ""
    mine, its = (f"{metric_text(limit.metric, a)} to {metric_text(limit.metric, b)}" for a, b in ((found.lower, found.upper), (low, high)))
    return f"not certain: {mine} against a limit of {its}"


def metric_text(metric: str, value: float | None, parted: bool = False) -> str:
    """A metric's value as people read it; ``parted``: a count as a share of those planned."""
    if value is None:
        return NONE
    if metric == "verdict":
        return objectives.VERDICTS[int(value)]
    if metric in TIMES:
        return seconds(value)
    if metric in (*objectives.PARTS, "wer", "efficiency") or parted:
        return percent(value)
    if metric in objectives.COUNTED:
        return f"{value:,.0f}"
    units = {"throughput": "per s", "offered": "per s", "real_time_factor": "×", "cost": "USD", "cost_per_1000": "USD"}
    return number(value, units[metric])
