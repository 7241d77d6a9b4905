"""What pages are made of: templates, figures, and tables for a terminal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..figures.plot_files import write_plot
from ..figures.style import MissingPlot, Plot
from ..text.markdown import escaped

PAGE = "index.html"
_TEMPLATES = Path(__file__).parent / "templates"
_UNIT = re.compile(r"(?<=\d) (?=(?:%|m?s)(?:\W|$))")


def render(name: str, content: dict[str, Any]) -> str:
    """A template of analysis/report/templates filled with ``content``; HTML is escaped."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=lambda template: template is not None and template.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = escaped
    environment.filters["tied"] = _tied
    environment.filters["slug"] = slug
    return environment.get_template(name).render(content)


def _tied(text: str) -> str:
    """``text`` with figures that no line end parts from their units."""
    return _UNIT.sub("\u00a0", text)


def slug(title: str) -> str:
    """``title`` as an id: lower case, what is no letter or digit a hyphen."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def figure_content(plot: Plot | MissingPlot, folder: Path) -> dict[str, Any]:
    """A figure as the templates show it; its files are written into ``folder``."""
    named = {"name": plot.name, "title": plot.title}
    if isinstance(plot, Plot):
        return {**named, "caption": plot.caption, "svg": Markup(write_plot(plot, folder)), "reason": ""}
    return {**named, "caption": "", "svg": "", "reason": plot.reason}


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
