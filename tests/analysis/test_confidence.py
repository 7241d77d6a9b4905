"""The badge of a report: how far its main figure or its pick can be relied on, and the command that raises it."""

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.report.report import report
from analysis.runs.load import load
from tests.support.sweeps import Measure, write

RUNS = Path(__file__).resolve().parents[1] / "runs"
COMMAND = ["locust", "-f", "locustfiles/burst.py", "--headless"]


@pytest.fixture
def confidence_of(tmp_path):
    """The confidence in one of the small runs, as if ``words`` had started it."""

    def of(name, words=None):
        folder = tmp_path / name
        shutil.copytree(RUNS / name, folder, dirs_exist_ok=True)
        about = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**about, "command": words}))
        return report(load(folder)).confidence

    return of


def test_a_burst_names_the_command_that_repeats_it(confidence_of):
    found = confidence_of("burst", [*COMMAND, "--schedule", "burst 30"])
    assert found.level == "medium"
    assert shlex.split(found.remedy.command) == [*COMMAND, "--schedule", "burst 30", "--repeats", "5"]
    assert found.remedy.sentence.startswith("run it with 5 repeats (about 156 s): locust -f ")


@pytest.mark.parametrize("given", [("--repeats", "2"), ("--repeats=2",)])
def test_a_number_of_repeats_is_given_once(confidence_of, given):
    found = confidence_of("burst", [*COMMAND, *given, "--seed", "2"])
    assert shlex.split(found.remedy.command) == [*COMMAND, "--seed", "2", "--repeats", "5"]


@pytest.mark.slow
def test_a_run_that_is_no_burst_is_run_again_and_pooled(confidence_of):
    found = confidence_of("queue", COMMAND)
    assert found.remedy.command == shlex.join(COMMAND)
    assert found.remedy.what == "run it 2 more times and pool the runs with 'python -m analysis report RUN RUN RUN'"


@pytest.mark.parametrize("words", [None, [], "locust", ["locust", 3]])
def test_without_the_words_that_started_it_the_option_is_named(confidence_of, words):
    assert confidence_of("burst", words).remedy.command == "--repeats 5"


@pytest.mark.slow
def test_one_repeat_of_a_sweep_is_of_medium_confidence(confidence_of):
    found = confidence_of("sweep-matrix", [*COMMAND[:2], "locustfiles/matrix.py"])
    assert (found.level, found.reason) == ("medium", "1 repeat cannot show what differs from run to run")
    assert found.remedy.command == "locust -f locustfiles/matrix.py --repeats 3"


@pytest.mark.slow
def test_three_repeats_with_one_best_setting_are_of_high_confidence(confidence_of):
    found = confidence_of("sweep-scaling")
    assert (found.level, found.reason, found.remedy) == ("high", "in 3 repeats no other setting is as good", None)


def test_an_interval_of_one_time_is_one_time(confidence_of):
    assert confidence_of("burst").reason.endswith(", and the interval of the P95 is 15.0 s")


@pytest.mark.parametrize(("times", "level"), [(2, "low"), (6, "high")])
def test_a_cold_start_test_is_as_sure_as_its_median_and_asks_for_more_cold_starts(times, level):
    """Six is the smallest number with an interval of the median; the answers to warm workers say nothing of it."""
    words = ["locust", "-f", "locustfiles/coldstart.py", "--headless", "--times", str(times)]
    queue = load(RUNS / "queue")
    rows = queue.attempts.head(2 * times)
    rows = rows.assign(
        seq=range(2 * times), outcome="ok", cold=[True, False] * times, stage=[f"{a}-{n}" for n in range(times) for a in ("cold", "warm")]
    )
    rows = rows.assign(scheduled_s=[20.0 * n for n in range(2 * times)], done_s=[20.0 * n + 3 + n % 3 / 10 for n in range(2 * times)])
    about = queue.about | {"command": words, "planned": 2 * times, "elapsed_s": 40.0 * times, "options": {"zero_timeout": 60}}
    found = report(replace(queue, about=about, attempts=rows)).confidence
    assert found.level == level
    if level == "low":
        assert found.reason == "the median of 2 cold starts has no interval"
        assert found.remedy.sentence == "run it with 6 cold starts (about 240 s): locust -f locustfiles/coldstart.py --headless --times 6"
    else:
        assert found.reason.startswith("the interval of the median of 6 cold starts is 3.") and found.remedy is None


@pytest.mark.slow
def test_a_setting_that_may_miss_the_objective_is_of_low_confidence(tmp_path):
    """With 20 answers a P95 has no interval."""
    measures = [Measure(f"c{c}", 20, c, 100 / c**0.6, workers=5, per_worker=c, ids=5) for c in (1, 2)]
    asked = [{"metric": "p95", "op": "<", "value": 90.0, "text": "p95<90s"}]
    run = load(write(tmp_path / "run", measures, objectives=asked))
    found = report(run)
    assert "may miss p95<90s" in found.headline
    assert (found.confidence.level, found.confidence.reason) == ("low", "c1 may miss the objective")


def test_a_sweep_without_a_pick_is_of_low_confidence(confidence_of):
    assert confidence_of("sweep-cut").level == "low"
