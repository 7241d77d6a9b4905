"""Whether a run that has ended meets its objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coldburst.lines import one_line
from coldburst.record import objectives
from coldburst.record.objectives import MISSED, TIMES, Change, Objective, ObjectiveError

from ..statistics.intervals import Interval, ratio_to_predicted, relative_difference
from ..text.number_format import NONE, brief, number, percent, seconds
from ..text.sheet import Sheet
from .objective_metrics import MeasuredRun, MetricValue, metric_value, share_value

MET, MISS, UNTOLD = "met", "missed", "cannot tell"
# Begins the remark of a value whose interval includes the limit.
UNSURE = "the interval includes the limit"
UNITS = {"throughput": "per s", "offered": "per s", "units_per_s": "per s", "real_time_factor": "×", "cost": "USD", "cost_per_1000": "USD"}


@dataclass(frozen=True)
class ObjectiveResult:
    """The result of an objective.

    Attributes:
        text: the objective.
        state: met, missed or cannot tell.
        found: the run's value; ``limit``: the limit in words.
        remark: why it cannot be told, or that the interval includes the limit.
        passes: whether a gate passes.
        shared: whether a count is shown as a share of the planned requests.
    """

    text: str
    metric: str
    state: str
    found: MetricValue
    limit: str
    remark: str
    passes: bool
    shared: bool = False

    @property
    def shown(self) -> str:
        """The value in words."""
        return metric_text(self.metric, self.found.value, self.shared) + (f" ({one_line(self.found.of)})" if self.found.of else "")

    @property
    def interval(self) -> str:
        """The interval in words; "" if there is none."""
        return _ends(self.metric, self.found, self.shared)

    @property
    def sentence(self) -> str:
        """State, value and remark in one line."""
        value = f": {self.shown}" if self.found.value is not None else ""
        return f"{self.state}{value}{f' ({self.remark})' if self.remark else ''}"


def objectives_of(about: Mapping[str, Any]) -> tuple[tuple[Objective, ...], str]:
    """The objectives in run.json, and a sentence if they cannot be read; () and "" if there are none."""
    texts = about.get("objectives")
    if not texts:
        return (), ""
    try:
        return objectives.objectives({"objective": texts}).objectives, ""
    except ObjectiveError as error:
        return (), f"run.json: {one_line(str(error))}"


def own_results(of: MeasuredRun) -> tuple[ObjectiveResult, ...]:
    """The results of the objectives in run.json."""
    found, fault = objectives_of(of.tables.run.about)
    return (*(objective_result(of, one) for one in found), *((_untold("objectives of the run", "", fault),) if fault else ()))


def objectives_sheet(found: Sequence[ObjectiveResult]) -> Sheet | None:
    """The results as a table; None without results."""
    if not found:
        return None
    rows = tuple((one.text, one.state, one.shown, one.interval, one.remark) for one in found)
    head = ("Objective", "Result", "Found", "95 % interval", "Remark")
    return Sheet("Objectives", head, rows, "Intervals hold within this run only.", aside=True)


def results_for_json(found: Sequence[ObjectiveResult]) -> list[dict[str, Any]] | None:
    """The results for metrics.json; None without results."""
    return [
        {
            "objective": one.text,
            "metric": one.metric,
            "state": one.state,
            "value": one.found.value,
            "interval": None if one.found.lower is None else [one.found.lower, one.found.upper],
            "remark": one.remark,
            "said": one.sentence,
            "passes": one.passes,
        }
        for one in found
    ] or None


def objective_result(of: MeasuredRun, one: Objective) -> ObjectiveResult:
    """The result of an objective."""
    found = metric_value(of, one.metric)
    if one.share and found.value is not None:
        found = share_value(int(found.value), of.tables.ledger.planned, "no request was planned")
    stopped = of.tables.run.about.get("ended_by") == f"{MISSED}{one.text}"
    if found.value is None:
        state, remark = (MISS if stopped else UNTOLD), found.why
    else:
        remark = _uncertain(found, one)
        state = MET if one.met(found.value) and not stopped else MISS
        state = UNTOLD if remark.startswith(UNSURE) and one.metric in TIMES and not stopped else state
    if stopped:
        remark = "; ".join(part for part in ("the run was stopped early for it", remark) if part)
    passes = state == MET or (state == UNTOLD and one.may_be_missing)
    return ObjectiveResult(one.text, one.metric, state, found, one.text.removeprefix(one.metric).strip(), remark, passes, one.share)


def baseline_result(of: MeasuredRun, base: MeasuredRun, limit: Change, different: str, *, anyway: bool) -> ObjectiveResult:
    """The result of a limit against a baseline; ``different``: why the runs cannot be compared, unless ``anyway`` is set."""
    found, before = metric_value(of, limit.metric), metric_value(base, limit.metric)
    if (different and not anyway) or found.value is None or before.value is None:
        why = "" if anyway else different
        return _untold(limit.text, limit.metric, why or (found.why if found.value is None else f"the baseline: {before.why}"))
    most = before.value * (1 + limit.share)
    by = found.value / before.value - 1 if before.value else 0.0
    moved = f"{'+' if by >= 0 else ''}{brief(by * 100)} %" if before.value else "from 0"
    state, doubt = _against(found, before, limit)
    remark = "; ".join(part for part in (moved, doubt, different) if part)
    shown = f"{metric_text(limit.metric, most)} (the baseline has {metric_text(limit.metric, before.value)})"
    return ObjectiveResult(limit.text, limit.metric, state, found, shown, remark, state == MET)


def _against(found: MetricValue, before: MetricValue, limit: Change) -> tuple[str, str]:
    """The state of a limit against a baseline by the interval of the change, and a remark.

    A figure that has no interval in any run (a count, a maximum, a cost) is decided by its value. A percentile without one cannot be
    told.
    """
    assert found.value is not None and before.value is not None
    higher = limit.metric in objectives.HIGHER
    change = _change(found, before)
    if change.lower is None or change.upper is None:
        if found.why or before.why:
            return UNTOLD, found.why or f"the baseline: {before.why}"
        most = before.value * (1 + limit.share)
        return (MET if (found.value >= most if higher else found.value <= most) else MISS), ""
    best, worst = (change.upper, change.lower) if higher else (change.lower, change.upper)
    ends = f"{_signed(change.lower)} to {_signed(change.upper)}"
    if worst >= limit.share if higher else worst <= limit.share:
        return MET, ends
    if best < limit.share if higher else best > limit.share:
        return MISS, ends
    return UNTOLD, f"{ends}, which includes the limit: measure more requests, or repeat both runs"


def _change(found: MetricValue, before: MetricValue) -> Interval:
    """The relative change with its 95 % interval."""
    assert found.value is not None and before.value is not None
    if before.ahead:
        return ratio_to_predicted(found.value, before.value, before.ahead)
    if found.ahead or before.lower is None or found.lower is None:
        return Interval(None, None, None, before.why or found.why)
    one, other = (Interval(of.value, of.lower, of.upper, of.why) for of in (found, before))
    return relative_difference(one, other)


def _signed(share: float) -> str:
    return f"{'+' if share >= 0 else ''}{brief(share * 100)} %"


def _untold(text: str, metric: str, why: str) -> ObjectiveResult:
    return ObjectiveResult(text, metric, UNTOLD, MetricValue(None, why=why), "", why, False)


def _uncertain(found: MetricValue, one: Objective) -> str:
    """A remark if the interval includes the limit."""
    if found.lower is None or found.upper is None:
        return found.why
    if not found.lower <= one.value <= found.upper or found.lower == found.upper:
        return ""
    return f"{UNSURE}: {_ends(one.metric, found, one.share)}"


def _ends(metric: str, of: MetricValue, shared: bool = False) -> str:
    return "" if of.lower is None else f"{metric_text(metric, of.lower, shared)} to {metric_text(metric, of.upper, shared)}"


def metric_text(metric: str, value: float | None, shared: bool = False) -> str:
    """A metric's value in words; ``shared``: a count as a share of the planned requests."""
    if value is None:
        return NONE
    if metric == "verdict":
        return objectives.VERDICTS[int(value)]
    if metric in TIMES:
        return seconds(value)
    if metric in (*objectives.PARTS, "wer", "efficiency") or shared:
        return percent(value)
    if metric == "usd_per_unit":
        return f"{value:.3g} USD"
    return f"{value:,.0f}" if metric in objectives.COUNTED else number(value, UNITS[metric])
