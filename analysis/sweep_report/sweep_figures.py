"""The figures of a sweep: data from its settings, and a function that draws it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..figures import layout
from ..figures import matplotlib_modules as mpl
from ..figures.bins import Floats
from ..figures.layout import DASHED, SMALL
from ..figures.style import BLUE, FAINT, GREEN, INK, ORANGE, PHASES, PURPLE, RED, MissingPlot, Plot
from ..statistics.intervals import BY_DEFINITION, Interval
from ..sweep import ratios
from ..sweep.ratios import BOTTLENECK, TARGET
from ..sweep.setting_result import SPLIT, SettingResult
from ..sweep.sweep_result import SweepResult
from ..sweep.usl import Usl, fitted
from ..text.number_format import brief, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

pass

AXES = {"concurrency": "requests at a time", "scaling": "endpoint workers", "matrix": "concurrency of each endpoint worker"}
CURVE = 120
NOTHING = "no setting was measured completely"


def sweep_plots(of: SweepResult) -> list[Plot | MissingPlot]:
    """The figures of this kind of sweep, in order."""
    return [_throughput(of), *([_efficiency(of)] if of.settings.by_workers else [_multiplier(of)]), _cost(of), _split(of), _quality(of)]


def _sized(of: SweepResult) -> list[SettingResult]:
    return [cell for cell in of.deciding if cell.size]


def _n(each: Iterable[int]) -> str:
    counts = sorted(each)
    return f"n = {counts[0]:,}{f' to {counts[-1]:,}' if counts[-1] > counts[0] else ''} per setting"


def _bases(of: Iterable[Interval]) -> str:
    told = dict.fromkeys(each.basis for each in of if each.lower is not None and each.basis != BY_DEFINITION)
    return f"95 % intervals {'; '.join(told)}" if told else "no intervals"


def _ends(of: Interval) -> dict[str, float | None]:
    return {"value": of.value, "lower": of.lower, "upper": of.upper}


def _throughput(of: SweepResult) -> Plot | MissingPlot:
    name, title, cells = "sweep_throughput", "Throughput and response time by setting", _sized(of)
    if not cells:
        return MissingPlot(name, title, NOTHING)
    made: list[dict[str, object]] = [{"part": "mean", "x": cell.size, "setting": cell.name, **_ends(cell.throughput)} for cell in cells]
    made += [{"part": "repeat", "x": cell.size, "setting": cell.name, "value": each} for cell in cells for each in cell.each]
    made += [_tail(cell, p) for p in (50, 95, 99) for cell in cells]
    made += [{"part": "knee", "x": of.knee.size, "setting": of.knee.name, "value": of.knee.throughput.value}] if of.knee else []
    made += [
        {"part": f"limit {o.metric}", "x": 0, "setting": o.text, "value": o.value} for o in of.settings.objectives if o.metric[0] in "pm"
    ]
    caption = f"Answered ok, {_n(len(cell.ok) for cell in cells)}. Throughput: mean over repeats, one dot per repeat; "
    caption += f"{_bases(cell.throughput for cell in cells)}. P50, P95, P99: nearest rank. "
    caption += f"Knee: the smallest setting within {percent(of.settings.gain)} of the best throughput."
    data = _axis(pd.DataFrame([*made, *_curve(of, cells)]), of)
    return Plot(name, title, caption + _law(of), data, throughput, 5.6)


def _tail(cell: SettingResult, percent_of: int) -> dict[str, object]:
    found = cell.percentile(percent_of)
    return {
        "part": f"p{percent_of}",
        "x": cell.size,
        "setting": cell.name,
        "value": found.value,
        "lower": found.lower,
        "upper": found.upper,
    }


def _curve(of: SweepResult, cells: list[SettingResult]) -> Iterator[dict[str, object]]:
    if not isinstance(of.law, Usl) or len(cells) < 2:
        return
    sizes = np.array([float(cell.size or 0) for cell in cells])
    achieved = sizes if of.settings.by_workers else np.array([cell.in_flight or 0.0 for cell in cells])
    along = np.geomspace(sizes[0], sizes[-1], CURVE)
    for x, value in zip(along, fitted(of.law, np.interp(along, sizes, achieved)), strict=True):
        yield {"part": "law", "x": float(x), "setting": "", "value": float(value)}


def _law(of: SweepResult) -> str:
    if not isinstance(of.law, Usl):
        return f" No Universal Scalability Law: {of.law}."
    peak = f"N* = {brief(of.law.peak.value)}" if not of.law.peak_note else of.law.peak_note
    return f" Curve: Universal Scalability Law, R² = {of.law.r_squared:.3f}; {peak}."


def _axis(data: pd.DataFrame, of: SweepResult) -> pd.DataFrame:
    for column in ("lower", "upper"):
        if column not in data:
            data[column] = np.nan
    return data.astype({"value": "float64", "lower": "float64", "upper": "float64", "x": "float64"}).assign(axis=AXES[of.settings.question])


def _efficiency(of: SweepResult) -> Plot | MissingPlot:
    name, title = "sweep_efficiency", "Scaling efficiency"
    known = [(cell, of.relative[cell.name]) for cell in _sized(of) if cell.name in of.relative]
    good = [(cell, to) for cell, to in known if to.efficiency.value is not None]
    if len(good) < 2:
        whys = dict.fromkeys(f"{cell.name}: {to.refusal}" for cell, to in known if to.refusal)
        return MissingPlot(name, title, "; ".join(whys) or "it needs the baseline and another number of workers")
    data = pd.DataFrame([{"part": "mean", "x": cell.size, "setting": cell.name, **_ends(to.efficiency)} for cell, to in good])
    left = [cell.name for cell, to in known if to.efficiency.value is None]
    caption = "(R_n ÷ R_1) ÷ (n ÷ n_1); "
    claimed = [cell.name for cell, to in good if to.claim]
    proof = f"n is as you said, not verified, in {', '.join(claimed)}" if claimed else "n is confirmed by worker ids or by the control"
    caption += f"{proof}; "
    caption += f"answered ok, {_n(len(cell.ok) for cell, _ in good)}; {_bases(to.efficiency for _, to in good)}."
    caption += f" Target: above {percent(ratios.TARGET)}; below {percent(ratios.BOTTLENECK)}, look for a bottleneck."
    caption += f" Not shown, because the value would be wrong: {', '.join(left)}." if left else ""
    return Plot(name, title, caption, _axis(data, of), efficiency)


def _multiplier(of: SweepResult) -> Plot | MissingPlot:
    name, title = "sweep_multiplier", "Throughput multiplier against requests at a time"
    known = [(cell, of.relative[cell.name]) for cell in _sized(of) if cell.name in of.relative and of.relative[cell.name].share]
    if len(known) < 2:
        return MissingPlot(name, title, "it needs the baseline and another setting, both measured completely")
    data = pd.DataFrame(
        [
            {"part": "mean", "x": cell.size, "setting": cell.name, "share": to.share, "contention": to.contention, **_ends(to.multiplier)}
            for cell, to in known
        ]
    ).assign(worth=of.settings.worth)
    caption = f"Throughput ÷ that of {known[0][0].name}; dashed: ideal, and {of.settings.worth:g} of it. Below each point: contention. "
    caption += f"Answered ok, {_n(len(cell.ok) for cell, _ in known)}; {_bases(to.multiplier for _, to in known)}."
    return Plot(name, title, caption, _axis(data, of), multiplier)


def _cost(of: SweepResult) -> Plot | MissingPlot:
    name, title = "sweep_cost", "Cost against P95"
    priced = of.settings.price is not None
    cells = [cell for cell in _sized(of) if cell.percentile(95).value is not None and (cell.usd_per_1000 if priced else cell.effort)]
    if len(cells) < 2:
        return MissingPlot(name, title, "it needs two settings with a P95" + (" and a known number of workers" if priced else ""))
    data = pd.DataFrame(
        {
            "setting": [cell.name for cell in cells],
            "x": [cell.percentile(95).value for cell in cells],
            "value": [cell.usd_per_1000 if priced else (cell.effort or 0.0) * 1000 for cell in cells],
        }
    ).astype({"x": "float64", "value": "float64"})
    data["frontier"] = [not _beaten(data, x, value) for x, value in zip(data["x"], data["value"], strict=True)]
    unit = "USD per 1,000 ok" if priced else "worker-seconds per 1,000 ok"
    caption = "One mark per setting; the line joins the efficient frontier: settings that no other beats in both. "
    caption += f"P95 of answered ok, nearest rank, {_n(len(cell.ok) for cell in cells)}; cost by mean throughput."
    caption += "" if priced else " No price was given."
    return Plot(name, title, caption, data.assign(axis="P95 of response time (s)", unit=unit), cost)


def _beaten(data: pd.DataFrame, x: float, value: float) -> bool:
    as_good = (data["x"] <= x) & (data["value"] <= value)
    return bool((as_good & ((data["x"] < x) | (data["value"] < value))).any())


def _split(of: SweepResult) -> Plot | MissingPlot:
    name, title = "sweep_split", "Where the time goes, by setting"
    cells = [cell for cell in of.deciding if cell.split]
    if not cells:
        return MissingPlot(name, title, "the endpoint reported no queue delay and execution time")
    caption = "Mean service time of requests answered ok; queue delay (without cold start) and execution time as the endpoint reports "
    caption += f"them; {_n(len(cell.told) for cell in cells)} with both."
    data = pd.DataFrame([{"setting": cell.name, **cell.split} for cell in cells])
    return Plot(name, title, caption, data[["setting", *SPLIT]], split)


def _quality(of: SweepResult) -> Plot | MissingPlot:
    name, title, cells = "sweep_quality", "Word error rate beside throughput", [cell for cell in _sized(of) if cell.wer_n]
    if not cells:
        return MissingPlot(name, title, "no clip has a reference text to compare transcripts with")
    made = [{"part": "wer", "x": cell.size, "setting": cell.name, **_ends(cell.wer)} for cell in cells]
    made += [{"part": "mean", "x": cell.size, "setting": cell.name, **_ends(cell.throughput)} for cell in cells]
    caption = f"Mean word error rate of answered ok, {_n(cell.wer_n for cell in cells)}; {_bases(cell.wer for cell in cells)}. "
    caption += f"Throughput: mean over repeats; {_bases(cell.throughput for cell in cells)}."
    return Plot(name, title, caption, _axis(pd.DataFrame(made), of), quality, 4.6)


TAILS = {"p50": ("P50", GREEN, "o"), "p95": ("P95", ORANGE, "s"), "p99": ("P99", RED, "^")}
PARTS = {"queue_s": PHASES["queue_s"], "cold_s": PHASES["cold_s"], "execution_s": PHASES["execution_s"], "other_s": PHASES["rest_s"]}

# Settings closer than this share of the axis get a logarithmic axis, if that separates them better.
CLOSE = 0.15
ROW_PT = 1.4 * SMALL


def throughput(figure: Figure, data: pd.DataFrame) -> None:
    """Throughput above, percentiles below."""
    above, below = figure.subplots(2, 1, sharex=True)
    rates(above, data)
    tails(below, data)


def rates(axes: Axes, data: pd.DataFrame) -> None:
    """Throughput with intervals, one dot per repeat, the law's curve and the knee."""
    curve, dots, knee = (data[data["part"] == part] for part in ("law", "repeat", "knee"))
    if len(curve):
        axes.plot(curve["x"], curve["value"], color=PURPLE, linewidth=1.4, linestyle=DASHED, label="Universal Scalability Law")
    axes.scatter(dots["x"], dots["value"], s=14, c=BLUE, alpha=0.5, linewidths=0)
    _line(axes, data[data["part"] == "mean"], BLUE, "throughput", "o")
    for x, setting in zip(knee["x"], knee["setting"], strict=True):
        axes.axvline(x, color=INK, linewidth=1.0, linestyle=(0, (1, 2)), label=f"knee: {setting}")
    _sizes(axes, data)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("ok per s")
    layout.legend(axes)


