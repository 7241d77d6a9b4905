"""Cost against response time for many settings: a dot for each, and those with a name with their ranges."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from . import layout
from . import matplotlib_modules as mpl
from .style import BLUE, FAINT, GREY, INK, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Settings in words, in the order in which they are named.
WORDS = {
    "workers_min": "min {}",
    "workers_max": "max {}",
    "idle_timeout_s": "idle {} s",
    "concurrency": "{} at a time",
    "scaler_value": "scaler {}",
}
PRESENT, NAMED, BOUND, POINT = "present", "named", "bound", "point"
# Costs further apart than this are drawn by their ratios.
FAR = 8.0
PICKED = "The one picked below is orange."
HOUR_S = 3600.0
Settings = Mapping[str, Any]
Axis = tuple[str, tuple[float, ...]]


def axes_of(points: Sequence[Mapping[str, Any]]) -> tuple[Axis, ...]:
    """The settings that differ between points, each with its values, ascending; a balancer's concurrency is its scaler's value."""
    values = {name: {one["settings"][name] for one in points} for name in WORDS}
    if all(one["settings"]["concurrency"] == one["settings"]["scaler_value"] for one in points if one["figures"] is not None):
        del values["concurrency"]
    return tuple((name, tuple(sorted(found))) for name, found in values.items() if len(found) > 1)


def words(settings: Settings, names: Sequence[str]) -> str:
    """``min 0, max 3`` for those names."""
    return ", ".join(text.format(f"{settings[name]:g}") for name, text in WORDS.items() if name in names)


def mark(settings: Settings, axes: Sequence[Axis]) -> str:
    """The place of a point in the grid, for ids: ``_0x1_1x2_`` has the second value of the first axis, and the third of the second."""
    return "_" + "".join(f"{number}x{values.index(settings[name])}_" for number, (name, values) in enumerate(axes))


def of_day(figures: Mapping[str, Any]) -> tuple[Mapping[str, float | None], str]:
    """What a prediction costs a day, and its unit: USD, or worker-hours where the price is unknown."""
    if "usd_a_day" in figures:
        return figures["usd_a_day"], "USD a day"
    return {end: None if value is None else value / HOUR_S for end, value in figures["worker_s_a_day"].items()}, "worker-hours a day"


def row(
    setting: str, kind: str, figures: Mapping[str, Any], cost: tuple[Mapping[str, float | None], str], place: str = ""
) -> dict[str, Any]:
    """A row for ``draw_points``; ``place``: see ``mark``, "" for a setting that cannot be picked in the page."""
    ends, (of_load, unit) = ("median", "low", "high"), cost
    ranges = {f"p95_{end}_s": figures["p95_s"][end] for end in ends} | {f"cost_{end}": of_load[end] for end in ends}
    return {"setting": setting, "kind": kind, **ranges, "cost_unit": unit, "place": place}


def draw_points(figure: Figure, data: pd.DataFrame) -> None:
    """P95 against cost: the line leads over settings that no other one beats in both."""
    if layout.narrow(figure):
        figure.set_figheight(3.6)
    axes = figure.add_subplot()
    known = data[data["p95_median_s"].notna()].sort_values(["cost_median", "p95_median_s"])
    real = known[known["kind"] != BOUND]
    best = real[real["p95_median_s"] < real["p95_median_s"].cummin().shift(fill_value=math.inf)]
    axes.plot(best["cost_median"], best["p95_median_s"], color=BLUE, linewidth=1, alpha=0.6)
    others = known[known["kind"] == POINT]
    axes.scatter(others["cost_median"], others["p95_median_s"], s=14, color=GREY, linewidth=0)
    for one in known.to_dict("records"):
        _draw_one(axes, one)
    _set_axes(axes, known)
    named = known[known["kind"] != POINT]
    layout.name_points(axes, list(named["cost_median"]), list(named["p95_median_s"]), list(named["setting"]))


def _set_axes(axes: Axes, known: pd.DataFrame) -> None:
    axes.set_xlabel(f"{known['cost_unit'].iloc[0]}, median and range" if len(known) else "")
    axes.set_ylabel("P95 response time (s)")
    axes.set_ylim(bottom=0)
    if known["cost_median"].max() > FAR * known["cost_median"].min() > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    else:
        axes.set_xlim(left=0)


def _draw_one(axes: Axes, one: Mapping[Hashable, Any]) -> None:
    x, y, kind = one["cost_median"], one["p95_median_s"], one["kind"]
    cross = ([one["cost_low"], one["cost_high"], math.nan, x, x], [y, y, math.nan, one["p95_low_s"], one["p95_high_s"]])
    if kind != POINT:
        colour, shape = (INK, "D") if kind == PRESENT else (BLUE, "o")
        axes.plot(*cross, color=FAINT, linewidth=1)
        axes.plot([x], [y], shape, color=colour, markersize=6, fillstyle="none" if kind == BOUND else "full")
    if one["place"]:
        # Not seen in the drawing itself: the page shows the one that is picked.
        axes.plot(*cross, color=ORANGE, linewidth=3, alpha=0.0, solid_capstyle="round", gid=f"pick{one['place']}")
