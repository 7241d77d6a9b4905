"""The anatomy of requests: where their time goes, over the run, by condition, and for the slowest."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..statistics.percentiles import nearest_rank
from ..tables.cold_start_rule import CONDITIONS
from ..tables.run_tables import Tables
from ..text.number_format import plural, seconds
from . import bins, layout
from .bins import Floats, floats
from .phases import chunks, cold_remark, phases, phases_told, visible_phases
from .request_axis import x_axis, x_positions
from .style import INK, MARKS, PHASES, MissingPlot, Plot

BINS = 48
SLOWEST = 20
HALF_AND_TAIL = (50, 95)
CONDITION_WORDS = {"untold": "not cold"}
UNTOLD = "the endpoint told neither queue delay nor execution time of any request"
STAGE_LENGTH = 12


def anatomy(tables: Tables) -> Plot | MissingPlot:
    """The mean of each phase over time, one above the other."""
    name, title, rows = "anatomy", "Where the time goes, over the run", tables.requests
    if rows.empty:
        return MissingPlot(name, title, "no request has a row")
    x, at_once = x_positions(rows)
    ok = (rows["outcome"] == "ok").to_numpy(dtype=bool) & ~np.isnan(floats(rows, "response_s"))
    if not ok.any():
        return MissingPlot(name, title, "no answer was ok")
    if not (phases_told(rows) & ok).any():
        return MissingPlot(name, title, UNTOLD)
    start, width = _bins(x, at_once=at_once)
    places = bins.bin_of(x, start, width, bins.bin_count(float(x.max()), width, start))
    data = _means(rows, ok, places)
    data.insert(0, "x", start + data.index.to_numpy() * width)
    data = data[data["n"] > 0].assign(width=width, at_once=at_once, end_x=float(x.max()))
    wide = plural(int(width), "request") if at_once else bins.width_text(width)
    caption = f"Means over the {int(ok.sum()):,} answered ok, in bins of {wide} by when they were due: means add up to the mean response "
    caption += f"time, medians would not.{cold_remark(rows)}"
    return Plot(name, title, caption, data.reset_index(drop=True), _draw_anatomy)


def _bins(x: Floats, *, at_once: bool) -> tuple[float, float]:
    """Where the bins begin and how wide they are."""
    if at_once:
        return 0.5, float(np.ceil(len(x) / BINS))
    return 0.0, bins.width_s(max(float(x.max()), 1e-3), BINS)


def _means(rows: pd.DataFrame, ok: np.typing.NDArray[np.bool_], places: np.typing.NDArray[np.intp]) -> pd.DataFrame:
    """A row a bin: n answered ok, and the mean of each phase over them."""
    count = int(places.max()) + 1
    n = np.bincount(places[ok], minlength=count)
    sums = {name: np.zeros(count) for name in PHASES}
    for place, parts in chunks(rows):
        for name, part in parts.items():
            sums[name] += np.bincount(places[place][ok[place]], part[ok[place]], count)
    return pd.DataFrame({"n": n, **{name: total / np.maximum(n, 1) for name, total in sums.items()}})


def _draw_anatomy(figure: Figure, data: pd.DataFrame) -> None:
    axes = figure.add_subplot()
    floor = np.zeros(len(data))
    for name in visible_phases(data):
        part, (label, colour) = data[name].to_numpy(), PHASES[name]
        x = data["x"].to_numpy()
        layout.boxes(axes, x, x + data["width"].to_numpy(), floor, floor + part, colour, label)
        floor = floor + part
    x_axis(axes, data)
    axes.set_ylabel("mean response time (s)")
    axes.set_ylim(bottom=0)
    axes.grid(visible=False, axis="x")
    layout.figure_legend(axes)


def waterfall(tables: Tables) -> Plot | MissingPlot:
    """Half and tail of cold, warm and queued answers, and the slowest requests, phase by phase."""
    name, title, rows = "waterfall", "Cold against warm, and the slowest requests", tables.requests
    ended = floats(rows, "response_s") if len(rows) else np.array([])
    if not (~np.isnan(ended)).any():
        return MissingPlot(name, title, "no request came to an end")
    if not phases_told(rows).any():
        return MissingPlot(name, title, UNTOLD)
    slowest = np.argsort(-np.nan_to_num(ended, nan=-1.0), kind="stable")[:SLOWEST] if len(ended) < 100_000 else _top(ended)
    slowest = slowest[~np.isnan(ended[slowest])]
    chosen = [*_by_condition(rows, ended), *(("slowest", _name(rows, place), place) for place in slowest)]
    picked = rows.iloc[[place for _, _, place in chosen]]
    data = pd.DataFrame({"part": [part for part, _, _ in chosen], "label": [label for _, label, _ in chosen], "seq": picked.index})
    data = data.assign(outcome=picked["outcome"].to_numpy(dtype=object), response_s=picked["response_s"].to_numpy(), **phases(picked))
    caption = f"The {plural(len(slowest), 'slowest request')} of {int((~np.isnan(ended)).sum()):,} that ended, from the instant when due. "
    caption += "Above them the request at the nearest rank of P50 and P95 of answered ok, by condition: its own phases, not a mean of any."
    return Plot(name, title, caption + cold_remark(picked), data, _draw_waterfall, 1.1 + 0.2 * len(data))


def _top(values: Floats) -> np.typing.NDArray[np.intp]:
    """The places of the SLOWEST largest values, the largest first, without a sort of all."""
    known = np.nan_to_num(values, nan=-1.0)
    top = np.argpartition(known, -SLOWEST)[-SLOWEST:]
    return np.asarray(top[np.lexsort((top, -known[top]))], dtype=np.intp)


def _by_condition(rows: pd.DataFrame, response: Floats) -> list[tuple[str, str, int]]:
    """The request at P50 and at P95 of each condition that occurs among answered ok."""
    ok, chosen = (rows["outcome"] == "ok").to_numpy(dtype=bool) & ~np.isnan(response), []
    for condition in CONDITIONS:
        places = np.flatnonzero(ok & (rows["condition"] == condition).to_numpy(dtype=bool))
        ranks = [nearest_rank(len(places), percent) - 1 for percent in HALF_AND_TAIL] if len(places) else []
        order = np.argpartition(response[places], ranks) if len(places) else places
        word = CONDITION_WORDS.get(condition, condition)
        for percent, at in zip(HALF_AND_TAIL, ranks, strict=False):
            chosen.append(("condition", f"{word} P{percent} (n = {len(places):,})", int(places[order[at]])))
    return chosen


def _name(rows: pd.DataFrame, place: int) -> str:
    """``#29 burst``; of a request that was not answered ok its outcome."""
    row = rows.iloc[place]
    said = str(row["stage"]) if row["outcome"] == "ok" else str(row["outcome"])
    return f"#{rows.index[place]} {layout.shortened(said, STAGE_LENGTH if row['outcome'] == 'ok' else 99)}"


