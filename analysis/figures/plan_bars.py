"""Bars of P95 and worker-seconds of several predictions, beside what was measured."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from coldburst.planner.predict import Prediction

from . import layout
from .style import BLUE, FAINT, GREY, ORANGE


def setting_row(name: str, one: Prediction) -> dict[str, Any]:
    """A row for ``draw_settings``."""
    ends = ("median", "low", "high")
    p95 = {f"p95_{end}_s": getattr(one["p95_s"], end) for end in ends}
    return {"setting": name, **p95, **{f"worker_s_{end}": getattr(one["worker_s"], end) for end in ends}}


def draw_settings(figure: Figure, data: pd.DataFrame) -> None:
    """A bar for each row of ``setting``: P95 and worker-seconds with their ranges, beside what was measured."""
    if layout.narrow(figure):
        figure.set_figheight(3.4)
        panels = figure.subplots(2, 1)
    else:
        panels = figure.subplots(1, 2, sharey=True)
    _panel(panels[0], data, ("p95_median_s", "p95_low_s", "p95_high_s", "measured_p95_s"), "P95 response time (s)", BLUE)
    _panel(
        panels[1], data, ("worker_s_median", "worker_s_low", "worker_s_high", "measured_worker_s"), "worker-seconds for this load", ORANGE
    )


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
