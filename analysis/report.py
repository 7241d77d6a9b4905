"""Writes a run's report: index.html, report.md, metrics.json, and the figures as files."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis import cold_table, prose, sheets, totals
from analysis.figures import plots
from analysis.figures.ink import THEMED, draw
from analysis.figures.marks import MARKS, Absent, Plot
from analysis.load import Run
from analysis.metrics import metrics
from analysis.sheet import Sheet
from analysis.sweep.answer import Answer, answer
from analysis.tables import Tables
from analysis.verdict import Verdict, judge
from rig.attempt import OUTCOMES, one_line

TEMPLATES = Path(__file__).parent / "templates"
PAGE = "index.html"
_UNIT = re.compile(r"(?<=\d) (?=(?:%|m?s)(?:\W|$))")


@dataclass(frozen=True)
class Report:
    """What a report says, before it is written.

    Attributes:
        headline: the finding in one sentence.
        equation: the ledger in one line; "" for plain Locust input.
        answer: what a sweep comes to; None for any other run.
    """

    run: Run
    tables: Tables
    verdict: Verdict
    headline: str
    equation: str
    answer: Answer | None = None


def report(run: Run) -> Report:
    """The report of ``run``; nothing is written."""
    tables = Tables(run)
    verdict = judge(run, tables)
    if run.totals is not None:
        return Report(run, tables, verdict, totals.headline(run.totals), "")
    found = answer(tables)
    said = prose.headline(tables) if found is None else found.headline(verdict.state)
    return Report(run, tables, verdict, said, prose.equation(tables), found)


def write(of: Report, folder: Path) -> Path:
    """Writes the report's files into ``folder`` (made if need be) and returns the page's path.

    Raises:
        OSError: the folder or a file cannot be written.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    drawn = [_drawn(plot, folder / "figures") for plot in plots.plots(of.tables, of.answer)]
    content = {
        "report": of,
        "sheets": sheets.sheets(of.tables, of.answer),
        "absent": sheets.absent(of.tables),
        "figures": drawn,
        "bar": _bar(of),
        "about": circumstances(of.run.about),
    }
    _write_cold(of.tables, folder / cold_table.FILE)
    measured = metrics(of.tables, of.verdict, of.answer)
    (folder / "metrics.json").write_text(json.dumps(measured, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(_render("report.md", content), encoding="utf-8")
    page = folder / PAGE
    page.write_text(_render("report.html", content), encoding="utf-8")
    return page


def _write_cold(of: Tables, path: Path) -> None:
    """What the rule on cold starts decided, a row an attempt; no file where it could decide nothing."""
    found = cold_table.table(of) if of.run.totals is None else None
    if found is None:
        path.unlink(missing_ok=True)
        return
    found.round(6).to_csv(path, index=False, lineterminator="\n")


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
    return "\n".join([*lines, "", *_columns([sheet.head, *sheet.rows]), *([sheet.remark] if sheet.remark else []), "", f"report: {page}"])


def _main(of: Report) -> Sheet:
    """The one table that a terminal shows."""
    if of.answer is not None:
        return of.answer.main
    return sheets.sheets(of.tables)[0] if of.run.totals is not None else sheets.times_sheet(of.tables)


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


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _drawn(plot: Plot | Absent, folder: Path) -> dict[str, Any]:
    shown = {"name": plot.name, "title": plot.title}
    if isinstance(plot, Plot):
        return {**shown, "caption": plot.caption, "svg": Markup(draw(plot, folder)), "reason": ""}
    return {**shown, "caption": "", "svg": "", "reason": plot.reason}


def _bar(of: Report) -> list[dict[str, Any]]:
    """The ledger as parts of a bar: name, count, colour and share of the width in percent."""
    if of.run.totals is not None:
        return []
    book = of.tables.ledger
    parts = [(name, book.counts.get(name, 0), MARKS[name][0]) for name in OUTCOMES] + [("missing", max(book.missing, 0), "")]
    whole = sum(count for _, count, _ in parts) or 1
    return [{"name": name, "count": n, "colour": THEMED.get(colour, colour), "width": 100 * n / whole} for name, n, colour in parts if n]


def _render(name: str, content: dict[str, Any]) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=lambda template: template is not None and template.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = _cell
    environment.filters["tied"] = _tied
    return environment.get_template(name).render(content)


def _tied(text: str) -> str:
    """``text`` with figures that no line end parts from their units."""
    return _UNIT.sub("\u00a0", text)


def _cell(text: str) -> str:
    """``text`` within a Markdown table or line: shown as it is, whatever signs of Markdown or HTML it holds."""
    plain = "".join(f"&#{ord(sign)};" if sign in "\\`*[]<>#|~@&$" else sign for sign in text)
    return plain.replace("://", "&#58;//").replace("www.", "www&#46;")
