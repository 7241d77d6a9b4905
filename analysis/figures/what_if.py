"""The figure of the settings next to the present one: predicted P95 and cost of the run's load."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from coldburst.planner.predict import Prediction, ranges_text

from ..tables.run_tables import Tables
from ..tables.what_if import run_what_if
from . import layout
from .style import BLUE, FAINT, GREY, ORANGE, MissingPlot, Plot

UNITS = {"usd": "USD", "worker_s": "worker-seconds"}
NAME, TITLE = "what_if", "Predicted: this load under the settings next to the present one"


def what_if(of: Tables) -> list[Plot | MissingPlot]:
    """The figure; one that is missing says why, and there is none for services whose workers no platform starts."""
    made = run_what_if(of)
    if made is None:
        return []
    if made.found is None or made.measured is None:
        return [MissingPlot(NAME, TITLE, made.why)]
    priced = any(one.scenario.usd_per_s for _, one in made.found.predictions)
    cost = "usd" if priced else "worker_s"
    known = {"measured_p95_s": made.measured.p95_s, "measured_cost": made.measured.usd if priced else made.measured.worker_s}
    rows = [setting_row(name, one, cost) | known for name, one in made.found.predictions]
    runs = len(made.found.predictions[0][1].runs)
    caption = f"{ranges_text(runs)} Dashed: measured in this run."
    return [Plot(NAME, TITLE, caption, pd.DataFrame(rows), draw_settings, 2.2)]


def setting_row(name: str, one: Prediction, cost: str) -> dict[str, Any]:
    """A row for ``draw_settings``; ``cost``: usd or worker_s."""
    ends = ("median", "low", "high")
    p95 = {f"p95_{end}_s": getattr(one["p95_s"], end) for end in ends}
    return {"setting": name, **p95, **{f"cost_{end}": getattr(one[cost], end) for end in ends}, "cost_unit": UNITS[cost]}


def draw_settings(figure: Figure, data: pd.DataFrame) -> None:
    """A bar for each row of ``setting``: P95 and cost with their ranges, beside what was measured."""
    if layout.narrow(figure):
        figure.set_figheight(3.4)
        panels = figure.subplots(2, 1)
    else:
        panels = figure.subplots(1, 2, sharey=True)
    unit = str(data["cost_unit"].iloc[0])
    _panel(panels[0], data, ("p95_median_s", "p95_low_s", "p95_high_s", "measured_p95_s"), "P95 response time (s)", BLUE)
    _panel(panels[1], data, ("cost_median", "cost_low", "cost_high", "measured_cost"), f"{unit} for this load", ORANGE)


def _panel(axes: Axes, data: pd.DataFrame, columns: tuple[str, str, str, str], label: str, colour: str) -> None:
    middle, low, high = (data[column].to_numpy(dtype="float64") for column in columns[:3])
    places = range(len(data))
    colours = [GREY, *[colour] * (len(data) - 1)]
    axes.barh(places, middle, height=0.55, color=colours)
    axes.hlines(places, low, high, color=FAINT, linewidth=1.5)
    measured = data[columns[3]].iloc[0]
    if measured is not None and pd.notna(measured):
        axes.axvline(float(measured), color=FAINT, linewidth=1.2, linestyle=layout.DASHED)
    axes.set_yticks(places, [str(name) for name in data["setting"]])
    axes.tick_params(axis="y", labelcolor=FAINT)
    axes.set_ylim(len(data) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel(label)
