"""The settings next to that of a run, predicted from it."""

import json

import pytest

from coldburst.planner import run_directory
from coldburst.planner.measured_run import UnknownSettingsError, measured_run, policy_of
from coldburst.planner.what_if import MOST_REQUESTS, NothingToSayError, as_data, what_if
from coldburst.schedule import stages
from coldburst.serverless.errors import PolicyError
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


def test_the_present_setting_is_predicted_as_it_was(tmp_path):
    found = what_if(burst(tmp_path), [0.0] * 30, PRICE)
    rows = json.loads((next(tmp_path.iterdir()) / "run.json").read_text(encoding="utf-8"))
    now = found.alternatives[0].prediction
    assert (found.requests, found.planned, len(now.runs)) == (30, 30, 20)
    assert now["p95_s"].median == pytest.approx(rows["elapsed_s"], rel=0.1)
    assert now["usd"].median == pytest.approx(PRICE * now["worker_s"].median)


def test_one_more_minimum_worker_saves_the_start_and_costs_a_day(tmp_path):
    found = dict(what_if(burst(tmp_path), [0.0] * 30, PRICE).predictions)
    now, warm = found["as it is"], found["one more min worker (1)"]
    assert warm["cold"].median == now["cold"].median - 1
    assert warm["start_s"].median < now["start_s"].median
    assert warm["p50_s"].median < now["p50_s"].median
    assert (now.scenario.standing_usd_a_day, warm.scenario.standing_usd_a_day) == (0.0, pytest.approx(86.4))


def test_a_longer_idle_time_out_costs_its_seconds(tmp_path):
    found = dict(what_if(burst(tmp_path), [0.0] * 30, PRICE).predictions)
    now, longer = found["as it is"], found["idle time-out 30 s"]
    assert longer["p95_s"] == now["p95_s"]
    assert longer["worker_s"].median - now["worker_s"].median == pytest.approx(3 * 25, abs=1.0)


def test_twice_the_concurrency_is_left_out_unless_it_was_measured(tmp_path):
    one = what_if(burst(tmp_path), [0.0] * 30, PRICE).alternatives[2]
    assert (one.prediction, one.name) == (None, "twice the concurrency (2)")
    assert one.why.startswith("the run shows at most 1 at a time on a worker")


def test_a_balancer_takes_twice_the_requests_where_a_worker_had_them(tmp_path):
    wide = scenario("2", concurrency=4, workers_min=1, workers_max=1, scaler_value=4, **BALANCER)
    folder = run_directory.write(tmp_path, wide, stages.parse("steady 60s 1/s"), 1)
    settings = SETTINGS | {"workers_min": 1, "workers_max": 1, "scaler": "REQUEST_COUNT", "scaler_value": 1}
    found = what_if(real(folder, settings), [float(at) for at in range(60)], PRICE)
    twice = found.alternatives[2]
    assert twice.prediction.scenario.concurrency == 2
    assert twice.prediction["p95_s"].median < found.alternatives[0].prediction["p95_s"].median
    assert found.alternatives[3].why == "no worker is stopped"


def test_a_long_run_is_simulated_in_part_with_fewer_seeds(tmp_path):
    steady = scenario("0.2", workers_min=2, workers_max=2)
    folder = run_directory.write(tmp_path, steady, stages.parse("steady 100s 12/s"), 1)
    settings = SETTINGS | {"workers_min": 2, "workers_max": 2}
    found = what_if(real(folder, settings), [at / 12 for at in range(1200)], 0.0)
    assert (found.requests, found.planned) == (MOST_REQUESTS, 1200)
    assert len(found.alternatives[0].prediction.runs) == 5
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
        what_if(folder, [0.0] * 10, 0.0)


def test_a_run_without_cold_starts_is_refused(tmp_path):
    folder = run_directory.write(tmp_path, scenario("1", workers_min=2, workers_max=2), stages.parse("steady 30s 1/s"), 1)
    with pytest.raises(NothingToSayError, match="the run has no cold start"):
        what_if(real(folder), [float(at) for at in range(30)], 0.0)


def test_a_balancers_places_must_be_known():
    settings = {name: value for name, value in SETTINGS.items() if name != "scaler_value"}
    with pytest.raises(UnknownSettingsError, match="does not have the scaler's value"):
        policy_of({"target": {"kind": "balancer"}, "platform": {"settings": settings}})


def test_the_embedded_endpoint_is_simulated_with_its_own_parameters(tmp_path):
    folder = burst(tmp_path)
    target = {"kind": "queue", "host": "http://127.0.0.1:1/v2/embedded", "embedded": True}
    assert measured_run(folder).scenario.platform.starting_at_once == 0
    assert measured_run(real(folder, target=target)).scenario.platform.starting_at_once == 1
