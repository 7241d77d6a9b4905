"""``python -m analysis scaling``: scaling efficiency and P95 from several prefixes of plain Locust's CSV files, on one page."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from ..report.page import PAGE, aligned, figure_content, render, slug, views
from ..runs.locust_csv import beside
from ..verdict.verdict import Verdict
from .scaling import EXAMPLE, Scaling, scaling
from .scaling_figures import scaling_plots
from .worker_level import GOODPUT, THROUGHPUT

SECTIONS = {"Verdict": "verdict"}


@dataclass(frozen=True)
class _Named:
    id: str


@dataclass(frozen=True)
class _Page:
    """What the templates of a report ask of it."""

    run: _Named
    verdict: Verdict
    headline: str
    equation: str = ""
    answer: None = None
    objectives: None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's description and arguments, and the function that runs it."""
    parser.description = "Scaling efficiency and P95 from the CSV files of plain Locust, one prefix for each number of endpoint workers."
    parser.epilog = "Exit code: 0 if the page was written, whatever it shows; 2 if not."
    parser.add_argument("levels", metavar="N=PREFIX", nargs="+", help=f"endpoint workers and the prefix measured with them: {EXAMPLE}")
    parser.add_argument("--out", metavar="DIR", type=Path, help="where to write (default: PREFIX_scaling, of the fewest workers)")
    parser.add_argument(
        "--column", choices=(GOODPUT, THROUGHPUT), default=GOODPUT, help="what the rate counts: answered ok (goodput, the default), or all"
    )
    parser.add_argument(
        "--per-worker", metavar="C", type=_places, help="requests that each endpoint worker takes at a time, as 4 (default: not known)"
    )
    parser.add_argument("--quiet", action="store_true", help="print only the line that names the page")
    parser.set_defaults(command=_command)


def _places(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} should be a whole number above 0, as in 4")
    return int(text)


def _command(asked: argparse.Namespace) -> str:
    of = scaling(asked.levels, asked.column, asked.per_worker)
    first = of.base.run.path
    page = write(of, asked.out or beside(first, "_scaling"))
    return f"scaling: {page}" if asked.quiet else terminal(of, page)


def write(of: Scaling, folder: Path) -> Path:
    """Writes index.html, report.md, scaling.json and the figures into ``folder`` (made if need be), and returns the page's path.

    Raises:
        OSError: the folder or a file cannot be written.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    made, sheets = scaling_plots(of), of.sheets()
    anchors = {sheet.title: f"table-{slug(sheet.title)}" for sheet in sheets}
    content = {
        "report": _Page(_Named(f"{of.base.run.id} and others"), of.verdict, of.headline),
        "figures": [figure_content(plot, folder / "figures") for plot in made],
        "sheets": sheets,
        "short": sheets[:1],
        "anchors": anchors,
        "sections": [*SECTIONS, "Figures", "Tables", "Views"],
        "absent": [],
        "views": views(made, anchors, SECTIONS, totals=True),
        "bar": [],
        "about": [],
    }
    (folder / "scaling.json").write_text(json.dumps(of.for_programs(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(render("report.md", content), encoding="utf-8")
    page = folder / PAGE
    page.write_text(render("report.html", content), encoding="utf-8")
    return page


def terminal(of: Scaling, page: Path) -> str:
    """The finding, its table and notes in a few lines; the last one names the page."""
    lines = [of.headline, f"verdict: {of.verdict.state}"]
    lines += [f"  - {reason}" for reason in of.verdict.reasons] + [f"  note: {note}" for note in of.verdict.notes]
    table = aligned([of.main.head, *of.main.rows])
    return "\n".join([*lines, "", *table, of.main.remark, "", f"scaling: {page}"])
