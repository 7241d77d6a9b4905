"""The panels of the timeline, each drawn from its part of the data, all above one axis of time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import layout
from .style import BLUE, COLD, FAILED, FAINT, GREEN, INK, JOBS, MARKS, STATES

COLD_STARTS = "cold start"
LANE_IN = 0.27
MARGINS = 1.1
"""How much longer than its data an axis of time is, at the most."""


def height_in(data: pd.DataFrame) -> float:
    """How high a figure of these parts is."""
    return 0.5 + sum(_heights(data).values())


def draw(figure: Figure, data: pd.DataFrame) -> None:
    """A panel for each part that the data has; where a stage was measured, and where a generator was missing, shaded in all."""
    heights = _heights(data)
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=list(heights.values()))[:, 0]
    shown = panels[-1] if "marks" not in heights or len(heights) == 1 else panels[-2]
    for axes, name in zip(panels, heights, strict=True):
        PANELS[name][1](axes, data)
        if name != "marks":
            axes.set_ylim(bottom=0, top=axes.get_ylim()[1] * (1.15 if axes is shown and (data["part"] == "measured").any() else 1.0))
        _shade(axes, data, named=axes is shown)
        layout.legend(axes)
    panels[-1].set_xlim(left=0 if float(data["at_s"].min()) >= 0 else None)
    layout.time_axis(panels[-1], "{unit} from second 0", float(data["at_s"].max()))


def _heights(data: pd.DataFrame) -> dict[str, float]:
    there = set(data["part"])
    heights = {name: high for name, (parts, _, high) in PANELS.items() if there & set(parts)}
    if "marks" in heights:
        heights["marks"] = LANE_IN * data.loc[data["part"] == "mark", "kind"].nunique() + 0.1
    return heights


def _shade(axes: Axes, data: pd.DataFrame, *, named: bool) -> None:
    """Every other measured stage darker, their names in one panel; a lost generator's time in the colour of failures."""
    measured = data[data["part"] == "measured"]
    spans = measured[["at_s", "until_s", "stage"]].itertuples(index=False) if len(measured) else ()
    a_point_s = (float(data["at_s"].max()) - min(float(data["at_s"].min()), 0.0)) * MARGINS / layout.room_width_pt(axes)
    for place, (at_s, until_s, name) in enumerate(spans):
        axes.axvspan(at_s, until_s, color=FAINT, alpha=0.10 + 0.08 * (place % 2), linewidth=0, zorder=0)
        if named and layout.width_pt(str(name)) * a_point_s < until_s - at_s:
            middle = ((at_s + until_s) / 2, 0.98)
            axes.annotate(name, middle, xycoords=("data", "axes fraction"), ha="center", va="top", fontsize=8, color=INK)
    lost = data[data["part"] == "lost"]
    for at_s, until_s in lost[["at_s", "until_s"]].itertuples(index=False) if len(lost) else ():
        axes.axvspan(at_s, until_s, color=FAILED, alpha=0.15, linewidth=0, zorder=0)


def rates(axes: Axes, data: pd.DataFrame) -> None:
    """Arrivals due and answers ok, each per second."""
    for part, column, colour, label in (
        ("offered", "offered_per_s", FAINT, "offered"),
        ("completed", "completed_per_s", BLUE, "completed ok"),
    ):
        rows = data[data["part"] == part]
        if len(rows):
            axes.step(rows["at_s"], rows[column], where="post", color=colour, label=label)
    axes.set_ylabel("per s")


def in_flight(axes: Axes, data: pd.DataFrame) -> None:
    """Attempts sent and not ended."""
    rows = data[data["part"] == "in_flight"]
    axes.fill_between(rows["at_s"], rows["in_flight"], step="post", color=GREEN, alpha=0.6, linewidth=0, label="in flight")
    axes.set_ylabel("attempts")
    layout.whole_numbers(axes)


def jobs(axes: Axes, data: pd.DataFrame) -> None:
    """Jobs waiting and at work, as /health gauges them."""
    rows = data[data["part"] == "jobs"]
    for name, (label, colour) in JOBS.items():
        axes.step(rows["at_s"], rows[name], where="post", color=colour, label=label)
    axes.set_ylabel("jobs")
    layout.whole_numbers(axes)


def workers(axes: Axes, data: pd.DataFrame) -> None:
    """Endpoint workers by state, one above the other; states that never occur are left out."""
    rows = data[data["part"] == "workers"]
    floor = np.zeros(len(rows))
    for name, (label, colour) in STATES.items():
        counts = rows[name].fillna(0).to_numpy()
        if counts.any():
            axes.fill_between(rows["at_s"], floor, floor + counts, step="post", color=colour, alpha=0.75, linewidth=0, label=label)
            floor = floor + counts
    axes.set_ylabel("endpoint\nworkers")
    layout.whole_numbers(axes)


def marks(axes: Axes, data: pd.DataFrame) -> None:
    """A lane a kind: a stroke at each instant at which it happened, its name and number above the strokes."""
    rows = data[data["part"] == "mark"]
    lanes = list(dict.fromkeys(rows["kind"]))
    for place, kind in enumerate(lanes):
        of = rows[rows["kind"] == kind]
        colour = COLD if kind == COLD_STARTS else MARKS[kind][0]
        ends = np.tile([place + 0.55, place + 0.92, np.nan], len(of))
        axes.plot(np.repeat(of["at_s"].to_numpy(), 3), ends, color=colour, linewidth=1.6, solid_capstyle="butt")  # one path for all
        said = f"{kind} ({int(of['count'].sum()):,})"
        axes.annotate(said, (0, place + 0.5), (2, 0), ("axes fraction", "data"), "offset points", va="bottom", fontsize=8, in_layout=False)
    axes.set_ylim(len(lanes), 0)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")


PANELS: Mapping[str, tuple[tuple[str, ...], Callable[[Axes, pd.DataFrame], None], float]] = {
    "rates": (("offered", "completed"), rates, 1.15),
    "in_flight": (("in_flight",), in_flight, 1.0),
    "jobs": (("jobs",), jobs, 1.0),
    "workers": (("workers",), workers, 1.15),
    "marks": (("mark",), marks, LANE_IN),
}
"""The panels from above: the parts of the data that each draws, how, and its height in inches."""
