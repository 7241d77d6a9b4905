"""Sweeps that did not go as they were asked, or whose files are damaged: what is told, and what is still decided."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis.figures.style import MissingPlot, Plot
from analysis.report import metrics_json, report
from analysis.runs.load import load
from tests.support.sweeps import PRICE, Measure, cut, repeated, write
from tests.support.swept import answered, cell, picks, sheet

RUNS = Path(__file__).parents[1] / "runs"


@pytest.fixture(scope="module")
def stopped():
    return answered(RUNS / "sweep-cut")


def test_a_run_cut_in_stage_2_of_3(stopped):
    assert [of.state for of in stopped.sweep.cells] == ["done", "cut", "skipped"]
    assert sheet(stopped, "Settings")["w1"]["ok"] == "100 %"
    assert sheet(stopped, "Stages of the sweep")["w2"]["Why"] == "Ctrl-C"
    assert [of.name for of in stopped.sweep.deciding] == ["w1"]
    assert stopped.decision.sentence == "No decision: only w1 was measured completely, 10.0 ok per s."
    assert any("settings were not restored (endpoint demo): python -m coldburst restore" in note for note in stopped.notes)


def test_a_stage_without_a_row_in_stages_was_cut_and_one_without_anything_not_reached(tmp_path):
    found = answered(write(tmp_path / "run", cut(tell=False)[:2], "scaling", cells=["w1", "w2", "w3"]))
    assert [of.state for of in found.sweep.cells] == ["done", "cut", "not reached"]
    assert any("the run was cut off during this stage" in note for note in found.notes)


def test_a_repeat_that_was_cut_leaves_the_others(tmp_path):
    measures = repeated([Measure("c1", 40, 1, 4.0, workers=1), Measure("c2", 40, 2, 2.2, workers=1)], 3)
    found = answered(write(tmp_path / "run", [*measures[:-1], replace(measures[-1], state="cut", why="Ctrl-C", wall_s=9.0)]))
    assert cell(found, "c2").state == "done, 2 of 3 repeats"
    assert cell(found, "c2").throughput.value == pytest.approx(40 / 2.2)
    assert cell(found, "c2").throughput.basis == "over 2 repeats"


def test_failures_never_count_in_throughput(tmp_path):
    found = answered(write(tmp_path / "run", [Measure("c1", 100, 1, 10.0), Measure("c2", 100, 2, 5.0, failed=50)]))
    # The last of the 100 is sent when the 98th is done, after 4.9 s; the first 50 failed.
    assert cell(found, "c2").throughput.value == pytest.approx(48 / 4.9)
    assert cell(found, "c2").success == 0.5
    assert len(cell(found, "c2").ok) == 50


def test_the_warm_up_is_in_no_table(tmp_path):
    made = [answered(write(tmp_path / f"run{warm}", [Measure("c1", 40, 1, 4.0, warm=warm)])) for warm in (0, 30)]
    assert [of.sweep.cells[0].n for of in made] == [40, 40]
    assert [of.sweep.cells[0].success for of in made] == [1.0, 1.0]


def test_littles_law_flags_a_stage_with_more_in_flight_than_asked(tmp_path):
    found = answered(write(tmp_path / "run", [Measure("c1", 40, 1, 4.0), Measure("c4", 200, 5, 20.0, asked=4)]))
    assert any(note.startswith("c4 is inconsistent: 10.0 ok per s × ") and "Little's law" in note for note in found.notes)


@pytest.mark.slow
def test_a_long_drain_and_an_unsteady_stage_are_told(tmp_path):
    folder = write(tmp_path / "run", [Measure("c1", 40, 1, 4.0), Measure("c16", 32, 16, 3.2)])
    assert any(note.startswith("c16: ") and "throughput may read up to" in note for note in answered(folder).notes)
    stages = pd.read_csv(folder / "stages.csv")
    stages.loc[stages["stage"] == "c1", "stop_s"] += 6.0  # all its answers came in the first half
    stages.to_csv(folder / "stages.csv", index=False)
    found = answered(folder)
    assert cell(found, "c1").steady is False
    assert any(note.startswith("c1 was not steady: ") for note in found.notes)


def test_a_setting_that_drops_words_does_not_win(tmp_path):
    measures = [Measure("c1", 40, 1, 4.0, wrong_words=0.02), Measure("c2", 40, 2, 2.1, wrong_words=0.02)]
    found = answered(write(tmp_path / "run", [*measures, Measure("c4", 60, 4, 1.5, wrong_words=0.05)]))
    assert picks(found)[0] == "c2"
    assert "c4 cannot win: its word error rate is 3 points above that of c1 (5 % and 2 %)." in found.notes
    assert found.decision.change.endswith("c4 cannot win: its word error rate is 3 points above that of c1 (5 % and 2 %).")
    assert sheet(found, "Quality under load")["c4"]["May win"] == "no"


def test_overlapping_intervals_show_no_difference(tmp_path):
    measures = [
        Measure(f"c{c}", 100, c, 100 / (rate * apart), repeat, workers=1)
        for repeat, apart in ((1, 1.0), (2, 0.9), (3, 1.1))
        for c, rate in ((1, 10.0), (2, 10.4))
    ]
    found = answered(write(tmp_path / "run", measures))
    assert found.decision.main.cell.name == "c1"
    assert "c1 is the smallest of c1 and c2, which cannot be told apart" in found.decision.sentence


@pytest.mark.slow
def test_a_sweep_without_a_measure_row_decides_nothing(tmp_path):
    folder = write(tmp_path / "run", [Measure("c1", 0, 1, 0.0, state="skipped", why="no worker came")])
    found = answered(folder)
    assert found.decision.sentence == "No decision: no setting was measured completely."
    assert all(isinstance(plot, MissingPlot) for plot in found.plots())
    report.write(report.report(load(folder)), tmp_path / "report")


def whole(made):
    """A report that has all its parts, undrawn."""
    assert made.headline.endswith(".")
    assert [of.title for of in made.answer.sheets()]
    json.dumps(metrics_json.metrics(made.tables, made.verdict, made.answer), allow_nan=False)
    for plot in made.answer.plots():
        assert plot.caption if isinstance(plot, Plot) else plot.reason


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"question": "speed"}, "the sweep's question is 'speed'"),
        ({"worth": "much"}, "the sweep's worth is 'much'"),
        ({"repeats": None}, "the sweep's repeats is None"),
        ({"cells": "c1"}, "the sweep's cells are 'c1'"),
        ({"objectives": [{"metric": "p95", "op": "~", "value": 1}, "p95<2s", None]}, "the objective 'p95<2s' cannot be read"),
        ({"price": {"usd_per_s": float("nan")}}, "the price {'usd_per_s': nan} cannot be read"),
        ({"price": PRICE | {"date": "2026-01-02"}}, "is 323 days old"),
        ({"card": {"vram_gb": 24, "shared_gb": 3, "per_worker_gb": 0}}, "the card {"),
        ({"stop": 5, "card": [1]}, "the card [1] cannot be read"),
    ],
)
def test_hostile_settings_are_notes(tmp_path, asked, said):
    folder = write(tmp_path / "run", [Measure("c1", 20, 1, 2.0), Measure("c2", 20, 2, 1.1)], **asked)
    made = report.report(load(folder))
    assert any(said in note for note in made.answer.notes)
    whole(made)


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        lambda stages: stages.drop(columns=["cell"]),
        lambda stages: stages.drop(columns=["workers", "stop_s", "per_worker", "concurrency", "repeat"]),
        lambda stages: stages.assign(concurrency="many"),
        lambda stages: stages.assign(start_s=float("inf")),
        lambda stages: stages.assign(begin_s=None, ready_s=None, start_s=None, stop_s=None, end_s=None, workers=None),
        lambda stages: stages.assign(state="splendid"),
        lambda stages: stages.assign(start_s=1e9, stop_s=-1.0),
        lambda stages: stages.iloc[:0],
        lambda stages: pd.concat([stages, stages]),
    ],
)
@pytest.mark.parametrize("question", ["scaling", "matrix"])
def test_damaged_stages_are_told_and_stop_no_report(tmp_path, damage, question):
    folder = write(tmp_path / "run", [Measure("w1", 20, 1, 2.0, workers=1, per_worker=1), Measure("w2", 20, 2, 1.1, workers=2)], question)
    stages = pd.read_csv(folder / "stages.csv")
    damage(stages).to_csv(folder / "stages.csv", index=False)
    made = report.report(load(folder))
    whole(made)