def tails(axes: Axes, data: pd.DataFrame) -> None:
    """P50, P95 and P99 of response time, and their limits."""
    named = []
    for part, (label, colour, marker) in TAILS.items():
        rows = data[data["part"] == part]
        _line(axes, rows, colour, "", marker)
        named += [(float(rows["value"].dropna().iloc[-1]), label, colour)] if rows["value"].notna().any() else []
    limits = data[data["part"].str.startswith("limit ")]
    for text, value in zip(limits["setting"], limits["value"], strict=True):
        axes.axhline(value, color=INK, linewidth=1.0, linestyle=DASHED)
        named.append((float(value), text, INK))
    _sizes(axes, data)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("response time (s)")
    axes.set_xlabel(_axis_name(axes, data))
    layout.name_line_ends(axes, named, panels=2)


def efficiency(figure: Figure, data: pd.DataFrame) -> None:
    """Efficiency by workers, with ideal, target and bottleneck lines."""
    axes = figure.add_subplot()
    levels = ((1.0, "ideal", FAINT), (TARGET, "target", GREEN), (BOTTLENECK, "bottleneck", RED))
    for level, _, colour in levels:
        axes.axhline(level, color=colour, linewidth=1.2, linestyle=DASHED)
    _line(axes, data, BLUE, "", "o")
    _sizes(axes, data)
    _foot(axes, data, [percent(value) for value in data["value"]], max(1.1, float(data[["value", "upper"]].max().max()) * 1.05))
    axes.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value * 100:.0f} %"))
    axes.set_ylabel("scaling efficiency")
    axes.set_xlabel(_axis_name(axes, data))
    layout.name_line_ends(axes, levels)


