"""Guides whose code blocks are commands with their output: ``python -m tests.support.console FILE`` writes the outputs anew."""

import contextlib
import io
import re
import shlex
import sys
from pathlib import Path

from coldburst.cli import main

BLOCK = re.compile(r"^```console\n\$ (?P<command>[^\n]+)\n(?P<output>.*?)^```$", re.MULTILINE | re.DOTALL)


def output(command):
    """What a ``coldburst`` command prints."""
    words = shlex.split(command)
    assert words[0] == "coldburst"
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(io.StringIO()):
        assert main(words[1:]) == 0, command
    return shown.getvalue()


def blocks(page):
    """Each command of a guide with the output that it shows."""
    return [(match["command"], match["output"]) for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


if __name__ == "__main__":
    guide = Path(sys.argv[1])
    text = guide.read_text(encoding="utf-8")
    guide.write_text(BLOCK.sub(lambda match: f"```console\n$ {match['command']}\n{output(match['command'])}```", text), encoding="utf-8")
