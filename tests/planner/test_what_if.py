"""The settings next to that of a run, predicted from it."""

import json
from collections import Counter

import pytest

from coldburst.planner import run_directory
from coldburst.planner.measured_run import UnknownSettingsError, measured_run, policy_of
from coldburst.planner.model.fit import read_attempts
from coldburst.planner.recorded_load import MOST_REQUESTS, recorded_load
from coldburst.planner.setting_points import axes_around, fitted, smallest
from coldburst.planner.what_if import NothingToSayError, as_data, bounds, points_data, what_if
from coldburst.schedule import stages
from coldburst.serverless.errors import PolicyError
from coldburst.serverless.policy import Policy
from coldburst.serverless.simulation.service_curve import ServiceCurve
from tests.planner.test_simulate import BALANCER, scenario

PRICE = 0.001
SETTINGS = {"workers_min": 0, "workers_max": 3, "idle_timeout_s": 5, "scaler": "QUEUE_DELAY", "scaler_value": 4, "flashboot": False}


def real(folder, settings=SETTINGS, **about):
    """A run that the planner wrote, with what a real one says of its endpoint."""
    file = folder / "run.json"
    said = json.loads(file.read_text(encoding="utf-8"))
    said["target"]["simulated"] = False
    said["platform"] = {"settings": settings, "price": None, "workers": []}
    file.write_text(json.dumps(said | about), encoding="utf-8")
    return folder