def multiplier(figure: Figure, data: pd.DataFrame) -> None:
    """Multiplier by size, with the ideal and worth-it lines, and each point's contention."""
    axes, worth = figure.add_subplot(), float(data["worth"].iloc[0])
    for factor, colour in ((1.0, FAINT), (worth, GREEN)):
        axes.plot(data["x"], data["share"] * factor, color=colour, linewidth=1.2, linestyle=DASHED)
    _line(axes, data, BLUE, "", "o")
    _sizes(axes, data)
    top = float(data[["value", "upper"]].max().max()) * 1.6
    _foot(axes, data, [percent(lost) if abs(lost) > 1e-9 else "baseline" for lost in data["contention"]], top)
    axes.set_ylabel("multiplier (×)")
    axes.set_xlabel(_axis_name(axes, data))
    last = float(data["share"].iloc[-1])
    lines = ((float(data["value"].iloc[-1]), "measured", BLUE), (last * worth, f"{worth:g} of ideal", GREEN), (last, "ideal", FAINT))
    layout.name_line_ends(axes, [(min(value, top), text, colour) for value, text, colour in lines])


def cost(figure: Figure, data: pd.DataFrame) -> None:
    """One mark per setting at (P95, cost); the frontier joined."""
    axes, best = figure.add_subplot(), data[data["frontier"]].sort_values("x")
    rest = data[~data["frontier"]]
    axes.plot(best["x"], best["value"], "o-", color=BLUE, label="efficient frontier")
    axes.scatter(rest["x"], rest["value"], s=36, c=FAINT, marker="X", linewidths=0, label="beaten in both", zorder=3)
    axes.set_xlim(0, float(data["x"].max()) * 1.08)
    axes.set_ylim(0, float(data["value"].max()) * 1.3)
    layout.name_points(axes, list(data["x"]), list(data["value"]), list(data["setting"]))
    axes.set_xlabel(str(data["axis"].iloc[0]))
    axes.set_ylabel(str(data["unit"].iloc[0]))
    layout.legend(axes)


