"""Writes a run's report: index.html, report.md, metrics.json, and the figures as files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coldburst.lines import one_line
from coldburst.record.attempt import OUTCOMES

from ..command_name import PROGRAM
from ..figures import plots
from ..figures.plot_files import THEMED
from ..figures.style import MARKS, MissingPlot, Plot
from ..gate import objective_results
from ..gate.objective_metrics import MeasuredRun
from ..runs import locust_totals
from ..runs.load import Run
from ..sweep_report.sweep_answer import SweepAnswer, sweep_answer
from ..tables import cold_starts
from ..tables.run_tables import Tables
from ..text import spreadsheet
from ..text.sheet import Sheet
from ..verdict.verdict import Verdict, judge
from . import run_sheets
from .headline import equation, headline
from .metrics_json import metrics
from .page import PAGE, aligned, figure_content, render, slug
from .views import views

UNDRAWN = f"--figures no left it out; {PROGRAM} report RUN draws it"


@dataclass(frozen=True)
class Report:
    """What a report says, before it is written.

    Attributes:
        headline: the finding in one sentence.
        equation: the ledger in one line; "" for plain Locust input.
        answer: what a sweep comes to; None for any other run.
        objectives: which objectives were met and which missed; None where none was given.
    """

    run: Run
    tables: Tables
    verdict: Verdict
    headline: str
    equation: str
    answer: SweepAnswer | None = None
    objectives: Sheet | None = None


def report(run: Run) -> Report:
    """The report of ``run``; nothing is written."""
    tables = Tables(run)
    verdict = judge(run, tables)
    if run.totals is not None:
        return Report(run, tables, verdict, locust_totals.headline(run.totals), "", objectives=_kept(tables, verdict))
    found = sweep_answer(tables)
    said = headline(tables) if found is None else found.headline(verdict.state)
    return Report(run, tables, verdict, said, equation(tables), found, _kept(tables, verdict, found))


def _kept(tables: Tables, verdict: Verdict, found: SweepAnswer | None = None) -> Sheet | None:
    """What became of the objectives that the run was given."""
    return objective_results.objectives_sheet(objective_results.own_results(MeasuredRun(tables, verdict, found)))


def write(of: Report, folder: Path, *, figures: bool = True) -> Path:
    """Writes the report's files into ``folder`` (made if need be) and returns the page's path.

    Args:
        figures: whether they are drawn; else the page says of each how to have it.

    Raises:
        OSError: the folder or a file cannot be written.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    made = plots.plots(of.tables, of.answer)
    made = made if figures else [MissingPlot(one.name, one.title, UNDRAWN if isinstance(one, Plot) else one.reason) for one in made]
    content = _content(of, made) | {"figures": [figure_content(plot, folder / "figures") for plot in made]}
    _write_cold(of.tables, folder / cold_starts.FILE)
    measured = metrics(of.tables, of.verdict, of.answer)
    (folder / "metrics.json").write_text(json.dumps(measured, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(render("report.md", content), encoding="utf-8")
    page = folder / PAGE
    page.write_text(render("report.html", content), encoding="utf-8")
    return page


def _content(of: Report, made: Sequence[Plot | MissingPlot]) -> dict[str, Any]:
    """What the templates show, but for the drawn figures."""
    there = run_sheets.run_sheets(of.tables, of.answer)
    anchors = {sheet.title: f"table-{slug(sheet.title)}" for sheet in there}
    wanted = {"Verdict": True, "Decision": of.answer is not None, "Ledger": bool(of.equation), "Objectives": of.objectives is not None}
    sections = {title: slug(title) for title, is_there in wanted.items() if is_there}
    return {
        "report": of,
        "sheets": there,
        "short": _short(of, there),
        "anchors": anchors,
        "sections": [*sections, "Figures", "Tables", "Views", *(["Circumstances"] if of.run.about else [])],
        "absent": run_sheets.absent_tables(of.tables),
        "views": views(made, anchors, sections, totals=of.run.totals is not None),
        "bar": _bar(of),
        "about": circumstances(of.run.about),
    }


def _short(of: Report, there: list[Sheet]) -> list[Sheet]:
    """The tables that a pull request is shown unasked: the decision, the objectives, the main one."""
    first = [] if of.answer is None else [of.answer.policies]
    kept = [] if of.objectives is None else [of.objectives]
    main = of.answer.main.title if of.answer else "Response time" if of.run.totals is None else there[0].title
    return [*kept, *first, *(sheet for sheet in there if sheet.title == main)]


def _write_cold(of: Tables, path: Path) -> None:
    """What the rule on cold starts decided, a row an attempt; no file where it could decide nothing."""
    found = cold_starts.cold_start_table(of) if of.run.totals is None else None
    if found is None:
        path.unlink(missing_ok=True)
        return
    spreadsheet.write_csv(found.round(6), path)


def terminal(of: Report, page: Path) -> str:
    """The report in a few lines for a terminal; the last one names the page."""
    change = [of.answer.decision.change] if of.answer and of.answer.decision.change else []
    lines = (
        [of.headline, *change, "", of.equation, f"verdict: {of.verdict.state}"]
        if of.equation
        else [of.headline, f"verdict: {of.verdict.state}"]
    )
    lines += [f"  - {reason}" for reason in of.verdict.reasons]
    lines += [f"  note: {note}" for note in of.verdict.notes]
    lines += [f"  note: {note}" for note in of.answer.notes] if of.answer else []
    sheet = _main(of)
    return "\n".join([*lines, "", *aligned([sheet.head, *sheet.rows]), *([sheet.remark] if sheet.remark else []), "", f"report: {page}"])


def _main(of: Report) -> Sheet:
    """The one table that a terminal shows."""
    if of.answer is not None:
        return of.answer.main
    return run_sheets.run_sheets(of.tables)[0] if of.run.totals is not None else run_sheets.times_sheet(of.tables)


def circumstances(about: dict[str, Any]) -> list[tuple[str, str]]:
    """run.json as rows of name and text, nested keys joined by dots; the ledger stands elsewhere."""
    rows: list[tuple[str, str]] = []
    for key, value in about.items():
        if isinstance(value, dict) and key != "ledger":
            rows += [(f"{key}.{inner}", text) for inner, text in circumstances(value)]
        elif key != "ledger":
            rows.append((str(key), _said(value)))
    return rows


def _said(value: Any) -> str:
    return one_line(value) if isinstance(value, str) else one_line(json.dumps(value, ensure_ascii=False))


def _bar(of: Report) -> list[dict[str, Any]]:
    """The ledger as parts of a bar: name, count, colour and share of the width in percent."""
    if of.run.totals is not None:
        return []
    book = of.tables.ledger
    parts = [(name, book.counts.get(name, 0), MARKS[name][0]) for name in OUTCOMES] + [("missing", max(book.missing, 0), "")]
    whole = sum(count for _, count, _ in parts) or 1
    return [{"name": name, "count": n, "colour": THEMED.get(colour, colour), "width": 100 * n / whole} for name, n, colour in parts if n]
