"""Axes with units, legends that fit the width, limit lines and labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import matplotlib_modules as mpl
from .bins import Floats, floats
from .style import FAINT, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALL = 9
NARROW_IN = 5.0  # narrower figures are for phones
DASHED = (0, (5, 3))
# Units of a time axis: (from this span in s, seconds per unit, name).
UNITS = ((7200.0, 3600.0, "h"), (600.0, 60.0, "min"), (0.0, 1.0, "s"))
MOST_TICKS = 60
_STEPS = (1, 2, 5, 10, 15, 20, 30, 60)
_MARGIN_PT = 54.0
_KEY = {"borderpad": 0.2, "handlelength": 1.4, "handletextpad": 0.5, "columnspacing": 1.2}


def narrow(of: Figure | Axes) -> bool:
    """Whether the figure is for a phone."""
    figure = of.get_figure(root=True)
    return figure is not None and figure.get_figwidth() < NARROW_IN


@cache
def width_pt(text: str, size: float = SMALL) -> float:
    """The width of ``text`` in points in matplotlib's font, which is wider than most."""
    return float(mpl.textpath.text_to_path.get_text_width_height_descent(text, mpl.font_manager.FontProperties(size=size), False)[0])


def legend(axes: Axes) -> None:
    """The legend of a panel, above it, in as many columns as fit."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        columns = _columns(labels, room_width_pt(axes))
        axes.legend(handles, labels, ncols=columns, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2, **_KEY)


def legend_name(axes: Axes, text: str) -> str:
    """``text`` shortened in the middle to fit one legend entry; the end distinguishes long paths."""
    room, short = room_width_pt(axes) - (_KEY["handlelength"] + _KEY["handletextpad"]) * SMALL, text
    for kept in range(len(text) - 2, 0, -1):
        if width_pt(short) <= room:
            break
        short = f"{text[: kept // 3]}…{text[kept // 3 - kept :]}"
    return short


def figure_legend(axes: Axes) -> None:
    """The legend of ``axes`` above the whole figure, for panels with a wide left margin."""
    figure = axes.get_figure(root=True)
    handles, labels = axes.get_legend_handles_labels()
    if labels and figure is not None:
        figure.legend(handles, labels, ncols=_columns(labels, room_width_pt(axes, 12.0)), loc="outside upper left", **_KEY)


def room_width_pt(axes: Axes, margin_pt: float = _MARGIN_PT) -> float:
    """The width of a panel, estimated before layout."""
    figure = axes.get_figure(root=True)
    return (figure.get_figwidth() * 72 if figure else 0.0) - margin_pt


def fits(axes: Axes, texts: Sequence[str]) -> bool:
    """Whether the texts fit side by side below bars."""
    return 1.1 * len(texts) * (max(map(width_pt, texts), default=0.0) + 4.0) <= room_width_pt(axes)


def rows_of(axes: Axes, x: Sequence[float], texts: Sequence[str]) -> list[int]:
    """The row of each text, centred at its ``x`` (ascending), so that texts in a row do not touch; the axis limits must be set."""
    along = axes.xaxis.get_transform().transform
    left, right = along(np.array(axes.get_xlim()))
    places = (along(np.asarray(x, dtype=np.float64)) - left) / (right - left) * room_width_pt(axes, _MARGIN_PT + 30)
    ends: list[float] = []
    rows = []
    for place, half in zip(places, (width_pt(text) / 2 + 2 for text in texts), strict=True):
        row = next((row for row, end in enumerate(ends) if place - half >= end), len(ends))
        ends[row : row + 1] = [place + half]
        rows.append(row)
    return rows


def _columns(labels: Sequence[str], room: float) -> int:
    sizes = [width_pt(label) + (_KEY["handlelength"] + _KEY["handletextpad"]) * SMALL for label in labels]
    for columns in range(len(sizes), 1, -1):
        widths = [float(max(column)) for column in np.array_split(sizes, columns)]
        if sum(widths) + _KEY["columnspacing"] * SMALL * (columns - 1) <= room:
            return columns
    return 1


def boxes(axes: Axes, left: Floats, right: Floats, bottom: Floats, top: Floats, colour: str, label: str = "") -> None:
    """Rectangles of one colour as a single path, a tenth of the size of separate ones; the edge keeps slivers visible."""
    corners = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
    points = np.stack([np.stack(np.broadcast_arrays(x, y), axis=-1) for x, y in corners], axis=1).reshape(-1, 2)
    path = mpl.path.Path
    codes = np.tile([path.MOVETO, path.LINETO, path.LINETO, path.LINETO, path.CLOSEPOLY], len(points) // 5)
    look = {"facecolor": colour, "edgecolor": colour, "linewidth": 0.3}
    axes.add_patch(mpl.patches.PathPatch(path(points, codes), label=label or "_", **look))
    axes.autoscale_view()


def time_unit(span_s: float) -> tuple[float, str]:
    """The unit of a time axis of ``span_s``: its seconds and its name."""
    return next((unit_s, name) for least, unit_s, name in UNITS if max(span_s, 0.0) >= least)


@cache
def _steps() -> Any:
    """The class of the ticks of a time axis; made when matplotlib is there."""

    class Steps(mpl.ticker.MultipleLocator):  # type: ignore[misc]
        """Ticks every ``step``, or a few anywhere if the axis is far longer than expected after a clock step."""

        def __init__(self, step: float) -> None:
            super().__init__(step)
            self._step = step

        def tick_values(self, vmin: float, vmax: float) -> Any:
            """The ticks from ``vmin`` to ``vmax``."""
            far = abs(vmax - vmin) > MOST_TICKS * self._step
            return mpl.ticker.MaxNLocator(4).tick_values(vmin, vmax) if far else super().tick_values(vmin, vmax)

    return Steps


def time_axis(axes: Axes, label: str, end_s: float, start_s: float = 0.0) -> None:
    """The x axis in seconds, minutes or hours; ``label`` has a ``{unit}``."""
    unit_s, name = time_unit(end_s - start_s)
    axes.xaxis.set_major_locator(_steps()(_step(end_s - start_s, unit_s, 4 if narrow(axes) else 9)))
    axes.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value / unit_s:g}"))
    axes.set_xlabel(label.format(unit=name))


def _step(span_s: float, unit_s: float, ticks: int) -> float:
    least = max(span_s / unit_s / ticks, 0.01)  # an axis of one instant is drawn 0.1 s wide
    tens = 10.0 ** math.floor(math.log10(least))
    steps = [tens * step for step in (1, 2, 5, 10)] if least < 1 or least > 60 else [float(step) for step in _STEPS]
    return unit_s * next(step for step in steps if step >= least - 1e-9)


def whole_numbers(axes: Axes) -> None:
    """A few integer ticks on the y axis."""
    axes.yaxis.set_major_locator(mpl.ticker.MaxNLocator(nbins=4, integer=True))


def percents(axes: Axes) -> None:
    """The y axis in percent."""
    axes.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value * 100:.3g} %"))


def by_ratio(axes: Axes, least: float, most: float) -> None:
    """The y axis from zero, logarithmic above ``least``."""
    axes.set_yscale("symlog", linthresh=least * 0.8, linscale=0.3)
    powers = 10.0 ** np.arange(math.ceil(math.log10(least * 1.3)), math.log10(most) + 1e-9)
    axes.yaxis.set_major_locator(mpl.ticker.FixedLocator([0.0, *powers]))
    axes.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:g}"))


def limit(axes: Axes, value: float, text: str) -> None:
    """A dashed line at ``value`` with a text above its right end."""
    axes.axhline(value, color=RED, linewidth=1.2, linestyle=DASHED)
    axes.annotate(
        text, (1, value), (0, 3), xycoords=("axes fraction", "data"), textcoords="offset points", ha="right", va="bottom", fontsize=SMALL
    )


def shortened(text: str, length: int) -> str:
    """``text`` cut to ``length`` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def name_line_ends(axes: Axes, lines: Sequence[tuple[float, str, str]], panels: int = 1) -> None:
    """Labels lines (value, text, colour) at the right edge without overlap; ``panels`` is the number of panels in the figure."""
    low, high = axes.get_ylim()
    gap = (high - low) * 1.25 * SMALL / height_pt(axes, panels)
    places = spread_apart([value for value, _, _ in lines], gap, high)
    for place, (_, text, colour) in zip(places, lines, strict=True):
        axes.annotate(
            text,
            (1, place),
            (4, 0),
            ("axes fraction", "data"),
            "offset points",
            va="center",
            fontsize=SMALL,
            color=colour,
            annotation_clip=False,
        )