def split(figure: Figure, data: pd.DataFrame) -> None:
    """One stacked bar per setting: the parts of the mean service time."""
    axes, floor = figure.add_subplot(), np.zeros(len(data))
    for part, (label, colour) in PARTS.items():
        values = data[part].to_numpy(dtype=np.float64)
        if values.any():
            axes.bar(data["setting"], values, 0.6, bottom=floor, color=colour, label=label)
            floor = floor + values
    axes.set_ylabel("mean service time (s)")
    axes.grid(visible=False, axis="x")
    axes.tick_params(axis="x", labelrotation=0 if layout.fits(axes, list(data["setting"])) else 90)
    layout.legend(axes)


def quality(figure: Figure, data: pd.DataFrame) -> None:
    """Throughput above, word error rate below."""
    above, below = figure.subplots(2, 1, sharex=True)
    rates(above, data)
    _line(below, data[data["part"] == "wer"], PURPLE, "word error rate", "D")
    _sizes(below, data)
    below.set_ylim(0, float(data.loc[data["part"] == "wer", ["value", "upper"]].max().max()) * 1.2 or 0.01)
    below.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value * 100:.3g} %"))
    below.set_ylabel("WER")
    below.set_xlabel(_axis_name(below, data))
    layout.legend(below)


def _line(axes: Axes, rows: pd.DataFrame, colour: str, label: str, marker: str) -> None:
    held = rows[rows["lower"].notna() & rows["upper"].notna()]
    axes.plot(rows["x"], rows["value"], color=colour, marker=marker, markersize=5, label=label, zorder=3)
    axes.vlines(held["x"], held["lower"], held["upper"], color=colour, linewidth=1.2, alpha=0.6)


