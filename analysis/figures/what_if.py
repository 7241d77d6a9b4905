"""The figure of the settings around the present one: what this load would cost a day, and its P95."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from coldburst.planner.what_if import NOW, WhatIf, as_data, points_data

from ..tables.run_tables import Tables
from ..tables.what_if import run_what_if
from .setting_points import BOUND, NAMED, PICKED, POINT, PRESENT, WORDS, axes_of, draw_points, mark, of_day, row, words
from .style import MissingPlot, Plot

NAME, TITLE = "what_if", "Predicted: cost and P95 of this load under other settings"
CAPTION = "Diamond: the present setting. Dots with a name: settings next to it, with the ranges of the simulated runs; hollow: bounds."
OTHERS = f" Grey: other settings; the line leads over those that none beats in both. {PICKED}"


def what_if(of: Tables) -> list[Plot | MissingPlot]:
    """The figure; one that is missing says why, and there is none for services whose workers no platform starts."""
    made = run_what_if(of)
    if made is None:
        return []
    if made.found is None:
        return [MissingPlot(NAME, TITLE, made.why)]
    return [Plot(NAME, TITLE, CAPTION + (OTHERS if made.found.points else ""), pd.DataFrame(_rows(made.found)), draw_points, 3.6)]


def _rows(of: WhatIf) -> list[dict[str, Any]]:
    now, *others = (one for one in as_data(of)["settings"] if one["figures"] is not None)
    grid = points_data(of)
    axes = axes_of(grid)
    points = [one for one in grid if one["figures"] is not None]
    names = [name for name, _ in axes]
    places = [(one["settings"], mark(one["settings"], axes)) for one in points]
    named = [_row(now, NOW, PRESENT, places), *(_row(one, _label(one, now["settings"]), NAMED, places) for one in others)]
    there = {one["place"] for one in named}
    unnamed = [_row(one, words(one["settings"], names), POINT, places) for one in points]
    return named + [one for one in unnamed if one["place"] not in there]


def _row(one: Mapping[str, Any], label: str, kind: str, places: Sequence[tuple[Any, str]]) -> dict[str, Any]:
    bounded = bool(one.get("bound"))
    place = "" if bounded else next((place for settings, place in places if settings == one["settings"]), "")
    return row(label, BOUND if bounded else kind, one["figures"], of_day(one["figures"]), place)


def _label(one: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    changed = [name for name in WORDS if one["settings"][name] != now[name]]
    kept = [name for name in changed if name != "concurrency" or "scaler_value" not in changed]
    return ", ".join(filter(None, (words(one["settings"], kept), one["bound"])))
