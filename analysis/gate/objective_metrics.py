"""The metrics that an objective may name, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from coldburst.record import objectives
from coldburst.record.objectives import COUNTS, OF_TIMES, TIMES

from ..runs import locust_csv
from ..statistics.intervals import Interval, mean_interval, share_interval
from ..statistics.percentiles import TimeSummary
from ..sweep_report.sweep_answer import SweepAnswer
from ..tables.burst import prediction
from ..tables.cold_starts import ColdStarts, cold_starts
from ..tables.cost import cost
from ..tables.run_tables import Tables
from ..tables.units import Units, units
from ..text.number_format import seconds
from ..verdict.verdict import Verdict, beyond_run_time, lost_names

# For a sweep, the value of the setting that it picks.
CHOSEN = ("success", "wer", "throughput", "cost_per_1000", *objectives.POINTS)
NO_UNITS = "no ok answer has units: name them with --unit, as in images='length(output.images)'"
# Not available for a sweep.
MIXED = (
    "offered",
    "units_per_s",
    "usd_per_unit",
    "real_time_factor",
    "cold_share",
    "cost",
    *(name for name in TIMES if not name.startswith("lateness_")),
)


@dataclass(frozen=True)
class MeasuredRun:
    """What objectives need of a run."""

    tables: Tables
    verdict: Verdict
    answer: SweepAnswer | None = None


@dataclass(frozen=True)
class MetricValue:
    """A metric's value and its 95 % interval.

    Attributes:
        why: why one of them is missing.
        of: the setting that it belongs to.
        ahead: what the next run's value may be, where a run is one draw.
    """

    value: float | None
    lower: float | None = None
    upper: float | None = None
    why: str = ""
    of: str = ""
    ahead: tuple[float, float] | None = None


def metric_value(of: MeasuredRun, metric: str) -> MetricValue:
    """The run's value of ``metric``: seconds, a share of 1, a number, or USD."""
    if metric == "verdict":
        return MetricValue(float(objectives.VERDICTS.index(of.verdict.state)))
    if of.tables.run.totals is not None:
        return _of_totals(of, metric)
    if of.answer is not None and metric in CHOSEN:
        return _chosen(of.answer, metric)
    if of.answer is not None and metric in MIXED:
        return MetricValue(None, why="this run is a sweep: the metric would mix its settings and the warm-up")
    if metric in TIMES:
        return _time(of.tables, metric)
    if metric in COUNTS:
        return MetricValue(float(of.tables.ledger.counts.get(COUNTS[metric], 0)))
    return _OTHERS[metric](of)


def _time(of: Tables, metric: str) -> MetricValue:
    before = max((name for name in OF_TIMES if metric.startswith(name)), key=len)
    times, untold = _TIMES[before](of)
    point = metric.removeprefix(before)
    if times is None or not times.n:
        return MetricValue(None, why=untold)
    if point in ("max", "mean"):
        return MetricValue(times.maximum if point == "max" else times.mean)
    found, percent = times.at(int(point[1:])), int(point[1:])
    if before == "" and (predicted := prediction(of)):
        lower, upper = predicted.ranges[percent]
        return MetricValue(found.value, lower, upper, ahead=(lower, upper))
    if found.maximum:
        return MetricValue(None, why=f"n = {found.n:,} is too small: the {point.upper()} would be the maximum, {seconds(found.value)}")
    return MetricValue(found.value, found.lower, found.upper, f"no interval: {found.remark}" if found.remark else "")


_TIMES: Mapping[str, Callable[[Tables], tuple[TimeSummary | None, str]]] = {
    "": lambda of: (of.response["ok"], "no answer was ok"),
    "service_": lambda of: (of.service["ok"], "no answer was ok"),
    "queue_": lambda of: (of.queue_and_execution.get("queue delay"), "the endpoint reported no queue delay"),
    "execution_": lambda of: (of.queue_and_execution.get("execution time"), "the endpoint reported no execution time"),
    "ttft_": lambda of: (of.tokens.ttft if of.tokens else None, "no answer was streamed"),
    "cold_start_": lambda of: (cold_starts(of).start_s, "no endpoint worker was seen to start"),
    "lateness_": lambda of: (of.lateness.times, "nothing was sent"),
    "upload_": lambda of: (of.object_transfers.upload if of.object_transfers else None, "nothing was uploaded"),
    "download_": lambda of: (of.object_transfers.download if of.object_transfers else None, "nothing was downloaded"),
    "end_to_end_": lambda of: (of.object_transfers.end_to_end if of.object_transfers else None, "nothing went through an object store"),
}


def _of_ledger(of: MeasuredRun, metric: str) -> MetricValue:
    book = of.tables.ledger
    if book.missing < 0:
        return MetricValue(None, why=f"{-book.missing:,} more requests than planned")
    if metric == "missing":
        return MetricValue(float(book.missing))
    planned = book.planned - int(beyond_run_time(of.tables).sum())
    return share_value(book.counts.get("ok", 0), planned, "no request was planned")


