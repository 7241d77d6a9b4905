"""House style of the figures: Okabe and Ito's colours, which colour-blind readers tell apart, one fixed colour and marker an outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from rig.attempt import OUTCOMES

INK, FAINT, GRID = "#22303c", "#6b7885", "#dfe4e9"
BLUE, SKY, GREEN, ORANGE, RED, PURPLE = "#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00", "#cc79a7"
COLD, QUEUED = SKY, ORANGE
MARKS: Mapping[str, tuple[str, str]] = {
    "ok": (BLUE, "o"),
    "ok (cold)": (COLD, "*"),
    "ok (queued)": (QUEUED, "o"),
    "failed": (RED, "X"),
    "wrong": (PURPLE, "D"),
    "queue_timeout": (QUEUED, "s"),
    "throttled": (ORANGE, "^"),
    "busy": (ORANGE, "v"),
    "refused": (PURPLE, "P"),
    "timed_out": (RED, "s"),
    "unreachable": (RED, "^"),
    "abandoned": (INK, "X"),
    "unfinished": (FAINT, "d"),
    "not_sent": (FAINT, "v"),
}
STYLE: Mapping[Any, Any] = {
    "font.size": 10,
    "font.family": "sans-serif",
    "svg.fonttype": "none",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": FAINT,
    "ytick.labelcolor": FAINT,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


@dataclass(frozen=True)
class Plot:
    """A figure to be: its name (of the files), title, caption, data, how it is drawn on a Figure, and the Figure's height in inches."""

    name: str
    title: str
    caption: str
    data: pd.DataFrame
    draw: Callable[[Figure, pd.DataFrame], None]
    height_in: float = 3.5


@dataclass(frozen=True)
class Absent:
    """A figure that the run cannot fill, and why."""

    name: str
    title: str
    reason: str


assert set(OUTCOMES) <= set(MARKS), "each outcome has a mark"
