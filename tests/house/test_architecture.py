"""docs/architecture.md is true: its packages, its places and its two walks are the tree's own."""

import re

from tests.analysis.test_walk import WALK
from tests.house.test_walk import EVERY, MOST, WALKS
from tests.support.locusts import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def section(head):
    return PAGE.partition(f"## {head}")[2].partition("\n## ")[0]


def steps(head):
    return re.findall(r"^\d+\. `([^`]+)`", section(head), re.MULTILINE)


def test_every_package_has_a_row():
    rows = re.findall(r"^\| `(coldburst/\w+|analysis)` \|", section("Packages"), re.MULTILINE)
    packages = {f"coldburst/{path.parent.name}" for path in (ROOT / "coldburst").glob("*/__init__.py")}
    assert set(rows) == packages | {"analysis"}
    (parts,) = re.findall(r"^\| `analysis` \| [^:]+: ([^|]+) \|", section("Packages"), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", parts)) == {path.parent.name for path in (ROOT / "analysis").glob("*/__init__.py")}


def test_every_file_that_is_named_is_there():
    named = set(re.findall(r"`([\w/]+/\w+\.py)`", PAGE))
    assert len(named) > 40
    assert {name for name in named if not (ROOT / name).is_file()} == set()


def test_the_walk_of_a_request_is_the_one_that_is_traced():
    walk = steps("One request")
    assert set(walk) == EVERY | WALKS["queue"]
    # And the locustfile and the class before them.
    assert len(walk) + 2 <= MOST


def test_the_walk_of_a_percentile_is_the_one_that_is_traced():
    assert steps("A report's P95") == list(WALK)
