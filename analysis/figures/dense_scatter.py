"""Many requests at (x, y): a mark each while they are few, their density and the marks of the rare kinds above that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm, to_rgb
from matplotlib.ticker import FuncFormatter, NullLocator

from .bins import Floats, evenly
from .layout import SMALL
from .style import BLUE

MOST = 20_000
"""From here on the density is drawn."""
RARE = 2_500
"""Marks drawn above a density, of all kinds together."""
ACROSS, UP = 180, 72
"""Cells of a density."""
BLOCK = 1_000_000
STEEP = 50
"""A largest value of that many medians makes the y axis logarithmic."""


@dataclass(frozen=True, eq=False)
class ScatterPoints:
    """Requests to be drawn, as columns: place in the row, when due (or the place where all were due at once), the value, the kind."""

    seq: np.typing.NDArray[np.int64]
    x: Floats
    y: Floats
    kind: np.typing.NDArray[np.int8]


def is_steep(values: Floats) -> bool:
    """Whether ``values`` spread so far that only a logarithmic axis shows them."""
    known = values[~np.isnan(values)]
    return len(known) > 0 and float(known.max()) > STEEP * float(np.median(known, overwrite_input=True)) > 0


def scatter_data(of: ScatterPoints, names: list[str], dense: list[str]) -> pd.DataFrame:
    """What is drawn. ``names`` are the kinds; those in ``dense`` become a density where there are more than MOST rows.

    The cells of a density are even, or of one ratio along y where the values are steep.

    Columns: ``part`` (mark or cell), ``x``, ``y`` (NaN: without an end), ``kind``, ``of_kind`` (how many there are, drawn
    or not), ``seq``; of a cell, whose lower left corner is (x, y), also ``right``, ``top`` and ``count``.
    """
    sizes = np.bincount(of.kind, minlength=len(names))
    if len(of.x) <= MOST:
        return _marks(of, names, sizes, np.arange(len(of.x)))
    rare = [place for place, name in enumerate(names) if sizes[place] and name not in dense]
    room = RARE // max(len(rare), 1)
    kept = [_even(of, np.flatnonzero(of.kind == place), room) for place in rare]
    even = not is_steep(of.y)
    many = ~np.isin(of.kind, rare) & ~np.isnan(of.y)
    cells = _cells(of.x[many], of.y[many], even=even)
    both = pd.concat([cells, _marks(of, names, sizes, np.concatenate([*kept, []]))], ignore_index=True)
    return both.astype({"seq": "Int64", "of_kind": "Int64", "count": "Int64"})


def _even(of: ScatterPoints, rows: np.typing.NDArray[np.intp], room: int) -> np.typing.NDArray[np.intp]:
    """At most ``room`` of ``rows``, evenly by rank of their values, so that both ends stay."""
    if len(rows) <= room:
        return rows
    return rows[np.argsort(of.y[rows], kind="stable")][evenly(len(rows), room)]


def _marks(
    of: ScatterPoints, names: list[str], sizes: np.typing.NDArray[np.intp], rows: Floats | np.typing.NDArray[np.intp]
) -> pd.DataFrame:
    kept = np.sort(np.asarray(rows, dtype=np.intp))
    kinds = of.kind[kept]
    table = {"part": "mark", "seq": of.seq[kept], "x": of.x[kept], "y": of.y[kept]}
    return pd.DataFrame({**table, "kind": np.array(names, dtype=object)[kinds], "of_kind": sizes[kinds]})


def _cells(x: Floats, y: Floats, *, even: bool) -> pd.DataFrame:
    """The cells that hold something."""
    across, up = _edges(x, ACROSS, even=True), _edges(y, UP, even=even)
    counts = np.zeros(ACROSS * UP, dtype=np.intp)
    for start in range(0, len(x), BLOCK):  # what is reckoned on the way takes no more room than a block
        along, high = x[start : start + BLOCK], y[start : start + BLOCK]
        column = np.clip(((along - across[0]) * (ACROSS / (across[-1] - across[0]))).astype(np.intp), 0, ACROSS - 1)
        row = np.clip(np.searchsorted(up, high, side="right") - 1, 0, UP - 1)
        counts += np.bincount(column * UP + row, minlength=ACROSS * UP)
    full = np.flatnonzero(counts)
    column, row = full // UP, full % UP
    ends = {"x": across[column], "right": across[column + 1], "y": up[row], "top": up[row + 1]}
    return pd.DataFrame({"part": "cell", **ends, "count": counts[full]})


def _edges(values: Floats, cells: int, *, even: bool) -> Floats:
    low, high = min(float(values.min()), 0.0), float(values.max())
    if even:
        return np.linspace(low, high if high > low else low + 1.0, cells + 1)
    least = float(values[values > 0].min())
    return np.concatenate([[low], np.geomspace(max(least, high * 1e-6) * (1 - 1e-9), high, cells)])


def draw_cells(axes: Axes, cells: pd.DataFrame, unit: float = 1.0) -> None:
    """The cells, the fuller the deeper, on a logarithmic scale that stands beside them; y in ``unit`` parts of a second."""
    across, up = (np.unique(cells[list(ends)].to_numpy()) for ends in (("x", "right"), ("y", "top")))
    grid = np.full((len(up) - 1, len(across) - 1), np.nan)
    grid[np.searchsorted(up, cells["y"]), np.searchsorted(across, cells["x"])] = cells["count"].astype("float64")
    scale = LogNorm(1, max(float(cells["count"].max()), 2.0))
    mesh = axes.pcolormesh(across, up * unit, grid, norm=scale, cmap=_deepening(), rasterized=True, zorder=1, linewidth=0)
    bar = axes.get_figure(root=True).colorbar(mesh, ax=axes, pad=0.01, aspect=30)  # type: ignore[union-attr]
    bar.set_label("requests in a cell", fontsize=SMALL)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.outline.set_visible(False)


def _deepening() -> LinearSegmentedColormap:
    """From nearly clear to full: reads alike on a light and on a dark page."""
    return LinearSegmentedColormap.from_list("deepening", [(*to_rgb(BLUE), 0.22), (*to_rgb(BLUE), 1.0)])
