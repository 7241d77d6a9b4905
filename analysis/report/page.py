"""Pages from templates, figures as HTML, tables for a terminal, and the ten views with their places in a report."""

from __future__ import annotations

import gc
import multiprocessing
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..command_name import PROGRAM
from ..figures.style import MissingPlot, Plot
from ..text.sheet import escaped

PAGE, CARD = "index.html", "card.png"
# The second has the colours, type and spacing that the live page uses too.
_TEMPLATES = (Path(__file__).parent / "templates", Path(str(files("coldburst"))) / "live" / "web" / "static")
_UNIT = re.compile(r"(?<=\d) (?=(?:%|m?s)(?:\W|$))")


def render(name: str, content: dict[str, Any]) -> str:
    """Fills a template of analysis/report/templates; HTML templates escape every text."""
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
    return _UNIT.sub("\u00a0", text)


def slug(title: str) -> str:
    """``title`` as an HTML id: lower case, hyphens between words."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def figure_content(plot: Plot | MissingPlot, folder: Path) -> dict[str, Any]:
    """Writes a figure's files into ``folder`` and returns what the templates show of it."""
    named = {"name": plot.name, "title": plot.title}
    if isinstance(plot, Plot):
        from ..figures.plot_files import write_plot  # noqa: PLC0415 -- a report without figures does not wait for matplotlib

        return {**named, "caption": plot.caption, "svg": Markup(write_plot(plot, folder)), "reason": ""}
    return {**named, "caption": "", "svg": "", "reason": plot.reason}


def figure_contents(plots: Sequence[Plot | MissingPlot], folder: Path, processes: int) -> list[dict[str, Any]]:
    """``figure_content`` of each, drawn by that many processes."""
    if processes == 1 or sum(isinstance(plot, Plot) for plot in plots) < processes:
        return [figure_content(plot, folder) for plot in plots]
    # Forks have the tables and matplotlib already, and get the initializer's arguments without pickling.
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, fork, _begin_drawing, (plots, folder)) as pool:
        return list(pool.map(_content_of, range(len(plots))))


# What a drawing process has from the one that forked it: the plots and the folder.
_to_draw: list[tuple[Sequence[Plot | MissingPlot], Path]] = []


def _begin_drawing(plots: Sequence[Plot | MissingPlot], folder: Path) -> None:
    _to_draw[:] = [(plots, folder)]
    # The process ends before the memory matters.
    gc.disable()
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this drawing process when the report's process has ended: it would wait for more to draw for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _content_of(place: int) -> dict[str, Any]:
    ((plots, folder),) = _to_draw
    return figure_content(plots[place], folder)


def write_page(folder: Path, plots: Sequence[Plot | MissingPlot], content: Mapping[str, Any], processes: int = 1) -> Path:
    """Writes card.png, report.md and index.html with their figures into ``folder``, and returns the path of the page."""
    shown = {**content, "figures": figure_contents(plots, folder / "figures", processes)}
    _write_card(folder, content)
    (folder / "report.md").write_text(render("report.md", shown), encoding="utf-8")
    page = folder / PAGE
    page.write_text(render("report.html", shown), encoding="utf-8")
    return page


def _write_card(folder: Path, content: Mapping[str, Any]) -> None:
    """The card as a picture, if the picture of the question was drawn."""
    card, first = content["card"], content["places"].first
    if not first:
        (folder / CARD).unlink(missing_ok=True)
        return
    from ..figures.card_picture import write_card  # noqa: PLC0415

    tiles = [(tile.name, tile.value) for tile in card.tiles]
    badges = [card.verdict.state, *([f"confidence {card.confidence.level}"] if card.confidence else []), content["report"].run.id]
    write_card(folder / CARD, _tied(card.answer), tiles, badges, card.verdict.state, folder / "figures" / f"{first}.png")


def missing_line(plots: Sequence[Plot | MissingPlot], tables: Sequence[str]) -> str:
    """What is not in a report, with the reasons, in one line; "" if nothing is missing."""
    reasons: dict[str, list[str]] = {}
    for plot in plots:
        if isinstance(plot, MissingPlot):
            reasons.setdefault(plot.reason, []).append(plot.title)
    parts = [*tables, *(f"{', '.join(titles)} ({reason})" for reason, titles in reasons.items())]
    return f"Not in this report: {'; '.join(parts)}." if parts else ""


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows as lines of text with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


TOTALS = "Locust's CSV files have totals only, no rows of single requests."
SCALING = f"Needs runs with different numbers of workers: {PROGRAM} scaling 1=PREFIX 2=PREFIX."
COMPARE = f"Needs a second run: {PROGRAM} compare BASE CANDIDATE."


@dataclass(frozen=True)
class ViewSpec:
    """A view: the figures (by name), tables and sections (by title) that show it, and what is needed if none does.

    ``of_totals`` says what is needed if only Locust's totals are available.
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
        takes="Needs a sweep for the best setting and its price: locustfiles/concurrency.py, scaling.py or matrix.py.",
    ),
    ViewSpec("Timeline", ("timeline", "history")),
    ViewSpec(
        "Throughput and P95 against concurrency",
        ("sweep_throughput", "scaling_p95"),
        takes="Needs several settings: locustfiles/concurrency.py or matrix.py.",
        of_totals=SCALING,
    ),
    ViewSpec(
        "Scaling efficiency against endpoint workers",
        ("sweep_efficiency",),
        takes="Needs several numbers of endpoint workers: locustfiles/scaling.py.",
        of_totals=SCALING,
    ),
    ViewSpec("Anatomy of a request, cold against warm", ("anatomy", "waterfall", "sweep_split")),
    ViewSpec("Cost against P95", ("sweep_cost", "what_if"), takes="Needs several settings with a price: a sweep with --price."),
    ViewSpec(
        "Cold starts",
        tables=("Cold starts", "Response time, cold and warm", "What cold requests waited for"),
        takes="No answer names its endpoint worker, and no worker was seen to start.",
    ),
    ViewSpec(
        "Errors and their causes",
        ("outcomes",),
        tables=("Ledger", "By outcome", "Why", "Requests and attempts", "Failures"),
        takes="No request was recorded.",
    ),
    ViewSpec(
        "Real-time factor and word error rate",
        ("sweep_quality",),
        ("Audio",),
        takes="Needs audio: a transcription service, or jobs that report the audio length.",
    ),
    ViewSpec("Comparison of runs", takes=COMPARE, of_totals=COMPARE),
)


@dataclass(frozen=True)
class View:
    """A view of this report: links (anchor and title) to what shows it, and a sentence on what is missing."""

    name: str
    links: tuple[tuple[str, str], ...]
    missing: str


def views(
    plots: Sequence[Plot | MissingPlot], tables: Mapping[str, str], sections: Mapping[str, str], *, totals: bool = False
) -> list[View]:
    """VIEWS as they are in this report; ``tables`` and ``sections`` of the page are given as title → anchor."""
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
