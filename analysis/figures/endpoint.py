"""The figure of what the endpoint said of itself: jobs waiting and at work, and its workers by state."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.figures.marks import BLUE, COLD, FAINT, GREEN, INK, QUEUED, RED, Absent, Plot
from analysis.prose import RUNPOD, counted
from analysis.tables import Tables

JOBS = {"in_queue": ("waiting", QUEUED), "in_progress": ("at work", BLUE)}
STATES = {
    "running": ("running", BLUE),
    "idle": ("idle", GREEN),
    "initializing": ("initializing", COLD),
    "throttled": ("throttled", QUEUED),
    "unhealthy": ("unhealthy", RED),
}
"""States of endpoint workers, from the bottom of the stack; ``ready`` counts cached workers too and is no state of its own."""
MOST_BINS = 300
MOST_NAMES = 24
_NAME, _TITLE = "endpoint", "The endpoint's own word: jobs, and endpoint workers by state"


def plots(tables: Tables) -> list[Plot | Absent]:
    """The figure, where there is a word of the endpoint's or should be one."""
    rows = tables.run.endpoint
    if rows is None:
        missing = "the run has no endpoint.csv, or an empty one: nobody asked the endpoint after itself"
        return [Absent(_NAME, _TITLE, missing)] if tables.run.kind in RUNPOD else []
    good = rows[rows["error"] == ""]
    if good.empty:
        return [Absent(_NAME, _TITLE, f"the endpoint gave no answer that could be read, in {len(rows):,} times asked")]
    view = "workers" if (good["view"] == "workers").any() else "health"
    jobs, workers = good[good["view"] == "health"], good[good["view"] == view]
    parts = [_part(jobs, "jobs", list(JOBS)), _part(workers, "workers", list(STATES)), _offered(tables)]
    data = pd.concat([*parts, *_measured(tables)], ignore_index=True)
    offered = bool((data["part"] == "offered").any())
    caption = _caption(good, rows, view, offered, "until_s" in data)
    return [Plot(_NAME, _TITLE, caption, data, _draw, 5.0 if offered else 4.0)]


def _part(rows: pd.DataFrame, part: str, names: list[str]) -> pd.DataFrame:
    return rows.sort_values("at_s")[["at_s", *names]].astype("float64").assign(part=part)


def _offered(tables: Tables) -> pd.DataFrame:
    """Arrivals that were due in each second (longer stretches in a long run), per second; none where there is no such rate."""
    due = tables.requests["scheduled_s"]
    if tables.throughput.not_offered or due.empty:
        return pd.DataFrame({"at_s": [], "offered_per_s": [], "part": []})
    width_s = max(1.0, np.ceil(float(due.max()) / MOST_BINS))
    counts = due.floordiv(width_s).value_counts()
    bins = np.arange(0, int(due.max() // width_s) + 2)  # one more, so that the last step has its width and ends at 0
    return pd.DataFrame({"at_s": bins * width_s, "offered_per_s": counts.reindex(bins, fill_value=0) / width_s, "part": "offered"})


def _measured(tables: Tables) -> Iterator[pd.DataFrame]:
    """From when to when a sweep measured, a row a stage."""
    stages = tables.run.stages
    if stages is not None:
        rows = stages[(stages["phase"] == "measure") & stages["start_s"].notna()]
        ends = rows["end_s"].fillna(rows["stop_s"])
        if ends.notna().any():
            yield pd.DataFrame({"at_s": rows["start_s"], "until_s": ends, "stage": rows["stage"], "part": "measured"})[ends.notna()]


def _caption(good: pd.DataFrame, rows: pd.DataFrame, view: str, offered: bool, measured: bool) -> str:
    asked = {name: int((good["view"] == name).sum()) for name in ("health", "workers")}
    waiting = good["in_queue"].max()
    said = f"Asked {counted(asked['health'], 'time')} by /health (jobs)" if asked["health"] else "/health was not asked"
    said += f" and {counted(asked['workers'], 'time')} by the list of workers. " if asked["workers"] else ". "
    said += f"At most {int(waiting):,} waited. " if pd.notna(waiting) else ""
    said += (
        "Workers are those of the list."
        if view == "workers"
        else "Workers are those of /health, which calls some running before they have a container."
    )
    said += " Offered: arrivals due per second." if offered else ""
    said += " Shaded: the time in which a stage was measured." if measured else ""
    failed = len(rows) - len(good)
    return said + (f" {counted(failed, 'question')} got no answer that could be read." if failed else "")


def _draw(figure: Figure, data: pd.DataFrame) -> None:
    parts = {part: data[data["part"] == part] for part in ("offered", "jobs", "workers")}
    drawn = [(draw, parts[part]) for part, draw in (("offered", offered), ("jobs", jobs), ("workers", workers)) if len(parts[part])]
    panels = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (draw, rows) in zip(panels, drawn, strict=True):
        draw(axes, rows)
        axes.set_ylim(bottom=0, top=axes.get_ylim()[1] * (1.15 if "until_s" in data and axes is panels[-1] else 1.0))
        stages(axes, data[data["part"] == "measured"], named=axes is panels[-1])
    panels[-1].set_xlabel("s from second 0")


def stages(axes: Axes, data: pd.DataFrame, *, named: bool) -> None:
    """Shades the time in which a sweep measured, every other stage darker; their names in the lowest panel."""
    for place, (at_s, until_s, name) in enumerate(data[["at_s", "until_s", "stage"]].itertuples(index=False) if len(data) else ()):
        axes.axvspan(at_s, until_s, color=FAINT, alpha=0.10 + 0.08 * (place % 2), linewidth=0, zorder=0)
        if named and len(data) <= MOST_NAMES:
            middle = ((at_s + until_s) / 2, 0.98)
            axes.annotate(name, middle, xycoords=("data", "axes fraction"), ha="center", va="top", fontsize=8, color=INK)


def _legend(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=5, borderaxespad=0.2, handlelength=1.4, columnspacing=1.2, fontsize=9)


def offered(axes: Axes, data: pd.DataFrame) -> None:
    """Arrivals due per second, a step a second."""
    axes.step(data["at_s"], data["offered_per_s"], where="post", color=FAINT, label="offered")
    axes.set_ylabel("arrivals\nper s")
    _legend(axes)


def jobs(axes: Axes, data: pd.DataFrame) -> None:
    """Jobs waiting and at work, as /health gauges them."""
    for name, (label, colour) in JOBS.items():
        axes.step(data["at_s"], data[name], where="post", color=colour, label=label)
    axes.set_ylabel("jobs")
    _legend(axes)


def workers(axes: Axes, data: pd.DataFrame) -> None:
    """Endpoint workers by state, one above the other; states that never occur are left out."""
    floor = np.zeros(len(data))
    for name, (label, colour) in STATES.items():
        counts = data[name].fillna(0).to_numpy()
        if counts.any():
            axes.fill_between(data["at_s"], floor, floor + counts, step="post", color=colour, alpha=0.75, linewidth=0, label=label)
            floor = floor + counts
    axes.set_ylabel("endpoint\nworkers")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if floor.any():
        _legend(axes)
