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
from ..figures.style import MARKS, THEMED, MissingPlot, Plot
from ..gate import objective_results
from ..gate.objective_metrics import MeasuredRun
from ..runs import locust_csv
from ..runs.load import Run
from ..sweep_report.sweep_answer import SweepAnswer, sweep_answer
from ..tables.attempt_tables import commonest_errors
from ..tables.cold_starts import FILE, cold_start_table
from ..tables.run_tables import Tables
from ..text import sheet
from ..text.number_format import plural, seconds
from ..text.sheet import Sheet
from ..verdict.confidence import Confidence, confidence, sweep_confidence
from ..verdict.verdict import Verdict, judge, lateness_limit_s
from . import run_sheets
from .card import card
from .figure_places import figure_places
from .headline import headline
from .key_figures import TITLE as KEY_FIGURES
from .key_figures import key_figures
from .metrics_json import metrics
from .page import aligned, missing_line, slug, views, write_page
from .what_if_sheet import unmoved, what_if_line, what_if_moves, what_if_sheet

UNDRAWN = f"--figures no was given; draw them with {PROGRAM} report RUN"


@dataclass(frozen=True)
class Report:
    """What a report says; ``equation`` is the ledger in one line, "" for Locust's totals."""

    run: Run
    tables: Tables
    verdict: Verdict
    headline: str
    equation: str
    answer: SweepAnswer | None = None
    objectives: Sheet | None = None

    @property
    def confidence(self) -> Confidence:
        """How far the P95, or the pick of a sweep, can be relied on."""
        if self.answer is not None:
            return sweep_confidence(self.tables, self.verdict, self.answer.sweep, self.answer.decision)
        return confidence(self.tables, self.verdict)


def report(run: Run, others: tuple[Tables, ...] = ()) -> Report:
    """The report of ``run``, pooled with ``others`` of the same test; nothing is written."""
    tables = Tables(run, others)
    verdict = judge(run, tables)
    if run.totals is not None:
        return Report(run, tables, verdict, locust_csv.headline(run.totals), "", objectives=_kept(tables, verdict))
    found = sweep_answer(tables)
    said = headline(tables) if found is None else found.headline(verdict.state)
    return Report(run, tables, verdict, said, equation(tables), found, _kept(tables, verdict, found))


def _kept(tables: Tables, verdict: Verdict, found: SweepAnswer | None = None) -> Sheet | None:
    return objective_results.objectives_sheet(objective_results.own_results(MeasuredRun(tables, verdict, found)))


