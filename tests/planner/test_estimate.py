"""Estimates before a run: hand-worked loads, the order of low and high, and where the times come from."""

import math

import pytest

from coldburst.planner.estimate import UNKNOWN, Known, estimate, known_from
from coldburst.planner.model.scenario import Client
from coldburst.record import run_json
from coldburst.schedule.stages import parse
from tests.support.kept import RUNS

ONE = {"type": "QUEUE", "workers_min": 0, "workers_max": 1, "idle_timeout_s": 5, "scaler": "QUEUE_DELAY", "scaler_value": 4.0}
WARM = ONE | {"workers_min": 4, "workers_max": 4}
PRICE = 0.001


def ahead(text, settings=ONE, known=None, client=None):
    return estimate(parse(text), settings, PRICE, client=client or Client(), known=known)


def test_one_worker_after_a_start_takes_one_request_after_the_other():
    """Three requests of 10 s on one worker that starts in 20 s, then 5 s of idling: about 55 s are billed."""
    likely = ahead("burst 3", known=Known(10.0, 20.0)).likely
    assert likely.duration_s == pytest.approx(50.0, rel=0.1)
    assert likely.worker_s == pytest.approx(55.0, rel=0.1)
    assert likely.usd == pytest.approx(likely.worker_s * PRICE)


def test_a_closed_loop_is_simulated():
    """100 requests of 2 s, 4 at a time on 4 workers of the minimum: 25 in turn, and the SDK takes one every 2 or 3 s."""
    likely = ahead("level 100 4 at a time", WARM, Known(2.0, None)).likely
    assert 25 * 2 < likely.duration_s < 25 * 3
    assert likely.worker_s == pytest.approx(4 * likely.duration_s, rel=0.02)


def test_a_closed_loop_from_zero_workers_waits_for_their_start():
    """4 places for a minute on one worker that starts in 20 s: the requests that wait at the end are answered one after the other."""
    likely = ahead("level 60s 4 at a time", ONE, Known(5.0, 20.0)).likely
    assert likely.duration_s == pytest.approx(60 + 4 * 5, abs=8)
    assert likely.worker_s == pytest.approx(likely.duration_s + 5, abs=8)


def test_a_long_closed_loop_is_computed_from_its_work():
    """2,000 requests of 2 s, 4 at a time on 4 workers: 1,000 s, and 4 workers for that time."""
    likely = ahead("level 2000 4 at a time", WARM, Known(2.0, None)).likely
    assert (likely.duration_s, likely.worker_s) == (1000.0, 4000.0)


def test_a_closed_loop_by_its_count_is_simulated():
    """One worker starts in 20 s, then takes 3 requests of 10 s one after the other, and idles for 5 s."""
    likely = ahead("cold 1 1 at a time, alone 2 1 at a time", known=Known(10.0, 20.0)).likely
    assert likely.duration_s == pytest.approx(50.0, rel=0.1)
    assert likely.worker_s == pytest.approx(55.0, rel=0.1)


@pytest.mark.parametrize("text", ["burst 30", "steady 60s 3/s poisson", "steady 10m 5/s", "level 60s 4 at a time", "climb 60s 0/s..2/s"])
@pytest.mark.parametrize("settings", [ONE, {}, {"type": "LOAD_BALANCER", "scaler": "REQUEST_COUNT", "scaler_value": 4, "workers_max": 3}])
def test_low_is_below_likely_and_likely_below_high(text, settings):
    found = ahead(text, settings)
    for name in ("duration_s", "usd"):
        low, likely, high = (getattr(one, name) for one in (found.low, found.likely, found.high))
        assert 0 < low <= likely <= high < math.inf
    assert "assumed" in found.basis and found.text.count("\n") == 0


def test_settings_that_the_model_does_not_know_are_no_error():
    assert ahead("burst 3", {"type": "QUEUE", "scaler": "LATER", "workers_min": 0, "workers_max": 2}).likely.usd > 0
    assert ahead("burst 3", {"workers_max": 0, "workers_min": 0}).likely.usd > 0


def test_without_a_price_the_line_has_no_money():
    assert "USD" not in estimate(parse("burst 3"), ONE, 0.0, client=Client()).text


def test_the_times_come_from_the_newest_run_of_that_endpoint():
    host = run_json.read(RUNS / "burst")["target"]["host"]
    known = known_from(RUNS, host)
    assert known is not None and known.service_s > 0 and (RUNS / known.source).is_dir()
    assert f"half to twice what {known.source} took" in ahead("burst 3", known=known).basis
    assert known_from(RUNS, "http://127.0.0.1:9/v2/other") is None


def test_a_warm_request_leaves_the_start_open():
    found = ahead("burst 3", known=Known(1.0, None))
    assert f"starts of {UNKNOWN[0].start_s:g} to {UNKNOWN[-1].start_s:g} s: assumed" in found.basis
