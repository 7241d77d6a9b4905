"""Rate limits, and what is known of each parameter of the platform."""

from dataclasses import fields

import pytest

from coldburst.serverless.errors import PolicyError
from coldburst.serverless.platform_parameters import OperationLimit, Platform
from tests.support.virtual import AT_ONCE, endpoint, serving

TABLE = (OperationLimit("run", 4, 2, 3), OperationLimit("purge-queue", 2, None, 0))


def admitted(core, operation, now, number=1):
    """How many of ``number`` requests that end at once are let in."""
    count = 0
    for _ in range(number):
        if core.admit(operation, now) is None:
            count += 1
            core.release(operation)
    return count


def test_a_window_has_so_many_requests_and_then_says_when_it_ends():
    core = endpoint(now=3.0, platform={"limits": TABLE})
    assert admitted(core, "run", 4.0, 10) == 4
    assert core.admit("run", 5.5) == 7.5  # windows count from second 3
    assert core.admit("run", 12.999) == pytest.approx(0.001)
    assert admitted(core, "run", 13.0, 10) == 4
    assert admitted(core, "run", 100.0, 10) == 4


def test_so_many_at_a_time():
    core = endpoint(platform={"limits": TABLE})
    assert [core.admit("run", 0.0) for _ in range(3)] == [None, None, 1.0]
    core.release("run")
    assert core.admit("run", 0.0) is None
    assert admitted(core, "purge-queue", 0.0, 5) == 2  # no limit at a time, but in the window


def test_running_workers_raise_the_window_only_beyond_the_base():
    core = endpoint(platform={"limits": TABLE, **AT_ONCE}, workers_min=3, workers_max=3)
    assert admitted(core, "run", 0.0, 20) == 4
    serving(core, 1.0)
    assert admitted(core, "run", 10.0, 20) == 9  # max(4, 3 x 3)
    assert admitted(core, "purge-queue", 10.0, 20) == 2


def test_operations_without_a_row_and_limits_that_are_off_let_all_in():
    assert admitted(endpoint(platform={"limits": TABLE}), "health", 0.0, 500) == 500
    assert admitted(endpoint(platform={"limits": TABLE, "limits_on": False}), "run", 0.0, 500) == 500


def test_a_release_without_an_admission_gives_nothing():
    core = endpoint(platform={"limits": TABLE})
    core.release("run")
    assert [core.admit("run", 0.0) for _ in range(3)] == [None, None, 1.0]


def test_the_documented_table():
    core = endpoint()
    assert (admitted(core, "run", 0.0, 1001), admitted(core, "runsync", 0.0, 2001), admitted(core, "cancel", 0.0, 101)) == (1000, 2000, 100)
    assert [core.admit("status", 0.0) for _ in range(401)].count(None) == 400


def test_each_parameter_says_what_is_known_of_it():
    for parameter in fields(Platform):
        about = parameter.metadata
        assert set(about) == {"known", "source", "unit", "meaning"}, parameter.name
        assert about["known"] in ("documented", "measured", "inferred", "unverified")
        assert about["source"] and about["meaning"], parameter.name
        assert about["unit"] == "s" or not parameter.name.endswith("_s")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"lease_s": -1.0}, "lease_s -1.0 must be a number of at least 0"),
        ({"lease_s": 0.0}, "lease_s 0.0 must be at least 0.001"),
        ({"check_s": 0.0}, "check_s 0.0 must be at least 0.001"),
        ({"window_s": 0.0}, "window_s 0.0 must be at least 0.001"),
        ({"hold_s": float("nan")}, "hold_s nan must be a number"),
        ({"jitter": 1.0}, "jitter 1.0 must be below 1"),
        ({"per_worker": 0}, "per_worker must be at least 1"),
        ({"choose": "random"}, "choose 'random' must be fill_first, least_in_flight or round_robin"),
        ({"execution_timeout_state": "GONE"}, "execution_timeout_state 'GONE' must be TIMED_OUT or FAILED"),
    ],
)
def test_parameters_that_cannot_be_are_told_in_one_sentence(settings, says):
    with pytest.raises(PolicyError, match=says):
        Platform(**settings)
