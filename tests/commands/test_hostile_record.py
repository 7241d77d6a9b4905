"""Strange values in run.json: a report or one clear sentence that names the key."""

import math

import pytest

from analysis.report.report import report
from analysis.runs.load import load
from tests.support.hostile import RUNS, VALUES, about, copied, reported, say, slowly, undrawn

LONG = "x" * 1_000_000


@pytest.fixture
def burst(tmp_path):
    return copied(RUNS / "burst", tmp_path / "burst")


def nested(depth: int) -> str:
    return f'{{"format": 1, "id": {"[" * depth}{"]" * depth}}}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{",
        '"text"',
        '{"format": 1e400}',
        '{"format": true}',
        '{"format": -1}',
        '{"format": 1, "planned": -1}',
        '{"format": 1, "planned": 1e3}',
        '{"format": 1, "planned": ' + "9" * 5000 + "}",
        '{"format": 1, "planned": ' + "9" * 400 + "}",
        '{"format": 1, "elapsed_s": NaN}',
        '{"format": 1, "cold_after_s": Infinity}',
        '{"format": 1, "ledger": "' + LONG + '"}',
        nested(100_000),
    ],
    ids=lambda text: text[:30],
)
def test_a_run_json_that_is_no_record_of_a_run(capsys, burst, tmp_path, text):
    (burst / "run.json").write_text(text, encoding="utf-8")
    code, said = reported(capsys, burst, tmp_path / "out")
    assert (code, "run.json" in said) == (2, True)


FITS = [
    ("id", LONG),
    ("id", "\ud800"),
    ("id", "../../x"),
    ("id", ""),
    ("schedule", "\ud800 \udfff"),
    ("target", []),
    ("target", {"kind": ["queue"], "host": {}}),
    ("stages", [None, {}, {"name": "\ud800", "planned": 1, "duration_s": 1, "closed": True}]),
    ("stages", [{"name": "burst", "planned": 10**400, "duration_s": 10**400, "closed": False}]),
    ("stages", [{"name": "burst", "planned": -1, "duration_s": math.nan, "closed": False}]),
    ("ledger", {"counts": []}),
    ("ledger", {"counts": {"ok": "many"}}),
    ("sweep", {}),
    ("sweep", {"question": [], "cells": [[]], "objectives": [{}], "price": 1, "card": [], "stop": []}),
    ("options", {"price": "\ud800", "max_in_flight": {}}),
    ("objectives", "p95 < 2 s"),
    ("objectives", [None, {"that": []}, {"that": "p95"}]),
    ("generators", {"a": 1}),
    ("versions", [[[]]]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("key", "value"), slowly(FITS, 2))
def test_a_strange_value_in_run_json(capsys, burst, tmp_path, key, value):
    say(burst, about(burst) | {key: value})
    with undrawn():
        code, said = reported(capsys, burst, tmp_path / "out")
    assert code in (0, 2)
    assert len(said) < 5000
    if code == 0:
        assert (tmp_path / "out" / "index.html").stat().st_size < 200_000


@pytest.mark.slow
@pytest.mark.parametrize("stop", slowly([{"gain": 2**31}, {"gain": 1}, {"gain": -1}, {"gain": 10**400}, {"failures": math.nan}]))
def test_a_strange_rule_of_a_sweep(stop):
    """A gain of 1 or more would leave no setting the cheapest."""
    run = load(RUNS / "sweep-scaling")
    run.about["sweep"] |= {"stop": stop}
    assert report(run).answer.decision.main.cell is not None


# Name of a run, and every how many-th value: with 9 all runs take minutes.
EVERY = [("retries", 36), *(pytest.param(name, 9, marks=pytest.mark.nightly) for name in ("queue", "sweep-whisper", "retries"))]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "step"), EVERY)
def test_any_value_at_every_key_of_run_json(capsys, monkeypatch, tmp_path, name, step):
    run = copied(RUNS / name, tmp_path / "run")
    kept = about(run)
    monkeypatch.setattr("analysis.report.report.plots.plots", lambda *_: [])
    for place, key in enumerate((*kept, "dispatched", "generators", "merged", "objectives", "control", "part_of")):
        for value in VALUES[place % step :: step]:
            say(run, kept | {key: value})
            assert reported(capsys, run, tmp_path / "out")[0] in (0, 2)
