"""The pictures of a plan: cost against response time for many settings, and both over the rate for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from .setting_points import NAMED, POINT, axes_of, draw_points, row, words
from .style import BLUE, FAINT, ORANGE, STYLE

WIDTH_IN, HEIGHT_IN = 8.0, 4.5
# Settings that get a label.
LABELLED = 8


def save(plan: Any, path: Path) -> None:
    """Draws a plan's data, as ``--json`` has it, into ``path``, whose suffix is the format (svg, png, pdf).

    Raises:
        ValueError: the suffix is no format.
    """
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), facecolor="white", layout="constrained")
        answers = plan["verified"] + plan["neighbours"] if isinstance(plan, Mapping) and "verified" in plan else plan
        if answers and "rate_per_s" in answers[0]:
            _draw_rates(figure, answers)
        else:
            _draw_settings(figure, answers)
        figure.savefig(path)


def _draw_settings(figure: Figure, answers: Sequence[Mapping[str, Any]]) -> None:
    cost, unit = _cost(answers)
    known = [one for one in answers if one["figures"]["p95_s"]["median"] is not None]
    best = _unbeaten(known, cost)[:LABELLED]
    names = [name for name, _ in axes_of(answers)]
    rows = [
        row(words(one["settings"], names), NAMED if one in best else POINT, one["figures"], (one["figures"][cost], unit)) for one in known
    ]
    draw_points(figure, pd.DataFrame(rows))


def _draw_rates(figure: Figure, answers: Sequence[Mapping[str, Any]]) -> None:
    above, below = figure.subplots(2, 1, sharex=True)
    cost, unit = _cost(answers)
    rates = [one["rate_per_s"] for one in answers]
    _band(above, rates, [one["figures"]["p95_s"] for one in answers], BLUE)
    above.set_yscale("log")
    above.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    above.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    above.yaxis.set_minor_formatter(NullFormatter())
    above.set_ylabel("P95 response time (s)")
    hourly = [
        {key: None if value is None else value / one["figures"]["end_s"]["median"] * 3600 for key, value in one["figures"][cost].items()}
        for one in answers
    ]
    _band(below, rates, hourly, ORANGE)
    below.set_ylabel(f"{unit} an hour")
    below.set_ylim(bottom=0)
    below.set_xscale("log")
    below.set_xticks(rates, [f"{rate:.2g}" for rate in rates])
    below.minorticks_off()
    below.set_xlabel("requests per second")


def _band(axes: Axes, rates: Sequence[float], ranges: Sequence[Mapping[str, Any]], colour: str) -> None:
    known = [(rate, one) for rate, one in zip(rates, ranges, strict=True) if one["median"] is not None]
    xs = [rate for rate, _ in known]
    low, middle, high = ([one[name] for _, one in known] for name in ("low", "median", "high"))
    axes.fill_between(xs, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(xs, middle, "o-", color=colour)
    axes.tick_params(colors=FAINT)


def _cost(answers: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The figure that stands for cost, and its unit."""
    priced = any(one["figures"]["usd"]["median"] for one in answers)
    return ("usd", "USD") if priced else ("worker_s", "worker-seconds")


def _unbeaten(answers: Sequence[Mapping[str, Any]], cost: str) -> list[Mapping[str, Any]]:
    """Those that no other one beats in both cost and P95, by ascending cost."""
    found: list[Mapping[str, Any]] = []
    for one in sorted(answers, key=lambda other: (other["figures"][cost]["median"], other["figures"]["p95_s"]["median"])):
        if not found or one["figures"]["p95_s"]["median"] < found[-1]["figures"]["p95_s"]["median"]:
            found.append(one)
    return found
