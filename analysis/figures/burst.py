"""The picture of a burst: each request a bar from scheduled to done, coloured by where its time went."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..tables.run_tables import Tables
from . import layout
from .bins import evenly, floats
from .phases import cold_remark, phases, visible_phases
from .style import INK, MARKS, PHASES, MissingPlot, Plot

MOST = 200
SLIVER = 0.02
"""Where the P95 is less than this share of the run, bars along the run would be slivers: they begin side by side instead."""


def burst(tables: Tables) -> Plot | MissingPlot:
    """Every request, or MOST of them evenly by seq, as a bar."""
    name, title, rows = "burst", "Each request from scheduled to done", tables.requests
    ended = np.flatnonzero(~np.isnan(floats(rows, "response_s"))) if len(rows) else np.array([])
    if not len(ended):
        return MissingPlot(name, title, "no request came to an end")
    shown = rows.iloc[ended[evenly(len(ended), MOST)]]
    from_s = shown["scheduled_s"].to_numpy(dtype=np.float64)
    span_s = float(np.nanmax(floats(rows, "done_s")) - from_s.min())
    slivers = bool(np.percentile(floats(shown, "response_s"), 95) < SLIVER * span_s)
    data = pd.DataFrame({"seq": shown.index, "from_s": 0.0 if slivers else from_s, "since_due": slivers})
    data = data.assign(outcome=shown["outcome"].to_numpy(dtype=object), **phases(shown))
    caption = f"n = {len(data):,} of {len(ended):,} requests that ended" + (", evenly by seq" if len(data) < len(ended) else "")
    caption += ", the first on top. Phases in the order in which a request passes them; a mark ends what was not answered ok."
    caption += f" Each from its own instant when due: the run is more than {1 / SLIVER:.0f} times as long as they are." if slivers else ""
    return Plot(name, title, caption + cold_remark(shown), data, _draw, float(np.clip(0.9 + 0.09 * len(data), 2.2, 5.2)))


def _draw(figure: Figure, data: pd.DataFrame) -> None:
    bars(figure.add_subplot(), data)


def bars(axes: Axes, data: pd.DataFrame) -> None:
    """A bar a request over the seconds of the run; a mark at the end of those that were not answered ok."""
    y, floor = np.arange(len(data)), data["from_s"].to_numpy()
    named = visible_phases(data)
    for name, (label, colour) in PHASES.items():
        ends = floor + data[name].to_numpy()
        some = ends > floor
        if some.any():
            layout.boxes(axes, floor[some], ends[some], y[some] - 0.42, y[some] + 0.42, colour, label if name in named else "")
        floor = ends
    for outcome in [each for each in MARKS if (data["outcome"] == each).any() and each != "ok"]:
        rows, (colour, marker) = data[data["outcome"] == outcome], MARKS[outcome]
        axes.scatter(
            floor[rows.index],
            rows.index,
            s=22,
            c=colour,
            marker=marker,
            edgecolors=INK,
            linewidths=0.6,
            label=outcome,
            clip_on=False,
            zorder=3,
        )
    end, start = float(floor.max()), min(float(data["from_s"].min()), 0.0)
    axes.set_xlim(start, end + 0.02 * (end - start) or 1.0)
    axes.set_ylim(len(data) - 0.3, -0.7)
    axes.set_yticks([0, len(data) - 1], [f"{data['seq'].iloc[0]}", f"{data['seq'].iloc[-1]}"])
    axes.set_ylabel("request (seq)")
    axes.grid(visible=False, axis="y")
    layout.time_axis(axes, "{unit} since due" if bool(data["since_due"].iloc[0]) else "{unit} from second 0", end, start)
    layout.figure_legend(axes)
