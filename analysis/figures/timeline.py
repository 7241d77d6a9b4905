"""The timeline: offered and completed rate, requests in flight, jobs and workers of the endpoint, failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from coldburst.record.attempt import OUTCOMES

from ..runs.load import RUNPOD
from ..tables.run_tables import ENDLESS, Tables
from ..text.number_format import plural
from . import bins, layout
from .bins import codes, floats
from .style import BLUE, COLD, FAILED, FAINT, GREEN, INK, JOBS, MARKS, STATES, MissingPlot, Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME, TITLE = "timeline", "Timeline: load, answers, endpoint, and what went wrong"
STROKES = 400  # distinct places in a lane
NO_WORD = "The state of the endpoint's queue and workers is unknown."


def timeline(tables: Tables) -> Plot | MissingPlot:
    """One panel above the other for everything that has a time."""
    if tables.requests.empty:
        return MissingPlot(NAME, TITLE, "no request was recorded")
    reported = endpoint_answers(tables)
    told = reported.data if isinstance(reported, EndpointAnswers) else pd.concat([offered(tables), *measured(tables)])
    end_s = _end_s(tables, told)
    parts = [told, _completed(tables), _in_flight(tables), *_marks(tables, end_s), _lost(tables, end_s)]
    parts = [part for part in parts if len(part)]
    if not parts:
        return MissingPlot(NAME, TITLE, "no request was sent, and no rate was offered")
    data = pd.concat(parts, ignore_index=True)
    said = _endpoint_sentence(reported)
    plot = Plot(NAME, TITLE, f"{_caption(tables, data)} {said}", data, draw)
    return replace(plot, height_in=height_in(data))


def _endpoint_sentence(reported: EndpointAnswers | MissingPlot | None) -> str:
    if reported is None:
        return NO_WORD
    return reported.caption if isinstance(reported, EndpointAnswers) else f"The endpoint: {reported.reason}."


def _end_s(tables: Tables, told: pd.DataFrame) -> float:
    ends = [tables.attempts[name].max() for name in ("scheduled_s", "done_s")] + ([told["at_s"].max()] if len(told) else [])
    return float(max([1e-3, *(end for end in ends if pd.notna(end))]))


def _completed(tables: Tables) -> pd.DataFrame:
    rows = tables.requests
    done = floats(rows, "done_s")[(rows["outcome"] == "ok").to_numpy(dtype=bool)]
    if not len(done) or np.isnan(done).all():
        return pd.DataFrame()
    width_s = bin_s(tables)
    count = bins.bin_count(float(np.nanmax(done)), width_s) + 1
    rates = bins.counts(done, 0.0, width_s, count) / width_s
    return pd.DataFrame({"at_s": np.arange(count) * width_s, "completed_per_s": rates, "part": "completed"})


def _in_flight(tables: Tables) -> pd.DataFrame:
    sent, done = floats(tables.attempts, "sent_s"), floats(tables.attempts, "done_s")
    if np.isnan(sent).all():
        return pd.DataFrame()
    last = float(np.nanmax(np.append(done, sent)))
    width_s = bins.width_s(max(last, 1e-3), 2 * bins.MOST)
    count = bins.bin_count(last, width_s)
    flying = np.cumsum(bins.counts(sent, 0.0, width_s, count) - bins.counts(done[~np.isnan(sent)], 0.0, width_s, count))
    return pd.DataFrame({"at_s": np.arange(count + 1) * width_s, "in_flight": np.append([0], flying), "part": "in_flight"})


def _marks(tables: Tables, end_s: float) -> Iterator[pd.DataFrame]:
    names = [name for name in OUTCOMES if name not in ("ok", *ENDLESS)]
    rows = tables.attempts.loc[~tables.attempts["outcome"].isin(["ok", *ENDLESS]), ["outcome", "done_s"]]
    kind, done = codes(rows["outcome"], names), floats(rows, "done_s")
    for place, name in enumerate(names):
        yield _strokes(name, done[kind == place], end_s)
    yield _strokes(COLD_STARTS, _cold_starts(tables), end_s)


def _cold_starts(tables: Tables) -> bins.Floats:
    ready = floats(tables.starts, "ready_s")
    if len(ready):
        return ready[ready >= 0]
    rows = tables.requests
    return floats(rows.loc[rows["cold"].fillna(False).astype(bool), ["start_s"]], "start_s")


def _strokes(kind: str, at_s: bins.Floats, end_s: float) -> pd.DataFrame:
    known = np.sort(at_s[~np.isnan(at_s)])
    if not len(known):
        return pd.DataFrame()
    places = (known / end_s * STROKES).astype(np.intp)
    _, first, count = np.unique(places, return_index=True, return_counts=True)
    return pd.DataFrame({"at_s": known[first], "kind": kind, "count": count, "part": "mark"})


def _lost(tables: Tables, end_s: float) -> pd.DataFrame:
    events = tables.run.events
    gone = events[events["kind"].isin(["generator_lost", "share_dealt", "generator_back"])] if events is not None else pd.DataFrame()
    if gone.empty or not (gone["kind"] == "generator_lost").any():
        return pd.DataFrame()
    made = []
    for name, rows in gone.sort_values("at_s", kind="stable").groupby("generator", sort=False, observed=True):
        for at_s, silent_s in rows.loc[rows["kind"] == "generator_lost", ["at_s", "seconds"]].itertuples(index=False):
            over = rows.loc[(rows["kind"] != "generator_lost") & (rows["at_s"] >= at_s), "at_s"]
            begin = at_s - silent_s if silent_s > 0 else at_s
            made.append({"at_s": max(begin, 0.0), "until_s": over.min() if len(over) else end_s, "stage": name, "part": "lost"})
    return pd.DataFrame(made)


def _caption(tables: Tables, data: pd.DataFrame) -> str:
    there = set(data["part"])
    said = f"n = {plural(len(tables.requests), 'request')}, {plural(len(tables.attempts), 'attempt')}. "
    said += "Offered: due per second; completed" if "offered" in there else f"No offered rate ({tables.throughput.not_offered}). Completed"
    said += f": answered ok per second, in bins of {bins.width_text(bin_s(tables))}. In flight: attempts sent but not ended."
    if COLD_STARTS in set(data["kind"].dropna() if "kind" in data else ()):
        said += " Cold start: a worker became ready." if len(tables.starts) else " Cold start: a cold request reached its worker."
    said += " Strokes mark the ends of attempts." if "mark" in there else ""
    said += " Grey: a stage was measured." if "measured" in there else ""
    if "lost" in there:
        said += " Red: requests of a lost load generator were not sent."
    return said


COLD_STARTS = "cold start"
LANE_IN = 0.27
MARGINS = 1.1  # the length of a time axis ÷ that of its data, at most


def height_in(data: pd.DataFrame) -> float:
    """The height of the figure with these parts."""
    return 0.5 + sum(_heights(data).values())


def draw(figure: Figure, data: pd.DataFrame) -> None:
    """One panel per part of the data; measured stages and lost generators are shaded."""
    heights = _heights(data)
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=list(heights.values()))[:, 0]
    shown = panels[-1] if "marks" not in heights or len(heights) == 1 else panels[-2]
    for axes, name in zip(panels, heights, strict=True):
        PANELS[name][1](axes, data)
        if name != "marks":
            axes.set_ylim(bottom=0, top=axes.get_ylim()[1] * (1.15 if axes is shown and (data["part"] == "measured").any() else 1.0))
        _shade(axes, data, named=axes is shown)
        layout.legend(axes)
    panels[-1].set_xlim(left=0 if float(data["at_s"].min()) >= 0 else None)
    layout.time_axis(panels[-1], "time ({unit})", float(data["at_s"].max()))


def _heights(data: pd.DataFrame) -> dict[str, float]:
    there = set(data["part"])
    heights = {name: high for name, (parts, _, high) in PANELS.items() if there & set(parts)}
    if "marks" in heights:
        heights["marks"] = LANE_IN * data.loc[data["part"] == "mark", "kind"].nunique() + 0.1
    return heights


def _shade(axes: Axes, data: pd.DataFrame, *, named: bool) -> None:
    measured = data[data["part"] == "measured"]
    spans = measured[["at_s", "until_s", "stage"]].itertuples(index=False) if len(measured) else ()
    a_point_s = (float(data["at_s"].max()) - min(float(data["at_s"].min()), 0.0)) * MARGINS / layout.room_width_pt(axes)
    for place, (at_s, until_s, name) in enumerate(spans):
        axes.axvspan(at_s, until_s, color=FAINT, alpha=0.10 + 0.08 * (place % 2), linewidth=0, zorder=0)
        if named and layout.width_pt(str(name)) * a_point_s < until_s - at_s:
            middle = ((at_s + until_s) / 2, 0.98)
            axes.annotate(name, middle, xycoords=("data", "axes fraction"), ha="center", va="top", fontsize=8, color=INK)
    lost = data[data["part"] == "lost"]
    for at_s, until_s in lost[["at_s", "until_s"]].itertuples(index=False) if len(lost) else ():
        axes.axvspan(at_s, until_s, color=FAILED, alpha=0.15, linewidth=0, zorder=0)


def _draw_rates(axes: Axes, data: pd.DataFrame) -> None:
    for part, column, colour, label in (
        ("offered", "offered_per_s", FAINT, "offered"),
        ("completed", "completed_per_s", BLUE, "completed ok"),
    ):
        rows = data[data["part"] == part]
        if len(rows):
            axes.step(rows["at_s"], rows[column], where="post", color=colour, label=label)
    axes.set_ylabel("per s")


def _draw_in_flight(axes: Axes, data: pd.DataFrame) -> None:
    rows = data[data["part"] == "in_flight"]
    axes.fill_between(rows["at_s"], rows["in_flight"], step="post", color=GREEN, alpha=0.6, linewidth=0, label="in flight")
    axes.set_ylabel("attempts")
    layout.whole_numbers(axes)


def _draw_jobs(axes: Axes, data: pd.DataFrame) -> None:
    rows = data[data["part"] == "jobs"]
    for name, (label, colour) in JOBS.items():
        axes.step(rows["at_s"], rows[name], where="post", color=colour, label=label)
    axes.set_ylabel("jobs")
    layout.whole_numbers(axes)


def _draw_workers(axes: Axes, data: pd.DataFrame) -> None:
    rows = data[data["part"] == "workers"]
    floor = np.zeros(len(rows))
    for name, (label, colour) in STATES.items():
        counts = rows[name].fillna(0).to_numpy()
        if counts.any():
            axes.fill_between(rows["at_s"], floor, floor + counts, step="post", color=colour, alpha=0.75, linewidth=0, label=label)
            floor = floor + counts
    axes.set_ylabel("endpoint\nworkers")
    layout.whole_numbers(axes)


def _draw_marks(axes: Axes, data: pd.DataFrame) -> None:
    rows = data[data["part"] == "mark"]
    lanes = list(dict.fromkeys(rows["kind"]))
    for place, kind in enumerate(lanes):
        of = rows[rows["kind"] == kind]
        colour = COLD if kind == COLD_STARTS else MARKS[kind][0]
        ends = np.tile([place + 0.55, place + 0.92, np.nan], len(of))
        axes.plot(np.repeat(of["at_s"].to_numpy(), 3), ends, color=colour, linewidth=1.6, solid_capstyle="butt")
        said = f"{kind} ({int(of['count'].sum()):,})"
        axes.annotate(said, (0, place + 0.5), (2, 0), ("axes fraction", "data"), "offset points", va="bottom", fontsize=8, in_layout=False)
    axes.set_ylim(len(lanes), 0)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")


# The panels from the top: the parts of the data, the function that draws them, the height in inches.
PANELS: Mapping[str, tuple[tuple[str, ...], Callable[[Axes, pd.DataFrame], None], float]] = {
    "rates": (("offered", "completed"), _draw_rates, 1.15),
    "in_flight": (("in_flight",), _draw_in_flight, 1.0),
    "jobs": (("jobs",), _draw_jobs, 1.0),
    "workers": (("workers",), _draw_workers, 1.15),
    "marks": (("mark",), _draw_marks, LANE_IN),
}


MOST_BINS = 300
MOST_LOOKS = 400
_NAME, _TITLE = "endpoint", "Jobs and endpoint workers by state, reported by the endpoint"


@dataclass(frozen=True)
class EndpointAnswers:
    """Jobs and workers reported by the endpoint, with the load; ``caption`` says how they were polled."""

    data: pd.DataFrame
    caption: str


def endpoint_answers(tables: Tables) -> EndpointAnswers | MissingPlot | None:
    """What the endpoint reported; MissingPlot if reports are missing, None if this kind of endpoint makes none."""
    rows = tables.run.endpoint
    if rows is None:
        missing = "endpoint.csv is missing or empty, so its state was not polled"
        return MissingPlot(_NAME, _TITLE, missing) if tables.run.kind in RUNPOD else None
    good = rows[rows["error"] == ""]
    if good.empty:
        return MissingPlot(_NAME, _TITLE, f"none of its {len(rows):,} answers could be read")
    view = "workers" if (good["view"] == "workers").any() else "health"
    jobs, workers = good[good["view"] == "health"], good[good["view"] == view]
    parts = [_part(jobs, "jobs", list(JOBS)), _part(workers, "workers", list(STATES)), offered(tables)]
    data = pd.concat([*parts, *measured(tables)], ignore_index=True)
    return EndpointAnswers(data, _answers_caption(good, rows, view))


def _part(rows: pd.DataFrame, part: str, names: list[str]) -> pd.DataFrame:
    said = rows.sort_values("at_s")[["at_s", *names]].astype("float64")
    if len(said) > MOST_LOOKS:
        width_s = bins.width_s(float(said["at_s"].max() - said["at_s"].min()), MOST_LOOKS)
        said = said.groupby(said["at_s"].floordiv(width_s) * width_s)[names].max().reset_index()
    return said.assign(part=part)


def bin_s(tables: Tables) -> float:
    """The width of the bins of rates: a second, or longer in a long run."""
    due, done = (tables.requests[name].max() for name in ("scheduled_s", "done_s"))
    longest = np.nanmax([0.0, *(float(end) for end in (due, done) if pd.notna(end))])
    return max(1.0, float(np.ceil(longest / MOST_BINS)))


def offered(tables: Tables) -> pd.DataFrame:
    """Requests due per second in each bin; empty without an offered rate."""
    due = bins.floats(tables.requests, "scheduled_s")
    if tables.throughput.not_offered or not len(due):
        return pd.DataFrame({"at_s": [], "offered_per_s": [], "part": []})
    width_s = bin_s(tables)
    count = bins.bin_count(float(due.max()), width_s) + 1  # one more, so that the last step ends at 0
    return pd.DataFrame(
        {"at_s": np.arange(count) * width_s, "offered_per_s": bins.counts(due, 0.0, width_s, count) / width_s, "part": "offered"}
    )


def measured(tables: Tables) -> Iterator[pd.DataFrame]:
    """Start and end of each measured stage of a sweep."""
    stages = tables.run.stages
    if stages is not None:
        rows = stages[(stages["phase"] == "measure") & stages["start_s"].notna()]
        ends = rows["end_s"].fillna(rows["stop_s"])
        if ends.notna().any():
            yield pd.DataFrame({"at_s": rows["start_s"], "until_s": ends, "stage": rows["stage"], "part": "measured"})[ends.notna()]


def _answers_caption(good: pd.DataFrame, rows: pd.DataFrame, view: str) -> str:
    asked = {name: int((good["view"] == name).sum()) for name in ("health", "workers")}
    waiting = good["in_queue"].max()
    said = f"Polled /health (jobs) {plural(asked['health'], 'time')}" if asked["health"] else "/health was not polled"
    said += f" and the worker list {plural(asked['workers'], 'time')}. " if asked["workers"] else ". "
    said += f"At most {plural(int(waiting), 'job')} waited. " if pd.notna(waiting) else ""
    said += (
        "Workers come from the list."
        if view == "workers"
        else "Workers come from /health, which counts some as running before they have a container."
    )
    failed = len(rows) - len(good)
    said += " Where polls are too close to draw, the largest value is shown." if max(asked.values()) > MOST_LOOKS else ""
    return said + (f" {plural(failed, 'poll')} got no readable answer." if failed else "")
