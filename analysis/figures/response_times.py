"""Figures of response times: by request, as a distribution, and outcomes over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from coldburst.record.attempt import OUTCOMES

from ..statistics.percentiles import Percentile, ascending
from ..statistics.two_groups import two_groups_sentence
from ..tables.run_tables import ENDLESS, POLICIES, Tables
from ..text.number_format import plural, seconds
from . import bins, dense_scatter, layout
from . import matplotlib_modules as mpl
from .bins import Floats, codes, evenly, floats
from .dense_scatter import ScatterPoints
from .layout import PIXELS_FROM, SMALL, x_axis, x_positions
from .style import BLUE, FAINT, INK, MARKS, MissingPlot, Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = list(MARKS)
DENSE = ["ok", "ok (queued)"]  # kinds drawn as a density
STEPS = 2_000
SHOWN = (50, 95, 99)


def mark_kinds(rows: pd.DataFrame) -> np.typing.NDArray[np.int8]:
    """The place of each request in MARKS: its outcome, with ok split into cold and queued."""
    found = codes(rows["outcome"], KINDS)
    condition = codes(rows["condition"], ["cold", "queued"])
    for place, name in enumerate(("ok (cold)", "ok (queued)")):
        found[(found == 0) & (condition == place)] = KINDS.index(name)
    return found


def response(tables: Tables) -> Plot | MissingPlot:
    """Response times over time: one mark per request, or their density with failures as marks."""
    name, title, rows = "response_time", "Response time, request by request", tables.requests
    if rows.empty:
        return MissingPlot(name, title, "no request was recorded")
    x, at_once = x_positions(rows)
    kind = mark_kinds(rows)
    values = floats(rows, "response_s")
    data = dense_scatter.scatter_data(ScatterPoints(rows.index.to_numpy(), x, values, kind), KINDS, DENSE)
    data = data.rename(columns={"y": "response_s"}).assign(at_once=at_once, end_x=float(x.max()), steep=dense_scatter.is_steep(values))
    return Plot(name, title, _response_caption(tables, data, kind), data, _draw_response)


def _response_caption(tables: Tables, data: pd.DataFrame, kind: np.typing.NDArray[np.int8]) -> str:
    said = f"n = {len(kind):,} requests; done − scheduled, up to the end of the last attempt. "
    cells = data["part"] == "cell"
    if cells.any():
        shown, rare = int((~cells).sum()), int((~np.isin(kind, [KINDS.index(name) for name in DENSE])).sum())
        said += f"Density of {int(data['count'].sum()):,} requests answered ok; marks: {shown:,} of {rare:,} others, evenly by rank."
    else:
        said += "One mark per request."
    if (kind == KINDS.index("ok (cold)")).any() or (kind == KINDS.index("ok (queued)")).any():
        said += f" Cold: see Cold starts; queued: waited {seconds(tables.cold_after_s)} or longer for a warm worker."
    endless = sum(tables.ledger.counts.get(outcome, 0) for outcome in ENDLESS)
    return said + (f" On the zero line: {plural(endless, 'request')} without an end." if endless else "")


def _draw_response(figure: Figure, data: pd.DataFrame) -> None:
    """One mark per request at (x, response_s), over any density; requests without an end are on the zero line."""
    axes = figure.add_subplot()
    cells, marks = data[data["part"] == "cell"], data[data["part"] == "mark"]
    if len(cells):
        dense_scatter.draw_cells(axes, cells.rename(columns={"response_s": "y"}))
    for kind in [k for k in MARKS if (marks["kind"] == k).any()]:
        _scatter(axes, marks[marks["kind"] == kind], kind, 0.0 if len(cells) else 0.4 if len(marks) > PIXELS_FROM else 1.0)
    x_axis(axes, data)
    axes.set_ylabel("response time (s)")
    if bool(data["steep"].iloc[0]):
        known = data.loc[data["response_s"] > 0, "response_s"]
        layout.by_ratio(axes, float(known.min()), float(known.max()))
    axes.set_ylim(bottom=0)
    layout.figure_legend(axes)


def _scatter(axes: Axes, rows: pd.DataFrame, kind: str, size: float) -> None:
    (colour, marker), plain = MARKS[kind], kind.startswith("ok") or not size
    axes.scatter(
        rows["x"],
        rows["response_s"].fillna(0.0),
        s={"o": 26, "*": 90}.get(marker, 36) * (size or 0.25),
        c=colour,
        marker=marker,
        linewidths=0 if plain else 0.7,
        edgecolors=INK,
        alpha=0.8 if plain else 0.95,
        label=f"{kind} ({rows['of_kind'].iloc[0]:,})",
        zorder=2 if plain else 3,
        clip_on=False,
        rasterized=size < 1.0,
    )


def distribution(tables: Tables) -> Plot | MissingPlot:
    """The empirical distribution of response times, with percentiles and their intervals."""
    name, title, rows = "response_time_ecdf", "Share of requests answered within a time", tables.requests
    ended = floats(rows, "response_s") if len(rows) else np.array([])
    if not (~np.isnan(ended)).any():
        return MissingPlot(name, title, "no request ended")
    samples = {policy: times for policy, times in tables.response.items() if times.n}
    values = {"ok": ascending(ended[(rows["outcome"] == "ok").to_numpy(dtype=bool)]), "ended": ascending(ended)}
    if "ok" in samples and samples["ok"].n == samples["ended"].n:
        del samples["ended"]
    steps = [_steps(policy, values[policy]) for policy in samples]
    marked = next(iter(samples))
    found = [_marked(marked, samples[marked].at(percent)) for percent in SHOWN]
    data = pd.concat([*steps, pd.DataFrame(found).astype({"lower": "float64", "upper": "float64"})], ignore_index=True)
    n = " and ".join(f"{times.n:,} {POLICIES[policy]}" for policy, times in samples.items())
    caption = f"Empirical distribution, n = {n}. Percentiles of {POLICIES[marked]}, nearest rank; bars: 95 % intervals, as in the table"
    without = [f"P{row['percent']}" for row in found if row["lower"] is None]
    caption += f" (none for {', '.join(without)})." if without else "."
    caption += f" {two}" if (two := _two_groups(rows, ended)) else ""
    return Plot(name, title, caption, data, _draw_distribution)


def _two_groups(rows: pd.DataFrame, response: Floats) -> str:
    ok = (rows["outcome"] == "ok").to_numpy(dtype=bool) & ~np.isnan(response)
    return two_groups_sentence(response[ok], rows["cold"].fillna(False).to_numpy(dtype=bool)[ok])


def _steps(policy: str, values: Floats) -> pd.DataFrame:
    kept = evenly(len(values), STEPS)
    label = f"{POLICIES[policy]} (n = {len(values):,})"
    return pd.DataFrame({"part": policy, "label": label, "response_s": values[kept], "share": (kept + 1) / len(values)})


def _marked(policy: str, of: Percentile) -> dict[str, object]:
    ends = {"lower": of.lower, "upper": of.upper}
    return {"part": "percentile", "label": policy, "response_s": of.value, "share": of.percent / 100, "percent": of.percent, **ends}


def _draw_distribution(figure: Figure, data: pd.DataFrame) -> None:
    """One step line per policy, and the percentiles of the first with their intervals."""
    axes = figure.add_subplot()
    for policy, colour in (("ended", FAINT), ("ok", BLUE)):
        rows = data[data["part"] == policy]
        if len(rows):
            at = np.concatenate([[0.0], rows["response_s"]])
            axes.step(at, np.concatenate([[0.0], rows["share"]]), where="post", color=colour, label=str(rows["label"].iloc[0]))
    found = data[data["part"] == "percentile"]
    colour = BLUE if (data["part"] == "ok").any() else FAINT
    held = found[found["lower"].notna()]
    axes.hlines(held["share"], held["lower"], held["upper"], color=INK, linewidth=5, alpha=0.35, zorder=3)
    axes.plot(found["response_s"], found["share"], "o", color=colour, markersize=5, zorder=4)
    steps = data.loc[data["part"] != "percentile", "response_s"]
    _times(axes, steps, float(data[["response_s", "upper"]].max().max()))
    axes.set_ylim(0, 1.03)
    layout.percents(axes)
    axes.set_xlabel("response time (s)")
    axes.set_ylabel("share answered within")
    _named(axes, data, found)
    layout.figure_legend(axes)


def _times(axes: Axes, steps: pd.Series[float], end: float) -> None:
    if dense_scatter.is_steep(np.asarray(steps, dtype=np.float64)):
        axes.set_xscale("log")
        axes.set_xlim(float(steps[steps > 0].min()) * 0.8, end * 1.2)
        axes.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    else:
        axes.set_xlim(0, end * 1.04 or 1.0)


def _named(axes: Axes, data: pd.DataFrame, found: pd.DataFrame) -> None:
    lines = [_words(row) for row in found.itertuples()]
    steps = data[data["part"].isin(["ok", "ended"])]
    points = np.column_stack([steps["response_s"].clip(lower=axes.get_xlim()[0]), steps["share"]])
    across = axes.transAxes.inverted().transform(axes.transData.transform(points))[:, 0]
    right = ((across > 0.45) & (steps["share"] < 0.5)).sum()
    left = ((across < 0.5) & (steps["share"] > 0.55)).sum()
    low = right <= left
    place, align = ((0.98, 0.05), "right") if low else ((0.02, 0.97), "left")
    axes.text(
        *place,
        "\n".join(lines),
        transform=axes.transAxes,
        ha=align,
        va="bottom" if low else "top",
        multialignment=align,
        fontsize=SMALL,
        linespacing=1.45,
    )


def _words(row: object) -> str:
    percent, value = int(getattr(row, "percent", 0)), float(getattr(row, "response_s", np.nan))
    lower, upper = float(getattr(row, "lower", np.nan)), float(getattr(row, "upper", np.nan))
    return f"P{percent} {seconds(value)}" + (f" ({seconds(lower)} to {seconds(upper)})" if not np.isnan(lower) else "")


BINS = 96


def outcomes(tables: Tables) -> Plot | MissingPlot:
    """Requests by outcome, in bins of the time when they ended."""
    name, title, rows = "outcomes", "Outcomes over time", tables.requests
    if rows.empty:
        return MissingPlot(name, title, "no request was recorded")
    done = floats(rows, "done_s")
    at = np.where(np.isnan(done), floats(rows, "scheduled_s"), done)
    width = bins.width_s(max(float(at.max()), 1e-3), BINS)
    count = bins.bin_count(float(at.max()), width)
    names = list(OUTCOMES)
    place = bins.bin_of(at, 0.0, width, count) + count * codes(rows["outcome"], names).astype(np.intp)
    table = np.bincount(place, minlength=count * len(names)).reshape(len(names), count)
    kept = {each: row for each, row in zip(names, table, strict=True) if row.any()}
    data = pd.DataFrame({"at_s": np.arange(count) * width, "width_s": width, **kept})
    caption = f"n = {len(rows):,} requests, in bins of {bins.width_text(width)} by when they ended, or were due if they never ended."
    return Plot(name, title, caption, data[data[list(kept)].sum(axis=1) > 0].reset_index(drop=True), _draw_outcomes, 2.6)


def _draw_outcomes(figure: Figure, data: pd.DataFrame) -> None:
    axes = figure.add_subplot()
    floor = np.zeros(len(data))
    for name in [each for each in MARKS if each in data]:
        top = floor + data[name].to_numpy(dtype=np.float64)
        left, some = data["at_s"].to_numpy(), top > floor
        right = left + data["width_s"].to_numpy()
        layout.boxes(axes, left[some], right[some], floor[some], top[some], MARKS[name][0], f"{name} ({data[name].sum():,})")
        floor = top
    axes.set_ylabel(f"requests\nper {bins.width_text(float(data['width_s'].iloc[0]))}")
    axes.grid(visible=False, axis="x")
    layout.whole_numbers(axes)
    layout.time_axis(axes, "ended at ({unit})", float((data["at_s"] + data["width_s"]).max()))
    axes.set_ylim(bottom=0)
    layout.figure_legend(axes)
