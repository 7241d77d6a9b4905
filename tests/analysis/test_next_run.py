"""Predictions of the next run: Student's t against a table, the replay of a queue against arithmetic, and pooled runs."""

import json
import math
import shutil

import numpy as np
import pytest

from analysis.__main__ import main
from analysis.report.headline import headline
from analysis.runs.load import load
from analysis.statistics.next_run import next_queue, served_queue, t_prediction
from analysis.tables.burst import draws, prediction
from analysis.tables.run_tables import Tables
from tests.support.locusts import ROOT


def test_the_t_prediction_of_three_values_is_that_of_the_table():
    """Logarithms 0, 1, 2: mean 1, s = 1, t(2; 0.975) = 4.3027, half-width 4.3027 · √(4 ÷ 3)."""
    lower, upper = t_prediction([1.0, math.e, math.e**2])
    half = 4.3027 * math.sqrt(4 / 3)
    assert (math.log(lower), math.log(upper)) == pytest.approx((1 - half, 1 + half), abs=1e-3)


def served(due, busy_s):
    """A single slot, first come first served: begins."""
    free, begun = 0.0, []
    for at in due:
        begun.append(max(at, free))
        free = begun[-1] + busy_s
    return np.array(begun)


def test_where_nothing_varies_the_replay_is_the_run():
    """A request each second and 1.5 s of work each: the k-th of 100 waits k ÷ 2 s, so P50 is 49 ÷ 2 + 1.5 s."""
    due = np.arange(100.0)
    begun = served(due, 1.5)
    queue = served_queue(["w"] * 100, due, begun, begun + 1.5, begun + 1.5, np.zeros(100))
    assert (len(queue.free_s), queue.waits_s.max()) == (1, 0.0)
    assert next_queue(queue, [due])[50] == pytest.approx((26.0, 26.0))
    assert queue.may_be_overloaded(99.0)
    assert not queue.may_be_overloaded(200.0)


def test_a_slot_that_started_cold_is_free_from_its_begin_on():
    queue = served_queue(["a", "b"], np.zeros(2), np.array([5.0, 1.0]), np.array([6.0, 2.0]), np.array([6.0, 2.0]), np.array([1.0, 0.0]))
    assert sorted(queue.free_s) == [0.0, 5.0]


def copies(tmp_path, many=3):
    """Copies of the small burst, whose execution times differ from run to run."""
    paths = [tmp_path / f"burst-{number}" for number in range(many)]
    for number, path in enumerate(paths):
        shutil.copytree(ROOT / "tests/runs/burst", path)
        about = json.loads((path / "run.json").read_text())
        (path / "run.json").write_text(json.dumps(about | {"id": path.name, "seed": number}))
    return paths


@pytest.mark.slow
def test_three_runs_of_a_burst_are_pooled_and_predict_the_next(tmp_path, capsys):
    paths = copies(tmp_path)
    assert main(["report", *map(str, paths), "--figures", "no"]) == 0
    assert "the next such burst: 15.0 s" in capsys.readouterr().out
    assert (paths[0] / "report-pooled" / "metrics.json").is_file()
    assert "Each burst" in (paths[0] / "report-pooled" / "report.md").read_text()
    of = Tables(load(paths[0]), tuple(Tables(load(path)) for path in paths[1:]))
    assert [draw.name for draw in draws(of)] == ["burst-0", "burst-1", "burst-2"]
    assert (prediction(of).draws, prediction(of).unit) == (3, "burst")
    assert "15.0 s" in headline(of)


@pytest.mark.slow
def test_runs_of_different_tests_are_not_pooled(tmp_path, capsys):
    paths = copies(tmp_path, 2)
    about = json.loads((paths[1] / "run.json").read_text())
    (paths[1] / "run.json").write_text(json.dumps(about | {"schedule": "burst 31"}))
    assert main(["report", *map(str, paths)]) == 2
    assert "different tests and cannot be pooled" in capsys.readouterr().err
    assert main(["report", str(paths[0]), str(paths[0])]) == 2
    assert "named twice" in capsys.readouterr().err
