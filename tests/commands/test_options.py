"""Options: a short help first, and each of them in the reference with its default and an example that works."""

import argparse
import re
import shlex
import subprocess
import sys

import pytest

from coldburst.control import choice
from coldburst.load import repeated, run_options, scale_to_zero
from coldburst.load.run_spec import CAP, SCHEDULE, RunKind, add_options, spec_of
from coldburst.option import attribute
from coldburst.schedule import replay
from coldburst.sweep import settings
from tests.support.locusts import ROOT

PAGE = (ROOT / "docs" / "reference" / "options.md").read_text(encoding="utf-8")
KINDS = {
    "ArrivalUser": (),
    "ReplayUser": replay.OPTIONS,
    "ColdStartUser": scale_to_zero.OPTIONS,
    "ConcurrencyUser": (*settings.CONCURRENCY, *choice.OPTIONS),
    "ScalingUser": (*settings.SCALING, *choice.OPTIONS),
    "MatrixUser": (*settings.MATRIX, *choice.OPTIONS),
}
GENERAL = (SCHEDULE, CAP, *run_options.OPTIONS, *repeated.OPTIONS[1:])
MOST = 12
UNITS = {"SECONDS": "s", "N": "number", "SHARE": "0 to 1", "FILE": "file", "DIR": "directory", "PATH": "path", "NAME": "name"}


def rows():
    """The cells of each table of the page, by the heading above it."""
    found = {}
    for section in PAGE.split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        lines = re.findall(r"^\| `(--[\w-]+)` \| (.+?) \| (.+?) \| `(.+?)` \| (.+) \|$", text, re.MULTILINE)
        assert lines, title
        found[title] = {name: cells for name, *cells in lines}
    return found


def spec(name):
    """The spec of a test of that kind."""
    stages = None if name == "ArrivalUser" else lambda _: ()
    user = type("Made", (), {"kind": RunKind(KINDS[name], stages=stages), "host": None})
    return spec_of(type("Test", (user,), {} if stages else {"schedule": "burst 3"}))


def place(option, kind, pages):
    """The row of an option that ``kind`` brings ("": of every run)."""
    titles = ["Load and limits", "Requests", "Object storage", "RunPod endpoints", "Results"]
    if kind:
        titles = [title for title in pages if kind in title]
    (row,) = [pages[title][option.name] for title in titles if option.name in pages[title]]
    return row


def test_every_option_has_a_row_with_its_default_unit_and_an_example_that_is_accepted():
    pages = rows()
    options = [(option, "") for option in GENERAL] + [(option, kind) for kind, own in KINDS.items() for option in own]
    for option, kind in options:
        default, unit, example, what = place(option, kind, pages)
        assert default == (f"`{option.default}`" if option.default != "" else "none"), option.name
        assert unit == (" · ".join(f"`{choice}`" for choice in option.choices) if option.choices else UNITS.get(option.metavar, unit))
        parser = argparse.ArgumentParser()
        run_options.add(parser, {"one": (option,)})
        value = vars(parser.parse_args(shlex.split(example)))[attribute(option)]
        assert type(value) is type(option.default) and value != option.default, example
        assert len(what) > 10
    known = {option.name for option, _ in options} | {"--web-allowed-hosts", "--stay"}
    assert {name for page in pages.values() for name in page} == known


@pytest.mark.parametrize("kind", KINDS)
def test_the_short_help_of_a_test_fits_a_screen_and_the_long_one_has_the_rest(kind, capsys):
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser, [spec(kind)])
    shown = {}
    for flag in (run_options.HELP, run_options.HELP_ALL):
        with pytest.raises(SystemExit):
            parser.parse_args([flag])
        text = capsys.readouterr().out
        shown[flag] = set(re.findall(r"^  (--[\w-]+)", text, re.MULTILINE))
        assert flag == run_options.HELP_ALL or max(map(len, text.splitlines())) <= 120
    assert 6 < len(shown[run_options.HELP]) <= MOST
    assert shown[run_options.HELP] < shown[run_options.HELP_ALL] == {option.name for option in spec(kind).options}


def test_several_tests_at_once_show_only_what_all_have(capsys):
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser, [spec(kind) for kind in KINDS])
    with pytest.raises(SystemExit):
        parser.parse_args([run_options.HELP])
    assert 6 < len(re.findall(r"^  --[\w-]+", capsys.readouterr().out, re.MULTILINE)) <= MOST


@pytest.mark.slow
@pytest.mark.parametrize(("flag", "least", "most"), [("--help", 7, MOST), ("--help-all", 30, 60)])
def test_the_help_of_the_command(flag, least, most):
    command = [sys.executable, "-m", "coldburst", "run", "burst", flag]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    assert least <= len(re.findall(r"^  --[\w-]+", done.stdout, re.MULTILINE)) <= most
    assert "burst 30" in done.stdout


def test_the_pages_that_the_help_points_to_are_there():
    pages = re.findall(r"docs/[\w/]+\.md", run_options.SHORT_HELP)
    assert len(pages) == 3
    assert all((ROOT / page).is_file() for page in pages)
