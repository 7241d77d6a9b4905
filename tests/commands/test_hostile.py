"""Hostile files: a report or one clear sentence, never a traceback; what was found by chance (test_hostile_fuzz.py) stands here by name."""

import json
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import pytest

from analysis.report.metrics_json import metrics as figures_of
from analysis.report.report import report
from analysis.runs import csv_columns
from analysis.runs.load import Run, load
from analysis.text import sheet
from tests.support.hostile import (
    FORMULAS,
    HTML,
    RUNS,
    TEXTS,
    about,
    copied,
    filled,
    held,
    measured,
    planted,
    put,
    reported,
    say,
    slowly,
    table,
    undrawn,
)

LONG = "x" * 1_000_000
KEYS = ("id", "question", "state", "ended_by", "schedule", "started", "commit", "when_full")
TORN = b'36,1,calm,400.0,ok,0.0,400.0,,401.0,"torn'


@pytest.fixture
def queue(tmp_path):
    return copied(RUNS / "queue", tmp_path / "queue")


@pytest.fixture
def burst(tmp_path):
    return copied(RUNS / "burst", tmp_path / "burst")


@pytest.mark.parametrize("drawing", [pytest.param(nullcontext, marks=pytest.mark.slow), undrawn], ids=["drawn", "undrawn"])
def test_hostile_texts_in_every_place_are_texts(capsys, queue, tmp_path, drawing):
    with drawing():
        assert reported(capsys, planted(queue), tmp_path / "out")[0] == 0
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "{{ 7*7 }}" in page
    assert LONG[:400] not in page


def test_a_text_that_a_spreadsheet_would_work_out_begins_with_an_apostrophe(tmp_path):
    texts = ["=1", "+1", "-1", "@x", "＝1", "\t=1", "\r\n-1", "1-1", "", HTML]
    sheet.write_csv(
        pd.DataFrame({"text": texts, "few": pd.Categorical(texts), "number": [-1.5] * 10, "none": [None] * 10}), tmp_path / "a.csv"
    )
    head, *rest = table(tmp_path / "a.csv")
    assert head == ["text", "few", "number", "none"]
    shown = ["'=1", "'+1", "'-1", "'@x", "'＝1", "'=1", "'-1", "1-1", "", HTML]
    assert rest == [[text, text, "-1.5", ""] for text in shown]


@pytest.mark.slow
@pytest.mark.parametrize("formula", slowly([*FORMULAS, "＝1", "\n=1"]))
def test_a_formula_is_text_to_a_spreadsheet_and_a_number_stays_one(capsys, queue, tmp_path, formula):
    filled(queue / "attempts.csv", worker_id=formula)
    filled(queue / "events.csv", worker_id=formula)
    with undrawn():
        assert reported(capsys, queue, tmp_path / "out")[0] == 0
    rows_of = pd.read_csv(tmp_path / "out" / "cold.csv", keep_default_na=False)
    assert set(rows_of["worker_id"]) == {f"'{formula.strip()}"}
    assert rows_of["sent_s"].dtype == float


@pytest.mark.slow
def test_a_formula_in_a_settings_name_is_text_in_a_sweeps_figures(capsys, tmp_path):
    run = copied(RUNS / "sweep-cut", tmp_path / "run")
    stages = pd.read_csv(run / "stages.csv", dtype=str, keep_default_na=False)
    cell = stages["cell"].iloc[0]
    stages.replace({"cell": {cell: "=1+1"}}).to_csv(run / "stages.csv", index=False)
    content = about(run)
    content["sweep"]["cells"] = ["=1+1" if name == cell else name for name in content["sweep"]["cells"]]
    say(run, content)
    with undrawn():
        assert reported(capsys, run, tmp_path / "out")[0] == 0
    assert any("'=1+1" in path.read_text(encoding="utf-8") for path in (tmp_path / "out" / "figures").glob("*.csv"))


@pytest.mark.slow
@pytest.mark.parametrize("column", slowly(["worker_id", "error", "stage", "generator", "outcome", "scheduled_s"]))
def test_a_megabyte_of_text_in_a_cell(capsys, burst, tmp_path, column):
    head, first, *rest = table(burst / "attempts.csv")
    first[head.index(column)] = LONG
    put(burst / "attempts.csv", [head, first, *rest])
    with undrawn():
        code, said = reported(capsys, burst, tmp_path / "out")
    assert code == (2 if column in ("outcome", "scheduled_s") else 0)
    assert len(said) < 20_000
    if code == 0:
        assert (tmp_path / "out" / "index.html").stat().st_size < 200_000


BROKEN = [
    ("seq", "1e999"),
    ("seq", "inf"),
    ("seq", "1.5"),
    ("seq", "9223372036854775808"),
    ("polls", "2147483648"),
    ("status", "1e20"),
    ("status", "inf"),
    ("done_s", "1e308"),
    ("sent_s", "-1e308"),
    ("scheduled_s", "1e16"),
    ("execution_s", "-1e308"),
    ("scheduled_s", "0x10"),
    ("cold", "maybe"),
    ("outcome", "Ok"),
]


