"""The figures of a sweep: each is data from its settings, and a function that draws that data (analysis/sweep_report/sweep_drawing.py)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from ..figures.style import MissingPlot, Plot
from ..statistics.intervals import BY_DEFINITION, Interval
from ..sweep import ratios
from ..sweep.setting_result import SPLIT, SettingResult
from ..sweep.sweep_result import SweepResult
from ..sweep.usl import Usl, fitted
from ..text.number_format import brief, percent
from . import sweep_drawing

AXES = {"concurrency": "requests at a time", "scaling": "endpoint workers", "matrix": "concurrency of each endpoint worker"}
CURVE = 120
NOTHING = "no setting was measured whole"


def sweep_plots(of: SweepResult) -> list[Plot | MissingPlot]:
    """Every figure that this kind of sweep has, in its order."""
    return [_throughput(of), *([_efficiency(of)] if of.settings.by_workers else [_multiplier(of)]), _cost(of), _split(of), _quality(of)]


def _sized(of: SweepResult) -> list[SettingResult]:
    return [cell for cell in of.deciding if cell.size]


def _n(each: Iterable[int]) -> str:
    """How many values the settings of a figure have: ``n = 20 to 640 a setting``."""
    counts = sorted(each)
    return f"n = {counts[0]:,}{f' to {counts[-1]:,}' if counts[-1] > counts[0] else ''} a setting"


def _bases(of: Iterable[Interval]) -> str:
    """What the intervals of a figure cover, all that there are but the baseline's own."""
    told = dict.fromkeys(each.basis for each in of if each.lower is not None and each.basis != BY_DEFINITION)
    return f"95 % intervals {'; '.join(told)}" if told else "no interval can be told"


def _ends(of: Interval) -> dict[str, float | None]:
    return {"value": of.value, "lower": of.lower, "upper": of.upper}


def _throughput(of: SweepResult) -> Plot | MissingPlot:
    name, title, cells = "sweep_throughput", "Throughput and response time by setting", _sized(of)
    if not cells:
        return MissingPlot(name, title, NOTHING)
    made: list[dict[str, object]] = [{"part": "mean", "x": cell.size, "setting": cell.name, **_ends(cell.throughput)} for cell in cells]
    made += [{"part": "repeat", "x": cell.size, "setting": cell.name, "value": each} for cell in cells for each in cell.each]
    made += [_tail(cell, p) for p in (50, 95, 99) for cell in cells]
    made += [{"part": "knee", "x": of.knee.size, "setting": of.knee.name, "value": of.knee.throughput.value}] if of.knee else []
    made += [
        {"part": f"limit {o.metric}", "x": 0, "setting": o.text, "value": o.value} for o in of.settings.objectives if o.metric[0] in "pm"
    ]
    caption = f"Answered ok, {_n(len(cell.ok) for cell in cells)}. Throughput: mean over repeats, a dot a repeat; "
    caption += f"{_bases(cell.throughput for cell in cells)}. P50, P95, P99 of response time: nearest rank. "
    caption += f"Knee: the smallest setting within {percent(of.settings.gain)} of the best throughput."
    data = _axis(pd.DataFrame([*made, *_curve(of, cells)]), of)
    return Plot(name, title, caption + _law(of), data, sweep_drawing.throughput, 5.6)


def _tail(cell: SettingResult, percent_of: int) -> dict[str, object]:
    found = cell.percentile(percent_of)
    return {
        "part": f"p{percent_of}",
        "x": cell.size,
        "setting": cell.name,
        "value": found.value,
        "lower": found.lower,
        "upper": found.upper,
    }


def _curve(of: SweepResult, cells: list[SettingResult]) -> Iterator[dict[str, object]]:
    """The law along the axis: at each setting's size, for the concurrency that it achieved there."""
    if not isinstance(of.law, Usl) or len(cells) < 2:
        return
    sizes = np.array([float(cell.size or 0) for cell in cells])
    achieved = sizes if of.settings.by_workers else np.array([cell.in_flight or 0.0 for cell in cells])
    along = np.geomspace(sizes[0], sizes[-1], CURVE)
    for x, value in zip(along, fitted(of.law, np.interp(along, sizes, achieved)), strict=True):
        yield {"part": "law", "x": float(x), "setting": "", "value": float(value)}


def _law(of: SweepResult) -> str:
    if not isinstance(of.law, Usl):
        return f" No Universal Scalability Law: {of.law}."
    peak = f"N* = {brief(of.law.peak.value)}" if not of.law.peak_note else of.law.peak_note
    return f" Curve: Universal Scalability Law, R² = {of.law.r_squared:.3f}; {peak}."


def _axis(data: pd.DataFrame, of: SweepResult) -> pd.DataFrame:
    """``data`` with the name of its x axis, and all columns that a drawing asks for."""
    for column in ("lower", "upper"):
        if column not in data:
            data[column] = np.nan
    return data.astype({"value": "float64", "lower": "float64", "upper": "float64", "x": "float64"}).assign(axis=AXES[of.settings.question])