def _sizes(axes: Axes, data: pd.DataFrame) -> None:
    sizes = np.sort(data.loc[data["part"].isin(["mean", "wer"]), "x"].unique())
    room = 0.6 / len(sizes)
    if _nearest(sizes) < min(CLOSE, _nearest(np.log2(sizes))):
        axes.set_xscale("log", base=2)
        axes.set_xlim(sizes[0] / 2 ** (room * 2), sizes[-1] * 2 ** (room * 2))
    else:
        room *= max(sizes[-1] - sizes[0], 1.0)
        axes.set_xlim(sizes[0] - room, sizes[-1] + room)
    axes.xaxis.set_major_locator(mpl.ticker.FixedLocator(list(sizes)))
    axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    texts = [f"{size:g}" for size in sizes]
    named = {size: text for size, text, row in zip(sizes, texts, layout.rows_of(axes, list(sizes), texts), strict=True) if row == 0}
    axes.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: named.get(value, "")))


def _nearest(sizes: Floats) -> float:
    return float(np.diff(sizes).min() / (sizes[-1] - sizes[0])) if len(sizes) > 1 else 1.0


def _axis_name(axes: Axes, data: pd.DataFrame) -> str:
    name = str(data["axis"].iloc[0])
    return name.replace("concurrency of each endpoint worker", "concurrency of each worker") if layout.narrow(axes) else name


def _foot(axes: Axes, data: pd.DataFrame, texts: list[str], top: float) -> None:
    rows = layout.rows_of(axes, list(data["x"]), texts)
    deep_pt = min(6 + (max(rows) + 1) * ROW_PT, layout.height_pt(axes) / 2)
    axes.set_ylim(-top * deep_pt / (layout.height_pt(axes) - deep_pt), top)
    axes.yaxis.set_major_locator(
        mpl.ticker.FixedLocator([tick for tick in mpl.ticker.MaxNLocator(5).tick_values(0, top) if 0 <= tick <= top])
    )
    for x, text, row in zip(data["x"], texts, rows, strict=True):
        up = (0, 4 + row * ROW_PT)
        axes.annotate(text, (x, 0), up, xycoords=("data", "axes fraction"), textcoords="offset points", ha="center", fontsize=SMALL - 1)