def spread_apart(values: Sequence[float], gap: float, high: float) -> list[float]:
    """``values`` moved up to be ``gap`` apart, and down again if they pass ``high``."""
    order = sorted(range(len(values)), key=values.__getitem__)
    places = [values[place] for place in order]
    for place in range(1, len(places)):
        places[place] = max(places[place], places[place - 1] + gap)
    ceiling = max(high, max(values, default=high))
    for place in reversed(range(len(places))):
        places[place] = min(places[place], ceiling)
        ceiling = places[place] - gap
    moved = dict(zip(order, places, strict=True))
    return [moved[place] for place in range(len(values))]


def height_pt(axes: Axes, panels: int = 1) -> float:
    """The height of a panel, estimated before layout."""
    figure = axes.get_figure(root=True)
    return max((figure.get_figheight() * 72 if figure else 0.0) / panels - 42.0, 20.0)


def name_points(axes: Axes, x: Sequence[float], y: Sequence[float], texts: Sequence[str]) -> None:
    """A text next to each point without overlap; a thin line leads to a distant one."""
    figure = axes.get_figure(root=True)
    wide = (figure.get_figwidth() * 72 if figure else 0.0) - _MARGIN_PT - 10
    along, (low, high) = axes.xaxis.get_transform().transform, axes.get_ylim()
    left, right = along(np.array(axes.get_xlim()))
    shares = (along(np.asarray(x, dtype=np.float64)) - left) / (right - left)
    at = [(share * wide, (b - low) / (high - low) * height_pt(axes)) for share, b in zip(shares, y, strict=True)]
    taken = [(px - 4, py - 4, px + 4, py + 4) for px, py in at]
    for (px, py), data, text in zip(at, zip(x, y, strict=True), texts, strict=True):
        size = width_pt(text) + 2
        dx, dy = next((away for away in _AWAY if _free(_box(px, py, away, size), taken, wide)), _AWAY[0])
        taken.append(_box(px, py, (dx, dy), size))
        leader = {"arrowstyle": "-", "color": FAINT, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 3} if abs(dy) > SMALL * 1.5 else None
        axes.annotate(
            text, data, (dx, dy), "data", "offset points", fontsize=SMALL, ha="right" if dx < 0 else "left", va="center", arrowprops=leader
        )


