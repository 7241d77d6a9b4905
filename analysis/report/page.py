"""What pages are made of: templates, figures, and tables for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..command_name import PROGRAM
from ..figures.plot_files import write_plot
from ..figures.style import MissingPlot, Plot
from ..text.sheet import escaped

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


TOTALS = "Locust's totals have no row a request."
SCALING = f"One prefix of Locust's files was read: {PROGRAM} scaling 1=PREFIX 2=PREFIX shows several numbers of workers."
COMPARE = f"It takes a second run: {PROGRAM} compare BASE CANDIDATE writes a page that sets them side by side."


@dataclass(frozen=True)
class ViewSpec:
    """A view, by what shows it (figures by name, tables by title, the page's own sections), and what it takes where nothing does.

    ``of_totals`` is what it takes where there are Locust's totals only.
    """

    name: str
    figures: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    takes: str = ""
    of_totals: str = TOTALS


VIEWS = (
    ViewSpec(
        "Verdict, and what to do",
        sections=("Verdict", "Decision", "Objectives"),
        takes="A best setting and its price take a sweep: locustfiles/concurrency.py, scaling.py or matrix.py.",
    ),
    ViewSpec("Timeline", ("timeline", "history")),
    ViewSpec(
        "Throughput and P95 against concurrency",
        ("sweep_throughput", "scaling_p95"),
        takes="One setting was measured: locustfiles/concurrency.py or matrix.py measures several.",
        of_totals=SCALING,
    ),
    ViewSpec(
        "Scaling efficiency against endpoint workers",
        ("sweep_efficiency",),
        takes="One number of endpoint workers was measured: locustfiles/scaling.py measures several.",
        of_totals=SCALING,
    ),
    ViewSpec("Anatomy of a request, cold against warm", ("anatomy", "waterfall", "sweep_split")),
    ViewSpec("Cost against P95", ("sweep_cost",), takes="It takes several settings with a price: a sweep with --price."),
    ViewSpec(
        "Cold starts",
        tables=("Cold starts", "Response time, cold and warm", "What cold requests waited for"),
        takes="No answer says which endpoint worker gave it, and no start of one was seen.",
    ),
    ViewSpec(
        "Errors and their causes",
        tables=("Ledger", "By outcome", "Why", "Requests and attempts", "Failures"),
        takes="No request has a row.",
    ),
    ViewSpec(
        "Real-time factor and word error rate",
        ("sweep_quality",),
        ("Audio",),
        takes="No audio length is recorded: it takes a transcription, or a job that tells the length.",
    ),
    ViewSpec("Comparison of runs", takes=COMPARE, of_totals=COMPARE),
)


@dataclass(frozen=True)
class View:
    """A view of this report: links to what shows it (anchor and title), and in a sentence what is not there."""

    name: str
    links: tuple[tuple[str, str], ...]
    missing: str


def views(
    plots: Sequence[Plot | MissingPlot], tables: Mapping[str, str], sections: Mapping[str, str], *, totals: bool = False
) -> list[View]:
    """Each of VIEWS in this report; ``tables`` and ``sections`` are those that the page has: title → anchor."""
    return [_view(wanted, plots, tables, sections, totals=totals) for wanted in VIEWS]


def _view(
    wanted: ViewSpec, plots: Sequence[Plot | MissingPlot], tables: Mapping[str, str], sections: Mapping[str, str], *, totals: bool
) -> View:
    links = [*_links(wanted.sections, sections), *((f"figure-{plot.name}", plot.title) for plot in plots if _shows(plot, wanted))]
    links += _links(wanted.tables, tables)
    reasons = [
        f"{plot.reason[:1].upper()}{plot.reason[1:]}." for plot in plots if isinstance(plot, MissingPlot) and plot.name in wanted.figures
    ]
    alone = "Verdict" in wanted.sections and "Decision" not in sections
    missing = "" if links and not alone else next(iter(reasons), wanted.of_totals if totals and not alone else wanted.takes)
    return View(wanted.name, tuple(links), missing)


def _shows(plot: Plot | MissingPlot, wanted: ViewSpec) -> bool:
    return isinstance(plot, Plot) and plot.name in wanted.figures


def _links(titles: tuple[str, ...], there: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield from ((there[title], title) for title in titles if title in there)
