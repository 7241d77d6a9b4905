"""Units in answers, against arithmetic by hand."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.report.report import report, terminal
from analysis.report.run_sheets import absent_tables
from analysis.report.unit_sheet import unit_sheets
from analysis.runs.load import load
from analysis.tables.run_tables import Tables
from analysis.tables.units import units

BURST = Path(__file__).parents[1] / "runs" / "burst"


def counted(values, unit="images=length(output.images)", **more):
    """The burst of 30 ok answers with these units."""
    run = load(BURST)
    options = {"options": run.about.get("options", {}) | {"unit": unit}}
    return replace(run, attempts=run.attempts.assign(units=values, **more), about=run.about | options)


def test_units_are_those_of_the_ok_answers_that_have_any():
    run = counted([2.0] * 20 + [np.nan] * 10)
    found, wall_s = units(Tables(run)), Tables(run).throughput.wall_s
    assert (found.name, found.own, found.n, found.of, found.total) == ("images", True, 20, 30, 40.0)
    assert found.per_s == pytest.approx(40 / wall_s)
    assert (found.usd, found.why) == (None, "the price is unknown: give --price, as in --price 4090")
    failed = replace(run, attempts=run.attempts.assign(outcome=["failed"] * 10 + ["ok"] * 20))
    assert units(Tables(failed)).total == 20.0


@pytest.mark.slow
def test_without_a_unit_the_audio_or_the_tokens_are_counted():
    audio = units(Tables(counted(np.nan, "")))
    assert (audio.name, audio.own, audio.total) == ("audio_s", False, pytest.approx(load(BURST).attempts["audio_s"].sum()))
    tokens = units(Tables(counted(np.nan, "", tokens_out=7)))
    assert (tokens.name, tokens.total) == ("tokens", 210)


@pytest.mark.parametrize(
    ("unit", "each", "price"),
    [("tokens=a", "USD per million tokens", 1e6), ("audio_s=a", "USD per audio hour", 3600), ("images=a", "USD per image", 1)],
)
def test_a_price_is_for_a_million_tokens_an_hour_of_audio_or_one(unit, each, price):
    found = units(Tables(counted(3.0, unit)))
    assert (found.priced_by[0], f"USD per {found.priced_by[1]}") == (price, each)
    (sheet,) = unit_sheets(Tables(counted(3.0, unit)))
    assert [row[0] for row in sheet.rows] == [f"{found.shown} per second", f"{found.shown} per request", each]


def test_tokens_and_audio_have_only_their_price_there():
    run = counted(np.nan, "")
    assert list(unit_sheets(Tables(run))) == []
    workers = pd.DataFrame({"at_s": [0.0], "view": ["workers"], "error": "", "initializing": [0], "idle": [0], "running": [1]})
    paid = replace(run, endpoint=workers, about=run.about | {"options": {"price": "0.001"}, "elapsed_s": 36.0})
    (sheet,) = unit_sheets(Tables(paid))
    audio_s = load(BURST).attempts["audio_s"].sum()
    assert units(Tables(paid)).usd == pytest.approx(0.036 / audio_s)
    assert [row[0] for row in sheet.rows] == ["USD per audio hour"]


@pytest.mark.slow
def test_the_terminal_shows_them_and_a_unit_that_no_answer_has_is_named(tmp_path):
    shown = terminal(report(counted(3.0)), tmp_path)
    assert re.search(r"images per request +3\.00 images", shown) and "USD per image" in shown
    assert "images per" not in terminal(report(load(BURST)), tmp_path)
    assert "units (no ok answer has a number where --unit looks for it)" in absent_tables(Tables(counted(np.nan, audio_s=np.nan)))
