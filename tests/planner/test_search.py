"""The search finds what trying every setting finds."""

from dataclasses import replace
from statistics import pstdev

import pytest

from coldburst.planner.model import distributions
from coldburst.planner.predict import figure_text, predict, predict_all, ranges_text
from coldburst.planner.search import grid, rate, read_objectives, recommend, value_of
from coldburst.record.objectives import ObjectiveError
from coldburst.schedule import stages
from tests.planner.test_simulate import BALANCER, scenario

AXES = {"workers_min": (0, 2), "workers_max": range(1, 6), "idle_timeout_s": (5.0, 60.0)}
TRAFFIC = stages.parse("steady 150s 0.3/s poisson")


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "low"), [(20, 0), (5, 0), (60, 2)])
def test_a_further_run_ends_between_these_order_statistics(seeds, low):
    """Between the k-th smallest and the k-th largest of n lie n + 1 - 2k of the n + 1 places of one more: 19 of 21, 4 of 6, 55 of 61."""
    prediction = predict(scenario("exp:5"), TRAFFIC, seeds=seeds)
    values = sorted(run.p95_s for run in prediction.runs)
    found = prediction["p95_s"]
    assert (found.low, found.median, found.high) == (values[low], values[(seeds + 1) // 2 - 1], values[-1 - low])


@pytest.mark.parametrize(("value", "text"), [(0.01234, "0.0123"), (98.76, "98.8"), (999.4, "999"), (999.6, "1,000"), (12345.6, "12,346")])
def test_large_figures_are_written_out(value, text):
    assert figure_text(value) == text


def test_few_runs_say_that_their_ranges_hold_less():
    assert "9 of 10 real ones should end in these ranges" in ranges_text(20)
    assert ranges_text(5) == "Predicted, by 5 simulated runs: 67% of real ones should end in these ranges."


@pytest.mark.slow
def test_a_calibration_on_few_workers_is_uncertain_by_how_much_they_differ():
    measured = replace(scenario("5"), service=distributions.measured([5.0] * 8), spread=0.3, workers_seen=1)
    values = [run.execution_s for run in predict(measured, stages.parse("burst 20"), seeds=40).runs]
    many = [run.execution_s for run in predict(replace(measured, workers_seen=1000), stages.parse("burst 20"), seeds=40).runs]
    assert pstdev(values) > 1.5 * pstdev(many)
