"""Scatter plots of requests: one mark each, or for many requests their density with marks for rare kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import matplotlib_modules as mpl
from .bins import Floats, evenly
from .layout import SMALL
from .style import BLUE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 20_000  # marks; above this the density is drawn
RARE = 2_500  # marks drawn over a density
ACROSS, UP = 180, 72  # cells of a density
BLOCK = 1_000_000
STEEP = 50  # the maximum ÷ median above which the y axis is logarithmic


@dataclass(frozen=True, eq=False)
class ScatterPoints:
    """Requests to draw, as columns: seq, position on the x axis, value, kind."""

    seq: np.typing.NDArray[np.int64]
    x: Floats
    y: Floats
    kind: np.typing.NDArray[np.int8]


def is_steep(values: Floats) -> bool:
    """Whether ``values`` need a logarithmic axis."""
    known = values[~np.isnan(values)]
    return len(known) > 0 and float(known.max()) > STEEP * float(np.median(known, overwrite_input=True)) > 0


def scatter_data(of: ScatterPoints, names: list[str], dense: list[str]) -> pd.DataFrame:
    """The data to draw. ``names`` are the kinds; above MOST rows those in ``dense`` become a density.

    Columns: ``part`` (mark or cell), ``x``, ``y`` (NaN without an end), ``kind``, ``of_kind`` (the size of the kind), ``seq``; for a
    cell with its lower left corner at (x, y) also ``right``, ``top`` and ``count``. Cells are logarithmic along y for steep values.
    """
    sizes = np.bincount(of.kind, minlength=len(names))
    if len(of.x) <= MOST:
        return _marks(of, names, sizes, np.arange(len(of.x)))
    rare = [place for place, name in enumerate(names) if sizes[place] and name not in dense]
    room = RARE // max(len(rare), 1)
    kept = [_even(of, np.flatnonzero(of.kind == place), room) for place in rare]
    even = not is_steep(of.y)
    many = ~np.isin(of.kind, rare) & ~np.isnan(of.y)
    cells = _cells(of.x, of.y, even=even) if many.all() else _cells(of.x[many], of.y[many], even=even)
    both = pd.concat([cells, _marks(of, names, sizes, np.concatenate([*kept, []]))], ignore_index=True)
    return both.astype({"seq": "Int64", "of_kind": "Int64", "count": "Int64"})


def _even(of: ScatterPoints, rows: np.typing.NDArray[np.intp], room: int) -> np.typing.NDArray[np.intp]:
    """At most ``room`` of ``rows``, evenly by rank, including the smallest and largest value."""
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
    across, up = _edges(x, ACROSS, even=True), _edges(y, UP, even=even)
    counts = np.zeros(ACROSS * UP, dtype=np.intp)
    for start in range(0, len(x), BLOCK):  # in blocks, to bound the memory of intermediate arrays
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
    least = float(np.min(values, where=values > 0, initial=np.inf))
    return np.concatenate([[low], np.geomspace(max(least, high * 1e-6) * (1 - 1e-9), high, cells)])


def draw_cells(axes: Axes, cells: pd.DataFrame, unit: float = 1.0) -> None:
    """Draws the cells with a logarithmic colour scale; ``unit`` converts seconds on the y axis."""
    across, up = (np.unique(cells[list(ends)].to_numpy()) for ends in (("x", "right"), ("y", "top")))
    grid = np.full((len(up) - 1, len(across) - 1), np.nan)
    grid[np.searchsorted(up, cells["y"]), np.searchsorted(across, cells["x"])] = cells["count"].astype("float64")
    scale = mpl.colors.LogNorm(1, max(float(cells["count"].max()), 2.0))
    mesh = axes.pcolormesh(across, up * unit, grid, norm=scale, cmap=_deepening(), rasterized=True, zorder=1, linewidth=0)
    bar = axes.get_figure(root=True).colorbar(mesh, ax=axes, pad=0.01, aspect=30)  # type: ignore[union-attr]
    bar.set_label("requests in a cell", fontsize=SMALL)
    bar.ax.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
    bar.ax.yaxis.set_minor_locator(mpl.ticker.NullLocator())
    bar.outline.set_visible(False)


def _deepening() -> Any:
    """A colour map from nearly transparent to opaque, for light and dark pages."""
    return mpl.colors.LinearSegmentedColormap.from_list("deepening", [(*mpl.colors.to_rgb(BLUE), 0.22), (*mpl.colors.to_rgb(BLUE), 1.0)])
