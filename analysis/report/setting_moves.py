"""Settings to move in a page without a script: radio buttons, and a row for each point, of which the page's style shows the one picked."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coldburst.planner.predict import ranges_text

from ..figures.setting_points import Axis, axes_of, mark, of_day, words
from ..text.number_format import NONE, number, plural, seconds

TITLES = {
    "workers_min": "Min workers",
    "workers_max": "Max workers",
    "idle_timeout_s": "Idle time-out (s)",
    "concurrency": "At a time on a worker",
    "scaler_value": "Scaler value",
}
SCALERS = {"QUEUE_DELAY": "Scaler: seconds in the queue", "REQUEST_COUNT": "Scaler: requests per worker"}


@dataclass(frozen=True)
class Dial:
    """A setting: its values as texts, and which of them is picked at first."""

    title: str
    values: tuple[str, ...]
    picked: int


@dataclass(frozen=True)
class PointRow:
    """A row of the table: ``place`` is that of ``mark``; a point that cannot be predicted has ``why`` and no cells."""

    place: str
    settings: str
    cells: tuple[str, ...]
    why: str
    present: bool


@dataclass(frozen=True)
class Moves:
    """What the template shows."""

    dials: tuple[Dial, ...]
    head: tuple[str, ...]
    rows: tuple[PointRow, ...]
    remark: str


def moves(points: Sequence[Mapping[str, Any]], present: Mapping[str, Any] | None = None) -> Moves | None:
    """The points of a grid; None if no setting differs.

    Args:
        points: with ``settings``, ``figures`` (None if it cannot be predicted, for the reason ``why``) and ``runs``.
        present: the settings that are picked at first; None: those of the first point.
    """
    axes = axes_of(points)
    known = [one for one in points if one["figures"] is not None]
    if not axes or not known:
        return None
    first = known[0]["settings"] if present is None else present
    rows = sorted(
        (_row(one, axes, first if present else None) for one in (*points, *_absent(points, axes))), key=lambda one: not one.present
    )
    _, unit = of_day(known[0]["figures"])
    runs = min(one["runs"] for one in known)
    remark = f"{ranges_text(runs)} {plural(len(points), 'point')}."
    return Moves(
        tuple(_dial(axis, first) for axis in axes), ("P50", "P95", "Not ok", "Cold", unit[:1].upper() + unit[1:]), tuple(rows), remark
    )


def _absent(points: Sequence[Mapping[str, Any]], axes: Sequence[Axis]) -> Iterator[Mapping[str, Any]]:
    """Combinations that no point has, such as a minimum above the maximum."""
    there = {mark(one["settings"], axes) for one in points}
    names = [name for name, _ in axes]
    for combination in itertools.product(*(values for _, values in axes)):
        settings = dict(zip(names, combination, strict=True))
        if mark(settings, axes) not in there:
            yield {"settings": settings, "figures": None, "why": "the platform does not take this combination"}


def _dial(axis: Axis, first: Mapping[str, Any]) -> Dial:
    name, values = axis
    title = SCALERS.get(str(first["scaler"]), TITLES[name]) if name == "scaler_value" else TITLES[name]
    return Dial(title, tuple(f"{value:g}" for value in values), values.index(first[name]))


def _row(one: Mapping[str, Any], axes: Sequence[Axis], present: Mapping[str, Any] | None) -> PointRow:
    settings, names = one["settings"], [name for name, _ in axes]
    here = present is not None and all(settings[name] == present[name] for name in names)
    said = words(settings, names)
    return PointRow(mark(settings, axes), f"as it is: {said}" if here else said, _cells(one["figures"]), one.get("why", ""), here)


def _cells(figures: Mapping[str, Any] | None) -> tuple[str, ...]:
    if figures is None:
        return ()
    day, _ = of_day(figures)
    counts = (f"{figures[name]['median']:.0f}" for name in ("not_ok", "cold"))
    return (seconds(figures["p50_s"]["median"]), _range(figures["p95_s"], seconds), *counts, _range(day, number))


def _range(of: Mapping[str, float | None], write: Any) -> str:
    texts = [write(of[end]) for end in ("median", "low", "high")]
    return texts[0] if texts[1] == texts[2] or NONE in texts else f"{texts[0]} ({texts[1]} to {texts[2]})"
