"""Writes a Plot as SVG, PNG and CSV, and makes the wide and narrow SVGs for the page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from ..text import sheet
from . import layout
from .style import STYLE, THEMED, Plot

# report.css shows one of the two; the narrow one is for phones.
WIDTHS_IN = {"wide": 9.0, "narrow": 3.7}
# Font sizes of the narrow figure, which give 11 px on a phone.
SMALLER: Mapping[Any, Any] = {"font.size": 9, "xtick.labelsize": 8.5, "ytick.labelsize": 8.5}
DPI = 110
RASTER_DPI = 160
_ID = re.compile(r'(\bid="|href="#|url\(#)')
_PROLOGUE = re.compile(r"^.*?(?=<svg\b)|<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)
_SIZE = re.compile(r'(<svg\b[^>]*?) width="[^"]*"([^>]*?) height="[^"]*"|(<svg\b[^>]*?) height="[^"]*"([^>]*?) width="[^"]*"')
_FONT = re.compile(r"font: (?:(?P<weight>\d+) )?(?P<size>[\d.]+)px [^;\"]*")
_TAG = re.compile(r"<[^>]*>")
_DECIMALS = re.compile(r"(\d\.\d\d)\d+")
_BLANK = re.compile(r"\n\s*")


def write_plot(plot: Plot, folder: Path) -> str:
    """Writes ``folder``/NAME.svg, .png and .csv, and returns the SVGs for the page."""
    drawn = {shape: draw_figure(plot, width_in) for shape, width_in in WIDTHS_IN.items()}
    texts = {shape: _svg(figure, plot.name) for shape, figure in drawn.items()}
    (folder / f"{plot.name}.svg").write_text(texts["wide"], encoding="utf-8")
    _png(drawn["wide"], folder / f"{plot.name}.png")
    sheet.write_csv(plot.data, folder / f"{plot.name}.csv")
    return _inline(plot, texts)


def inline_plot(plot: Plot) -> str:
    """The SVGs for a page that has no files beside it."""
    return _inline(plot, {shape: _svg(draw_figure(plot, width_in), plot.name) for shape, width_in in WIDTHS_IN.items()})


def _inline(plot: Plot, texts: Mapping[str, str]) -> str:
    return "".join(f'<div class="{shape}">{inline_svg(text, f"{plot.name}-{shape}", plot.title)}</div>' for shape, text in texts.items())


def draw_figure(plot: Plot, width_in: float) -> Figure:
    """Draws a plot at a width in inches."""
    with _style(width_in):
        figure = Figure(figsize=(width_in, plot.height_in), dpi=RASTER_DPI, layout="constrained")
        plot.draw(figure, plot.data)
    return figure


def _svg(figure: Figure, salt: str) -> str:
    """The SVG, drawn once; ``figure.savefig`` would draw it twice for the layout."""
    svg = io.StringIO()
    with _style(figure.get_figwidth(), {"svg.hashsalt": salt}):
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None})  # type: ignore[no-untyped-call]
    figure.set_layout_engine("none")  # the layout is done
    return svg.getvalue()


def _png(figure: Figure, path: Path) -> None:
    figure.set_dpi(DPI)
    figure.set_facecolor("white")
    with _style(figure.get_figwidth()):
        FigureCanvasAgg(figure).print_png(path)  # type: ignore[no-untyped-call]


@contextmanager
def _style(width_in: float, more: Mapping[Any, Any] | None = None) -> Iterator[None]:
    smaller = SMALLER if width_in < layout.NARROW_IN else {}
    with mpl.rc_context(dict(STYLE) | dict(smaller) | dict(more or {})), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font|Matplotlib currently does not support", UserWarning)
        yield  # characters that matplotlib's font lacks are boxes in the PNG only


def inline_svg(svg: str, name: str, title: str) -> str:
    """``svg`` for a page: with unique ids, the colours and font of the page, and a title for screen readers."""
    bare = _ID.sub(rf"\g<1>{name}-", _PROLOGUE.sub("", svg))
    bare = _SIZE.sub(r"\1\2\3\4", bare, count=1).replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)
    # Coordinates need two decimals; labels between the tags keep theirs.
    bare = _TAG.sub(lambda tag: _DECIMALS.sub(r"\1", tag[0]), _BLANK.sub("\n", _FONT.sub(_sized, bare)))
    for colour, themed in THEMED.items():
        bare = bare.replace(colour, themed)
    return bare


def _sized(font: re.Match[str]) -> str:
    weight = f"font-weight: {font['weight']}; " if font["weight"] else ""
    return f"{weight}font-size: {font['size']}px"