_AWAY = [(side * 8.0, float(up)) for up in (8, -8, 22, -22, 36, -36, 50, -50, 64, -64) for side in (1, -1)]


def _box(x: float, y: float, away: tuple[float, float], wide: float) -> tuple[float, float, float, float]:
    left = x + away[0] - (wide if away[0] < 0 else 0)
    return left, y + away[1] - SMALL * 0.7, left + wide, y + away[1] + SMALL * 0.7


def _free(box: tuple[float, float, float, float], taken: Sequence[tuple[float, float, float, float]], wide: float) -> bool:
    inside = box[0] >= 0 and box[2] <= wide and box[1] >= 0
    return inside and not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken)


PIXELS_FROM = 1_000  # more marks are rasterized


def x_positions(rows: pd.DataFrame) -> tuple[Floats, bool]:
    """The position of each request on the x axis, and whether it is its number, from 1, because all were due at once."""
    due = floats(rows, "scheduled_s")
    at_once = len(due) > 1 and float(due.max() - due.min()) == 0.0
    return (np.asarray(rows.index, dtype=np.float64) + 1 if at_once else due), at_once


def x_axis(axes: Axes, data: pd.DataFrame) -> None:
    """The x axis for ``x_positions``; ``data`` has the columns at_once and end_x."""
    if bool(data["at_once"].iloc[0]):
        axes.set_xlabel("request (all due at once)" if not narrow(axes) else "request, all due at once")
        return
    time_axis(axes, "due at ({unit})", float(data["end_x"].iloc[0]))