def burst(tmp_path, **more):
    settings = {name: more[name] for name in SETTINGS if name in more}
    return real(run_directory.write(tmp_path, scenario("5", **more), stages.parse("burst 30"), 1), SETTINGS | settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The run of a burst of 30."""
    return burst(tmp_path_factory.mktemp("burst"))


@pytest.fixture(scope="module")
def found(folder):
    """What is predicted from it."""
    return what_if(folder, [0.0] * 30, {}, PRICE)


@pytest.mark.slow
def test_the_present_setting_is_predicted_as_it_was(folder, found):
    rows = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    now = found.alternatives[0].prediction
    assert (found.load.requests, found.load.planned, len(now.runs)) == (30, 30, 20)
    assert now["p95_s"].median == pytest.approx(rows["elapsed_s"], rel=0.1)
    assert now["usd"].median == pytest.approx(PRICE * now["worker_s"].median)


def test_one_more_minimum_worker_saves_the_start_and_costs_a_day(found):
    found = dict(found.predictions)
    now, warm = found["as it is"], found["one more min worker (1)"]
    assert warm["cold"].median == now["cold"].median - 1
    assert warm["start_s"].median < now["start_s"].median
    assert warm["p50_s"].median < now["p50_s"].median
    assert (now.scenario.standing_usd_a_day, warm.scenario.standing_usd_a_day) == (0.0, pytest.approx(86.4))


def test_a_longer_idle_time_out_costs_its_seconds(found):
    found = dict(found.predictions)
    now, longer = found["as it is"], found["idle time-out 30 s"]
    assert longer["p95_s"] == now["p95_s"]
    assert longer["worker_s"].median - now["worker_s"].median == pytest.approx(3 * 25, abs=1.0)


def test_twice_the_concurrency_has_bounds_unless_it_was_measured(found):
    """30 jobs of 5 s on 3 workers: two at a time take half as long at best, and as long as now at worst."""
    now, best, worst = found.alternatives[0], found.alternatives[2], found.alternatives[3]
    assert (best.name, worst.name) == ("twice the concurrency (2), at best", "twice the concurrency (2), at worst")
    worked_s = {one.bound: one.prediction["execution_s"].median for one in (now, best, worst)}
    assert worked_s["at best"] == pytest.approx(worked_s[""] / 2, rel=0.15)
    assert worked_s["at worst"] == pytest.approx(worked_s[""], rel=0.15)
    assert best.prediction["p95_s"].median < worst.prediction["p95_s"].median
    assert [one["bound"] for one in as_data(found)["settings"]] == ["", "", "at best", "at worst", ""]


def test_the_worst_case_beyond_what_was_measured_is_in_proportion():
    measured = scenario("5", curve=ServiceCurve((1, 2), (1.0, 1.5)), concurrency=6)
    (_, best), (_, worst) = bounds(measured, 3)
    assert [best.curve.at(jobs) for jobs in (1, 2, 3, 6)] == [1.0, 1.5, 1.5, 1.5]
    assert [worst.curve.at(jobs) for jobs in (1, 2, 3, 6)] == [1.0, 1.5, 1.5, 3.0]


def looped(tmp_path, text):
    """A run of a closed loop from zero workers, and its requests' instants and stages."""
    folder = run_directory.write(tmp_path, scenario("2"), stages.parse(text), 1)
    rows = list(read_attempts(folder / "attempts.csv"))
    return real(folder), sorted(row.scheduled_s for row in rows), Counter(row.stage for row in rows)


@pytest.mark.slow
def test_a_closed_loop_sends_more_to_an_endpoint_that_is_quicker(tmp_path):
    """Four places for 40 s: one worker that need not start first serves more in it."""
    found = what_if(*looped(tmp_path, "level 40s 4 at a time"), PRICE)
    now, warmer = (one for _, one in found.predictions[:2])
    assert found.load.closed
    assert warmer["throughput_per_s"].median > now["throughput_per_s"].median
    assert warmer.planned > now.planned
    assert now.planned == pytest.approx(found.load.planned, rel=0.2)


def test_the_first_requests_of_a_long_closed_loop_are_simulated():
    loop = recorded_load(
        "warm 10s 1/s, level 100s 4 at a time, level2 100 2 at a time", [0.0] * 40110, {"warm": 10, "level": 40000, "level2": 100}
    )
    assert [stage.name for stage in loop.stages] == ["warm", "level"]
    assert loop.stages[1].duration_s == pytest.approx(100 * 9990 / 40000)
    (counted,) = recorded_load("level 20000 4 at a time", [0.0] * 20000, {"level": 20000}).stages
    assert (counted.count, counted.concurrency) == (MOST_REQUESTS, 4)


def test_the_grid_has_the_present_setting_and_those_around_it(found):
    assert found.load.every_s == 3600
    settings = {
        tuple(point.settings[name] for name in ("workers_min", "workers_max", "scaler_value", "idle_timeout_s")): point
        for point in found.points
    }
    now = settings[0, 3, 4, 5]
    assert now.prediction == found.alternatives[0].prediction
    assert {least for least, *_ in settings} == {0, 1, 2}
    data, points = as_data(found), points_data(found)
    assert len(points) == len(settings) == len(found.points)
    day = next(one for one in points if one["settings"] == now.settings)["figures"]
    assert day["usd_a_day"]["median"] == pytest.approx(24 * PRICE * now.prediction["worker_s"].median)
    warm = settings[1, 3, 4, 5].prediction
    assert data["settings"][1]["figures"]["worker_s_a_day"]["median"] == pytest.approx(
        24 * (warm["worker_s"].median + 3600 - warm["end_s"].median), rel=0.01
    )


@pytest.mark.slow
def test_a_point_beyond_what_was_measured_says_why(tmp_path):
    wide = scenario("2", concurrency=2, workers_min=1, workers_max=1, scaler_value=2, **BALANCER)
    folder = run_directory.write(tmp_path, wide, stages.parse("burst 12"), 1)
    settings = SETTINGS | {"workers_min": 1, "workers_max": 1, "scaler": "REQUEST_COUNT", "scaler_value": 2}
    found = what_if(real(folder, settings), [0.0] * 12, {}, PRICE)
    why = {
        (point.settings["workers_min"], point.settings["workers_max"], point.settings["scaler_value"]): point.why for point in found.points
    }
    assert why[1, 1, 1] == ""
    assert why[1, 1, 4].startswith("the run shows at most 2 at a time on a worker")
    assert why[2, 1, 2].startswith("workers_max 1 is not a whole number of at least workers_min (2)")


def test_a_grid_keeps_the_values_that_tell_most():
    axes = axes_around(Policy(workers_min=0, workers_max=3))
    assert axes == {
        "workers_min": (0, 1, 2),
        "workers_max": (3, 4, 6, 2, 1),
        "scaler_value": (4.0, 8.0, 2.0),
        "idle_timeout_s": (5.0, 30.0, 120.0),
    }
    assert fitted(axes, 40) == {
        "workers_min": (0, 1, 2),
        "workers_max": (3, 4, 6),
        "scaler_value": (4.0, 8.0),
        "idle_timeout_s": (5.0, 30.0),
    }
    assert fitted(axes, 15) == {}


@pytest.mark.parametrize(
    ("most", "moved"),
    [
        (16, ["workers_min", "workers_max", "scaler_value", "idle_timeout_s"]),
        (15, ["workers_min", "workers_max", "idle_timeout_s"]),
        (7, ["workers_min", "workers_max"]),
        (0, ["workers_min", "workers_max"]),
    ],
)
def test_the_grid_of_a_large_run_has_two_values_of_those_that_tell_most(most, moved):
    axes = smallest(Policy(workers_min=0, workers_max=3), most)
    assert list(axes) == moved
    assert (axes["workers_min"], axes["workers_max"]) == ((0, 1), (3, 4))


@pytest.mark.slow
def test_a_balancer_takes_twice_the_requests_where_a_worker_had_them(tmp_path):
    wide = scenario("2", concurrency=4, workers_min=1, workers_max=1, scaler_value=4, **BALANCER)
    folder = run_directory.write(tmp_path, wide, stages.parse("slow 24s 0.25/s, steady 60s 1/s"), 1)
    settings = SETTINGS | {"workers_min": 1, "workers_max": 1, "scaler": "REQUEST_COUNT", "scaler_value": 1}
    found = what_if(real(folder, settings), [float(at) for at in range(60)], {}, PRICE)
    twice = found.alternatives[2]
    assert twice.prediction.scenario.concurrency == 2
    assert twice.prediction["p95_s"].median < found.alternatives[0].prediction["p95_s"].median
    assert found.alternatives[3].why == "no worker is stopped"


@pytest.mark.slow
def test_a_long_run_is_simulated_with_fewer_seeds_and_has_a_grid(tmp_path):
    steady = scenario("0.2", workers_min=2, workers_max=2)
    folder = run_directory.write(tmp_path, steady, stages.parse("steady 100s 22/s"), 1)
    settings = SETTINGS | {"workers_min": 2, "workers_max": 2}
    found = what_if(real(folder, settings), [at / 22 for at in range(2200)], {}, 0.0)
    assert (found.load.requests, found.load.planned) == (2200, 2200)
    assert len(found.alternatives[0].prediction.runs) == 3
    assert len(found.points) == 8
    assert {len(point.prediction.runs) for point in found.points if not point.why} == {3}
    assert "usd" not in as_data(found)["settings"][0]["figures"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "run.json has no settings of the endpoint"),
        (SETTINGS | {"workers_max": "3"}, "run.json has no settings of the endpoint"),
        (SETTINGS | {"workers_max": 10**6}, "run.json has no settings of the endpoint"),
        (SETTINGS | {"workers_min": 5}, "workers_max 3 is not a whole number of at least workers_min"),
        (SETTINGS | {"scaler": "FAST"}, "scaler 'FAST' is unknown"),
    ],
)
def test_settings_that_are_missing_or_odd_are_refused(tmp_path, settings, said):
    folder = real(run_directory.write(tmp_path, scenario("5"), stages.parse("burst 10"), 1), settings)
    with pytest.raises((UnknownSettingsError, PolicyError), match=said):
        measured_run(folder)
    with pytest.raises(NothingToSayError, match=said):
        what_if(folder, [0.0] * 10, {}, 0.0)


