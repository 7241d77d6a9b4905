"""Merging: what the ledger says afterwards, and what is said where a file cannot be written."""

import json
import shutil
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.runs.load import load
from analysis.runs.merge import append, merge
from analysis.tables.run_tables import Tables
from analysis.verdict.verdict import judge

RUNS = Path(__file__).parents[1] / "runs"


def changed(run, **more):
    """``run`` with other keys in its run.json."""
    path = run / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | more), encoding="utf-8")


@pytest.fixture
def halves(tmp_path):
    """A run that has 16 of its 30 rows, and a generator's directory with all of them."""
    whole, part = (shutil.copytree(RUNS / "burst", tmp_path / name) for name in ("burst", "burst.g1"))
    changed(part, part_of=json.loads((whole / "run.json").read_text(encoding="utf-8"))["id"])
    lines = (whole / "attempts.csv").read_bytes().splitlines(keepends=True)
    (whole / "attempts.csv").write_bytes(b"".join(lines[:17]))
    return whole, part


@pytest.mark.slow
def test_a_closed_loop_bounded_by_time_has_sent_what_is_merged(halves):
    whole, part = halves
    changed(whole, planned=None, dispatched=16)
    for said in ("14 attempts added, 0 of 30 planned requests are still missing", "0 attempts added, 0 of 30"):
        assert merge(whole, [part]).startswith(said)
        run = load(whole)
        assert str(Tables(run).ledger) == "30 planned = 30 ok"
        assert judge(run, Tables(run)).state == "valid"


@pytest.mark.slow
def test_a_closed_loop_bounded_by_time_still_misses_what_nobody_kept(halves):
    whole, part = halves
    changed(whole, planned=None, dispatched=32)
    merge(whole, [part])
    assert Tables(load(whole)).ledger.missing == 2


@pytest.mark.slow
def test_what_cannot_be_merged_is_one_sentence_of_its_own(halves, capsys):
    """Root may write where others may not: so there is a folder in the place of what is written."""
    whole, part = halves
    (whole / "run.json.new").mkdir()
    assert main(["merge", str(whole), str(part)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("analysis: the merge or its report could not be finished: ")
    assert "run.json.new: Is a directory; fix that and merge again, nothing is added twice" in said
    assert "--out" not in said
    (whole / "run.json.new").rmdir()
    assert main(["merge", str(whole), str(part)]) == 0
    assert "0 attempts added, 0 of 30 planned requests are still missing" in capsys.readouterr().out


def test_rows_that_several_generators_kept_are_added_once(tmp_path):
    """In any order; a torn last line is replaced, bytes that are no text are kept, and other headers are mapped."""
    run, *parts = (tmp_path / name / "attempts.csv" for name in ("run", "run.g1", "run.g2"))
    for path, content in zip(
        (run, *parts),
        (
            b"seq,attempt,generator,error\n5,1,g1,a\n1025,1,g1,\n7,1,g",
            b"seq,attempt,generator,error\n1025,1,g1,\n1,1,g1,\xff\n1,2,g1,\n1025,1,g2,\n",
            b'generator,attempt,seq,error,more\ng1,1,1,again,x\ng1,1,2049,"b,\nc",x\n',
        ),
        strict=True,
    ):
        path.parent.mkdir()
        path.write_bytes(content)
    assert (append(run, parts), append(run, parts)) == (4, 0)
    assert run.read_bytes() == (b'seq,attempt,generator,error\n5,1,g1,a\n1025,1,g1,\n1,1,g1,\xff\n1,2,g1,\n1025,1,g2,\n2049,1,g1,"b,\nc"\n')


def test_events_of_a_run_without_any_are_added_with_their_header(tmp_path):
    run, part = tmp_path / "run" / "events.csv", tmp_path / "run.g1" / "events.csv"
    run.parent.mkdir()
    part.parent.mkdir()
    part.write_text("at_s,kind\n1.5,queued\n1.5,queued\n2.0,queued\n", encoding="utf-8")
    assert (append(run, [part]), append(run, [part])) == (2, 0)
    assert run.read_text(encoding="utf-8") == "at_s,kind\n1.5,queued\n2.0,queued\n"
