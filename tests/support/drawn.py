"""Figures as they are drawn: every text with its place, those that touch, those that are cut off."""

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from analysis.figures import plot_files

WIDTHS = tuple(plot_files.WIDTHS_IN.values())


def texts(monkeypatch, plot, width_in):
    """The Figure of ``plot`` and each text that is drawn in it: (text, box in pixels)."""
    seen, draw = {}, Text.draw

    def noted(text, renderer, *args, **more):
        if text.get_visible() and text.get_text().strip():
            seen[text] = None
        return draw(text, renderer, *args, **more)

    figure = plot_files.draw_figure(plot, width_in)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # lays it out
    with monkeypatch.context() as patched:
        patched.setattr(Text, "draw", noted)
        canvas.draw()
    return figure, [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in seen]


def faults(monkeypatch, plot, width_in):
    """Texts that touch another, and texts that are cut off, as sentences."""
    figure, found = texts(monkeypatch, plot, width_in)
    said = [f"{one} touches {other}" for (one, a), (other, b) in combinations(found, 2) if _both(a, b)]
    wide, high = figure.bbox.width, figure.bbox.height
    return said + [f"{text} is cut" for text, box in found if box.x0 < -1 or box.x1 > wide + 1 or box.y0 < -1 or box.y1 > high + 1]


def _both(a, b):
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 2
