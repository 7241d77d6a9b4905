"""``python -m analysis scaling``: scaling efficiency and P95 from the CSV files of several plain Locust runs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import SimpleNamespace

from ..figures.style import Plot
from ..report.card import Card
from ..report.figure_places import FigurePlaces
from ..report.page import aligned, missing_line, slug, views, write_page
from ..runs.locust_csv import beside
from ..text.number_format import plural
from .scaling import EXAMPLE, Scaling, scaling
from .scaling_figures import scaling_plots
from .worker_level import GOODPUT, THROUGHPUT

SECTIONS = {"Verdict": "verdict"}
NEXT = "Add runs with other numbers of workers, or repeat one of these"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's description and arguments, and the function that runs it."""
    parser.description = "Scaling efficiency and P95 from the CSV files of plain Locust, one prefix for each number of endpoint workers."
    parser.epilog = "Exit code: 0 if the page was written, whatever it shows; 2 if not."
    parser.add_argument("levels", metavar="N=PREFIX", nargs="+", help=f"number of workers and the prefix measured with them: {EXAMPLE}")
    parser.add_argument("--out", metavar="DIR", type=Path, help="output folder (default: PREFIX_scaling, of the fewest workers)")
    parser.add_argument(
        "--column",
        choices=(GOODPUT, THROUGHPUT),
        default=GOODPUT,
        help="what the rate counts: only ok (goodput, the default) or all",
    )
    parser.add_argument(
        "--per-worker", metavar="C", type=_places, help="concurrent requests per endpoint worker, such as 4 (default: unknown)"
    )
    parser.add_argument("--quiet", action="store_true", help="print only the path of the page")
    parser.set_defaults(command=_command)


def _places(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} should be a whole number above 0, such as 4")
    return int(text)


def _command(asked: argparse.Namespace) -> str:
    of = scaling(asked.levels, asked.column, asked.per_worker)
    first = of.base.run.path
    page = write(of, asked.out or beside(first, "_scaling"))
    return f"scaling: {page}" if asked.quiet else terminal(of, page)


def write(of: Scaling, folder: Path) -> Path:
    """Writes index.html, report.md, scaling.json and the figures into ``folder``, and returns the path of the page."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    made, sheets = scaling_plots(of), of.sheets()
    drawn = [plot.name for plot in made if isinstance(plot, Plot)]
    anchors = {sheet.title: f"table-{slug(sheet.title)}" for sheet in sheets[1:]}
    content = {
        # the names that the report's templates read
        "report": SimpleNamespace(run=SimpleNamespace(id=f"{of.base.run.id} and others"), equation="", answer=None),
        "card": Card(of.headline, "", (), of.verdict, None, "", NEXT, ""),
        "places": FigurePlaces("".join(drawn[:1]), tuple(drawn[1:]), (), ()),
        "what_if": "",
        "moves": None,
        "unmoved": (),
        "main": sheets[:1],
        "sheets": sheets,
        "wrong": [],
        "trust": [],
        "folded": list(anchors),
        "summary": plural(len(of.verdict.notes), "note"),
        "anchors": anchors,
        "sections": ["Can I trust this?"],
        "missing": missing_line(made, []),
        "views": views(made, anchors, SECTIONS | {sheets[0].title: slug(sheets[0].title)}, totals=True),
        "bar": [],
        "about": [],
    }
    (folder / "scaling.json").write_text(json.dumps(of.for_programs(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return write_page(folder, made, content)


def terminal(of: Scaling, page: Path) -> str:
    """The result, its table and notes in a few lines; the last one names the page."""
    lines = [of.headline, f"verdict: {of.verdict.state}"]
    lines += [f"  - {reason}" for reason in of.verdict.reasons] + [f"  note: {note}" for note in of.verdict.notes]
    table = aligned([of.main.head, *of.main.rows])
    return "\n".join([*lines, "", *table, of.main.remark, "", f"scaling: {page}"])
