"""What CI leaves out is listed in docs/nightly.md, with its last result."""

import tomllib

from tests.conftest import NIGHTLY
from tests.support.locusts import ROOT

PAGE = (ROOT / "docs" / "nightly.md").read_text(encoding="utf-8")
ROWS = [[cell.strip("` ") for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `")]


def test_the_page_lists_the_marked_tests(request):
    """As far as they were collected: all of them, where pytest is called without the names of files."""
    listed = {row[0]: int(row[1]) for row in ROWS}
    assert all((ROOT / name).is_file() for name in listed)
    marked = request.config.stash[NIGHTLY]
    assert {name: count for name, count in listed.items() if name in marked} == {name: count for name, count in marked.items() if count}


def test_each_file_has_a_result():
    for name, count, result, *_ in ROWS:
        assert sum(int(part.split()[0]) for part in result.split(", ") if part[0].isdigit()) == int(count), name


def test_both_marks_are_explained():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    assert [mark.partition(":")[0] for mark in settings["markers"]] == ["slow", "nightly"]
    assert all(f"`{mark}`" in PAGE for mark in ("slow", "nightly"))
