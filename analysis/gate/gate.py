"""``python -m analysis gate``: checks a run against its objectives, for CI: exit code, JUnit XML, and a Markdown summary."""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from coldburst.lines import one_line
from coldburst.record import exit_codes, objectives
from coldburst.record.objectives import ObjectiveError, Objectives

from ..compare import circumstances
from ..runs.load import Run, RunError, load
from ..sweep_report.sweep_answer import sweep_answer
from ..tables.run_tables import Tables
from ..text.sheet import escaped
from ..verdict.verdict import Verdict, judge
from .objective_metrics import MeasuredRun
from .objective_results import MET, MISS, UNTOLD, ObjectiveResult, baseline_result, objective_result, objectives_of

FAILED, SKIPPED = "failure", "skipped"
MARKS = {"": "✅", FAILED: "❌", SKIPPED: "➖"}
WORDS = {"": "ok    ", FAILED: "FAILED", SKIPPED: "--    "}
VERDICT_VARIABLE = "COLDBURST_EXIT_CODE_ON_VERDICT"


@dataclass(frozen=True)
class JUnitCase:
    """One test: its name, its state (FAILED, SKIPPED or "") and its result in one line."""

    name: str
    state: str
    text: str


@dataclass(frozen=True)
class GateResult:
    """A run checked against its objectives and its limits against a baseline; ``by_verdict``: whether the verdict counts too."""

    run: Run
    verdict: Verdict
    results: tuple[ObjectiveResult, ...]
    by_verdict: bool

    @property
    def code(self) -> int:
        """The exit code."""
        kept, told = not any(one.state == MISS for one in self.results), all(one.passes or one.state != UNTOLD for one in self.results)
        return exit_codes.code(verdict=self.verdict.state if self.by_verdict else "", kept=kept, told=told)

    @property
    def cases(self) -> list[JUnitCase]:
        """The verdict and the results, each as a test. "Cannot tell" is skipped if it may be missing, and fails otherwise."""
        doubted = FAILED if self.by_verdict else SKIPPED
        state = doubted if self.verdict.state in exit_codes.OF_VERDICT else ""
        return [
            JUnitCase("the figures can be trusted", state, "; ".join((self.verdict.state, *self.verdict.reasons))),
            *map(_case, self.results),
        ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's description and arguments, and the function that runs it."""
    parser.description = "Check a run against objectives and a baseline, print each result and set the exit code."
    parser.epilog = f"OBJECTIVES, in TOML:\n\n{textwrap.indent(objectives.FILE_EXAMPLE, '  ')}\n{objectives.HELP}\nExit codes:\n{_codes()}"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory (runs/20261121-091502-burst)")
    parser.add_argument("--objectives", metavar="FILE", type=Path, help="the objectives (default: those of the run)")
    parser.add_argument("--baseline", metavar="RUN", type=Path, help="the run to which the limits in [baseline] refer")
    parser.add_argument("--anyway", action="store_true", help="compare with a baseline even if it was a different test")
    parser.add_argument("--junit", metavar="FILE", type=Path, help="write the results as JUnit XML")
    parser.add_argument("--summary", metavar="FILE", type=Path, help="append a summary in Markdown, as in --summary $GITHUB_STEP_SUMMARY")
    parser.add_argument(
        "--exit-code-on-verdict",
        choices=("yes", "no"),
        default=os.environ.get(VERDICT_VARIABLE) or "yes",
        help=f"whether a degraded or invalid verdict fails too (default yes; environment: {VERDICT_VARIABLE})",
    )
    parser.set_defaults(command=_command)


def gate(run: Run, asked: Objectives, baseline: Run | None = None, *, by_verdict: bool = True, anyway: bool = False) -> GateResult:
    """Check ``run`` against ``asked``; ``anyway``: also against a baseline that was a different test.

    Raises:
        RunError: there are limits against a baseline but no baseline, or the reverse.
    """
    of = _measured(run)
    found = [objective_result(of, one) for one in asked.objectives]
    if asked.changes and baseline is None:
        raise RunError("the objectives have limits against a baseline: name that run with --baseline")
    if baseline is not None and not asked.changes:
        raise RunError("--baseline needs limits against it: a table [baseline] in --objectives FILE")
    if baseline is not None:
        base = _measured(baseline)
        different = _different(run, base)
        found += [baseline_result(of, base, limit, different, anyway=anyway) for limit in asked.changes]
    return GateResult(run, of.verdict, tuple(found), by_verdict)


def terminal(of: GateResult) -> str:
    """The results as lines for a terminal; the first is the total."""
    cases = of.cases
    held, skipped = (sum(case.state == state for case in cases) for state in ("", SKIPPED))
    first = f"{one_line(of.run.id)}: {'passed' if not of.code else 'failed'}, {held} of {len(cases)} hold"
    first += f", {skipped} skipped" if skipped else ""
    return "\n".join([first, *(f"  {WORDS[case.state]}  {case.name}: {case.text}" for case in cases), f"exit code {of.code}"])


def summary(of: GateResult) -> str:
    """The results in Markdown, for a pull request or a job's page."""
    lines = [f"### {MARKS[FAILED if of.code else '']} Load test {_shown(of.run.id)}", "", "| | Objective | Result |", "|---|---|---|"]
    lines += [f"| {MARKS[case.state]} | {_shown(case.name)} | {_shown(case.text)} |" for case in of.cases]
    return "\n".join([*lines, "", f"Exit code {of.code}.", "", ""])


def junit(suite: str, cases: Sequence[JUnitCase], seconds: float) -> str:
    """The XML of one suite, which took ``seconds``. Markup in the texts is escaped."""
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.state == FAILED for case in cases)),
        "errors": "0",
        "skipped": str(sum(case.state == SKIPPED for case in cases)),
        "time": f"{seconds:.3f}",
    }
    root = ElementTree.Element("testsuites", counts)
    inner = ElementTree.SubElement(root, "testsuite", {"name": one_line(suite), **counts})
    for case in cases:
        made = ElementTree.SubElement(inner, "testcase", {"classname": "coldburst", "name": one_line(case.name), "time": "0"})
        if case.state:
            ElementTree.SubElement(made, case.state, {"message": one_line(case.text, 500)})
        else:
            ElementTree.SubElement(made, "system-out").text = one_line(case.text, 500)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _command(asked: argparse.Namespace) -> tuple[int, str]:
    if asked.exit_code_on_verdict not in ("yes", "no"):  # argparse does not check a default
        raise RunError(f"{VERDICT_VARIABLE} is {one_line(asked.exit_code_on_verdict, 30)!r}, but must be yes or no")
    run = load(asked.run)
    baseline = load(asked.baseline) if asked.baseline else None
    made = gate(run, _asked(asked, run), baseline, by_verdict=asked.exit_code_on_verdict == "yes", anyway=asked.anyway)
    if asked.junit:
        _write(asked.junit, "w", junit(f"coldburst {run.id}", made.cases, float(run.about.get("elapsed_s") or 0.0)))
    if asked.summary:
        _write(asked.summary, "a", summary(made))
    return made.code, terminal(made)


