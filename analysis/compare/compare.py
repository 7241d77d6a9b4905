"""``python -m analysis compare``: the differences between a base and other runs, with intervals, on one page."""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coldburst.lines import one_line

from ..report.page import PAGE, aligned, figure_content, render
from ..runs.load import Run, RunError, load
from ..runs.locust_csv import beside
from . import circumstances, comparison_sheets, plan_comparison
from .compared_run import ComparedRun
from .comparison_figures import comparison_plots
from .comparison_lines import ComparisonLine, comparison_lines

FORMAT = 1
# Characters of a run's name, and of a path before it is cut.
LONGEST, LONGEST_PATH = 80, 4096
ONE_BASE = "Runs of the same setting are not pooled; to measure repeats in one run, use a sweep with --repeats."


@dataclass(frozen=True, eq=False)
class ComparisonPair:
    """The base and one candidate; ``warnings`` are reasons not to compare them, ``notes`` differences that do not matter."""

    base: ComparedRun
    candidate: ComparedRun
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    lines: tuple[ComparisonLine, ...]
    headline: str
    method: str


@dataclass(frozen=True, eq=False)
class Comparison:
    """A base and its candidates."""

    base: ComparedRun
    pairs: tuple[ComparisonPair, ...]

    @property
    def sides(self) -> list[ComparedRun]:
        """All runs, the base first."""
        return [self.base, *(pair.candidate for pair in self.pairs)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's description and arguments, and the function that runs it."""
    parser.description = (
        "Compare runs with a base: each figure side by side, and the difference with its 95 % interval. With a plan as the base (coldburst "
        "plan predict --runs DIR): the error of each predicted figure, and the assumption that is off."
    )
    parser.epilog = "Exit code: 0 if the runs were compared, whatever the result; 2 if not."
    parser.add_argument("base", metavar="BASE", type=Path, help="a run directory, or the PREFIX of locust --csv PREFIX")
    parser.add_argument("candidates", metavar="CANDIDATE", type=Path, nargs="+", help="the runs to compare with it")
    parser.add_argument("--out", metavar="DIR", type=Path, help="output directory (default: compare-BASE in the first CANDIDATE)")
    parser.add_argument("--anyway", action="store_true", help="compare invalid runs and different tests too, with a warning on the page")
    parser.add_argument("--quiet", action="store_true", help="print only the path of the page")
    parser.set_defaults(command=_command)


def _command(asked: argparse.Namespace) -> str:
    runs = [load(path) for path in (asked.base, *asked.candidates)]
    if plan_comparison.is_plan(runs[0]) and not plan_comparison.is_plan(runs[1]):
        against = plan_comparison.compare_plan(*plan_comparison.only_pair(runs), anyway=asked.anyway)
        page = plan_comparison.write(against, asked.out or _folder(runs[0], runs[1]))
        return f"comparison: {page}" if asked.quiet else plan_comparison.terminal(against, page)
    of = compare(runs, anyway=asked.anyway)
    page = write(of, asked.out or _folder(of.base.run, of.pairs[0].candidate.run))
    return f"comparison: {page}" if asked.quiet else terminal(of, page)


def compare(runs: Sequence[Run], *, anyway: bool = False) -> Comparison:
    """Compare the first of ``runs`` with each of the others; writes nothing.

    Raises:
        RunError: circumstances differ or a run is invalid, and ``anyway`` is not set; or one run has rows and another only totals.
    """
    labels = _labels(runs)
    sides = [ComparedRun(run, label, place) for place, (run, label) in enumerate(zip(runs, labels, strict=True))]
    base, *others = sides
    for side in others:
        if (side.run.totals is None) != (base.run.totals is None):
            plain, rows = (base, side) if side.run.totals is None else (side, base)
            raise RunError(
                f"{plain.label} has only Locust's totals, and {rows.label} has rows: "
                f"compare it with the Locust totals of the latter, {rows.run.path / 'locust'}"
            )
    return Comparison(base, tuple(_pair(base, side, anyway=anyway) for side in others))


def _pair(base: ComparedRun, candidate: ComparedRun, *, anyway: bool) -> ComparisonPair:
    warnings = []
    if base.run.totals is None:
        apart = circumstances.differences(base.run, candidate.run)
        if apart:
            warnings.append(f"{base.label} and {candidate.label} are different tests: {', '.join(apart)}")
        warnings += [f"{side.label} is invalid: {side.verdict.reasons[0]}" for side in (base, candidate) if side.verdict.state == "invalid"]
    if warnings and not anyway:
        raise RunError(f"not compared: {'; '.join(one.rstrip('.') for one in warnings)}; to compare anyway, add --anyway")
    noted = list(circumstances.notes(base.run, candidate.run))
    judged = (base, candidate) if base.run.totals is None else ()
    noted += [f"{side.label} is degraded: {side.verdict.reasons[0]}" for side in judged if side.verdict.state == "degraded"]
    sweeps = [side.label for side in (base, candidate) if side.sweep is not None]
    if len(sweeps) == 1:
        noted.append(f"Only {sweeps[0]} is a sweep: each line mixes its settings, without the warm-up.")
    elif sweeps:
        noted.append("Both are sweeps: shares of outcomes cover all settings together, without the warm-up.")
    lines = tuple(comparison_lines(base, candidate))
    headline, method = comparison_sheets.headline(base, candidate, lines), comparison_sheets.method(base, candidate)
    return ComparisonPair(base, candidate, tuple(warnings), (*noted, ONE_BASE), lines, headline, method)


def _labels(runs: Sequence[Run]) -> list[str]:
    """The runs' ids; the ends of their paths if two ids are equal; numbered ids if the paths are equal too."""
    ids, paths = [one_line(run.id, LONGEST) for run in runs], [_end(run.path) for run in runs]
    for names in (ids, paths):
        if len(set(names)) == len(names):
            return names
    return [f"{name} ({place})" for place, name in enumerate(ids, start=1)]


def _end(path: Path) -> str:
    """The last LONGEST characters of a path."""
    whole = one_line(str(path), LONGEST_PATH)
    return whole if len(whole) <= LONGEST else f"…{whole[1 - LONGEST :]}"


def _folder(base: Run, run: Run) -> Path:
    """compare-BASE in the first candidate, or next to it if that is a prefix."""
    name = f"compare-{re.sub(r'[^A-Za-z0-9._-]+', '-', base.id)[:80]}"
    return run.path / name if run.totals is None else beside(run.path, f"_{name}")


def write(of: Comparison, folder: Path) -> Path:
    """Write the page, compare.md, compare.json and the figures into ``folder``; return the path of the page.

    Raises:
        OSError: the folder or a file cannot be written.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    content = {
        "of": of,
        "parts": [(pair, comparison_sheets.tables(pair.base, pair.candidate, pair.lines)) for pair in of.pairs],
        "ledgers": comparison_sheets.ledgers(of.sides),
        "figures": [figure_content(plot, folder / "figures") for plot in comparison_plots(of.sides)],
    }
    (folder / "compare.json").write_text(json.dumps(comparison_json(of), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    (folder / "compare.md").write_text(render("compare.md", content), encoding="utf-8")
    page = folder / PAGE
    page.write_text(render("compare.html", content), encoding="utf-8")
    return page


def comparison_json(of: Comparison) -> dict[str, Any]:
    """The content of compare.json: times in seconds, shares of 1, null for unknown values.

    Keys: ``format``, ``base`` (id, verdict), ``candidates``: a list of id, verdict, headline, warnings, notes and ``lines``, each with
    key, unit, n ([base, candidate]), base, candidate, difference and relative (value, lower, upper), word, why.
    """
    candidates = [
        {
            **_identity(pair.candidate),
            "headline": pair.headline,
            "warnings": list(pair.warnings),
            "notes": list(pair.notes),
            "lines": [_line_json(line) for line in pair.lines],
        }
        for pair in of.pairs
    ]
    return {"format": FORMAT, "base": _identity(of.base), "candidates": candidates}


def _identity(side: ComparedRun) -> dict[str, str]:
    return {"id": side.label, "verdict": side.verdict.state}


def _line_json(line: ComparisonLine) -> dict[str, Any]:
    both = {"base": _rounded(line.of.base), "candidate": _rounded(line.of.candidate)}
    ends = {
        name: {"value": _rounded(of.value), "lower": _rounded(of.lower), "upper": _rounded(of.upper)}
        for name, of in (("difference", line.of.absolute), ("relative", line.of.relative))
    }
    return {"key": line.key, "unit": line.unit, "n": list(line.n), **both, **ends, "word": line.word, "why": line.of.why}


def _rounded(value: float | None) -> float | None:
    return round(value, 9) if value is not None and math.isfinite(value) else None


def terminal(of: Comparison, page: Path) -> str:
    """The comparison for a terminal: the result, the main lines, and the path of the page."""
    lines = []
    for pair in of.pairs:
        sheet = comparison_sheets.short(pair.base, pair.candidate, pair.lines)
        lines += [pair.headline, *(f"  warning: {warning}" for warning in pair.warnings), *(f"  note: {note}" for note in pair.notes)]
        lines += ["", *aligned([sheet.head, *sheet.rows]), ""]
    return "\n".join([*lines, f"comparison: {page}"])