@pytest.mark.parametrize(("column", "cell"), BROKEN)
def test_a_number_that_is_none_or_no_time_is_one_sentence(capsys, queue, tmp_path, column, cell):
    head, first, *rest = table(queue / "attempts.csv")
    first[head.index(column)] = cell
    put(queue / "attempts.csv", [head, first, *rest])
    code, said = reported(capsys, queue, tmp_path / "out")
    assert code == 2
    assert "attempts.csv" in said


@pytest.mark.parametrize(
    ("file", "column"), [("endpoint.csv", "idle"), ("endpoint.csv", "at_s"), ("generator.csv", "cpu"), ("events.csv", "seconds")]
)
def test_so_it_is_in_the_files_beside_the_attempts(capsys, queue, tmp_path, file, column):
    for cell in ("1e308", "inf", "x"):
        filled(queue / file, **{column: cell})
        code, said = reported(capsys, queue, tmp_path / "out")
        assert (code, file in said) == (2, True)


def times(run: Path, change) -> Path:
    """``run`` with each row of its attempts changed."""
    head, *rest = table(run / "attempts.csv")
    for number, row in enumerate(rest):
        cells = dict(zip(head, row, strict=True))
        change(number, cells)
        row[:] = cells.values()
    put(run / "attempts.csv", [head, *rest])
    return run


def minus(*names):
    def change(_, cells):
        cells.update({name: f"-{cells[name]}" for name in names if cells[name]})

    return change


def swapped(one, other):
    def change(number, cells):
        if number % 2:
            cells[one], cells[other] = cells[other], cells[one]

    return change


