"""The figures of a comparison: all runs on the same axes, each in a colour and a line of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis import totals
from analysis.compare.differences import DRAWS, own_interval
from analysis.compare.lines import WITHOUT_ROWS
from analysis.compare.sides import Side, plain
from analysis.figures import frame
from analysis.figures.marks import BLUE, GREEN, INK, ORANGE, PURPLE, RED, Absent, Plot
from analysis.models import ascending

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, INK)
DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), "-", (0, (4, 1, 1, 1, 1, 1)))
STEPS, BINS, A_BIN = 1000, 60, 10


def plots(sides: Sequence[Side]) -> list[Plot | Absent]:
    """Every figure, in the order of the page."""
    if any(side.run.totals is not None for side in sides):
        return [_of_totals(sides)]
    return [_percentiles(sides), _distribution(sides), _over_time(sides)]


def _distribution(sides: Sequence[Side]) -> Plot | Absent:
    name, title = "compare_ecdf", "Share of answers ok within a time"
    samples = {side.label: ascending(side.ok["response_s"]) for side in sides}
    if not any(map(len, samples.values())):
        return Absent(name, title, "no answer was ok")
    data = pd.concat([_steps(label, values) for label, values in samples.items() if len(values)], ignore_index=True)
    counts = ", ".join(f"{label} n = {len(values):,}" for label, values in samples.items())
    caption = f"Empirical distributions of response time, answered ok: {counts}; at most {STEPS:,} steps a run, evenly by rank."
    return Plot(name, title, caption, data, _draw_distribution)


def _steps(label: str, values: np.typing.NDArray[np.float64]) -> pd.DataFrame:
    kept = np.unique(np.linspace(0, len(values) - 1, min(len(values), STEPS)).astype(int))
    return pd.DataFrame({"run": label, "response_s": values[kept], "share": (kept + 1) / len(values)})


def _draw_distribution(figure: Figure, data: pd.DataFrame) -> None:
    axes = figure.add_subplot()
    for place, (label, rows) in enumerate(data.groupby("run", sort=False)):
        x, y = np.append(0.0, rows["response_s"]), np.append(0.0, rows["share"])
        axes.step(x, y, where="post", label=_short(label), **_line(place))
    axes.set_ylim(0, 1.03)
    axes.set_xlim(left=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:.0f} %"))
    axes.set_xlabel("response time (s)")
    axes.set_ylabel("share answered within")
    frame.key(axes)


def _over_time(sides: Sequence[Side]) -> Plot | Absent:
    name, title = "compare_over_time", "Median response time over time"
    parts = [part for side in sides if len(part := _binned(side))]
    if not parts:
        return Absent(name, title, f"no run has {2 * A_BIN} answers ok that were due at different instants")
    caption = (
        f"Answered ok, by the instant when due, in at most {BINS} equal stretches of each run; median of each with {A_BIN} answers or more."
    )
    return Plot(name, title, caption, pd.concat(parts, ignore_index=True), _draw_over_time)


def _binned(side: Side) -> pd.DataFrame:
    rows = side.ok[side.ok["response_s"].notna()]
    due = plain(rows["scheduled_s"])
    many = min(len(rows) // A_BIN, BINS)
    if many < 2 or due[-1] <= due[0]:
        return pd.DataFrame()
    width_s = (due[-1] - due[0]) / many
    place = np.minimum(((due - due[0]) / width_s).astype(int), many - 1)
    found = rows["response_s"].groupby(place).agg(["size", "median"])
    found = found[found["size"] >= A_BIN]
    return pd.DataFrame(
        {"run": side.label, "at_s": due[0] + (found.index + 0.5) * width_s, "n": found["size"], "median_s": found["median"]}
    ).reset_index(drop=True)


def _draw_over_time(figure: Figure, data: pd.DataFrame) -> None:
    axes = figure.add_subplot()
    for place, (label, rows) in enumerate(data.groupby("run", sort=False)):
        axes.plot(rows["at_s"], rows["median_s"], label=_short(label), marker="o" if len(rows) < 30 else "", markersize=4, **_line(place))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("due (s from second 0)")
    axes.set_ylabel("median (s)")
    frame.key(axes)


def _percentiles(sides: Sequence[Side]) -> Plot | Absent:
    name, title = "compare_percentiles", "Response time P50 and P95, with 95 % intervals"
    rows = [_percentile(side, percent) for percent in (50, 95) for side in sides]
    data = pd.DataFrame(rows, columns=["percentile", "run", "n", "value_s", "lower_s", "upper_s"])
    if data["value_s"].isna().all():
        return Absent(name, title, "no answer was ok")
    caption = f"Answered ok; nearest rank. Intervals: each run's own, moving-block bootstrap with {DRAWS:,} draws."
    without = data[data["lower_s"].isna()]
    told = ", ".join(f"{percentile} of {run}" for percentile, run in zip(without["percentile"], without["run"], strict=True))
    return Plot(name, title, caption + (f" No interval can be told: {told}." if told else ""), data, _draw_percentiles, _height(len(data)))


def _percentile(side: Side, percent: int) -> tuple[object, ...]:
    of = side.estimates[f"response_ok.p{percent}"]
    found = own_interval(of)
    return f"P{percent}", side.label, of.n, of.value, found.lower, found.upper


def _height(rows: int) -> float:
    return 1.1 + 0.36 * rows


def _draw_percentiles(figure: Figure, data: pd.DataFrame) -> None:
    axes = figure.add_subplot()
    runs = list(dict.fromkeys(data["run"]))
    for row, (of, run, value, lower, upper) in enumerate(
        data[["percentile", "run", "value_s", "lower_s", "upper_s"]].itertuples(index=False)
    ):
        colour = COLOURS[runs.index(run) % len(COLOURS)]
        axes.plot([lower, upper], [row, row], color=colour, linewidth=3, alpha=0.45, solid_capstyle="butt")
        axes.plot([value], [row], "o", color=colour, markersize=7, label=_short(run) if of == data["percentile"].iloc[0] else None)
    names = list(data["percentile"])
    axes.set_yticks(range(len(data)), names)
    axes.set_ylim(len(data) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("response time (s)")
    frame.key(axes)


def _of_totals(sides: Sequence[Side]) -> Plot | Absent:
    name, title = "compare_percentiles", "Response time by Locust's totals"
    rows = []
    for percent in (50, 95):
        for side in sides:
            if side.run.totals is not None:
                whole = totals.whole(side.run.totals)
                value = float(whole[f"p{percent}_s"]) if f"p{percent}_s" in whole else np.nan
                rows.append((f"P{percent}", side.label, int(whole["requests"]), value, np.nan, np.nan))
    data = pd.DataFrame(rows, columns=["percentile", "run", "n", "value_s", "lower_s", "upper_s"])
    if data["value_s"].isna().all():
        return Absent(name, title, "Locust's totals have no percentile")
    return Plot(name, title, f"Failures included. No intervals: {WITHOUT_ROWS}.", data, _draw_percentiles, _height(len(data)))


def _line(place: int) -> dict[str, Any]:
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[place % len(DASHES)]}


def _short(label: object) -> str:
    return frame.shortened(str(label), 36)
