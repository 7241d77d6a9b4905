"""``python -m analysis merge``: adds rows that a lost generator kept to the run, and reports on it again."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..runs.load import RunError, load
from ..runs.merge import merge
from .report import report, terminal, write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's description and arguments, and the function that runs it."""
    parser.description = "Adds rows that the run misses from its generators' directories (RUN.g1, RUN.g2 …), and reports again."
    parser.epilog = "Merging twice adds nothing twice. Exit code: 0 if the rows were merged; 2 if not."
    parser.add_argument("run", metavar="RUN", type=Path, help="the run directory on the master")
    parser.add_argument("parts", metavar="DIR", type=Path, nargs="+", help="a generator's directory, or the attempts.csv in it")
    parser.set_defaults(command=_command)


def _command(asked: argparse.Namespace) -> str:
    try:
        done = merge(asked.run, asked.parts)
        made = report(load(asked.run))
        page = write(made, asked.run / "report")
    except OSError as error:
        where = f"{error.filename or asked.run}: {error.strerror or error}"
        raise RunError(
            f"the merge or its report could not be finished: {where}; fix that and merge again, nothing is added twice"
        ) from error
    return f"{done}\n\n{terminal(made, page)}"
