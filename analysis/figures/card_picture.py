"""The card of a report as a picture of 1200 × 630 pixels, for chats and pull requests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

from .style import FAINT, INK, STYLE

WIDTH, HEIGHT, DPI = 1200, 630, 100
LEFT, RIGHT = 56, WIDTH - 56
# Of DejaVu Sans, at a size of one pixel.
MEAN_WIDTH = 0.56
TITLE_PX, MOST_LINES = 32, 3
GOOD, DOUBTFUL, BAD = "#00734f", "#8a5a00", "#b3440a"
COLOURS = {"valid": GOOD, "degraded": DOUBTFUL, "invalid": BAD}


def write_card(path: Path, answer: str, tiles: Sequence[tuple[str, str]], badges: Sequence[str], verdict: str, picture: Path) -> None:
    """Draws the answer, up to five figures with their names, the badges, and the picture of the question below them.

    Args:
        tiles: names and values.
        badges: short texts for the lower edge, such as the verdict and the confidence.
        picture: a PNG on white.
    """
    with mpl.rc_context(dict(STYLE)):
        figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor="white")
        colour = COLOURS.get(verdict, INK)
        _box(figure, 0, 0, WIDTH, 10, colour)
        lines = _lines(answer)
        for row, line in enumerate(lines):
            _text(figure, LEFT, 56 + row * 1.3 * TITLE_PX, line, TITLE_PX, weight="bold")
        top = 56 + len(lines) * 1.3 * TITLE_PX + 6
        for column, (name, value) in enumerate(tiles[:5]):
            x = LEFT + column * (RIGHT - LEFT) / max(len(tiles[:5]), 1)
            _text(figure, x, top, name, 16, color=FAINT)
            _text(figure, x, top + 36, value, 30, weight="bold")
        top += 74 if tiles else 0
        _picture(figure, picture, top, HEIGHT - 50 - top)
        _text(figure, LEFT, HEIGHT - 26, " · ".join(badges), 16, color=colour, weight="bold")
        _text(figure, RIGHT, HEIGHT - 26, "coldburst", 16, color=FAINT, ha="right")
        FigureCanvasAgg(figure).print_png(path)  # type: ignore[no-untyped-call]


def _lines(answer: str) -> list[str]:
    """The answer in at most MOST_LINES lines; a longer one ends with an ellipsis."""
    lines = wrap(answer, int((RIGHT - LEFT) / (MEAN_WIDTH * 1.12 * TITLE_PX)), break_long_words=True)
    return lines if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], f"{lines[MOST_LINES - 1][:-1]}…"]


def _text(figure: Figure, x_px: float, y_px: float, text: str, size_px: float, **style: str) -> None:
    look: dict[str, Any] = {"color": INK, "va": "center"} | style
    figure.text(x_px / WIDTH, 1 - y_px / HEIGHT, text, fontsize=size_px * 72 / DPI, parse_math=False, **look)


def _box(figure: Figure, x_px: float, y_px: float, width_px: float, height_px: float, colour: str) -> None:
    axes = figure.add_axes((x_px / WIDTH, 1 - (y_px + height_px) / HEIGHT, width_px / WIDTH, height_px / HEIGHT))
    axes.set_facecolor(colour)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _picture(figure: Figure, path: Path, top_px: float, room_px: float) -> None:
    """The picture at the largest size that fits, centred."""
    pixels = imread(path)
    height, width = pixels.shape[:2]
    scale = min((RIGHT - LEFT) / width, room_px / height)
    width_px, height_px = width * scale, height * scale
    place = (LEFT + (RIGHT - LEFT - width_px) / 2, top_px, width_px, height_px)
    axes = figure.add_axes((place[0] / WIDTH, 1 - (place[1] + place[3]) / HEIGHT, place[2] / WIDTH, place[3] / HEIGHT))
    axes.imshow(pixels, aspect="auto", interpolation="antialiased")
    axes.axis("off")