def warm(tmp_path, **about):
    """A run on two workers that were up already, of an endpoint whose minimum is 0."""
    folder = run_directory.write(tmp_path, scenario("1", workers_min=2, workers_max=2), stages.parse("steady 30s 1/s"), 1)
    return real(folder, target={"kind": "queue", "host": "http://127.0.0.1:9/v2/demo"}, **about)


@pytest.mark.slow
def test_without_a_start_what_needs_none_is_predicted_and_the_rest_by_a_range(tmp_path):
    found = what_if(warm(tmp_path), [float(at) for at in range(30)], {}, 0.0)
    assert (found.starts.assumed, found.warm) == (True, 2)
    named = dict(found.predictions)
    as_before, from_rest = named["as many min workers as were up (2)"], named["as it is"]
    # The first request waits for a worker: 10 to 120 s, and then it is served.
    assert from_rest["cold"].low >= 1
    assert 10 < from_rest["p95_s"].low < 20 and 60 < from_rest["p95_s"].high < 125
    assert as_before["cold"].high == 0
    assert as_before["p95_s"].high < 3


@pytest.mark.slow
def test_without_a_start_that_of_an_earlier_run_is_taken(tmp_path):
    target = {"kind": "queue", "host": "http://127.0.0.1:9/v2/demo"}
    earlier = burst(tmp_path)
    real(earlier, target=target)
    other = real(
        run_directory.write(tmp_path, scenario("9"), stages.parse("burst 9"), 1), target=target | {"host": "http://127.0.0.1:9/v2/b"}
    )
    found = what_if(warm(tmp_path), [float(at) for at in range(30)], {}, 0.0)
    assert found.starts.source == earlier.name != other.name
    (wait_s,) = found.starts.time.numbers
    assert wait_s == pytest.approx(8.0, abs=0.2)


def test_a_balancers_places_must_be_known():
    settings = {name: value for name, value in SETTINGS.items() if name != "scaler_value"}
    with pytest.raises(UnknownSettingsError, match="does not have the scaler's value"):
        policy_of({"target": {"kind": "balancer"}, "platform": {"settings": settings}})


def test_the_embedded_endpoint_is_simulated_with_its_own_parameters(tmp_path):
    folder = burst(tmp_path)
    target = {"kind": "queue", "host": "http://127.0.0.1:1/v2/embedded", "embedded": True}
    assert measured_run(folder).scenario.platform.starting_at_once == 0
    assert measured_run(real(folder, target=target)).scenario.platform.starting_at_once == 1
