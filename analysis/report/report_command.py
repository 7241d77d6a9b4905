"""``python -m analysis report``: the report of one run, or of several of the same kind together."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from ..compare.circumstances import differences
from ..runs.load import Run, RunError, load
from ..runs.locust_csv import beside
from ..tables.run_tables import Tables
from ..verdict.verdict import judge
from .report import report, terminal, write

MOST_PROCESSES = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's description and arguments, and the function that runs it."""
    parser.description = (
        "Writes index.html, report.md, metrics.json and the figures of one run, and prints a summary. Further runs of the same test are "
        "pooled with it: from three on, the report predicts the next run."
    )
    parser.epilog = "Exit code: 0 if the report was written, whatever the verdict; 2 if not."
    parser.add_argument(
        "run",
        metavar="RUN",
        type=Path,
        nargs="+",
        help="a run directory (runs/20261121-091502-burst), or the PREFIX given to locust --csv (a folder for FOLDER/)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="output folder (default: RUN/report, PREFIX_report, or for several runs report-pooled in the first)",
    )
    parser.add_argument("--figures", choices=("yes", "no"), default="yes", help="draw the figures; no is faster by seconds (default: yes)")
    # A run starts this process while it awaits the last answers, and writes a line when the rows are complete.
    parser.add_argument("--after-line", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--quiet", action="store_true", help="print only the path of the report")
    parser.set_defaults(command=_command)


def _command(asked: argparse.Namespace) -> str:
    if asked.figures == "yes":
        # While the last answers are awaited, and before the drawing processes are forked.
        import_module("..figures.plot_files", __package__)
    if asked.after_line and not sys.stdin.readline():
        sys.exit(0)
    run, *others = map(load, asked.run)
    default = asked.run[0] / ("report-pooled" if others else "report") if run.totals is None else beside(run.path, "_report")
    _check_pooled(run, others)
    made = report(run, tuple(map(Tables, others)))
    page = write(made, asked.out or default, figures=asked.figures == "yes", processes=_processes())
    return f"report: {page}" if asked.quiet else terminal(made, page)


def _check_pooled(run: Run, others: Sequence[Run]) -> None:
    """Raises RunError if the runs cannot be taken together."""
    paths = [one.path.resolve() for one in (run, *others)]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise RunError(f"{twice} is named twice: name each run once")
    for one in (run, *others) if others else ():
        if one.totals is not None or one.about.get("sweep"):
            what = "has only Locust's totals" if one.totals is not None else "is a sweep"
            raise RunError(f"{one.path} {what}, which cannot be pooled: name run directories of the same test")
        if apart := differences(run, one):
            raise RunError(f"{run.id} and {one.id} are different tests and cannot be pooled: {'; '.join(apart)}")
        if judge(one, Tables(one)).state == "invalid":
            raise RunError(f"{one.path} is invalid and cannot be pooled: leave it out")


def _processes() -> int:
    """How many processes draw the figures: forked where that is safe, which is on Linux."""
    return min(len(os.sched_getaffinity(0)), MOST_PROCESSES) if sys.platform == "linux" else 1
