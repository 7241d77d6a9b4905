"""The figures of plain Locust's history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ..runs import locust_csv
from ..runs.locust_csv import CUMULATIVE, SAID, LocustTotals
from . import layout
from .style import BLUE, FAILED, GREEN, INK, ORANGE, MissingPlot, Plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_HISTORY = "it needs a _stats_history.csv with at least two rows"


def histories(of: LocustTotals) -> list[Plot | MissingPlot]:
    """Requests, failures and users over time; P50 and P95 over time."""
    return [history(of), times(of)]


def history(of: LocustTotals) -> Plot | MissingPlot:
    """Requests and failures per second, and users, as counted by Locust."""
    name, title, data = "history", "Requests, failures and users over time, as Locust counted them", locust_csv.history(of)
    if len(data) < 2:
        return MissingPlot(name, title, NO_HISTORY)
    caption = f"{_n(data)}; each rate is Locust's mean over about ten seconds, ending two seconds earlier."
    return Plot(name, title, caption, data[["at_s", "requests_per_s", "failures_per_s", "users"]], _draw, 4.4)


def times(of: LocustTotals) -> Plot | MissingPlot:
    """P50 and P95 over time."""
    name, data = "history_times", locust_csv.history(of)
    title = "P50 and P95 since the start" if of.percentiles == CUMULATIVE else "P50 and P95 over time"
    if len(data) < 2:
        return MissingPlot(name, title, NO_HISTORY)
    if data["p95_s"].notna().sum() < 2:
        return MissingPlot(name, title, "the history has no percentiles: the run was shorter than ten seconds, or no request ended")
    caption = f"{_n(data)}. {SAID[of.percentiles]} They include failures, count from sending, and have two digits."
    return Plot(name, title, caption, data[["at_s", "p50_s", "p95_s"]], _draw_times)


def _n(data: pd.DataFrame) -> str:
    counted = data["requests"].max()
    return f"{len(data):,} rows of the history" + ("" if pd.isna(counted) else f", n = {int(counted):,} requests")


def _draw(figure: Figure, data: pd.DataFrame) -> None:
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.step(data["at_s"], data["requests_per_s"], where="post", color=BLUE, label="requests/s")
    above.step(data["at_s"], data["failures_per_s"], where="post", color=FAILED, label="failures/s")
    above.set_ylim(bottom=0)
    above.set_ylabel("1/s")
    layout.legend(above)
    below.step(data["at_s"], data["users"], where="post", color=INK)
    below.set_ylim(bottom=0)
    below.set_ylabel("users")
    layout.whole_numbers(below)
    layout.time_axis(below, "time since the first row ({unit})", float(data["at_s"].max()))


def _draw_times(figure: Figure, data: pd.DataFrame) -> None:
    axes = figure.add_subplot()
    for column, label, colour in (("p95_s", "P95", ORANGE), ("p50_s", "P50", GREEN)):
        axes.step(data["at_s"], data[column], where="post", color=colour, label=label)
    axes.set_ylim(0, float(data["p95_s"].max()) * 1.1 or 0.001)
    axes.set_ylabel("response time (s)")
    layout.time_axis(axes, "time since the first row ({unit})", float(data["at_s"].max()))
    layout.legend(axes)