def _draw_waterfall(figure: Figure, data: pd.DataFrame) -> None:
    parts = [data[data["part"] == part] for part in ("condition", "slowest")]
    drawn = [rows for rows in parts if len(rows)]
    panels = figure.subplots(len(drawn), 1, sharex=True, squeeze=False, height_ratios=[len(rows) for rows in drawn])[:, 0]
    for axes, rows in zip(panels, drawn, strict=True):
        bars(axes, rows)
    longest = float(data["response_s"].max())
    panels[-1].set_xlim(0, longest * (1.22 if layout.narrow(figure) else 1.09) or 1.0)
    layout.time_axis(panels[-1], "{unit} since due", longest)
    for name in visible_phases(data):
        panels[0].barh([0], [0], color=PHASES[name][1], label=PHASES[name][0])
    layout.figure_legend(panels[0])


def bars(axes: Axes, data: pd.DataFrame) -> None:
    """A bar a request, its phases end to end, its whole time behind it; what was not answered ok ends in the outcome's mark."""
    y, floor = np.arange(float(len(data))), np.zeros(len(data))
    for name, (_, colour) in PHASES.items():
        part = data[name].to_numpy(dtype=np.float64)
        some = part > 0
        if some.any():
            layout.boxes(axes, floor[some], (floor + part)[some], y[some] - 0.36, y[some] + 0.36, colour)
        floor = floor + part
    for place, (whole, outcome) in enumerate(zip(data["response_s"], data["outcome"], strict=True)):
        if outcome != "ok":
            axes.plot([whole], [place], MARKS[outcome][1], color=MARKS[outcome][0], markeredgecolor=INK, markersize=6, clip_on=False)
        axes.annotate(seconds(whole), (whole, place), (7, 0), textcoords="offset points", va="center", fontsize=8, in_layout=False)
    axes.set_yticks(y, list(data["label"]), fontsize=8)
    axes.set_ylim(len(data) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
