"""How the figures of a sweep are drawn; house style as in analysis/figures/marks.py."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.figures.marks import BLUE, COLD, FAINT, GREEN, INK, ORANGE, PURPLE, QUEUED, RED
from analysis.prose import percent
from analysis.sweep.ratios import BOTTLENECK, TARGET

DASHED = (0, (5, 3))
TAILS = {"p50": ("P50", GREEN, "o"), "p95": ("P95", ORANGE, "s"), "p99": ("P99", RED, "^")}
PARTS = {
    "queue_s": ("queue", QUEUED),
    "cold_s": ("cold start", COLD),
    "execution_s": ("execution", BLUE),
    "other_s": ("network and the rest", FAINT),
}


def throughput(figure: Figure, data: pd.DataFrame) -> None:
    """Throughput above, percentiles below, on one axis of settings."""
    above, below = figure.subplots(2, 1, sharex=True)
    rates(above, data)
    tails(below, data)


def rates(axes: Axes, data: pd.DataFrame) -> None:
    """Throughput with intervals, a dot a repeat, the law's curve and the knee."""
    curve, dots, knee = (data[data["part"] == part] for part in ("law", "repeat", "knee"))
    if len(curve):
        axes.plot(curve["x"], curve["value"], color=PURPLE, linewidth=1.4, linestyle=DASHED, label="Universal Scalability Law")
    axes.scatter(dots["x"], dots["value"], s=14, c=BLUE, alpha=0.5, linewidths=0)
    _line(axes, data[data["part"] == "mean"], BLUE, "throughput", "o")
    for x, setting in zip(knee["x"], knee["setting"], strict=True):
        axes.axvline(x, color=INK, linewidth=1.0, linestyle=(0, (1, 2)), label=f"knee: {setting}")
    _sizes(axes, data)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("ok per s")
    _legend(axes)


def tails(axes: Axes, data: pd.DataFrame) -> None:
    """P50, P95 and P99 of response time, and the limits that were set for them."""
    for part, (label, colour, marker) in TAILS.items():
        _line(axes, data[data["part"] == part], colour, label, marker)
    limits = data[data["part"].str.startswith("limit ")]
    for text, value in zip(limits["setting"], limits["value"], strict=True):
        axes.axhline(value, color=INK, linewidth=1.0, linestyle=DASHED, label=text)
    _sizes(axes, data)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("response time (s)")
    axes.set_xlabel(str(data["axis"].iloc[0]))
    _legend(axes)


def efficiency(figure: Figure, data: pd.DataFrame) -> None:
    """Efficiency against endpoint workers, with the ideal and the two marks."""
    axes = figure.add_subplot()
    for level, label, colour in (
        (1.0, "ideal", FAINT),
        (TARGET, f"target {percent(TARGET)}", GREEN),
        (BOTTLENECK, percent(BOTTLENECK), RED),
    ):
        axes.axhline(level, color=colour, linewidth=1.2, linestyle=DASHED, label=label)
    _line(axes, data, BLUE, "efficiency", "o")
    _foot(axes, data, [percent(value) for value in data["value"]])
    _sizes(axes, data)
    axes.set_ylim(0, max(1.1, float(data[["value", "upper"]].max().max()) * 1.05))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:.0f} %"))
    axes.set_ylabel("scaling efficiency")
    axes.set_xlabel(str(data["axis"].iloc[0]))
    _legend(axes)


def multiplier(figure: Figure, data: pd.DataFrame) -> None:
    """Multiplier against size, with the ideal line, the worth-it line, and each point's contention."""
    axes, worth = figure.add_subplot(), float(data["worth"].iloc[0])
    axes.plot(data["x"], data["share"], color=FAINT, linewidth=1.2, linestyle=DASHED, label="ideal")
    axes.plot(
        data["x"], data["share"] * worth, color=GREEN, linewidth=1.2, linestyle=DASHED, label=f"{worth:g} of ideal: worth it from here up"
    )
    _line(axes, data, BLUE, "multiplier", "o")
    _foot(axes, data, [percent(lost) if abs(lost) > 1e-9 else "baseline" for lost in data["contention"]])
    _sizes(axes, data)
    axes.set_ylim(0, float(data[["value", "upper"]].max().max()) * 1.6)
    axes.set_ylabel("multiplier (×)")
    axes.set_xlabel(str(data["axis"].iloc[0]))
    _legend(axes)


def cost(figure: Figure, data: pd.DataFrame) -> None:
    """A mark a setting at (P95, cost); those on the frontier joined."""
    axes, best = figure.add_subplot(), data[data["frontier"]].sort_values("x")
    rest = data[~data["frontier"]]
    axes.plot(best["x"], best["value"], "o-", color=BLUE, label="efficient frontier")
    axes.scatter(rest["x"], rest["value"], s=36, c=FAINT, marker="X", linewidths=0, label="beaten in both", zorder=3)
    for x, value, setting in zip(data["x"], data["value"], data["setting"], strict=True):
        axes.annotate(setting, (x, value), (7, 5), textcoords="offset points", fontsize=9)
    axes.set_xlim(0, float(data["x"].max()) * 1.08)
    axes.set_ylim(0, float(data["value"].max()) * 1.15)
    axes.set_xlabel(str(data["axis"].iloc[0]))
    axes.set_ylabel(str(data["unit"].iloc[0]))
    _legend(axes)


def split(figure: Figure, data: pd.DataFrame) -> None:
    """Stacked bars: the parts of the mean service time, a bar a setting."""
    axes, floor = figure.add_subplot(), np.zeros(len(data))
    for part, (label, colour) in PARTS.items():
        values = data[part].to_numpy(dtype=np.float64)
        if values.any():
            axes.bar(data["setting"], values, 0.6, bottom=floor, color=colour, label=label)
            floor = floor + values
    axes.set_ylabel("mean service time (s)")
    axes.grid(visible=False, axis="x")
    _legend(axes)


def quality(figure: Figure, data: pd.DataFrame) -> None:
    """Throughput above, word error rate below."""
    above, below = figure.subplots(2, 1, sharex=True)
    rates(above, data)
    _line(below, data[data["part"] == "wer"], PURPLE, "word error rate", "D")
    _sizes(below, data)
    below.set_ylim(bottom=0)
    below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:.3g} %"))
    below.set_ylabel("WER")
    below.set_xlabel(str(data["axis"].iloc[0]))
    _legend(below)


def _line(axes: Axes, rows: pd.DataFrame, colour: str, label: str, marker: str) -> None:
    """A line through ``value`` with its intervals, where there are any."""
    held = rows[rows["lower"].notna() & rows["upper"].notna()]
    axes.plot(rows["x"], rows["value"], color=colour, marker=marker, markersize=5, label=label, zorder=3)
    axes.vlines(held["x"], held["lower"], held["upper"], color=colour, linewidth=1.2, alpha=0.6)


def _sizes(axes: Axes, data: pd.DataFrame) -> None:
    """The x axis: a tick a setting, in powers of two where the settings span them."""
    sizes = np.sort(data.loc[data["part"].isin(["mean", "wer"]), "x"].unique())
    if sizes[-1] >= 8 * sizes[0]:
        axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(list(sizes)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _foot(axes: Axes, data: pd.DataFrame, texts: list[str]) -> None:
    """A text under each point, at the foot of the figure."""
    for x, text in zip(data["x"], texts, strict=True):
        axes.annotate(text, (x, 0), (0, 5), xycoords=("data", "axes fraction"), textcoords="offset points", ha="center", fontsize=9)


def _legend(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=5, borderaxespad=0.2, handlelength=1.8, columnspacing=1.2, fontsize=9)
