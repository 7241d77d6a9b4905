"""The figures: each is data from the tables, and a function that draws that data on Axes.

House style (analysis/figures/marks.py): one fixed colour and marker an outcome; units on the axes; labels
beside the lines; n and the method in the caption.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis import totals
from analysis.figures import endpoint
from analysis.figures.marks import BLUE, FAINT, GREEN, INK, MARKS, QUEUED, RED, Absent, Plot
from analysis.models import ascending, percentile
from analysis.prose import counted, seconds
from analysis.sweep.answer import Answer
from analysis.tables import ENDLESS, Tables
from analysis.verdict import CPU_FULL, lateness_limit_s

MOST = 20_000
PIXELS_FROM = 2_000


def plots(tables: Tables, answer: Answer | None = None) -> list[Plot | Absent]:
    """Every figure of the report, in its order; of a sweep its own first, and none that mixes its settings together."""
    if tables.run.totals is not None:
        return [_history(tables)]
    if answer is not None:
        return [*answer.plots(), *endpoint.plots(tables), _response(tables), _lateness(tables), _generator(tables)]
    return [_response(tables), _distribution(tables), *endpoint.plots(tables), _lateness(tables), _generator(tables)]


def _response(tables: Tables) -> Plot | Absent:
    name, title, rows = "response_time", "Response time, request by request", tables.requests
    if rows.empty:
        return Absent(name, title, "no request has a row")
    special = (rows["outcome"] == "ok") & rows["condition"].isin(["cold", "queued"])
    kind = rows["outcome"].mask(special, "ok (" + rows["condition"] + ")")
    data = _placed(rows).assign(kind=kind, response_s=rows["response_s"], of_kind=kind.groupby(kind).transform("size")).reset_index()
    shown = _thinned(data)
    caption = f"n = {len(rows):,} requests; one mark a request, done − scheduled, to the end of its last attempt."
    caption += f" {len(shown):,} of them drawn, evenly by rank within each kind, rare kinds whole." if len(shown) < len(data) else ""
    endless = int(rows["outcome"].isin(ENDLESS).sum())
    if kind.str.startswith("ok (").any():
        caption += f" Cold by the rule under Cold starts; queued: {seconds(tables.cold_after_s)} or longer, for a warm endpoint worker."
    caption += f" {counted(endless, 'request')} without an end stand on the zero line." if endless else ""
    return Plot(name, title, caption, shown, _draw_response)


def _distribution(tables: Tables) -> Plot | Absent:
    name, title, rows = "response_time_ecdf", "Share of requests answered within a time", tables.requests
    ended = rows[rows["response_s"].notna()]
    if ended.empty:
        return Absent(name, title, "no request came to an end")
    data = ended[["response_s", "outcome"]].sort_values("response_s").reset_index()
    ok = int((data["outcome"] == "ok").sum())
    caption = f"Empirical distribution: n = {ok:,} answered ok, {len(data):,} that ended; P50, P95, P99 by nearest rank."
    return Plot(name, title, caption, data, _draw_distribution)


def _lateness(tables: Tables) -> Plot | Absent:
    name, title, rows = "lateness", "Lateness of the generator", tables.requests
    sent = rows[rows["lateness_s"].notna()]
    if sent.empty:
        return Absent(name, title, "no request was sent")
    limit = lateness_limit_s(tables)
    data = _placed(sent).assign(lateness_s=sent["lateness_s"], limit_s=limit, kind="sent", response_s=sent["lateness_s"]).reset_index()
    data = _thinned(data).drop(columns=["kind", "response_s"])
    caption = (
        f"n = {len(sent):,} requests sent; sent − scheduled − held at the in-flight cap. "
        f"The run is invalid where the P99 is above {seconds(limit)}."
    )
    return Plot(name, title, caption, data, _draw_lateness)


def _generator(tables: Tables) -> Plot | Absent:
    name, title, rows = "generator", "In flight, and the generator's CPU", tables.run.generator
    if rows is None:
        return Absent(name, title, "the run has no generator.csv, or an empty one")
    second = rows["at_s"].floordiv(1).rename("at_s")
    each = rows.groupby([second, "generator"])[["in_flight", "held", "cpu"]].last()
    data = each.groupby("at_s").agg(in_flight=("in_flight", "sum"), held=("held", "sum"), cpu=("cpu", "max")).reset_index()
    many = rows["generator"].nunique()
    caption = f"One sample a second; {counted(many, 'load generator')}: sums of in flight and held, CPU of the busiest (1.0 = a full core)."
    return Plot(name, title, caption, data, _draw_generator)


def _history(tables: Tables) -> Plot | Absent:
    assert tables.run.totals is not None
    name, title, data = "history", "Requests and failures over time, as Locust counted them", totals.history(tables.run.totals)
    if len(data) < 2:
        return Absent(name, title, "there is no _stats_history.csv with two rows or more")
    caption = f"{len(data):,} rows of the history; each rate is Locust's mean over about ten seconds."
    return Plot(name, title, caption, data, _draw_history)


def _placed(rows: pd.DataFrame) -> pd.DataFrame:
    """By seq, scheduled_s and x: the instant when due; or the place in the row where all were due at one instant."""
    due = rows["scheduled_s"]
    at_once = len(rows) > 1 and float(due.max() - due.min()) == 0.0
    x = pd.Series(np.arange(1, len(rows) + 1), rows.index) if at_once else due
    return pd.DataFrame({"scheduled_s": due, "x": x, "at_once": at_once})


def _thinned(data: pd.DataFrame) -> pd.DataFrame:
    """At most MOST rows: of each kind an equal share, evenly by rank of response time, both ends kept."""
    if len(data) <= MOST:
        return data
    ranked = data.sort_values(["kind", "response_s"], kind="stable")
    room = MOST // data["kind"].nunique()
    place, size = ranked.groupby("kind").cumcount(), ranked.groupby("kind")["kind"].transform("size")
    keep = (size <= room) | (place * (room - 1) // (size - 1) != (place - 1) * (room - 1) // (size - 1))
    return ranked[keep].sort_values("seq")


def _x_axis(axes: Axes, data: pd.DataFrame) -> None:
    at_once = bool(data["at_once"].iloc[0])
    axes.set_xlabel("request, in order of seq (all were scheduled at the same instant)" if at_once else "scheduled (s from second 0)")


def _draw_response(figure: Figure, data: pd.DataFrame) -> None:
    response_over_time(figure.add_subplot(), data)


def response_over_time(axes: Axes, data: pd.DataFrame) -> None:
    """A mark a request at (x, response_s); kinds without an end on the zero line."""
    for kind in [k for k in MARKS if (data["kind"] == k).any()]:
        rows, (colour, marker) = data[data["kind"] == kind], MARKS[kind]
        plain, small = kind.startswith("ok"), 0.4 if len(data) > PIXELS_FROM else 1.0
        axes.scatter(
            rows["x"],
            rows["response_s"].fillna(0.0),
            s={"o": 26, "*": 90}.get(marker, 36) * small,
            c=colour,
            marker=marker,
            linewidths=0 if plain else 0.7,
            edgecolors=INK,
            alpha=0.8 if plain else 0.95,
            label=f"{kind} ({rows['of_kind'].iloc[0]:,})",
            zorder=2 if plain else 3,
            clip_on=False,
            rasterized=len(data) > PIXELS_FROM,
        )
    _x_axis(axes, data)
    axes.set_ylabel("response time (s)")
    _spread(axes, data["response_s"])
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, borderaxespad=0.2, handletextpad=0.2, columnspacing=1.0, fontsize=9)


def _spread(axes: Axes, values: pd.Series[float]) -> None:
    """The y axis from zero; logarithmic above 10 ms where the slowest is 50 times the median or more."""
    if values.max() > 50 * values.median() > 0:
        axes.set_yscale("symlog", linthresh=0.01, linscale=0.3)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylim(bottom=0)


def _draw_distribution(figure: Figure, data: pd.DataFrame) -> None:
    distribution(figure.add_subplot(), data)


def distribution(axes: Axes, data: pd.DataFrame) -> None:
    """Two steps, answered ok and all that ended, with the percentiles of the former (or the latter) marked."""
    ok, ended = ascending(data.loc[data["outcome"] == "ok", "response_s"]), ascending(data["response_s"])
    if len(ok) < len(ended):
        _steps(axes, ended, FAINT, "all that ended")
    if len(ok):
        _steps(axes, ok, BLUE, "answered ok")
    _mark(axes, ok if len(ok) else ended, BLUE if len(ok) else FAINT, float(ended[-1]))
    axes.set_xlim(0, float(ended[-1]) * 1.04 or 1.0)
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:.0f} %"))
    axes.set_xlabel("response time (s)")
    axes.set_ylabel("share answered within")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.2)


def _mark(axes: Axes, values: np.typing.NDArray[np.float64], colour: str, widest_s: float) -> None:
    """A dot at P50, P95 and P99; P99's label joins P95's where the two stand within a tenth of the axis."""
    p50, p95, p99 = (percentile(values, p).value or 0.0 for p in (50, 95, 99))
    axes.plot([p50, p95, p99], [0.50, 0.95, 0.99], "o", color=colour, markersize=5)
    _label(axes, f"P50 {seconds(p50)}", p50, 0.50, widest_s)
    if p99 - p95 < widest_s / 10:
        _label(axes, f"P95 {seconds(p95)}, P99 {seconds(p99)}", p95, 0.95, widest_s)
        return
    _label(axes, f"P95 {seconds(p95)}", p95, 0.95, widest_s)
    _label(axes, f"P99 {seconds(p99)}", p99, 0.99, widest_s)


def _label(axes: Axes, said: str, value: float, share: float, widest_s: float) -> None:
    """Where the curve is not: left of a point far to the right, below and right of the others."""
    if value > widest_s * 0.4:
        axes.annotate(said, (value, share), (-8, 2), textcoords="offset points", fontsize=9, ha="right", va="center")
    else:
        axes.annotate(said, (value, share), (8, -1), textcoords="offset points", fontsize=9, va="top")


def _steps(axes: Axes, values: np.typing.NDArray[np.float64], colour: str, label: str) -> None:
    n = len(values)
    kept = np.unique(np.linspace(0, n - 1, min(n, MOST // 10)).astype(int))
    shares = np.concatenate([[0.0], (kept + 1) / n])
    axes.step(np.concatenate([[0.0], values[kept]]), shares, where="post", color=colour, label=f"{label} (n = {n:,})")


def _draw_lateness(figure: Figure, data: pd.DataFrame) -> None:
    lateness(figure.add_subplot(), data)


def lateness(axes: Axes, data: pd.DataFrame) -> None:
    """A mark a request at (x, lateness in ms), and the limit of the verdict where it is in sight."""
    late_ms, limit_ms = data["lateness_s"] * 1000, float(data["limit_s"].iloc[0]) * 1000
    axes.scatter(data["x"], late_ms, s=14, c=BLUE, linewidths=0, alpha=0.8, rasterized=len(data) > PIXELS_FROM)
    _x_axis(axes, data)
    axes.set_ylabel("lateness (ms)")
    top, limit = float(late_ms.max()), f"limit {seconds(limit_ms / 1000)}"
    in_sight = limit_ms <= 5 * top
    axes.set_ylim(min(0.0, float(late_ms.min()) * 1.1), (max(top, limit_ms) if in_sight else max(top, 0.1)) * 1.25)
    if in_sight:
        axes.axhline(limit_ms, color=RED, linewidth=1.2, linestyle=(0, (5, 3)))
    place = (1, limit_ms) if in_sight else (1, 1)
    frame = ("axes fraction", "data") if in_sight else "axes fraction"
    axes.annotate(
        limit if in_sight else f"{limit}, above the figure",
        place,
        (0, 4),
        xycoords=frame,
        textcoords="offset points",
        ha="right",
        fontsize=9,
    )


def _draw_generator(figure: Figure, data: pd.DataFrame) -> None:
    above, below = figure.subplots(2, 1, sharex=True)
    in_flight(above, data)
    cpu(below, data)


def in_flight(axes: Axes, data: pd.DataFrame) -> None:
    """Requests in flight, and those that the cap holds back, a step a second."""
    axes.step(data["at_s"], data["in_flight"], where="post", color=BLUE, label="in flight")
    if data["held"].max() > 0:
        axes.step(data["at_s"], data["held"], where="post", color=QUEUED, label="held by the in-flight cap")
    axes.set_ylabel("requests")
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.2)


def cpu(axes: Axes, data: pd.DataFrame) -> None:
    """The busiest generator's share of one core, and the limit of the verdict."""
    axes.step(data["at_s"], data["cpu"], where="post", color=GREEN)
    axes.axhline(CPU_FULL, color=RED, linewidth=1.2, linestyle=(0, (5, 3)))
    axes.annotate(
        f"limit {CPU_FULL:.1f}",
        (1, CPU_FULL),
        (0, 4),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        fontsize=9,
    )
    axes.set_ylim(0, max(1.15, float(data["cpu"].max()) * 1.1))
    axes.set_ylabel("CPU (cores)")
    axes.set_xlabel("s from second 0")


def _draw_history(figure: Figure, data: pd.DataFrame) -> None:
    history(figure.add_subplot(), data)


def history(axes: Axes, data: pd.DataFrame) -> None:
    """Locust's two rates over the seconds of its history."""
    axes.step(data["at_s"], data["requests_per_s"], where="post", color=BLUE, label="requests/s")
    axes.step(data["at_s"], data["failures_per_s"], where="post", color=RED, label="failures/s")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("s from the first row")
    axes.set_ylabel("1/s")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.2)
