"""The figure of outcomes over time."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from coldburst.record.attempt import OUTCOMES

from ..tables.run_tables import Tables
from . import bins, layout
from .bins import codes, floats
from .style import MARKS, MissingPlot, Plot

BINS = 96


def outcomes(tables: Tables) -> Plot | MissingPlot:
    """Requests by outcome, counted in bins of the instant when they ended."""
    name, title, rows = "outcomes", "Outcomes over time", tables.requests
    if rows.empty:
        return MissingPlot(name, title, "no request has a row")
    done = floats(rows, "done_s")
    at = np.where(np.isnan(done), floats(rows, "scheduled_s"), done)
    width = bins.width_s(max(float(at.max()), 1e-3), BINS)
    count = bins.bin_count(float(at.max()), width)
    names = list(OUTCOMES)
    place = bins.bin_of(at, 0.0, width, count) + count * codes(rows["outcome"], names).astype(np.intp)
    table = np.bincount(place, minlength=count * len(names)).reshape(len(names), count)
    kept = {each: row for each, row in zip(names, table, strict=True) if row.any()}
    data = pd.DataFrame({"at_s": np.arange(count) * width, "width_s": width, **kept})
    caption = f"n = {len(rows):,} requests, in bins of {bins.width_text(width)} by when they ended; without an end: by when they were due."
    return Plot(name, title, caption, data[data[list(kept)].sum(axis=1) > 0].reset_index(drop=True), _draw, 2.6)


def _draw(figure: Figure, data: pd.DataFrame) -> None:
    axes = figure.add_subplot()
    floor = np.zeros(len(data))
    for name in [each for each in MARKS if each in data]:
        top = floor + data[name].to_numpy(dtype=np.float64)
        left, some = data["at_s"].to_numpy(), top > floor
        right = left + data["width_s"].to_numpy()
        layout.boxes(axes, left[some], right[some], floor[some], top[some], MARKS[name][0], f"{name} ({data[name].sum():,})")
        floor = top
    axes.set_ylabel(f"requests\nper {bins.width_text(float(data['width_s'].iloc[0]))}")
    axes.grid(visible=False, axis="x")
    layout.whole_numbers(axes)
    layout.time_axis(axes, "ended ({unit} from second 0)", float((data["at_s"] + data["width_s"]).max()))
    axes.set_ylim(bottom=0)
    layout.figure_legend(axes)
