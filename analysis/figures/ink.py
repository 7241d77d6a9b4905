"""From a Plot to files: SVG, PNG and the CSV of its data, and the SVG as it stands in the page."""

from __future__ import annotations

import io
import re
from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.figures import marks
from analysis.figures.marks import STYLE, Plot

WIDTH_IN = 7.6
DPI = 110
# The page sets these for light and dark; a file of its own keeps the colours of the light theme.
THEMED = {
    marks.INK: "var(--ink)",
    marks.FAINT: "var(--faint)",
    marks.GRID: "var(--grid)",
    marks.BLUE: "var(--blue)",
    marks.SKY: "var(--sky)",
}
_ID = re.compile(r'(\bid="|href="#|url\(#)')
_PROLOGUE = re.compile(r"^.*?(?=<svg\b)|<metadata>.*?</metadata>", re.DOTALL)


def draw(plot: Plot, folder: Path) -> str:
    """Writes ``folder``/NAME.svg, .png and .csv, and returns the SVG for the page.

    Raises:
        OSError: a file cannot be written.
    """
    with mpl.rc_context({**STYLE, "svg.hashsalt": plot.name}):
        figure = Figure(figsize=(WIDTH_IN, plot.height_in), layout="constrained")
        FigureCanvasAgg(figure)
        plot.draw(figure, plot.data)
        svg = io.StringIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
        figure.savefig(folder / f"{plot.name}.png", dpi=DPI, facecolor="white")
    (folder / f"{plot.name}.svg").write_text(svg.getvalue(), encoding="utf-8")
    plot.data.to_csv(folder / f"{plot.name}.csv", index=False, lineterminator="\n")
    return inline(svg.getvalue(), plot.name)


def inline(svg: str, name: str) -> str:
    """``svg`` fit to stand in a page beside others: ids of its own, and the page's colours."""
    bare = _ID.sub(rf"\g<1>{name}-", _PROLOGUE.sub("", svg))
    for colour, themed in THEMED.items():
        bare = bare.replace(colour, themed)
    return bare
