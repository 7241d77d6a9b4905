"""``python -m analysis compare``: runs against a base, their differences with intervals, on one page."""

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
from ..statistics.intervals import Interval
from . import circumstances, comparison_sheets
from .compared_run import ComparedRun
from .comparison_figures import comparison_plots
from .comparison_lines import ComparisonLine, comparison_lines

FORMAT = 1
LONGEST, LONGEST_PATH = 80, 4096
"""Characters of a run's name; of a path, before it is cut to as many."""
ONE_BASE = "The repeats of a setting are not pooled: each run named stands for itself; a sweep with --repeats measures repeats in one run."


@dataclass(frozen=True, eq=False)
class ComparisonPair:
    """The base and one candidate.

    Attributes:
        warnings: what speaks against comparing them, as parts of a sentence; empty where nothing does.
        notes: sentences on what differs and need not matter.
    """

    base: ComparedRun
    candidate: ComparedRun
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    lines: tuple[ComparisonLine, ...]

    @property
    def headline(self) -> str:
        """What it comes to."""
        return comparison_sheets.headline(self.base, self.candidate, self.lines)

    @property
    def method(self) -> str:
        """How its intervals are made."""
        return comparison_sheets.method(self.base, self.candidate)


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
    """Adds the command's description and arguments, and the function that runs it."""
    parser.description = "Compares runs with a base run: each figure side by side, and the difference with its 95 % interval."
    parser.epilog = "Exit code: 0 if the comparison was written, whatever it shows; 2 if it was refused or failed."
    parser.add_argument("base", metavar="BASE", type=Path, help="a run directory, or the PREFIX of locust --csv PREFIX")
    parser.add_argument("candidates", metavar="CANDIDATE", type=Path, nargs="+", help="the runs that are held against it, likewise")
    parser.add_argument("--out", metavar="DIR", type=Path, help="where to write (default: compare-BASE within the first CANDIDATE)")
    parser.add_argument("--anyway", action="store_true", help="compare runs that differ in what matters, or are invalid, and say so on top")
    parser.add_argument("--quiet", action="store_true", help="print only the line that names the page")
    parser.set_defaults(command=_command)


def _command(asked: argparse.Namespace) -> str:
    of = compare([load(path) for path in (asked.base, *asked.candidates)], anyway=asked.anyway)
    page = write(of, asked.out or _folder(of))
    return f"comparison: {page}" if asked.quiet else terminal(of, page)


def compare(runs: Sequence[Run], *, anyway: bool = False) -> Comparison:
    """The comparison of the first of ``runs`` with each of the others; nothing is written.

    Raises:
        RunError: the runs differ in what matters, or one is invalid, and ``anyway`` is not set; or rows meet totals.
    """
    labels = _labels(runs)
    sides = [ComparedRun(run, label, place) for place, (run, label) in enumerate(zip(runs, labels, strict=True))]
    base, *others = sides
    for side in others:
        if (side.run.totals is None) != (base.run.totals is None):
            plain, rows = (base, side) if side.run.totals is None else (side, base)
            raise RunError(
                f"{plain.label} has Locust's totals only, and {rows.label} has rows: "
                f"compare with Locust's totals of the other one too, {rows.run.path / 'locust'}"
            )
    return Comparison(base, tuple(_pair(base, side, anyway=anyway) for side in others))


