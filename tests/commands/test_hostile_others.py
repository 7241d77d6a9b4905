"""Hostile files of plain Locust, and hostile rows that are merged: a report or one clear sentence, and no byte lost."""

import shutil
from pathlib import Path

import pytest

from analysis.runs import merge as merging
from tests.support.hostile import FORMULAS, HTML, RUNS, SVG, about, copied, filled, held, put, reported, say, scaled, slowly, table, undrawn

LONG = "x" * 1_000_000
TORN = b'36,1,calm,400.0,ok,0.0,400.0,,401.0,"torn'


@pytest.fixture
def queue(tmp_path):
    return copied(RUNS / "queue", tmp_path / "queue")


def rows_of(run: Path) -> list[list[str]]:
    return table(run / "attempts.csv")


PLAIN = {"one": RUNS / "locust-2.47" / "one", "two": RUNS / "locust-2.47" / "two"}


@pytest.fixture
def plain(tmp_path):
    """Two prefixes of locust --csv."""
    for source in PLAIN.values():
        for file in source.parent.glob(f"{source.name}_*.csv"):
            shutil.copy(file, tmp_path)
    return tmp_path / "one", tmp_path / "two"


@pytest.mark.slow
@pytest.mark.parametrize("text", slowly([HTML, SVG, *FORMULAS[:2], "$x_", "🔥 \u202eabc", "a\nb \x00", LONG[:200_000]]))
def test_hostile_names_and_errors_in_locusts_files(capsys, plain, tmp_path, text):
    one, two = plain
    filled(tmp_path / "one_stats.csv", Name=[text, "Aggregated"])
    filled(tmp_path / "one_failures.csv", Name=text, Error=text)
    with undrawn():
        assert reported(capsys, one, tmp_path / "out")[0] == 0
        assert scaled(capsys, one, two, tmp_path / "scaled") == 0


CELLS = ("nan", "inf", "-1", "1e308", "9223372036854775808", "x", "", "1.5", "-0.0", "1e999")


@pytest.mark.parametrize(
    "column", slowly(["Request Count", "Failure Count", "Average Response Time", "Requests/s", "95%", "Min Response Time"], 0)
)
def test_hostile_numbers_in_locusts_files(capsys, plain, tmp_path, column):
    one, two = plain
    with undrawn():
        for cell in CELLS:
            filled(tmp_path / "one_stats.csv", **{column: cell})
            assert reported(capsys, one, tmp_path / "out")[0] in (0, 2)
            assert scaled(capsys, one, two, tmp_path / "scaled") in (0, 2)


@pytest.mark.parametrize("column", slowly(["Timestamp", "User Count", "Total Request Count", "95%", "Total Average Response Time"], 0))
def test_hostile_numbers_in_locusts_history(capsys, plain, tmp_path, column):
    one, two = plain
    kept = (tmp_path / "one_stats_history.csv").read_bytes()
    with undrawn():
        for cell in CELLS:
            (tmp_path / "one_stats_history.csv").write_bytes(kept)
            head, *rest = table(tmp_path / "one_stats_history.csv")
            rest[len(rest) // 2][head.index(column)] = cell
            put(tmp_path / "one_stats_history.csv", [head, *rest])
            assert reported(capsys, one, tmp_path / "out")[0] in (0, 2)
            assert scaled(capsys, one, two, tmp_path / "scaled") in (0, 2)


@pytest.mark.slow
def test_locusts_totals_without_a_row_but_the_last(capsys, plain, tmp_path):
    one, two = plain
    head, *rest = table(tmp_path / "one_stats.csv")
    put(tmp_path / "one_stats.csv", [head, rest[-1], rest[-1]])
    with undrawn():
        assert reported(capsys, one, tmp_path / "out")[0] == 0
        assert scaled(capsys, one, two, tmp_path / "scaled") == 0


def parted(run: Path, to: Path) -> Path:
    """The directory of one of its generators, with all of the run's rows."""
    part = copied(run, to)
    say(part, about(part) | {"part_of": about(run)["id"]})
    return part


@pytest.mark.slow
def test_a_merge_keeps_every_byte_of_what_it_adds(queue, tmp_path):
    """Line ends within quotation marks, U+2028 (which ends a line for some) and bytes that are no UTF-8 move nothing."""
    part = parted(queue, tmp_path / "queue.g1")
    filled(part / "attempts.csv", error=['a\nb,"c"', "d\u2028e\x85f\x0bg", LONG[:200_000], "=1"])
    head, *rest = rows_of(queue)
    put(queue / "attempts.csv", [head, *rest[:10]])
    with (queue / "attempts.csv").open("ab") as file:
        file.write(rest[10][0].encode() + b",1,b\xff\xff\xffrst,0.0,ok,,,,,,,,,,,,,,,,,,local,\xff\n" + TORN)
    assert merging.merge(queue, [part]) == "25 attempts added, 0 of 36 planned requests are still missing"
    found = (queue / "attempts.csv").read_bytes()
    assert found.count(b"\xff") == 4
    assert b"torn" not in found
    assert b"\x00" not in found
    added = {row[0]: row for row in rows_of(part)[12:]}
    assert {row[0]: row for row in list(merging.whole_rows(queue / "attempts.csv"))[12:]} == added
    assert merging.merge(queue, [part]).startswith("0 attempts added")


WRONG = [
    ("attempts.csv", "attempt", "first"),
    ("attempts.csv", "attempt", "inf"),
    ("attempts.csv", "outcome", "splendid"),
    ("attempts.csv", "seq", "x"),
    ("run.json", "ledger", "none"),
    ("run.json", "ledger", {"planned": "many"}),
    ("run.json", "planned", "many"),
    ("run.json", "merged", 1),
    ("run.json", "merged", [[]]),
    ("run.json", "id", [1]),
]


@pytest.mark.parametrize("damaged", ["run", "part"])
@pytest.mark.parametrize(("file", "name", "value"), slowly(WRONG))
def test_a_merge_of_what_is_damaged_changes_nothing_or_all(capsys, queue, tmp_path, file, name, value, damaged):
    part = parted(queue, tmp_path / "queue.g1")
    head, *rest = rows_of(queue)
    put(queue / "attempts.csv", [head, *rest[:10]])
    folder = queue if damaged == "run" else part
    if file == "run.json":
        say(folder, about(folder) | {name: value})
    else:
        filled(folder / file, **{name: value})
    before = {path.name: path.read_bytes() for path in queue.iterdir() if path.is_file()}
    with undrawn():
        code, _, _ = held(capsys, "merge", queue, part)
    after = {path.name: path.read_bytes() for path in queue.iterdir() if path.is_file()}
    assert code in (0, 2)
    assert code == 0 or before == after


@pytest.mark.parametrize("content", [b"\xff", b"[[", b'[[objective]]\nthat = "p95 < nan s"', b"a = " + b"[" * 5000, b"x = 1", b"", None])
def test_a_file_of_objectives_that_is_none_is_one_sentence(capsys, tmp_path, content):
    path = tmp_path / "objectives.toml"
    path.mkdir() if content is None else path.write_bytes(content)
    assert held(capsys, "gate", RUNS / "burst", "--objectives", path)[0] == 2
