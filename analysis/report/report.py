"""Writes a run's report: index.html, report.md, metrics.json, and the figures as files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from coldburst.lines import one_line
from coldburst.record.attempt import OUTCOMES

from ..command_name import PROGRAM
from ..figures import plots
from ..figures.plot_files import THEMED
from ..figures.style import MARKS, MissingPlot, Plot
from ..gate import objective_results
from ..gate.objective_metrics import MeasuredRun
from ..runs import locust_csv
from ..runs.load import RUNPOD, Run
from ..sweep_report.sweep_answer import SweepAnswer, sweep_answer
from ..tables.attempt_tables import cause_words, commonest_errors, failure_causes, retry_summary
from ..tables.burst import next_burst_s
from ..tables.cold_starts import FILE, cold_start_table, cold_starts
from ..tables.run_tables import Tables
from ..text import sheet
from ..text.number_format import plural, seconds
from ..text.sheet import Sheet
from ..verdict.confidence import Confidence, confidence
from ..verdict.verdict import Verdict, judge
from . import run_sheets
from .metrics_json import metrics
from .page import aligned, slug, views, write_page

UNDRAWN = f"--figures no was given; draw it with {PROGRAM} report RUN"


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
    def confidence(self) -> Confidence | None:
        """How far the P95 can be relied on; None for a sweep, whose decision says it."""
        return confidence(self.tables, self.verdict) if self.answer is None else None


def report(run: Run) -> Report:
    """The report of ``run``; nothing is written."""
    tables = Tables(run)
    verdict = judge(run, tables)
    if run.totals is not None:
        return Report(run, tables, verdict, locust_csv.headline(run.totals), "", objectives=_kept(tables, verdict))
    found = sweep_answer(tables)
    said = headline(tables) if found is None else found.headline(verdict.state)
    return Report(run, tables, verdict, said, equation(tables), found, _kept(tables, verdict, found))


def _kept(tables: Tables, verdict: Verdict, found: SweepAnswer | None = None) -> Sheet | None:
    return objective_results.objectives_sheet(objective_results.own_results(MeasuredRun(tables, verdict, found)))


def write(of: Report, folder: Path, *, figures: bool = True) -> Path:
    """Writes the report into ``folder`` and returns the path of the page; without ``figures`` the page says how to draw them."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    made = plots.plots(of.tables, of.answer)
    made = made if figures else [MissingPlot(one.name, one.title, UNDRAWN if isinstance(one, Plot) else one.reason) for one in made]
    _write_cold(of.tables, folder / FILE)
    measured = metrics(of.tables, of.verdict, of.answer)
    (folder / "metrics.json").write_text(json.dumps(measured, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return write_page(folder, made, _content(of, made))


def _content(of: Report, made: Sequence[Plot | MissingPlot]) -> dict[str, Any]:
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
    first = [] if of.answer is None else [of.answer.policies]
    kept = [] if of.objectives is None else [of.objectives]
    main = of.answer.main.title if of.answer else "Response time" if of.run.totals is None else there[0].title
    return [*kept, *first, *(sheet for sheet in there if sheet.title == main)]


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
    lines += [f"confidence: {of.confidence.sentence}"] if of.confidence else []
    lines += errors(of)
    lines += [f"  note: {note}" for note in of.verdict.notes]
    lines += [f"  note: {note}" for note in of.answer.notes] if of.answer else []
    sheet = _main(of)
    counted = [] if of.answer or of.run.totals is not None else run_sheets.key_figures(of.tables)
    shown = [*aligned([sheet.head, *sheet.rows]), *([sheet.remark] if sheet.remark else []), *(["", *aligned(counted)] if counted else [])]
    return "\n".join([*lines, "", *shown, "", f"report: {page}"])


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


def _main(of: Report) -> Sheet:
    if of.answer is not None:
        return of.answer.main
    return run_sheets.run_sheets(of.tables)[0] if of.run.totals is not None else run_sheets.times_sheet(of.tables)


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


# Outcomes reported with the time until they came.
WAITED = ("queue_timeout", "timed_out", "abandoned")


def equation(tables: Tables) -> str:
    """The ledger in one line; a closed loop has no plan, so its requests are called sent."""
    line = str(tables.ledger)
    return line if tables.run.about.get("planned") is not None else line.replace(" planned", " sent in a closed loop", 1)


def headline(tables: Tables) -> str:
    """The result in a sentence: load, outcomes, response times; for RunPod endpoints a second one on cold starts."""
    book = tables.ledger
    answered = f"{book.counts.get('ok', 0):,} of {book.planned:,} ok{_at_first(tables)}"
    causes = {str(outcome): rows for outcome, rows in failure_causes(tables).groupby("outcome")}
    because = {name: _because(name, causes[name], book.counts[name]) for name in causes if book.counts.get(name)}
    worst = [f"{book.counts[name]:,} {name}{because.get(name, '')}" for name in OUTCOMES if name != "ok" and book.counts.get(name)]
    worst += [f"{book.missing:,} missing"] if book.missing else []
    others = f"; {', '.join(worst)}" if any(because.values()) else f" ({', '.join(worst)})" if worst else ""
    second = _cold_and_warm(tables) if tables.run.kind in RUNPOD else ""
    return f"{_asked(tables)}: {answered}{others}; {_speed(tables)}.{second}"


def _at_first(tables: Tables) -> str:
    found = retry_summary(tables)
    return f", {int(found.success['ok'].iloc[0]):,} at the first try" if found is not None and len(found.success) else ""


def _because(outcome: str, causes: pd.DataFrame, count: int) -> str:
    known = causes[(causes["requests"] > 0) & (causes["cause"] != "unknown")]
    if len(known) == 1 and int(known["requests"].iloc[0]) == count:
        median_s = known["median_s"].iloc[0]
        after = f" after {seconds(float(median_s))}" if outcome in WAITED and pd.notna(median_s) else ""
        return f"{after} ({one_line(cause_words(known['cause'].iloc[0]))})"
    parts = [f"{n:,} {one_line(cause_words(cause))}" for cause, n in zip(known["cause"], known["requests"], strict=True)]
    return f" ({', '.join(parts)})" if parts else ""


def _cold_and_warm(tables: Tables) -> str:
    found = cold_starts(tables)
    parts = []
    if found.starts:
        took = f", median {seconds(found.start_s.at(50).value)}" if found.start_s.n else ""
        met = "" if found.cold == found.starts else f", met by {plural(found.cold, 'request')}"
        parts.append(f"{plural(found.starts, 'cold start')}{took}{met}")
    elif found.known:
        parts.append(f"{found.cold:,} of {found.known:,} met a cold start" if found.cold else "No request met a cold start")
    for condition, label in (("warm", "warm answers"), ("untold", "answers without a cold start")):
        if condition in found.response:
            parts.append(f"half of the {label} within {seconds(found.response[condition].at(50).value)}")
    return f" {'; '.join(parts)}." if found.known else ""


def _asked(tables: Tables) -> str:
    about, planned = tables.run.about, tables.ledger.planned
    schedule = one_line(str(about.get("schedule") or ""))
    if tables.throughput.not_offered == "all at once":
        return f"{plural(planned, 'request')} at once"
    return f"{plural(planned, 'request')} ({schedule})" if schedule else plural(planned, "request")


def _speed(tables: Tables) -> str:
    times = tables.response["ok"]
    if not times.n:
        ok = tables.ledger.counts.get("ok", 0)
        return "the rows have no times" if ok else "no response time, because no request was answered ok"
    tail, ahead = times.at(95), next_burst_s(tables)
    if ahead:
        range_s = " to ".join(dict.fromkeys(map(seconds, ahead[95])))
        return f"half answered within {seconds(times.at(50).value)}, 95 % within {seconds(tail.value)} (the next such burst: {range_s})"
    if tail.maximum:
        return (
            f"half answered within {seconds(times.at(50).value)}, all within {seconds(times.maximum)} (n = {times.n:,}: too few for a P95)"
        )
    beside = f"n = {times.n:,}" if tail.lower is not None else f"n = {times.n:,}; too few for an interval of the P95"
    return f"half answered within {seconds(times.at(50).value)}, 95 % within {seconds(tail.value)} ({beside})"
