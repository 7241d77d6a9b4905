"""The few requests that calibrate: their schedule by an endpoint's settings, what the planner gets from them, and what it does not."""

from dataclasses import replace

import pytest

from coldburst.planner import run_directory
from coldburst.planner.calibration import calibration, found, spent_s, unseen
from coldburst.planner.model.fit import fit
from coldburst.schedule.stages import text
from coldburst.serverless.simulation.service_curve import ServiceCurve
from tests.planner.test_simulate import BALANCER, scenario

QUEUE = {"type": "QUEUE", "workers_min": 0, "workers_max": 3, "idle_timeout_s": 5, "scaler": "QUEUE_DELAY", "scaler_value": 4.0}
BALANCED = {"type": "LOAD_BALANCER", "workers_min": 0, "workers_max": 3, "scaler": "REQUEST_COUNT", "scaler_value": 4}
FOUR = "cold 1 1 at a time, alone 6 1 at a time, together 8 4 at a time"


@pytest.mark.parametrize(
    ("settings", "at_a_time", "schedule"),
    [
        (QUEUE, None, FOUR),
        (QUEUE, 2, "cold 1 1 at a time, alone 6 1 at a time, together 6 2 at a time"),
        (QUEUE, 1, "cold 1 1 at a time, alone 9 1 at a time"),
        (QUEUE | {"workers_min": 1}, None, "alone 6 1 at a time, together 8 4 at a time"),
        (QUEUE | {"scaler": "REQUEST_COUNT", "scaler_value": 1}, None, "cold 1 1 at a time, alone 9 1 at a time"),
        (QUEUE | {"scaler": "REQUEST_COUNT", "scaler_value": 30}, None, FOUR),
        (BALANCED, None, FOUR),
        (BALANCED | {"scaler_value": 1}, None, "cold 1 1 at a time, alone 9 1 at a time"),
        (BALANCED | {"scaler_value": 128}, None, "cold 1 1 at a time, alone 6 1 at a time, together 20 16 at a time"),
        ({}, None, "alone 6 1 at a time, together 8 4 at a time"),
    ],
)
def test_the_schedule_follows_the_settings(settings, at_a_time, schedule):
    assert text(calibration(settings, at_a_time).stages) == schedule


def simulated(tmp_path, one, settings, at_a_time=None, seed=3):
    """What a simulated run of the calibration's requests shows of that endpoint."""
    load = calibration(settings, at_a_time)
    return load, fit(run_directory.write(tmp_path, one, load.stages, seed), load.places)


@pytest.mark.parametrize("seed", range(1, 6))
def test_one_at_a_time_on_a_worker_is_fitted(tmp_path, seed):
    """True: jobs of 2 s with a mean report of 0.18 s, a start of 20 s; the other three wait, so the scaler may add workers."""
    one = scenario("lognormal:2:0.05", start="4", load="16", workers_max=3)
    load, seen = simulated(tmp_path, one, QUEUE, seed=seed)
    assert seen.concurrency == 1 and seen.workers >= 1
    assert seen.service.mean_s == pytest.approx(2.15, rel=0.1)
    assert seen.start is not None and seen.start.mean_s == pytest.approx(20.0, rel=0.1)
    said = list(unseen(load, seen))
    assert any("workers differ" in one for one in said) and any("starts vary" in one for one in said)
    assert not any("requests at a time" in one or "cold start:" in one for one in said)


@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize(("settings", "more"), [(QUEUE, {"scaler_value": 4.0}), (BALANCED, {"scaler_value": 4, **BALANCER})])
def test_the_service_curve_is_fitted(tmp_path, settings, more, seed):
    """True: 2 s alone, twice that as one of four; a queue's times include the report, which does not grow."""
    platform = {"per_worker": 4} if settings is BALANCED else {}
    curve = ServiceCurve((1, 4), (1.0, 2.0))
    one = scenario("2", start="4", load="16", platform=platform, curve=curve, concurrency=4, workers_max=3, **more)
    load, seen = simulated(tmp_path, one, settings, seed=seed)
    assert seen.concurrency == 4 and seen.workers == 1
    assert seen.service.mean_s == pytest.approx(2.2 if settings is QUEUE else 2.0, rel=0.05)
    assert seen.curve.factor(4) == pytest.approx(1.95, rel=0.12)
    assert seen.start is not None and seen.start.mean_s == pytest.approx(20.0, rel=0.12)
    assert any("more than 4 requests at a time" in one for one in unseen(load, seen))
    assert dict(found(seen))["requests at a time on a worker"].startswith("at most 4 seen; service time ")


def test_what_no_request_met_is_named(tmp_path):
    steady = {"workers_min": 1, "workers_max": 1}
    load, seen = simulated(tmp_path, scenario("2", **steady), QUEUE | steady)
    said = list(unseen(load, seen))
    assert seen.start is None and dict(found(seen))["start of a worker"] == "not seen"
    assert any("the endpoint keeps 1 ready" in one for one in said)
    assert any("a worker was warm" in one for one in unseen(calibration(QUEUE), seen))
    assert any("this service shows none" in one for one in unseen(calibration({}), seen))
    assert any("not tried; --at-a-time 4" in one for one in unseen(calibration(QUEUE, 1), seen))
    assert any("128 requests at a time on a worker" in one for one in unseen(calibration(BALANCED | {"scaler_value": 128}), seen))
    assert any("FlashBoot" in one for one in unseen(calibration(QUEUE | {"flashboot": True}), replace(seen, start=seen.service)))


def test_what_it_spent_is_each_container_from_its_start_to_its_stop():
    """One from second 1 to 11, one that is up at the end, at 30 s, and idles for 5 s more: 10 + 28 + 5; from 0 if it was up before."""
    spans = [{"start_s": 1.0, "gone_s": 11.0}, {"start_s": 2.0, "gone_s": None}]
    about = {"elapsed_s": 30.0, "platform": {"settings": QUEUE, "workers": spans}}
    assert spent_s(about) == pytest.approx(43.0)
    about["platform"]["settings"] = QUEUE | {"workers_min": 1}
    assert spent_s(about) == pytest.approx(38.0)
    about["platform"]["workers"] = [{"start_s": -50.0, "gone_s": 4.0}]
    assert spent_s(about) == pytest.approx(4.0)
    assert spent_s({"elapsed_s": 1.0, "platform": None}) is None
