"""How the figures of a sweep are drawn; house style as in analysis/figures/style.py."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ..figures import layout
from ..figures.bins import Floats
from ..figures.layout import DASHED, SMALL
from ..figures.style import BLUE, FAINT, GREEN, INK, ORANGE, PHASES, PURPLE, RED
from ..sweep.ratios import BOTTLENECK, TARGET
from ..text.number_format import percent

TAILS = {"p50": ("P50", GREEN, "o"), "p95": ("P95", ORANGE, "s"), "p99": ("P99", RED, "^")}
PARTS = {"queue_s": PHASES["queue_s"], "cold_s": PHASES["cold_s"], "execution_s": PHASES["execution_s"], "other_s": PHASES["rest_s"]}

CLOSE = 0.15
"""Settings nearer each other than this share of their axis are parted by a logarithmic one, where that parts them better."""
ROW_PT = 1.4 * SMALL


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
    layout.legend(axes)


def tails(axes: Axes, data: pd.DataFrame) -> None:
    """P50, P95 and P99 of response time, and the limits that were set for them."""
    named = []
    for part, (label, colour, marker) in TAILS.items():
        rows = data[data["part"] == part]
        _line(axes, rows, colour, "", marker)
        named += [(float(rows["value"].dropna().iloc[-1]), label, colour)] if rows["value"].notna().any() else []
    limits = data[data["part"].str.startswith("limit ")]
    for text, value in zip(limits["setting"], limits["value"], strict=True):
        axes.axhline(value, color=INK, linewidth=1.0, linestyle=DASHED)
        named.append((float(value), text, INK))
    _sizes(axes, data)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("response time (s)")
    axes.set_xlabel(_axis_name(axes, data))
    layout.name_line_ends(axes, named, panels=2)


def efficiency(figure: Figure, data: pd.DataFrame) -> None:
    """Efficiency against endpoint workers, with the ideal and the two marks."""
    axes = figure.add_subplot()
    levels = ((1.0, "ideal", FAINT), (TARGET, "target", GREEN), (BOTTLENECK, "bottleneck", RED))
    for level, _, colour in levels:
        axes.axhline(level, color=colour, linewidth=1.2, linestyle=DASHED)
    _line(axes, data, BLUE, "", "o")
    _sizes(axes, data)
    _foot(axes, data, [percent(value) for value in data["value"]], max(1.1, float(data[["value", "upper"]].max().max()) * 1.05))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:.0f} %"))
    axes.set_ylabel("scaling efficiency")
    axes.set_xlabel(_axis_name(axes, data))
    layout.name_line_ends(axes, levels)


def multiplier(figure: Figure, data: pd.DataFrame) -> None:
    """Multiplier against size, with the ideal line, the worth-it line, and each point's contention."""
    axes, worth = figure.add_subplot(), float(data["worth"].iloc[0])
    for factor, colour in ((1.0, FAINT), (worth, GREEN)):
        axes.plot(data["x"], data["share"] * factor, color=colour, linewidth=1.2, linestyle=DASHED)
    _line(axes, data, BLUE, "", "o")
    _sizes(axes, data)
    top = float(data[["value", "upper"]].max().max()) * 1.6
    _foot(axes, data, [percent(lost) if abs(lost) > 1e-9 else "baseline" for lost in data["contention"]], top)
    axes.set_ylabel("multiplier (×)")
    axes.set_xlabel(_axis_name(axes, data))
    last = float(data["share"].iloc[-1])
    lines = ((float(data["value"].iloc[-1]), "measured", BLUE), (last * worth, f"{worth:g} of ideal", GREEN), (last, "ideal", FAINT))
    layout.name_line_ends(axes, [(min(value, top), text, colour) for value, text, colour in lines])