def write(of: Report, folder: Path, *, figures: bool = True, processes: int = 1) -> Path:
    """Writes the report into ``folder`` and returns the path of the page; without ``figures`` the page says how to draw them.

    Args:
        processes: draw the figures; more than one are forks of this one, which must have no other threads of Python.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    made = plots.plots(of.tables, of.answer)
    made = made if figures else [MissingPlot(one.name, one.title, UNDRAWN if isinstance(one, Plot) else one.reason) for one in made]
    _write_cold(of.tables, folder / FILE)
    measured = metrics(of.tables, of.verdict, of.answer)
    (folder / "metrics.json").write_text(json.dumps(measured, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return write_page(folder, made, _content(of, made), processes)


# Tables about what failed, shown when something did; those that say whether to trust the rest.
WRONG, TRUST = ("By outcome", "Why"), ("Lateness",)


def _content(of: Report, made: Sequence[Plot | MissingPlot]) -> dict[str, Any]:
    there = run_sheets.run_sheets(of.tables, of.answer)
    titles = [sheet.title for sheet in there]
    main = _main(of, there)
    wrong = [title for title in titles if title in WRONG] if _something_failed(of) else []
    apart = {"Ledger", *wrong, *TRUST, *(sheet.title for sheet in main)}
    anchors = {title: f"table-{slug(title)}" for title in titles} | {sheet.title: slug(sheet.title) for sheet in main}
    anchors |= {"Ledger": "ledger"} if of.equation else {}
    sections = {"Verdict": "verdict"} | {sheet.title: slug(sheet.title) for sheet in main}
    return {
        "report": of,
        "card": card(of.headline, of.tables, of.verdict, of.confidence, of.answer),
        "places": figure_places(made, of.tables, of.answer.sweep.settings.question if of.answer else ""),
        "main": main,
        "sheets": there,
        "wrong": wrong,
        "trust": [title for title in titles if title in TRUST],
        "folded": [title for title in titles if title not in apart],
        "summary": _trust(of),
        "anchors": anchors,
        "sections": ["Can I trust this?", *(["Circumstances"] if of.run.about else [])],
        "missing": missing_line(made, run_sheets.absent_tables(of.tables)),
        "views": views(made, anchors, sections, totals=of.run.totals is not None),
        "what_if": what_if_line(of.tables),
        "moves": what_if_moves(of.tables),
        "unmoved": unmoved(of.tables),
        "bar": _bar(of),
        "about": circumstances(of.run.about),
    }


def _main(of: Report, there: Sequence[Sheet]) -> list[Sheet]:
    """The tables that everybody reads: key figures or settings, objectives, the decision of a sweep."""
    kept = [] if of.objectives is None else [of.objectives]
    if of.answer is not None:
        return [*kept, of.answer.policies, *(sheet for sheet in there if sheet.title == of.answer.main.title)]
    ahead = what_if_sheet(of.tables)
    return [there[0] if of.run.totals is not None else key_figures(of.tables), *kept, *([ahead] if ahead else [])]


def _something_failed(of: Report) -> bool:
    return of.run.totals is None and of.tables.ledger.counts.get("ok", 0) != of.tables.ledger.planned


def _trust(of: Report) -> str:
    """What is folded below "Can I trust this?", in a few words."""
    notes = [plural(len(of.verdict.notes), "note")] if of.verdict.notes else []
    if of.run.totals is not None:
        return ", ".join(notes)
    late = of.tables.lateness.times.at(99).value
    said = ["the ledger balances" if of.tables.ledger.balanced else "the ledger does not balance"]
    said += [] if late is None else [f"P99 send delay {seconds(late)} (limit {seconds(lateness_limit_s(of.tables))})"]
    return ", ".join([*said, *notes])


def _write_cold(of: Tables, path: Path) -> None:
    found = cold_start_table(of) if of.run.totals is None else None
    if found is None:
        path.unlink(missing_ok=True)
        return
    sheet.write_csv(found.round(6), path)


def terminal(of: Report, page: Path) -> str:
    """The report in a few lines for a terminal; the last one names the page."""
    change = [of.answer.decision.change] if of.answer and of.answer.decision.change else []
    lines = (
        [of.headline, *change, "", of.equation, f"verdict: {of.verdict.state}"]
        if of.equation
        else [of.headline, f"verdict: {of.verdict.state}"]
    )
    lines += [f"  - {reason}" for reason in of.verdict.reasons]
    lines.append(f"confidence: {of.confidence.sentence}")
    lines += errors(of)
    lines += [f"  note: {note}" for note in of.verdict.notes]
    lines += [f"  note: {note}" for note in of.answer.notes] if of.answer else []
    sheet = of.answer.main if of.answer else _main(of, run_sheets.run_sheets(of.tables) if of.run.totals is not None else ())[0]
    shown = aligned([row[: _columns(sheet)] for row in (sheet.head, *sheet.rows)])
    return "\n".join([*lines, "", *shown, *([sheet.remark] if sheet.remark else []), "", f"report: {page}"])


def _columns(of: Sheet) -> int:
    """Columns for a terminal: without the sentences of the key figures."""
    return len(of.head) - 1 if of.title == KEY_FIGURES else len(of.head)


def errors(of: Report) -> list[str]:
    """The commonest errors of attempts, one a line with its count; empty if there are none."""
    if of.run.totals is not None:
        return []
    found = commonest_errors(of.tables.attempts)
    return (
        ["errors:", *(f"  {count:,} × {outcome}: {one_line(text, run_sheets.ERROR_SHOWN)}" for outcome, text, count in found)]
        if found
        else []
    )


def circumstances(about: dict[str, Any]) -> list[tuple[str, str]]:
    """run.json without its ledger as rows of name and text, nested keys joined by dots."""
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
    if of.run.totals is not None:
        return []
    book = of.tables.ledger
    parts = [(name, book.counts.get(name, 0), MARKS[name][0]) for name in OUTCOMES] + [("missing", max(book.missing, 0), "")]
    whole = sum(count for _, count, _ in parts) or 1
    return [{"name": name, "count": n, "colour": THEMED.get(colour, colour), "width": 100 * n / whole} for name, n, colour in parts if n]


def equation(tables: Tables) -> str:
    """The ledger in one line; a closed loop has no plan, so its requests are called sent."""
    line = str(tables.ledger)
    return line if tables.run.about.get("planned") is not None else line.replace(" planned", " sent in a closed loop", 1)