def _pair(base: ComparedRun, candidate: ComparedRun, *, anyway: bool) -> ComparisonPair:
    warnings = []
    if base.run.totals is None:
        apart = circumstances.differences(base.run, candidate.run)
        if apart:
            warnings.append(f"{base.label} and {candidate.label} differ in what matters: {', '.join(apart)}")
        warnings += [f"{side.label} is invalid: {side.verdict.reasons[0]}" for side in (base, candidate) if side.verdict.state == "invalid"]
    if warnings and not anyway:
        raise RunError(f"not compared, as {'; and '.join(one.rstrip('.') for one in warnings)}; add --anyway to compare them all the same")
    said = list(circumstances.notes(base.run, candidate.run))
    judged = (base, candidate) if base.run.totals is None else ()
    said += [f"{side.label} is degraded: {side.verdict.reasons[0]}" for side in judged if side.verdict.state == "degraded"]
    sweeps = [side.label for side in (base, candidate) if side.sweep is not None]
    if len(sweeps) == 1:
        said.append(f"{sweeps[0]} is a sweep, and the other is none: its settings are mixed in each line, without requests of the warm-up.")
    elif sweeps:
        said.append("Both are sweeps: shares of outcomes are over all settings together, without their warm-up.")
    return ComparisonPair(base, candidate, tuple(warnings), (*said, ONE_BASE), tuple(comparison_lines(base, candidate)))


def _labels(runs: Sequence[Run]) -> list[str]:
    """The runs' names; where two look the same, their paths' ends; where those do too, the names with their places."""
    ids = [one_line(run.id, LONGEST) for run in runs]
    for names in (ids, [_end(run.path) for run in runs]):
        if len(set(names)) == len(names):
            return names
    return [f"{name} ({place})" for place, name in enumerate(ids, start=1)]


def _end(path: Path) -> str:
    """A path as far as a name may be long, from its end: what tells runs apart stands there."""
    whole = one_line(str(path), LONGEST_PATH)
    return whole if len(whole) <= LONGEST else f"…{whole[1 - LONGEST :]}"


def _folder(of: Comparison) -> Path:
    """compare-BASE within the first candidate, or beside it where that is a prefix."""
    run = of.pairs[0].candidate.run
    name = f"compare-{re.sub(r'[^A-Za-z0-9._-]+', '-', of.base.run.id)[:80]}"
    return run.path / name if run.totals is None else beside(run.path, f"_{name}")


def write(of: Comparison, folder: Path) -> Path:
    """Writes the page, compare.md, compare.json and the figures into ``folder`` (made if need be), and returns the page's path.

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
    """The content of compare.json: times in seconds, shares of one, what is not known null.

    Keys: ``format``, ``base`` (id, verdict), ``candidates``: a list of id, verdict, headline, warnings, notes and ``lines``, each with
    key, unit, n ([base, candidate]), base, candidate, difference and relative (value, lower, upper), word, why.
    """
    return {
        "format": FORMAT,
        "base": {"id": of.base.label, "verdict": of.base.verdict.state},
        "candidates": [
            {
                "id": pair.candidate.label,
                "verdict": pair.candidate.verdict.state,
                "headline": pair.headline,
                "warnings": list(pair.warnings),
                "notes": list(pair.notes),
                "lines": [_plain(line) for line in pair.lines],
            }
            for pair in of.pairs
        ],
    }


def _plain(line: ComparisonLine) -> dict[str, Any]:
    both = {"base": _rounded(line.of.base), "candidate": _rounded(line.of.candidate)}
    ends = {"difference": _interval(line.of.absolute), "relative": _interval(line.of.relative)}
    return {"key": line.key, "unit": line.unit, "n": list(line.n), **both, **ends, "word": line.word, "why": line.of.why}


def _interval(of: Interval) -> dict[str, float | None]:
    return {"value": _rounded(of.value), "lower": _rounded(of.lower), "upper": _rounded(of.upper)}


def _rounded(value: float | None) -> float | None:
    return round(value, 9) if value is not None and math.isfinite(value) else None


def terminal(of: Comparison, page: Path) -> str:
    """The comparison in a few lines for a terminal; the first is the finding, the last names the page."""
    said = []
    for pair in of.pairs:
        sheet = comparison_sheets.short(pair.base, pair.candidate, pair.lines)
        said += [pair.headline, *(f"  warning: {warning}" for warning in pair.warnings), *(f"  note: {note}" for note in pair.notes)]
        said += ["", *aligned([sheet.head, *sheet.rows]), ""]
    return "\n".join([*said, f"comparison: {page}"])
