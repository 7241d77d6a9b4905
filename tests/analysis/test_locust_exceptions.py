"""Exceptions in tasks, which Locust counts in a file of their own and not as failures."""

import html
import json
import shutil
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.runs.load import load

HAND = Path(__file__).parents[1] / "runs" / "locust-by-hand"
# exc: 1,200 requests, 12 failed, and 500 exceptions in tasks.
HEAD = "Count,Message,Traceback,Nodes"
NOT_IN_TOTALS = "these totals lack whatever the task would have done next."


@pytest.fixture
def prefix(tmp_path):
    for path in HAND.glob("exc_*.csv"):
        shutil.copy(path, tmp_path)
    return tmp_path / "exc"


def raised(prefix):
    return [note for note in load(prefix).notes if "exception" in note and not note.startswith("Read ")]


@pytest.mark.slow
def test_exceptions_are_in_a_note_and_a_table(prefix, capsys):
    assert main(["report", str(prefix), "--figures", "no"]) == 0
    said = capsys.readouterr().out
    told = "500 exceptions were raised in tasks, all of them \"'NoneType' object has no attribute 'json'\": "
    assert told in said
    assert NOT_IN_TOTALS in said
    folder = prefix.with_name("exc_report")
    assert any(note.startswith(told) for note in json.loads((folder / "metrics.json").read_text())["verdict"]["notes"])
    assert told in html.unescape((folder / "index.html").read_text())
    table = (folder / "report.md").read_text().partition("Exceptions in tasks")[2]
    assert "| 500 | 'NoneType' object has no attribute 'json' |" in html.unescape(table)


@pytest.mark.slow
def test_the_commonest_message_is_named(prefix):
    rows = ["3,boom,t,w1", "4,other,t,w2", "2,boom,t,w3", '1,,"a\nb",w3', ""]
    prefix.with_name("exc_exceptions.csv").write_text("\r\n".join([HEAD, *rows]), newline="")
    assert raised(prefix)[0].startswith("10 exceptions were raised in tasks, 5 of them 'boom': ")
    assert load(prefix).totals.exceptions["Count"].to_list() == [3, 4, 2, 1]
    prefix.with_name("exc_exceptions.csv").write_text(f'{HEAD}\r\n1,,"a\nb",w3\r\n', newline="")
    assert raised(prefix)[0].startswith("1 exception was raised in a task, without a message: ")


@pytest.mark.slow
@pytest.mark.parametrize("content", [None, f"{HEAD}\r\n", HEAD])
def test_none_is_none(content, prefix):
    path = prefix.with_name("exc_exceptions.csv")
    path.unlink()
    if content is not None:
        path.write_text(content, newline="")
    assert raised(prefix) == []
    assert main(["report", str(prefix), "--figures", "no"]) == 0
    assert "Exceptions in tasks" not in prefix.with_name("exc_report").joinpath("report.md").read_text()


@pytest.mark.parametrize("end", ["", "\r\n"])
def test_failures_of_no_row_are_none(prefix, end):
    prefix.with_name("exc_failures.csv").write_text(f"Method,Name,Error,Occurrences{end}", newline="")
    run = load(prefix)
    assert len(run.totals.failures) == 0
    assert not [note for note in run.notes if "failures.csv" in note and "(4 columns, 0 rows)" not in note]


def test_exceptions_that_cannot_be_read_are_a_note(prefix):
    prefix.with_name("exc_exceptions.csv").write_text("a,b\r\n1,2\r\n", newline="")
    assert "exc_exceptions.csv has no column 'Count', which every version of Locust writes; the file is ignored." in load(prefix).notes


@pytest.mark.slow
def test_scaling_tells_of_them(prefix, capsys):
    for path in list(prefix.parent.glob("exc_*.csv")):
        shutil.copy(path, prefix.with_name(path.name.replace("exc", "two", 1)))
    prefix.with_name("two_exceptions.csv").unlink()
    assert main(["scaling", f"1={prefix}", f"2={prefix.with_name('two')}"]) == 0
    assert "At 1 worker: 500 exceptions were raised" in capsys.readouterr().out
