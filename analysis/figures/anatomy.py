"""Where the response time of requests goes: over the run, by condition, for the slowest, and in a burst."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..runs.disk_columns import rows_at
from ..statistics.percentiles import nearest_rank
from ..tables.cold_start_rule import CONDITIONS, PARTS
from ..tables.run_tables import Tables
from ..text.number_format import plural, seconds
from . import bins, layout
from .bins import Floats, evenly, floats
from .layout import x_axis, x_positions
from .style import INK, MARKS, PHASES, MissingPlot, Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 48
SLOWEST = 20
HALF_AND_TAIL = (50, 95)
CONDITION_WORDS = {"untold": "not cold"}
UNTOLD = "the endpoint reported no queue delay or execution time"
STAGE_LENGTH = 12


def anatomy(tables: Tables) -> Plot | MissingPlot:
    """The stacked mean of each phase over time."""
    name, title, rows = "anatomy", "Where the time goes, over the run", tables.requests
    if rows.empty:
        return MissingPlot(name, title, "no request was recorded")
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
    caption = f"Means over {int(ok.sum()):,} requests answered ok, in bins of {wide} by due time. Means, unlike medians, add up to "
    caption += f"the mean response time.{cold_remark(rows)}"
    return Plot(name, title, caption, data.reset_index(drop=True), _draw_anatomy)


def _bins(x: Floats, *, at_once: bool) -> tuple[float, float]:
    if at_once:
        return 0.5, float(np.ceil(x.max() / BINS))
    return 0.0, bins.width_s(max(float(x.max()), 1e-3), BINS)


def _means(rows: pd.DataFrame, ok: np.typing.NDArray[np.bool_], places: np.typing.NDArray[np.intp]) -> pd.DataFrame:
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
    """P50 and P95 of cold, warm and queued answers, and the slowest requests, phase by phase."""
    name, title, rows = "waterfall", "Cold against warm, and the slowest requests", tables.requests
    ended = floats(rows, "response_s") if len(rows) else np.array([])
    if not (~np.isnan(ended)).any():
        return MissingPlot(name, title, "no request ended")
    if not phases_told(rows).any():
        return MissingPlot(name, title, UNTOLD)
    slowest = np.argsort(-np.nan_to_num(ended, nan=-1.0), kind="stable")[:SLOWEST] if len(ended) < 100_000 else top_places(ended)
    slowest = slowest[~np.isnan(ended[slowest])]
    chosen = [*_by_condition(rows, ended), *(("slowest", _name(rows, place), place) for place in slowest)]
    picked = rows_at(rows, [place for _, _, place in chosen])
    data = pd.DataFrame({"part": [part for part, _, _ in chosen], "label": [label for _, label, _ in chosen], "seq": picked.index})
    data = data.assign(outcome=picked["outcome"].to_numpy(dtype=object), response_s=picked["response_s"].to_numpy(), **phases(picked))
    caption = f"The {plural(len(slowest), 'slowest request')} of {int((~np.isnan(ended)).sum()):,} that ended, from when they were due. "
    caption += "Above: the single request at P50 and at P95 (nearest rank) of each condition, answered ok."
    return Plot(name, title, caption + cold_remark(picked), data, _draw_waterfall, 1.1 + 0.2 * len(data))


def top_places(values: Floats) -> np.typing.NDArray[np.intp]:
    """Places of the SLOWEST largest values, the largest first, without sorting all of them."""
    known = np.nan_to_num(values, nan=-1.0)
    top = np.argpartition(known, -SLOWEST)[-SLOWEST:]
    return np.asarray(top[np.lexsort((top, -known[top]))], dtype=np.intp)


def _by_condition(rows: pd.DataFrame, response: Floats) -> list[tuple[str, str, int]]:
    """The requests at P50 and P95 of each condition, answered ok."""
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
    outcome = str(rows["outcome"].iloc[place])
    said = str(rows["stage"].iloc[place]) if outcome == "ok" else outcome
    return f"#{rows.index[place] + 1} {layout.shortened(said, STAGE_LENGTH if outcome == 'ok' else 99)}"


def _draw_waterfall(figure: Figure, data: pd.DataFrame) -> None:
    parts = [data[data["part"] == part] for part in ("condition", "slowest")]
    drawn = [rows for rows in parts if len(rows)]
    panels = figure.subplots(len(drawn), 1, sharex=True, squeeze=False, height_ratios=[len(rows) for rows in drawn])[:, 0]
    for axes, rows in zip(panels, drawn, strict=True):
        _bars(axes, rows)
    longest = float(data["response_s"].max())
    panels[-1].set_xlim(0, longest * (1.22 if layout.narrow(figure) else 1.09) or 1.0)
    layout.time_axis(panels[-1], "time since due ({unit})", longest)
    for name in visible_phases(data):
        panels[0].barh([0], [0], color=PHASES[name][1], label=PHASES[name][0])
    layout.figure_legend(panels[0])


def _bars(axes: Axes, data: pd.DataFrame) -> None:
    """One bar per request with its phases and total time; a mark shows an outcome other than ok."""
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


MOST_BARS = 200
# If the P95 is a smaller share of the run, bars start at 0 instead of along the run, where they would be slivers.
SLIVER = 0.02


def burst(tables: Tables) -> Plot | MissingPlot:
    """Each request as a bar, or MOST_BARS of them evenly by seq."""
    name, title, rows = "burst", "Each request from scheduled to done", tables.requests
    ended = np.flatnonzero(~np.isnan(floats(rows, "response_s"))) if len(rows) else np.array([])
    if not len(ended):
        return MissingPlot(name, title, "no request ended")
    shown = rows_at(rows, ended[evenly(len(ended), MOST_BARS)])
    from_s = floats(shown, "scheduled_s") + _known(shown, "upload_s")
    span_s = float(np.nanmax(floats(rows, "done_s")) - from_s.min())
    slivers = bool(np.percentile(floats(shown, "response_s"), 95) < SLIVER * span_s)
    data = pd.DataFrame({"seq": shown.index, "from_s": 0.0 if slivers else from_s, "since_due": slivers})
    data = data.assign(outcome=shown["outcome"].to_numpy(dtype=object), **phases(shown))
    caption = f"n = {len(data):,} of {len(ended):,} requests that ended" + (", evenly chosen" if len(data) < len(ended) else "")
    caption += ", the first on top. Phases in order; a mark shows an outcome other than ok."
    caption += f" Each bar starts when its request was due, because the run is over {1 / SLIVER:.0f} times longer." if slivers else ""
    return Plot(name, title, caption + cold_remark(shown), data, _draw_burst, float(np.clip(0.9 + 0.09 * len(data), 2.2, 5.2)))


def _draw_burst(figure: Figure, data: pd.DataFrame) -> None:
    """One bar per request over time; a mark shows an outcome other than ok."""
    axes, y, floor = figure.add_subplot(), np.arange(len(data)), data["from_s"].to_numpy()
    named = visible_phases(data)
    for name, (label, colour) in PHASES.items():
        ends = floor + data[name].to_numpy()
        some = ends > floor
        if some.any():
            layout.boxes(axes, floor[some], ends[some], y[some] - 0.42, y[some] + 0.42, colour, label if name in named else "")
        floor = ends
    for outcome in [each for each in MARKS if (data["outcome"] == each).any() and each != "ok"]:
        rows, (colour, marker) = data[data["outcome"] == outcome], MARKS[outcome]
        axes.scatter(
            floor[rows.index],
            rows.index,
            s=22,
            c=colour,
            marker=marker,
            edgecolors=INK,
            linewidths=0.6,
            label=outcome,
            clip_on=False,
            zorder=3,
        )
    end, start = float(floor.max()), min(float(data["from_s"].min()), 0.0)
    axes.set_xlim(start, end + 0.02 * (end - start) or 1.0)
    axes.set_ylim(len(data) - 0.3, -0.7)
    axes.set_yticks([0, len(data) - 1], [f"{data['seq'].iloc[0] + 1}", f"{data['seq'].iloc[-1] + 1}"])
    axes.set_ylabel("request")
    axes.grid(visible=False, axis="y")
    layout.time_axis(axes, "time since due ({unit})" if bool(data["since_due"].iloc[0]) else "time ({unit})", end, start)
    layout.figure_legend(axes)


SEEN = 0.002
# Times are recorded in microseconds; smaller gaps between them are rounding.
ROUNDED_S = 1e-5
# Rows per step, to bound the memory for runs of millions.
CHUNK = 1_000_000


def phases(rows: pd.DataFrame) -> dict[str, Floats]:
    """Seconds of each phase per row of ``tables.requests``, adding up to response_s; all 0 for requests without an end.

    * ``held_s``: scheduled → first sent: the in-flight cap and the lateness of the generator
    * ``tries_s``: first sent → last sent: earlier tries and the waits between them
    * ``queue_s``: the wait for a worker without the cold start; for a queue time-out everything after sending
    * ``cold_s``: the part of the wait in which the worker started, or the whole wait if that part is unknown
    * ``execution_s``: as the endpoint reports it; ``rest_s``: the remaining service time
    * ``untold_s``: the service time if the endpoint reports neither queue delay nor execution time
    """
    response, service = (np.maximum(_known(rows, name), 0.0) for name in ("response_s", "service_s"))
    response = np.where(np.isnan(floats(rows, "response_s")), 0.0, response)
    service = np.minimum(service, response)
    held = np.clip(_known(rows, "held_s") + _known(rows, "lateness_s"), 0.0, response - service)
    said, gave_up = phases_told(rows), (rows["outcome"] == "queue_timeout").to_numpy(dtype=bool)
    execution = np.minimum(_known(rows, "execution_s"), service) * said
    wait = np.clip(_known(rows, "wait_s"), 0.0, service - execution) * said
    wait = np.where(gave_up, service - execution, wait)
    cold = np.minimum(_cold(rows, wait), wait)
    rest = service - execution - wait
    parts = (
        held,
        np.where(response - service - held > ROUNDED_S, response - service - held, 0.0),
        wait - cold,
        cold,
        execution,
        np.where(said | gave_up, rest, 0.0),
        np.where(said | gave_up, 0.0, rest),
    )
    return dict(zip(PHASES, parts, strict=True))


def phases_told(rows: pd.DataFrame) -> np.typing.NDArray[np.bool_]:
    """Which requests ended with a reported queue delay or execution time."""
    return np.asarray((rows["queue_s"].notna() | rows["execution_s"].notna()) & rows["done_s"].notna(), dtype=np.bool_)


def visible_phases(data: pd.DataFrame) -> list[str]:
    """The phases to name in the key: those with at least 0.2 % of the time in ``data``."""
    sums = data[list(PHASES)].sum()
    return [name for name in PHASES if sums[name] > 0 and sums[name] >= SEEN * sums.sum()]


def chunks(rows: pd.DataFrame) -> Iterator[tuple[slice, dict[str, Floats]]]:
    """The phases of CHUNK rows at a time, with the slice of the rows."""
    for start in range(0, len(rows), CHUNK):
        place = slice(start, start + CHUNK)
        yield place, phases(rows.iloc[place])


def cold_remark(rows: pd.DataFrame) -> str:
    """A remark on cold starts that cannot be separated from the wait, or ""."""
    met = rows["cold"].fillna(False).to_numpy(dtype=bool) & phases_told(rows)
    whole = int((met & np.isnan(floats(rows, PARTS[1]))).sum())
    whose = plural(whole, "cold request")
    return f" For {whose} the start of the worker is unknown, so the whole wait counts as cold start." if whole else ""


def _known(rows: pd.DataFrame, name: str) -> Floats:
    return np.nan_to_num(floats(rows, name), nan=0.0)


def _cold(rows: pd.DataFrame, wait: Floats) -> Floats:
    met = rows["cold"].fillna(False).to_numpy(dtype=bool)
    part = floats(rows, PARTS[1])
    return np.where(met, np.where(np.isnan(part), wait, part), 0.0)