def _efficiency(of: SweepResult) -> Plot | MissingPlot:
    name, title = "sweep_efficiency", "Scaling efficiency"
    known = [(cell, of.relative[cell.name]) for cell in _sized(of) if cell.name in of.relative]
    good = [(cell, to) for cell, to in known if to.efficiency.value is not None]
    if len(good) < 2:
        whys = dict.fromkeys(f"{cell.name}: {to.refusal}" for cell, to in known if to.refusal)
        return MissingPlot(name, title, "; ".join(whys) or "it takes the baseline and another number of endpoint workers")
    data = pd.DataFrame([{"part": "mean", "x": cell.size, "setting": cell.name, **_ends(to.efficiency)} for cell, to in good])
    left = [cell.name for cell, to in known if to.efficiency.value is None]
    caption = "(R_n ÷ R_1) ÷ (n ÷ n_1), n proven by the answers' worker ids or the control; "
    caption += f"answered ok, {_n(len(cell.ok) for cell, _ in good)}; {_bases(to.efficiency for _, to in good)}."
    caption += f" Target above {percent(ratios.TARGET)}; below {percent(ratios.BOTTLENECK)} look for a bottleneck."
    caption += f" Left out, as their figure would be false: {', '.join(left)}." if left else ""
    return Plot(name, title, caption, _axis(data, of), sweep_drawing.efficiency)


def _multiplier(of: SweepResult) -> Plot | MissingPlot:
    name, title = "sweep_multiplier", "Throughput multiplier against requests at a time"
    known = [(cell, of.relative[cell.name]) for cell in _sized(of) if cell.name in of.relative and of.relative[cell.name].share]
    if len(known) < 2:
        return MissingPlot(name, title, "it takes the baseline and another setting, both measured whole")
    data = pd.DataFrame(
        [
            {"part": "mean", "x": cell.size, "setting": cell.name, "share": to.share, "contention": to.contention, **_ends(to.multiplier)}
            for cell, to in known
        ]
    ).assign(worth=of.settings.worth)
    caption = f"Throughput ÷ that of {known[0][0].name}; dashed: ideal, and {of.settings.worth:g} of it. At the foot the contention. "
    caption += f"Answered ok, {_n(len(cell.ok) for cell, _ in known)}; {_bases(to.multiplier for _, to in known)}."
    return Plot(name, title, caption, _axis(data, of), sweep_drawing.multiplier)


def _cost(of: SweepResult) -> Plot | MissingPlot:
    name, title = "sweep_cost", "Cost against P95"
    priced = of.settings.price is not None
    cells = [cell for cell in _sized(of) if cell.percentile(95).value is not None and (cell.usd_per_1000 if priced else cell.effort)]
    if len(cells) < 2:
        return MissingPlot(name, title, "it takes two settings with a P95" + (" and a known number of endpoint workers" if priced else ""))
    data = pd.DataFrame(
        {
            "setting": [cell.name for cell in cells],
            "x": [cell.percentile(95).value for cell in cells],
            "value": [cell.usd_per_1000 if priced else (cell.effort or 0.0) * 1000 for cell in cells],
        }
    ).astype({"x": "float64", "value": "float64"})
    data["frontier"] = [not _beaten(data, x, value) for x, value in zip(data["x"], data["value"], strict=True)]
    unit = "USD per 1,000 ok" if priced else "worker-seconds per 1,000 ok"
    caption = "A mark a setting; joined: the efficient frontier, settings that no other one beats in both. "
    caption += f"P95 of answered ok, nearest rank, {_n(len(cell.ok) for cell in cells)}; cost by mean throughput."
    caption += "" if priced else " No price was given."
    return Plot(name, title, caption, data.assign(axis="P95 of response time (s)", unit=unit), sweep_drawing.cost)


def _beaten(data: pd.DataFrame, x: float, value: float) -> bool:
    """Whether a setting is as good in both, and better in one."""
    as_good = (data["x"] <= x) & (data["value"] <= value)
    return bool((as_good & ((data["x"] < x) | (data["value"] < value))).any())


def _split(of: SweepResult) -> Plot | MissingPlot:
    name, title = "sweep_split", "Where the time goes, by setting"
    cells = [cell for cell in of.deciding if cell.split]
    if not cells:
        return MissingPlot(name, title, "the endpoint told no queue delay and execution time")
    caption = "Mean service time of answered ok; queue delay and execution time as the endpoint tells them, the cold start taken from "
    caption += f"the former; {_n(len(cell.told) for cell in cells)} that tell both."
    data = pd.DataFrame([{"setting": cell.name, **cell.split} for cell in cells])
    return Plot(name, title, caption, data[["setting", *SPLIT]], sweep_drawing.split)


def _quality(of: SweepResult) -> Plot | MissingPlot:
    name, title, cells = "sweep_quality", "Word error rate beside throughput", [cell for cell in _sized(of) if cell.wer_n]
    if not cells:
        return MissingPlot(name, title, "no clip has a text to hold the answers against")
    made = [{"part": "wer", "x": cell.size, "setting": cell.name, **_ends(cell.wer)} for cell in cells]
    made += [{"part": "mean", "x": cell.size, "setting": cell.name, **_ends(cell.throughput)} for cell in cells]
    caption = f"Mean word error rate of answered ok, {_n(cell.wer_n for cell in cells)}; {_bases(cell.wer for cell in cells)}. "
    caption += f"Throughput: mean over repeats; {_bases(cell.throughput for cell in cells)}."
    return Plot(name, title, caption, _axis(pd.DataFrame(made), of), sweep_drawing.quality, 4.6)
