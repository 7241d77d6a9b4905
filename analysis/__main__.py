"""The command line of analysis: ``python -m analysis COMMAND``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

from coldburst.lines import one_line

from .command_name import PROGRAM, SHORT

# Each command's line in the help and its module, imported only to run it: pandas and matplotlib take a second.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "report": ("report on one run: verdict, ledger, times, figures", ".report.report_command"),
    "merge": ("add the rows that a lost generator kept on its own disk", ".report.merge_command"),
    "compare": ("compare runs with a base run: differences with intervals", ".compare.compare"),
    "scaling": ("scaling efficiency and P95 from plain Locust CSV files", ".locust_scaling.scaling_command"),
    "gate": ("check a run against its objectives, for CI", ".gate.gate"),
}
LONGEST_REFUSAL = 1000


def main(arguments: Sequence[str] | None = None, prog: str = PROGRAM) -> int:
    """Runs one command and returns its exit code; 2, with one sentence on stderr, if it cannot run."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    asked = _parser(prog, next((word for word in words if word in COMMANDS), None)).parse_args(words)
    run_error = import_module(".runs.load", __package__).RunError
    try:
        answer: str | tuple[int, str] = asked.command(asked)
    except run_error as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(
            f"the report cannot be written: {error.filename or 'its folder'}: {error.strerror or error}; give --out a writable folder"
        )
    code, text = answer if isinstance(answer, tuple) else (0, answer)
    _print(text)
    return code


def _parser(prog: str, chosen: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Reads the files of a load test and reports what they show.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, (line, module) in COMMANDS.items():
        command = commands.add_parser(name, help=line)
        if name == chosen:
            import_module(module, __package__).add_arguments(command)
    return parser


def _refuse(sentence: str) -> int:
    print(f"{SHORT}: {one_line(sentence, LONGEST_REFUSAL)}", file=sys.stderr)
    return 2


def _print(text: str) -> None:
    """Prints ``text`` without control characters; characters that the terminal cannot encode become question marks."""
    plain = "\n".join("".join(char if char.isprintable() else " " for char in line) for line in text.split("\n"))
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(plain.encode(encoding, "replace").decode(encoding), flush=True)
    except BrokenPipeError:  # the reader (head, less) has exited; the report is already written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