def _cold_share(of: ColdStarts) -> MetricValue:
    return share_value(of.cold, of.known, "it is unknown which requests met a cold start")


def _wer(rows: pd.DataFrame) -> MetricValue:
    return _value(mean_interval(rows.loc[rows["outcome"] == "ok", "wer"].dropna().to_list()), "no word error rate was measured")


def _of_units(of: Tables, figure: Callable[[Units], float | None]) -> MetricValue:
    found = units(of)
    return MetricValue(None, why=NO_UNITS) if found is None else _value(figure(found), found.why or "nothing ended")


def share_value(part: int, whole: int, why: str) -> MetricValue:
    """``part`` ÷ ``whole`` with its interval; no value, and ``why``, if ``whole`` is 0."""
    if not whole:
        return MetricValue(None, why=why)
    found = share_interval(min(max(part, 0), whole), whole)
    return MetricValue(part / whole, found.lower, found.upper)


def _value(found: Interval | float | None, why: str, of: str = "") -> MetricValue:
    """``found`` of the setting ``of``; ``why`` if there is no value."""
    if isinstance(found, Interval) and found.value is not None:
        none = f"no interval: {found.basis}" if found.lower is None else ""
        return MetricValue(found.value, found.lower, found.upper, none, of)
    return MetricValue(None, why=why) if found is None or isinstance(found, Interval) else MetricValue(found, of=of)


def _efficiency(of: MeasuredRun) -> MetricValue:
    """The smallest scaling efficiency of a sweep's settings."""
    if of.answer is None:
        return MetricValue(None, why="this run is not a sweep: measure the efficiency with locustfiles/scaling.py")
    sweep = of.answer.sweep
    others = [cell for cell in sweep.deciding if cell is not sweep.baseline]
    if not others or sweep.baseline is None:
        return MetricValue(None, why="fewer than two settings were measured completely")
    refused = [f"{cell.name}: {sweep.relative[cell.name].refusal}" for cell in others if sweep.relative[cell.name].efficiency.value is None]
    if refused:
        return MetricValue(None, why=refused[0])
    least = min(others, key=lambda cell: sweep.relative[cell.name].efficiency.value or 0.0)
    return _value(sweep.relative[least.name].efficiency, "", least.name)


def _cost_per_1000(of: MeasuredRun) -> MetricValue:
    found, ok = cost(of.tables), of.tables.ledger.counts.get("ok", 0)
    return _value(found.usd / ok * 1000 if found.usd is not None and ok else None, found.why or "no answer was ok")


_OTHERS: Mapping[str, Callable[[MeasuredRun], MetricValue]] = {
    "success": lambda of: _of_ledger(of, "success"),
    "missing": lambda of: _of_ledger(of, "missing"),
    "cold_share": lambda of: _cold_share(cold_starts(of.tables)),
    "wer": lambda of: _wer(of.tables.requests),
    "efficiency": _efficiency,
    "throughput": lambda of: _value(of.tables.throughput.per_s, "nothing ended"),
    "offered": lambda of: _value(of.tables.throughput.offered_per_s, of.tables.throughput.not_offered),
    "units_per_s": lambda of: _of_units(of.tables, lambda found: found.per_s),
    "usd_per_unit": lambda of: _of_units(of.tables, lambda found: found.usd),
    "real_time_factor": lambda of: _value(None if of.tables.audio is None else of.tables.audio.p50, "no audio duration is recorded"),
    "cost": lambda of: _value(cost(of.tables).usd, cost(of.tables).why),
    "cost_per_1000": _cost_per_1000,
    "generators_lost": lambda of: MetricValue(float(len(lost_names(of.tables.run)))),
}


def _chosen(answer: SweepAnswer, metric: str) -> MetricValue:
    """The value of the setting that the sweep picks."""
    cell = answer.decision.main.cell
    if cell is None:
        return MetricValue(None, why="the sweep picks no setting")
    if metric == "throughput":
        return _value(cell.throughput, "nothing was measured", cell.name)
    if metric == "cost_per_1000":
        return _value(cell.usd_per_1000, "the price or the number of endpoint workers is unknown", cell.name)
    return _value(cell.interval(metric), "it was not measured", cell.name)


def _of_totals(of: MeasuredRun, metric: str) -> MetricValue:
    """From Locust's totals: times from sending to end, with failures, rounded to two digits, without an interval."""
    assert of.tables.run.totals is not None
    if metric not in (*objectives.POINTS, "success"):
        return MetricValue(None, why="Locust's totals do not have it: name a run directory")
    whole = locust_csv.aggregated(of.tables.run.totals)
    sent = int(whole["requests"])
    if metric == "success" or not sent:
        return share_value(sent - int(whole["failures"]), sent, "nothing was sent")
    value = float(whole.get(f"{metric}_s", math.nan))
    return _value(None if math.isnan(value) else value, "Locust's totals do not have it", "failures included")
