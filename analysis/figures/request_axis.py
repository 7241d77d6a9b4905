"""The x axis that figures with a mark a request share."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from . import layout
from .bins import Floats, floats

PIXELS_FROM = 1_000
"""Marks from which on they are pixels within the drawing."""


def x_positions(rows: pd.DataFrame) -> tuple[Floats, bool]:
    """Where each request stands on the x axis, and whether that is its place in the row, as all were due at one instant."""
    due = floats(rows, "scheduled_s")
    at_once = len(due) > 1 and float(due.max() - due.min()) == 0.0
    return (np.arange(1.0, len(due) + 1) if at_once else due), at_once


def x_axis(axes: Axes, data: pd.DataFrame) -> None:
    """The x axis of ``x_positions``; ``data`` has the columns at_once and end_x."""
    if bool(data["at_once"].iloc[0]):
        axes.set_xlabel(
            "request, in order of seq (all due at one instant)" if not layout.narrow(axes) else "request, all due at one instant"
        )
        return
    layout.time_axis(axes, "due ({unit} from second 0)", float(data["end_x"].iloc[0]))
