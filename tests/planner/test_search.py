"""The search finds what trying every setting finds."""

import pytest

from coldburst.planner.predict import predict, predict_all
from coldburst.planner.search import grid, rate, read_objectives, recommend, value_of
from coldburst.record.objectives import ObjectiveError
from coldburst.schedule import stages
from tests.planner.test_simulate import BALANCER, scenario

AXES = {"workers_min": (0, 2), "workers_max": range(1, 6), "idle_timeout_s": (5.0, 60.0)}
TRAFFIC = stages.parse("steady 300s 0.3/s poisson")


@pytest.mark.parametrize("limits", ["p95<30s", "p95<12s"])
def test_the_recommendation_is_the_cheapest_of_all_settings_that_hold(limits):
    one, objectives = scenario("lognormal:5:0.2"), read_objectives(limits)
    found = recommend(one, TRAFFIC, objectives, AXES, seeds=10)
    everything = [rate(prediction, objectives) for prediction in predict_all(grid(one, AXES), TRAFFIC, seeds=10)]
    cheapest = min(rated.cost for rated in everything if rated.holds)
    assert found.best is not None
    assert found.best.holds
    assert found.best.cost <= 1.05 * cheapest


def test_where_nothing_holds_the_objective_that_binds_is_named():
    found = recommend(scenario("5"), TRAFFIC, read_objectives("p95<1s, success>50%"), AXES, seeds=5)
    assert found.best is None
    assert found.limit.startswith("What binds is p95 < 1 s: the best that any setting reaches is ")
    assert len(found.closest) == 1


def test_given_up_requests_count_against_their_share():
    prediction = predict(scenario("5", load="200", scaler_value=4, workers_max=1, **BALANCER), stages.parse("burst 4"), seeds=3)
    (share,), (count,) = read_objectives("queue_timeouts<50%"), read_objectives("queue_timeouts<2")
    assert value_of(prediction.runs[0], share) == 1.0
    assert value_of(prediction.runs[0], count) == 4
    assert rate(prediction, [share]).met == 0.0
    assert prediction.outcomes == {"queue_timeout": 4.0}


def test_an_unknown_metric_is_refused():
    with pytest.raises(ObjectiveError, match="there is no metric 'wer'; use one of p50, p95"):
        read_objectives("wer<5%")


def test_ranges_hold_the_middle_nine_tenths_of_the_runs():
    prediction = predict(scenario("exp:5"), TRAFFIC, seeds=20)
    values = sorted(run.p95_s for run in prediction.runs)
    found = prediction["p95_s"]
    assert (found.low, found.median, found.high) == (values[0], values[9], values[18])