def _write(path: Path, mode: str, text: str) -> None:
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror or error}; name a file in a writable directory") from error


def _asked(asked: argparse.Namespace, run: Run) -> Objectives:
    if asked.objectives:
        try:
            return objectives.load(asked.objectives)
        except ObjectiveError as error:
            raise RunError(str(error)) from error
    own, fault = objectives_of(run.about)
    if fault or not own:
        raise RunError(fault or f"{run.path} has no objectives: name a file with --objectives objectives.toml")
    return Objectives(own)


def _measured(run: Run) -> MeasuredRun:
    tables = Tables(run)
    return MeasuredRun(tables, judge(run, tables), None if run.totals is not None else sweep_answer(tables))


def _different(run: Run, base: MeasuredRun) -> str:
    """Why the two runs cannot be compared; "" if they can."""
    if (run.totals is None) != (base.tables.run.totals is None):
        return "one of the two has only Locust's totals"
    if base.verdict.state == "invalid":
        return "the baseline is invalid"
    apart = circumstances.differences(base.tables.run, run)
    return f"the baseline was a different test: {'; '.join(apart)}" if apart else ""


def _case(of: ObjectiveResult) -> JUnitCase:
    if of.state == UNTOLD:
        return JUnitCase(of.text, SKIPPED if of.passes else FAILED, of.sentence)
    limit = "" if of.state == MET or not of.limit else f", limit {of.limit}"
    return JUnitCase(of.text, "" if of.state == MET else FAILED, f"{of.sentence}{limit}")


def _shown(text: str) -> str:
    return escaped(one_line(text, 500))


def _codes() -> str:
    codes = (exit_codes.GOOD, exit_codes.NOTHING_SENT, exit_codes.DEGRADED, exit_codes.INVALID, exit_codes.MISSED, exit_codes.UNTOLD)
    return "\n".join(f"  {code}  {exit_codes.MEANINGS[code].replace('`', '')}" for code in codes)
