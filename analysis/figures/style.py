"""Style of the figures: Okabe and Ito's colours for colour-blind readers, one colour and marker per outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from coldburst.record.attempt import OUTCOMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, FAINT, GRID = "#22303c", "#6b7885", "#dfe4e9"
BLUE, SKY, GREEN, ORANGE, RED, PURPLE, YELLOW = "#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00", "#cc79a7", "#e3d12b"
DARK_RED, DARK_PURPLE, DARK_YELLOW, GREY, PALE = "#8c3b00", "#8a4a72", "#a08f00", "#b3bcc4", "#d5dbe0"
COLD, QUEUED, FAILED = SKY, ORANGE, RED
MARKS: Mapping[str, tuple[str, str]] = {
    "ok": (BLUE, "o"),
    "ok (cold)": (COLD, "*"),
    "ok (queued)": (QUEUED, "o"),
    "failed": (FAILED, "X"),
    "wrong": (PURPLE, "D"),
    "queue_timeout": (QUEUED, "s"),
    "throttled": (YELLOW, "^"),
    "busy": (DARK_YELLOW, "v"),
    "refused": (DARK_PURPLE, "P"),
    "timed_out": (DARK_RED, "s"),
    "unreachable": (INK, "^"),
    "abandoned": (FAINT, "X"),
    "unfinished": (GREY, "d"),
    "not_sent": (PALE, "v"),
}
# The phases of a response time in order; analysis/figures/anatomy.py explains them.
PHASES: Mapping[str, tuple[str, str]] = {
    "held_s": ("held by the generator", PURPLE),
    "tries_s": ("earlier tries", DARK_PURPLE),
    "queue_s": ("queue", QUEUED),
    "cold_s": ("cold start", COLD),
    "execution_s": ("execution", BLUE),
    "rest_s": ("network and the rest", FAINT),
    "untold_s": ("not reported", GREY),
}
# The page sets these for light and dark themes; separate files keep the light colours.
THEMED = {
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    GRID: "var(--grid)",
    BLUE: "var(--blue)",
    SKY: "var(--sky)",
}
STYLE: Mapping[Any, Any] = {
    "font.size": 10,
    "font.family": "sans-serif",
    "text.parse_math": False,  # a stage may be called $x$
    "svg.fonttype": "none",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
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
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
}


@dataclass(frozen=True)
class Plot:
    """A figure: name of its files, title, caption, data, and the function that draws it, for a wide page and for a phone."""

    name: str
    title: str
    caption: str
    data: pd.DataFrame
    draw: Callable[[Figure, pd.DataFrame], None]
    height_in: float = 3.2


@dataclass(frozen=True)
class MissingPlot:
    """A figure that the run cannot fill, with the reason."""

    name: str
    title: str
    reason: str


assert set(OUTCOMES) <= set(MARKS), "each outcome has a mark"


JOBS = {"in_queue": ("waiting", QUEUED), "in_progress": ("at work", BLUE)}
# States of endpoint workers, from the bottom of the stack; ``ready`` also counts cached workers and is not a state.
STATES = {
    "running": ("running", BLUE),
    "idle": ("idle", GREEN),
    "initializing": ("initializing", COLD),
    "throttled": ("throttled", YELLOW),
    "unhealthy": ("unhealthy", FAILED),
}
