"""Merging: what the ledger says afterwards, and what is said where a file cannot be written."""

import json
import shutil
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.runs.load import load
from analysis.runs.merge import merge
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