CLOCKS = {
    "negative times": minus("scheduled_s", "sent_s", "done_s", "held_s"),
    "done before sent": swapped("done_s", "sent_s"),
    "sent before scheduled": swapped("sent_s", "scheduled_s"),
    "negative measures": minus("queue_s", "execution_s", "audio_s", "wer", "polls"),
    "all at one instant": lambda _, cells: cells.update(scheduled_s="0", sent_s="0", done_s="0", held_s="0", queue_s="0", execution_s="0"),
    "no times": lambda _, cells: cells.update(sent_s="", done_s="", held_s=""),
    "nan": lambda _, cells: cells.update(sent_s="nan", done_s="NaN"),
    "far apart": lambda number, cells: cells.update(scheduled_s=str(number * 1e12), sent_s=str(number * 1e12), done_s="9e14"),
    "hardly apart": lambda number, cells: cells.update(scheduled_s=f"{number}e-300", sent_s="1e-300", done_s="1e-299"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", slowly(CLOCKS, 2))
def test_a_clock_that_went_back_or_stood(capsys, queue, tmp_path, kind):
    with undrawn():
        assert reported(capsys, times(queue, CLOCKS[kind]), tmp_path / "out")[0] == (2 if kind == "nan" else 0)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", CLOCKS)
def test_it_can_be_drawn_too(capsys, queue, tmp_path, kind):
    assert reported(capsys, times(queue, CLOCKS[kind]), tmp_path / "out")[0] == (2 if kind == "nan" else 0)


def rows_of(run: Path) -> list[list[str]]:
    return table(run / "attempts.csv")


def ledger(folder: Path) -> dict:
    return measured((folder / "metrics.json").read_text(encoding="utf-8"))["ledger"]


@pytest.mark.slow
def test_rows_shuffled_or_there_twice_say_the_same(queue):
    head, *rest = rows_of(queue)
    one = metrics(queue)
    put(queue / "attempts.csv", [head, *rest[::-1]])
    other = metrics(queue)
    put(queue / "attempts.csv", [head, *rest, *rest[::2]])
    assert one == other == metrics(queue) | {"why": one["why"], "endpoint": one["endpoint"]}  # they count attempts, and those are more
    assert one["ledger"]["counts"] == {"ok": 32, "queue_timeout": 4}


def metrics(run: Path) -> dict:
    made = report(load(run))
    return measured(json.dumps(figures_of(made.tables, made.verdict, made.answer), allow_nan=False))


@pytest.mark.slow
def test_rows_that_are_missing_or_of_another_run_are_in_the_ledger(queue):
    head, *rest = rows_of(queue)
    put(queue / "attempts.csv", [head, *rest[3:]])
    assert metrics(queue)["ledger"]["missing"] == 3
    more = [[str(int(row[0]) + 1000), *row[1:]] for row in rest]
    put(queue / "attempts.csv", [head, *rest, *more])
    found = metrics(queue)
    assert (found["ledger"]["missing"], found["verdict"]["state"]) == (-36, "invalid")
    assert "rows of another run may be mixed in" in found["verdict"]["reasons"][0]


@pytest.mark.slow
@pytest.mark.parametrize("content", slowly([b"head", b"", b"\n\n", b"\xef\xbb\xbf", b"\x00", b"\xff\xfe\x00", b'"']))
@pytest.mark.parametrize("file", ["attempts.csv", "events.csv", "run.json"])
def test_a_file_that_says_nothing(capsys, burst, tmp_path, file, content):
    if content == b"head":
        content = (burst / file).read_bytes().partition(b"\n")[0] + b"\n"
    (burst / file).write_bytes(content)
    with undrawn():
        code, said = reported(capsys, burst, tmp_path / "out")
    assert code == 0 or file in said
    assert code == 2 or file != "run.json"


@pytest.mark.slow
def test_a_file_that_begins_with_a_byte_order_mark_is_read(capsys, burst, tmp_path):
    for file in ("attempts.csv", "run.json"):
        (burst / file).write_bytes(b"\xef\xbb\xbf" + (burst / file).read_bytes())
    with undrawn():
        assert reported(capsys, burst, tmp_path / "out")[0] == 0
    assert ledger(tmp_path / "out")["counts"] == {"ok": 30}


@pytest.mark.parametrize("name", ["run.json", "attempts.csv", "events.csv", "generator.csv", "endpoint.csv"])
@pytest.mark.parametrize("instead", slowly(["a folder", "nothing", "a loop", "a link to nowhere"], 0))
def test_a_file_that_is_not_there(capsys, queue, tmp_path, name, instead):
    path = queue / name
    path.unlink()
    if instead == "a folder":
        path.mkdir()
    elif instead != "nothing":
        path.symlink_to(path if instead == "a loop" else tmp_path / "nowhere")
    with undrawn():
        code, said = reported(capsys, queue, tmp_path / "out")
    assert code == (2 if name == "run.json" else 0)
    if name == "run.json":
        assert "run.json" in said


@pytest.mark.slow
@pytest.mark.parametrize("slow", slowly([True, False]))
def test_a_run_that_is_still_being_written(capsys, monkeypatch, queue, tmp_path, slow):
    """Rows come after the file's end was looked for, whole ones and a torn one; they are no part of this report."""
    path = queue / "attempts.csv"
    if slow:  # read by pandas
        filled(path, polls="1e1")
    before = csv_columns.column_names

    def later(file, end):
        if file == path:
            with path.open("ab") as more:
                more.write(b'"\n' + TORN)
        return before(file, end)

    monkeypatch.setattr("analysis.runs.csv_columns.column_names", later)
    with path.open("ab") as file:
        file.write(TORN)
    with undrawn():
        code, said = reported(capsys, queue, tmp_path / "out")
    assert code == 0
    assert "the last line is incomplete" in said
    assert ledger(tmp_path / "out")["counts"] == {"ok": 32, "queue_timeout": 4}


@pytest.mark.slow
def test_files_of_a_newer_program(capsys, queue, tmp_path):
    head, *rest = rows_of(queue)
    known = metrics(queue)
    put(queue / "attempts.csv", [[*head, "of the future", "=x"], *([*row, HTML, "1"] for row in rest)])
    assert metrics(queue) == known
    filled(queue / "attempts.csv", outcome="splendid" + LONG[:3000])
    code, said = reported(capsys, queue, tmp_path / "out")
    assert (code, "a newer version may have written it" in said or "splendid" in said) == (2, True)
    say(queue, about(queue) | {"format": 99})
    assert "has format 99" in reported(capsys, queue, tmp_path / "out")[1]


@pytest.mark.slow
@pytest.mark.parametrize("file", slowly(["attempts.csv", "events.csv", "generator.csv", "endpoint.csv"]))
def test_files_of_an_older_program(capsys, queue, tmp_path, file):
    """Each column but those that a row cannot be without may be missing."""
    head, *rest = table(queue / file)
    needed = {"attempts.csv": ("seq", "attempt", "scheduled_s", "outcome"), "events.csv": ("kind",), "generator.csv": ("at_s",)}
    kept = [head.index(name) for name in needed.get(file, ("at_s", "view"))]
    put(queue / file, [[row[place] for place in kept] for row in [head, *rest]])
    with undrawn():
        assert reported(capsys, queue, tmp_path / "out")[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", slowly(["out", "out/figures", "out/metrics.json", "out/index.html", "out/cold.csv"], 2))
def test_a_report_that_cannot_be_written(capsys, queue, tmp_path, name):
    """Root may write where others may not: so there is something else in the place of what it writes."""
    wanted = tmp_path / name
    wanted.parent.mkdir(exist_ok=True)
    if wanted.suffix:
        wanted.mkdir()
    else:
        wanted.write_text("in the way", encoding="utf-8")
    with undrawn():
        code, _, err = held(capsys, "report", queue, "--out", tmp_path / "out")
    assert (code, "cannot be written" in err) == (2, True)


def test_run_names_are_one_short_line():
    for text in TEXTS:
        name = Run(Path("x"), {"id": text}).id
        assert len(name) <= 200 and name.isprintable()
