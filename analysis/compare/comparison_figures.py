"""The figures of a comparison: all runs on the same axes. A run has the same colour, line and marker in every figure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ..figures import layout
from ..figures.style import BLUE, GREEN, INK, ORANGE, PURPLE, RED, MissingPlot, Plot
from ..runs import locust_csv
from ..statistics.percentiles import ascending
from .compared_run import ComparedRun, finite_values
from .comparison_lines import WITHOUT_ROWS

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, INK)
DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), (0, (1, 1)), (0, (4, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "D", "^", "v", "P")
STEPS, BINS, A_BIN = 1000, 60, 10
ECDF = ("compare_ecdf", "Share of answers ok within a time")
OVER_TIME = ("compare_over_time", "Median response time over time")
PERCENTILES = ("compare_percentiles", "Response time P50 and P95, with 95 % intervals")
MIXED = "one of the runs is a sweep, and the figure would mix its settings"


def comparison_plots(sides: Sequence[ComparedRun]) -> list[Plot | MissingPlot]:
    """Every figure, in the order of the page."""
    if any(side.run.totals is not None for side in sides):
        return [_of_totals(sides)]
    if any(side.sweep is not None for side in sides):
        return [MissingPlot(*named, MIXED) for named in (PERCENTILES, ECDF, OVER_TIME)]
    return [_percentiles(sides), _distribution(sides), _over_time(sides)]


def _distribution(sides: Sequence[ComparedRun]) -> Plot | MissingPlot:
    samples = [(side, ascending(side.ok["response_s"])) for side in sides]
    parts = [_steps(side, values) for side, values in samples if len(values)]
    if not parts:
        return MissingPlot(*ECDF, "no answer was ok")
    counts = _counts((side, len(values)) for side, values in samples)
    caption = f"Empirical distributions of response time, answered ok: {counts}; at most {STEPS:,} steps per run, evenly by rank."
    return Plot(*ECDF, caption, pd.concat(parts, ignore_index=True), _draw_distribution)


def _counts(of: Iterable[tuple[ComparedRun, int]]) -> str:
    """Values in each run: ``base n = 2,000, candidate n = 1,990``."""
    return ", ".join(f"{side.label} n = {n:,}" for side, n in of)


def _steps(side: ComparedRun, values: np.typing.NDArray[np.float64]) -> pd.DataFrame:
    kept = np.unique(np.linspace(0, len(values) - 1, min(len(values), STEPS)).astype(int))
    return pd.DataFrame({"place": side.place, "run": side.label, "response_s": values[kept], "share": (kept + 1) / len(values)})


def _draw_distribution(figure: Figure, data: pd.DataFrame) -> None:
    axes = figure.add_subplot()
    for name, place, rows in _runs(axes, data):
        x, y = np.append(0.0, rows["response_s"]), np.append(0.0, rows["share"])
        axes.step(x, y, where="post", label=name, **line_look(place))
    axes.set_ylim(0, 1.03)
    axes.set_xlim(left=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:.0f} %"))
    axes.set_xlabel("response time (s)")
    axes.set_ylabel("share answered within")
    layout.legend(axes)


def _over_time(sides: Sequence[ComparedRun]) -> Plot | MissingPlot:
    parts = [(side, part) for side in sides if len(part := _binned(side))]
    if max((len(part) for _, part in parts), default=0) < 2:
        return MissingPlot(*OVER_TIME, f"no run has {A_BIN} answers ok in each of two bins of time")
    counts = _counts((side, int(part["n"].sum())) for side, part in parts)
    caption = f"Answered ok ({counts}), by scheduled time, in at most {BINS} equal bins of each run; "
    caption += f"median of each bin with {A_BIN} answers or more."
    return Plot(*OVER_TIME, caption, pd.concat([part for _, part in parts], ignore_index=True), _draw_over_time)


def _binned(side: ComparedRun) -> pd.DataFrame:
    rows = side.ok[side.ok["response_s"].notna()]
    due = finite_values(rows["scheduled_s"])
    many = min(len(rows) // A_BIN, BINS)
    if many < 2 or due[-1] <= due[0]:
        return pd.DataFrame()
    width_s = (due[-1] - due[0]) / many
    place = np.minimum(((due - due[0]) / width_s).astype(int), many - 1)
    found = rows["response_s"].groupby(place).agg(["size", "median"])
    found = found[found["size"] >= A_BIN]
    at_s = due[0] + (found.index + 0.5) * width_s
    table = {"place": side.place, "run": side.label, "at_s": at_s, "n": found["size"], "median_s": found["median"]}
    return pd.DataFrame(table).reset_index(drop=True)


def _draw_over_time(figure: Figure, data: pd.DataFrame) -> None:
    axes = figure.add_subplot()
    for name, place, rows in _runs(axes, data):
        marker = mark_look(place)["marker"] if len(rows) < 30 else ""
        axes.plot(rows["at_s"], rows["median_s"], label=name, marker=marker, markersize=4, **line_look(place))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("scheduled at (s)")
    axes.set_ylabel("median (s)")
    layout.legend(axes)


def _percentiles(sides: Sequence[ComparedRun]) -> Plot | MissingPlot:
    found = [(percent, side, side.estimates[f"response_ok.p{percent}"]) for percent in (50, 95) for side in sides]
    data = _table([(percent, side, of.n, of.interval.value, of.interval.lower, of.interval.upper) for percent, side, of in found])
    if data["value_s"].isna().all():
        return MissingPlot(*PERCENTILES, "no answer was ok")
    caption = f"Answered ok ({_counts((side, side.estimates['response_ok.p50'].n) for side in sides)}); nearest rank. "
    caption += "Intervals: each run's own, from order statistics with n divided by the correlation time."
    without = data[data["lower_s"].isna()]
    missing = ", ".join(f"{percentile} of {run}" for percentile, run in zip(without["percentile"], without["run"], strict=True))
    caption += f" No interval: {missing}." if missing else ""
    return Plot(*PERCENTILES, caption, data, _draw_percentiles, _height(len(data)))


def _table(rows: list[tuple[int, ComparedRun, int, float | None, float | None, float | None]]) -> pd.DataFrame:
    columns = ["percentile", "place", "run", "n", "value_s", "lower_s", "upper_s"]
    return pd.DataFrame([(f"P{percent}", side.place, side.label, *more) for percent, side, *more in rows], columns=columns)


def _height(rows: int) -> float:
    return 1.1 + 0.36 * rows


def _draw_percentiles(figure: Figure, data: pd.DataFrame) -> None:
    axes = figure.add_subplot()
    for name, place, rows in _runs(axes, data):
        colour = COLOURS[place % len(COLOURS)]
        for row, lower, upper in zip(rows.index, rows["lower_s"], rows["upper_s"], strict=True):
            axes.plot([lower, upper], [row, row], color=colour, linewidth=3, alpha=0.45, solid_capstyle="butt")
        axes.plot(rows["value_s"], rows.index, linestyle="", markersize=7, label=name, **mark_look(place))
    names = list(data["percentile"])
    axes.set_yticks(range(len(data)), names)
    axes.set_ylim(len(data) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("response time (s)")
    layout.legend(axes)


def _of_totals(sides: Sequence[ComparedRun]) -> Plot | MissingPlot:
    name, title = PERCENTILES[0], "Response time by Locust's totals"
    wholes = [(side, locust_csv.aggregated(side.run.totals)) for side in sides if side.run.totals is not None]
    shown = [(percent, side, int(whole["requests"]), whole.get(f"p{percent}_s", np.nan)) for percent in (50, 95) for side, whole in wholes]
    data = _table([(*row, None, None) for row in shown])
    if data["value_s"].isna().all():
        return MissingPlot(name, title, "Locust's totals have no percentile")
    caption = f"Failures included ({_counts((side, int(whole['requests'])) for side, whole in wholes)}). No intervals: {WITHOUT_ROWS}."
    return Plot(name, title, caption, data, _draw_percentiles, _height(len(data)))


def _runs(axes: Axes, data: pd.DataFrame) -> Iterator[tuple[str, int, pd.DataFrame]]:
    """Each run's name in the legend, its place (0 is the base) and its rows; equal names get their place."""
    runs = [(int(str(place)), str(rows["run"].iloc[0]), rows) for place, rows in data.groupby("place")]
    names = [layout.legend_name(axes, label) for _, label, _ in runs]
    if len(set(names)) < len(names):
        names = [layout.legend_name(axes, f"{place + 1}: {label}") for place, label, _ in runs]
    yield from ((name, place, rows) for name, (place, _, rows) in zip(names, runs, strict=True))


def line_look(place: int) -> dict[str, Any]:
    """Colour and dashes of a run; the first 36 differ."""
    of = len(COLOURS)
    return {"color": COLOURS[place % of], "linestyle": DASHES[(place + place // of) % len(DASHES)]}


def mark_look(place: int) -> dict[str, Any]:
    """Colour and marker of a run; the first 36 differ."""
    of = len(COLOURS)
    return {"color": COLOURS[place % of], "marker": MARKERS[(place + place // of) % len(MARKERS)]}
