"""``python -m analysis report``: the report of one run."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..runs.load import load
from ..runs.locust_csv import beside
from .report import report, terminal, write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's description and arguments, and the function that runs it."""
    parser.description = "Writes index.html, report.md, metrics.json and the figures of one run, and prints a summary."
    parser.epilog = "Exit code: 0 if the report was written, whatever the verdict; 2 if not."
    parser.add_argument(
        "run",
        metavar="RUN",
        type=Path,
        help="a run directory (runs/20261121-091502-burst), or the PREFIX given to locust --csv (a folder for FOLDER/)",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="output folder (default: RUN/report, or PREFIX_report)")
    parser.add_argument("--figures", choices=("yes", "no"), default="yes", help="draw the figures; no is faster by seconds (default: yes)")
    parser.add_argument("--quiet", action="store_true", help="print only the path of the report")
    parser.set_defaults(command=_command)


def _command(asked: argparse.Namespace) -> str:
    run = load(asked.run)
    default = asked.run / "report" if run.totals is None else beside(run.path, "_report")
    made = report(run)
    page = write(made, asked.out or default, figures=asked.figures == "yes")
    return f"report: {page}" if asked.quiet else terminal(made, page)