def cost(figure: Figure, data: pd.DataFrame) -> None:
    """A mark a setting at (P95, cost); those on the frontier joined."""
    axes, best = figure.add_subplot(), data[data["frontier"]].sort_values("x")
    rest = data[~data["frontier"]]
    axes.plot(best["x"], best["value"], "o-", color=BLUE, label="efficient frontier")
    axes.scatter(rest["x"], rest["value"], s=36, c=FAINT, marker="X", linewidths=0, label="beaten in both", zorder=3)
    axes.set_xlim(0, float(data["x"].max()) * 1.08)
    axes.set_ylim(0, float(data["value"].max()) * 1.3)
    layout.name_points(axes, list(data["x"]), list(data["value"]), list(data["setting"]))
    axes.set_xlabel(str(data["axis"].iloc[0]))
    axes.set_ylabel(str(data["unit"].iloc[0]))
    layout.legend(axes)


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
    axes.tick_params(axis="x", labelrotation=0 if layout.fits(axes, list(data["setting"])) else 90)
    layout.legend(axes)


def quality(figure: Figure, data: pd.DataFrame) -> None:
    """Throughput above, word error rate below."""
    above, below = figure.subplots(2, 1, sharex=True)
    rates(above, data)
    _line(below, data[data["part"] == "wer"], PURPLE, "word error rate", "D")
    _sizes(below, data)
    below.set_ylim(0, float(data.loc[data["part"] == "wer", ["value", "upper"]].max().max()) * 1.2 or 0.01)
    below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:.3g} %"))
    below.set_ylabel("WER")
    below.set_xlabel(_axis_name(below, data))
    layout.legend(below)


def _line(axes: Axes, rows: pd.DataFrame, colour: str, label: str, marker: str) -> None:
    """A line through ``value`` with its intervals, where there are any."""
    held = rows[rows["lower"].notna() & rows["upper"].notna()]
    axes.plot(rows["x"], rows["value"], color=colour, marker=marker, markersize=5, label=label, zorder=3)
    axes.vlines(held["x"], held["lower"], held["upper"], color=colour, linewidth=1.2, alpha=0.6)


def _sizes(axes: Axes, data: pd.DataFrame) -> None:
    """The x axis: a tick a setting, named where there is room; in powers of two where that parts settings which would be close."""
    sizes = np.sort(data.loc[data["part"].isin(["mean", "wer"]), "x"].unique())
    room = 0.6 / len(sizes)
    if _nearest(sizes) < min(CLOSE, _nearest(np.log2(sizes))):
        axes.set_xscale("log", base=2)
        axes.set_xlim(sizes[0] / 2 ** (room * 2), sizes[-1] * 2 ** (room * 2))
    else:
        room *= max(sizes[-1] - sizes[0], 1.0)
        axes.set_xlim(sizes[0] - room, sizes[-1] + room)
    axes.xaxis.set_major_locator(FixedLocator(list(sizes)))
    axes.xaxis.set_minor_locator(NullLocator())
    texts = [f"{size:g}" for size in sizes]
    named = {size: text for size, text, row in zip(sizes, texts, layout.rows_of(axes, list(sizes), texts), strict=True) if row == 0}
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: named.get(value, "")))


def _nearest(sizes: Floats) -> float:
    """The smallest gap as a share of the span; 1 where there are fewer than two sizes."""
    return float(np.diff(sizes).min() / (sizes[-1] - sizes[0])) if len(sizes) > 1 else 1.0


def _axis_name(axes: Axes, data: pd.DataFrame) -> str:
    """The x axis in words, on a phone in few."""
    name = str(data["axis"].iloc[0])
    return name.replace("concurrency of each endpoint worker", "concurrency of each worker") if layout.narrow(axes) else name


def _foot(axes: Axes, data: pd.DataFrame, texts: list[str], top: float) -> None:
    """A text under each point, below zero at the foot of the figure, higher where they would touch; the y axis ends at ``top``."""
    rows = layout.rows_of(axes, list(data["x"]), texts)
    deep_pt = min(6 + (max(rows) + 1) * ROW_PT, layout.height_pt(axes) / 2)
    axes.set_ylim(-top * deep_pt / (layout.height_pt(axes) - deep_pt), top)
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in MaxNLocator(5).tick_values(0, top) if 0 <= tick <= top]))
    for x, text, row in zip(data["x"], texts, rows, strict=True):
        up = (0, 4 + row * ROW_PT)
        axes.annotate(text, (x, 0), up, xycoords=("data", "axes fraction"), textcoords="offset points", ha="center", fontsize=SMALL - 1)
