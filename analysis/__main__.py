"""The command line of analysis: ``python -m analysis COMMAND``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from coldburst.lines import one_line

from .command_name import PROGRAM, SHORT
from .compare import compare
from .gate import gate
from .locust_scaling import scaling_command as scaling
from .report.report import report, terminal, write
from .runs.load import RunError, load
from .runs.locust_csv import beside
from .runs.merge import merge

LONGEST = 1000
"""Characters of a refusal: a file may hold any text, and a terminal a few lines."""


def main(arguments: Sequence[str] | None = None, prog: str = PROGRAM) -> int:
    """Runs one command; returns its exit code, 0 where it has none of its own, or 2 with one sentence on stderr when it could not."""
    asked = _parser(prog).parse_args(arguments)
    try:
        said: str | tuple[int, str] = asked.command(asked)
    except RunError as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(
            f"the report cannot be written: {error.filename or 'its folder'}: {error.strerror or error}; give --out a folder with room"
        )
    code, text = said if isinstance(said, tuple) else (0, said)
    _say(text)
    return code


def _report(asked: argparse.Namespace) -> str:
    run = load(asked.run)
    default = asked.run / "report" if run.totals is None else beside(run.path, "_report")
    made = report(run)
    page = write(made, asked.out or default, figures=asked.figures == "yes")
    return f"report: {page}" if asked.quiet else terminal(made, page)


def _merge(asked: argparse.Namespace) -> str:
    try:
        done = merge(asked.run, asked.parts)
        made = report(load(asked.run))
        page = write(made, asked.run / "report")
    except OSError as error:
        where = f"{error.filename or asked.run}: {error.strerror or error}"
        raise RunError(f"the merge or its report is not done: {where}; mend that and merge again, nothing is added twice") from error
    return f"{done}\n\n{terminal(made, page)}"


def _refuse(sentence: str) -> int:
    print(f"{SHORT}: {one_line(sentence, LONGEST)}", file=sys.stderr)
    return 2


def _say(text: str) -> None:
    """Prints ``text``; nothing in it moves a terminal's cursor, and what the terminal has no sign for is a question mark."""
    plain = "\n".join("".join(char if char.isprintable() else " " for char in line) for line in text.split("\n"))
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(plain.encode(encoding, "replace").decode(encoding), flush=True)
    except BrokenPipeError:  # the reader (head, less) has gone, and the report is written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Reads what a load test left behind, and says what it means.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    one = commands.add_parser(
        "report",
        help="one run: ledger, verdict, times, figures",
        description="Writes the report of one run: index.html, report.md, metrics.json and the figures, and prints its short form.",
        epilog="Exit code: 0 when the report is made, whatever its verdict; 2 when it cannot be made.",
    )
    one.add_argument(
        "run",
        metavar="RUN",
        type=Path,
        help="a run directory (runs/20261121-091502-burst), or the PREFIX of locust --csv PREFIX (a folder for FOLDER/)",
    )
    one.add_argument("--out", metavar="DIR", type=Path, help="where to write (default: RUN/report, or PREFIX_report)")
    one.add_argument("--figures", choices=("yes", "no"), default="yes", help="whether to draw them; no saves seconds (default: yes)")
    one.add_argument("--quiet", action="store_true", help="print only the line that names the report")
    one.set_defaults(command=_report)
    two = commands.add_parser(
        "merge",
        help="adds rows that a lost generator kept on its own disk",
        description="Adds the rows of generators' directories (RUN.g1, RUN.g2 …) that a distributed run misses; makes its report again.",
        epilog="Doing it twice adds nothing twice. Exit code: 0 when it is done; 2 when it cannot be.",
    )
    two.add_argument("run", metavar="RUN", type=Path, help="the run's directory at the master")
    two.add_argument("parts", metavar="DIR", type=Path, nargs="+", help="a generator's directory, or the attempts.csv in it")
    two.set_defaults(command=_merge)
    compare.add_command(commands)
    scaling.add_command(commands)
    gate.add_command(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
