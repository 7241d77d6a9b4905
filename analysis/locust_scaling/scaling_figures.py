"""Figures of efficiency, rate and P95 by number of workers, drawn like those of a sweep."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..figures.style import MissingPlot, Plot
from ..statistics.intervals import Interval
from ..sweep import ratios
from ..sweep.usl import Usl, fitted
from ..sweep_report import sweep_figures
from ..text.number_format import percent
from .scaling import Scaling
from .worker_level import WorkerLevel

AXIS = "endpoint workers (from the command line)"
CURVE = 80


def scaling_plots(of: Scaling) -> list[Plot | MissingPlot]:
    """The figures, in order."""
    return [_efficiency(of), _rate(of), _times(of)]


def _table(rows: list[dict[str, object]]) -> pd.DataFrame:
    columns = ("part", "x", "setting", "value", "lower", "upper")
    table = pd.DataFrame(rows, columns=pd.Index(columns))
    return table.astype(dict.fromkeys(("x", "value", "lower", "upper"), "float64")).assign(axis=AXIS)


def _efficiency(of: Scaling) -> Plot | MissingPlot:
    name, title = "sweep_efficiency", "Scaling efficiency against endpoint workers"
    good = [(one, of.shares[one.workers].efficiency) for one in of.levels if of.shares[one.workers].efficiency.value is not None]
    if len(good) < 2:
        return MissingPlot(
            name, title, "; ".join(dict.fromkeys(to.doubt for to in of.shares.values() if to.doubt)) or "a level has no rate"
        )
    caption = f"(R_n ÷ R_1) ÷ (n ÷ n_1), R in {of.unit} from the history if there is one, {_windows(one for one, _ in good)}; "
    caption += f"n comes from the command line. {_bars(efficiency for _, efficiency in good[1:])} "
    caption += f"Target: above {percent(ratios.TARGET)}; below {percent(ratios.BOTTLENECK)}, look for a bottleneck."
    left = [str(n) for n, to in of.shares.items() if to.doubt]
    unsure = not any(to.impossible for to in of.shares.values())
    why = "because the load may not saturate" if unsure else "for the reasons in the notes"
    caption += f" Not shown, {why}: {', '.join(left)}." if left else ""
    return Plot(name, title, caption, _table([_mean(*each) for each in good]), sweep_figures.efficiency)


def _mean(one: WorkerLevel, of: Interval) -> dict[str, object]:
    return {"part": "mean", "x": one.workers, "setting": one.workers, "value": of.value, "lower": of.lower, "upper": of.upper}


def _windows(levels: Iterable[WorkerLevel]) -> str:
    return f"n = {', '.join(f'{one.flow.n:,}' for one in levels)} requests"


def _bars(of: Iterable[Interval]) -> str:
    told = dict.fromkeys(each.basis for each in of if each.lower is not None)
    return f"Bars: 95 % intervals, {', '.join(told)}." if told else "No level has an interval."


def _rate(of: Scaling) -> Plot | MissingPlot:
    name, title = "sweep_throughput", "Rate against endpoint workers"
    good = [one for one in of.levels if one.flow.per_s.value]
    if len(good) < 2:
        return MissingPlot(name, title, "fewer than two levels have a rate")
    rows = [_mean(one, one.flow.per_s) for one in good]
    law = of.law
    if isinstance(law, Usl):
        along = np.geomspace(*law.levels, CURVE)
        rows += [{"part": "law", "x": float(x), "setting": "", "value": float(y)} for x, y in zip(along, fitted(law, along), strict=True)]
    said = (
        f"Curve: Universal Scalability Law, R² = {law.r_squared:.3f}." if isinstance(law, Usl) else f"No Universal Scalability Law: {law}."
    )
    draw = partial(_draw_rate, unit="ok per s" if of.unit == "ok/s" else "requests per s")
    caption = f"From the history if there is one, otherwise Locust's own rate; {_windows(good)}. "
    caption += f"{_bars(one.flow.per_s for one in good)} {said}"
    return Plot(name, title, caption, _table(rows), draw)


def _draw_rate(figure: Figure, data: pd.DataFrame, unit: str) -> None:
    axes = figure.add_subplot()
    sweep_figures.rates(axes, data)
    axes.set_ylabel(unit)
    axes.set_xlabel(AXIS)


def _times(of: Scaling) -> Plot | MissingPlot:
    name, title = "scaling_p95", "P50 and P95 against endpoint workers"
    rows: list[dict[str, object]] = [
        {"part": f"p{p}", "x": one.workers, "setting": one.workers, "value": one.percentile_s(p)}
        for p in (50, 95)
        for one in of.levels
        if one.percentile_s(p) is not None
    ]
    if len({row["x"] for row in rows if row["part"] == "p95"}) < 2:
        return MissingPlot(name, title, "fewer than two levels have a P95")
    rows += [{"part": "mean", "x": one.workers, "setting": one.workers, "value": None} for one in of.levels]  # the ticks
    caption = "Whole runs, from sending, rounded by Locust to two digits, including failures; "
    caption += f"n = {', '.join(f'{one.requests:,}' for one in of.levels if one.percentile_s(95) is not None)} requests."
    return Plot(name, title, caption, _table(rows), _draw_times)


def _draw_times(figure: Figure, data: pd.DataFrame) -> None:
    axes = figure.add_subplot()
    axes.set_ylim(0, float(data["value"].max()) * 1.1 or 0.001)
    sweep_figures.tails(axes, data)
