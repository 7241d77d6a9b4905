"""Figures of the load generator: lateness, requests in flight, CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..tables.run_tables import Tables
from ..text.number_format import plural, seconds
from ..verdict.verdict import CPU_FULL, lateness_limit_s
from . import bins, dense_scatter, layout
from .bins import floats
from .dense_scatter import ScatterPoints
from .layout import PIXELS_FROM, x_axis, x_positions
from .style import BLUE, GREEN, QUEUED, MissingPlot, Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_SAMPLES = 600


def lateness(tables: Tables) -> Plot | MissingPlot:
    """The lateness of each request, and the limit of the verdict."""
    name, title, rows = "lateness", "Lateness of the generator", tables.requests
    late = floats(rows, "lateness_s") if len(rows) else np.array([])
    sent = ~np.isnan(late)
    if not sent.any():
        return MissingPlot(name, title, "no request was sent")
    x, at_once = x_positions(rows)
    limit_s, n = lateness_limit_s(tables), int(sent.sum())
    kept = slice(None) if n == len(late) else sent
    sample = ScatterPoints(rows.index.to_numpy()[kept], x[kept], late[kept], np.zeros(n, dtype=np.int8))
    data = dense_scatter.scatter_data(sample, ["sent"], ["sent"]).rename(columns={"y": "lateness_s"}).drop(columns=["kind", "of_kind"])
    data = data.assign(limit_s=limit_s, at_once=at_once, end_x=float(x.max()))
    caption = f"n = {n:,} requests sent; sent − scheduled − held by the in-flight cap. "
    caption += f"The run is invalid if the P99 exceeds {seconds(limit_s)}."
    return Plot(name, title, caption, data, _draw_lateness, 2.6)


def _draw_lateness(figure: Figure, data: pd.DataFrame) -> None:
    axes = figure.add_subplot()
    cells, marks = data[data["part"] == "cell"], data[data["part"] == "mark"]
    limit_ms = float(data["limit_s"].iloc[0]) * 1000
    if len(cells):
        dense_scatter.draw_cells(axes, cells.rename(columns={"lateness_s": "y"}), 1000.0)
    axes.scatter(marks["x"], marks["lateness_s"] * 1000, s=14, c=BLUE, linewidths=0, alpha=0.8, rasterized=len(marks) > PIXELS_FROM)
    x_axis(axes, data)
    axes.set_ylabel("lateness (ms)")
    _limited(axes, data, limit_ms)


def _limited(axes: Axes, data: pd.DataFrame, limit_ms: float) -> None:
    late_s = data["top"].fillna(data["lateness_s"]) if "top" in data else data["lateness_s"]
    top, said = float(late_s.max()) * 1000, f"limit {seconds(limit_ms / 1000)}"
    in_sight = limit_ms <= 5 * top
    axes.set_ylim(min(0.0, float(data["lateness_s"].min()) * 1100), (max(top, limit_ms) if in_sight else max(top, 0.1)) * 1.3)
    if in_sight:
        layout.limit(axes, limit_ms, said)
        return
    axes.annotate(
        f"{said}, above" if layout.narrow(axes) else f"{said}, above the figure",
        (1, 1),
        (0, -3),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=layout.SMALL,
    )


def generator(tables: Tables) -> Plot | MissingPlot:
    """Requests in flight and held, and the CPU of the busiest generator."""
    name, title, rows = "generator", "In flight, and the generator's CPU", tables.run.generator
    if rows is None:
        return MissingPlot(name, title, "generator.csv is missing or empty")
    second = rows["at_s"].floordiv(1).rename("at_s")
    each = rows.groupby([second, "generator"], observed=True)[["in_flight", "held", "cpu"]].last()
    data = each.groupby("at_s").agg(in_flight=("in_flight", "sum"), held=("held", "sum"), cpu=("cpu", "max")).reset_index()
    many, said = rows["generator"].nunique(), "One sample per second"
    if len(data) > MOST_SAMPLES:
        width = bins.width_s(float(data["at_s"].max()), MOST_SAMPLES)
        data = data.groupby(data["at_s"].floordiv(width) * width)[["in_flight", "held", "cpu"]].max().reset_index()
        said = f"The largest sample of each {bins.width_text(width)}"
    caption = f"{said}; {plural(many, 'load generator')}: sums of in flight and held, CPU of the busiest (1.0 = a full core)."
    return Plot(name, title, caption, data, _draw_generator, 3.4)


def _draw_generator(figure: Figure, data: pd.DataFrame) -> None:
    above, below = figure.subplots(2, 1, sharex=True)
    _in_flight(above, data)
    _cpu(below, data)
    below.set_xlim(left=min(0.0, float(data["at_s"].min())))
    layout.time_axis(below, "time ({unit})", float(data["at_s"].max()))


def _in_flight(axes: Axes, data: pd.DataFrame) -> None:
    axes.step(data["at_s"], data["in_flight"], where="post", color=BLUE, label="in flight")
    if data["held"].max() > 0:
        axes.step(data["at_s"], data["held"], where="post", color=QUEUED, label="held by the in-flight cap")
    axes.set_ylabel("requests")
    axes.set_ylim(bottom=0)
    layout.whole_numbers(axes)
    layout.legend(axes)


def _cpu(axes: Axes, data: pd.DataFrame) -> None:
    axes.step(data["at_s"], data["cpu"], where="post", color=GREEN)
    layout.limit(axes, CPU_FULL, f"limit {CPU_FULL:.1f}")
    axes.set_ylim(0, max(1.25, float(data["cpu"].max()) * 1.1))
    axes.set_ylabel("CPU (cores)")
