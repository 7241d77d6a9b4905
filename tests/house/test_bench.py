"""`python -m bench`: its parts, its rows, its comparison with the page, and the page."""

import ast
import subprocess
import sys

import pytest

from bench import __main__ as command
from bench import generator, page
from bench.rows import Row
from bench.wakes import judged
from tests.support.locusts import ROOT


def test_the_page_is_what_the_results_say():
    titles = {name: part.title for name, part in command.PARTS.items()}
    assert page.page(page.read(), titles) == page.PAGE.read_text(encoding="utf-8"), "run 'python -m bench PART', which writes both"


def test_every_module_is_a_part_or_a_study():
    measured = page.read()
    assert list(measured) == [part for part in command.PARTS if part in measured]
    modules = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "bench").glob("*.py")}
    programs = {name for name, text in modules.items() if "sys.exit(main(" in text}
    assert programs - {"__main__"} == set(command.PARTS) | set(command.STUDIES) - {"fidelity"}
    for name in command.PARTS:
        assert [node for node in ast.parse(modules[name]).body if isinstance(node, ast.FunctionDef) and node.name == "rows"], name


@pytest.mark.parametrize(
    ("row", "missed"),
    [
        (Row("a", (0.4, 0.7, 0.5), "× peer", 0.5), False),
        (Row("a", (0.4, 0.7, 0.6), "× peer", 0.5), True),
        (Row("a", (1.7,), "× one", 1.8, at_least=True), True),
        (Row("a", (1.9,), "× one", 1.8, at_least=True), False),
        (Row("a", (9.0,), "ms", 1.0, not_judged="it needs 4 cores"), False),
        (Row("a", (), "× peer", not_judged="hey is not installed"), False),
        (Row("a", (9.0,), "ms"), False),
    ],
)
def test_the_median_decides(row, missed):
    assert row.missed == missed
    assert ("MISSED" in row.cells[-1]) == missed


BEFORE = Row("a", (0.4,), "× peer", 0.9)


@pytest.mark.parametrize(
    ("row", "before", "is_worse"),
    [
        (Row("a", (0.49,), "× peer", 0.9), BEFORE, False),
        (Row("a", (0.51,), "× peer", 0.9), BEFORE, True),
        (Row("a", (0.51,), "× peer", 0.9), None, False),
        (Row("a", (0.91,), "× peer", 0.9), None, True),
        (Row("a", (5.0,), "ms"), Row("a", (1.0,), "ms"), False),
        (Row("a", (1.4,), "× one", at_least=True), Row("a", (1.8,), "× one", at_least=True), True),
        (Row("a", (2.4,), "× one", at_least=True), Row("a", (1.8,), "× one", at_least=True), False),
        (Row("a", (), "× peer", not_judged="hey is not installed"), BEFORE, False),
    ],
)
def test_a_ratio_may_grow_by_a_quarter(row, before, is_worse):
    assert bool(command.worse(row, before)) == is_worse


@pytest.mark.parametrize(
    ("tries", "runs", "found"),
    [([[0.4]], 1, []), ([[0.6], [0.6], [0.6]], 3, ["a"]), ([[0.6], [0.6], [0.4]], 3, []), ([[0.6, 0.4], [0.4, 0.6]], 2, [])],
)
def test_only_what_is_worse_in_each_try_fails(monkeypatch, tries, runs, found):
    """Each try's values are those of the rows a and b; a row that is worse once, and another later, is chance."""
    done = []

    def run(part, quick):
        done.append(part)
        return [Row(name, (value,), "× peer") for name, value in zip("ab", tries[len(done) - 1], strict=False)]

    monkeypatch.setattr(command, "run", run)
    sentences = command.compared("streams", {name: Row(name, (0.4,), "× peer") for name in "ab"})
    assert [sentence.partition(":")[0] for sentence in sentences] == found
    assert len(done) == runs


def test_a_part_that_does_not_exist_is_named():
    words = [sys.executable, "-m", "bench", "speed"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "unknown part 'speed'; parts: small_request," in done.stderr


@pytest.mark.parametrize(
    ("value", "wakes", "says"),
    [
        (0.4, [0.1, 0.2, 0.1], "ok"),
        (0.4, [9.0, 9.0, 0.1], "ok"),
        (1.2, [0.1, 0.2, 9.0], "MISSED"),
        (1.2, [0.1, 1.23, 9.0], "not judged here: the machine is busy: a bare process that sleeps wakes 1.2 ms late (P99)"),
    ],
)
def test_a_busy_machine_may_miss_limits_on_time_and_a_quiet_one_may_not(monkeypatch, value, wakes, says):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert judged(Row("a", (value,), "ms", 1.0), wakes).cells[-1] == says
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert judged(Row("a", (1.2,), "ms", 1.0), wakes).cells[-1] == "not judged here: it needs 2 cores"


def test_a_rate_is_judged_by_the_log_of_the_server():
    late = generator.Sent(own=[0.1] * 100, by_server=[0.2] * 94 + [1.1] * 4 + [3.1] * 2, ok=0.99)
    verdicts = {rate: [row.cells[-1] for row in generator.of_rate(rate, [late] * 3)] for rate in (50, 1000, generator.VALID_RATE)}
    assert verdicts == {50: ["MISSED", "MISSED", "ok"], 1000: ["MISSED", "MISSED", "ok"], 2000: ["", "", "ok"]}
