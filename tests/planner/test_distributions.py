"""Times in the notation of the command line: what is drawn has the mean and variance that the form says."""

import math
import random
from statistics import fmean, pvariance

import pytest

from coldburst.planner.model.distributions import ALONE, ENOUGH, Distribution, DistributionError, curve_and_service, measured, parse


@pytest.mark.parametrize(
    ("text", "mean_s", "variance"),
    [("5", 5.0, 0.0), ("exp:2", 2.0, 4.0), ("uniform:4:6", 5.0, 1 / 3), ("lognormal:5:0.3", 5.0 * math.exp(0.045), None)],
)
def test_a_form_has_its_mean_and_variance(text, mean_s, variance):
    one, rng = parse(text), random.Random(1)
    drawn = [one.draw(rng) for _ in range(20_000)]
    assert one.mean_s == pytest.approx(mean_s)
    assert fmean(drawn) == pytest.approx(mean_s, rel=0.03)
    assert pvariance(drawn) == pytest.approx(one.variance, rel=0.08, abs=1e-9)
    assert variance is None or one.variance == pytest.approx(variance)
    assert str(one) == text


def test_measured_values_are_drawn_and_resampled_from_themselves():
    one = measured([3.0, 1.0, 2.0])
    rng = random.Random(1)
    assert {one.draw(rng) for _ in range(100)} == {1.0, 2.0, 3.0}
    assert (one.mean_s, one.variance) == (2.0, pytest.approx(2 / 3))
    assert parse("5").resampled(rng) == parse("5")


def test_of_a_range_each_run_takes_one_value():
    one, rng = parse("range:10:120"), random.Random(1)
    taken = [one.resampled(rng) for _ in range(400)]
    assert {each.form for each in taken} == {"fixed"}
    assert 10 <= min(each.mean_s for each in taken) < 11 and 110 < max(each.mean_s for each in taken) <= 120
    # Each order of magnitude is as likely: half of them are below the geometric mean.
    assert fmean(each.mean_s < 1200**0.5 for each in taken) == pytest.approx(0.5, abs=0.1)
    assert str(one) == "10 to 120"


def test_enough_values_are_resampled_from_themselves():
    values = [float(number) for number in range(1, ENOUGH + 1)]
    again = measured(values).resampled(random.Random(1))
    assert len(again.numbers) == ENOUGH
    assert set(again.numbers) <= set(values)


def test_the_mean_of_a_few_values_is_as_uncertain_as_they_vary():
    """One start of 10 s: its mean may be off by 15 %; of four values by half of that."""
    for values, share in (([10.0], 0.15), ([10.0] * 4, 0.075)):
        means = [measured(values).resampled(random.Random(seed)).mean_s for seed in range(400)]
        assert fmean(means) == pytest.approx(10.0, rel=0.03)
        assert pvariance(means) ** 0.5 == pytest.approx(10 * share, rel=0.15)


@pytest.mark.parametrize(
    "text",
    ["", "five", "5:6", "exp", "exp:0", "exp:1:2", "uniform:6:4", "range:0:5", "range:6:4", "lognormal:5", "-1", "nan", "inf", "gauss:1:2"],
)
def test_anything_else_is_refused_with_right_ones(text):
    with pytest.raises(DistributionError, match=r"write '5' \(always\), 'exp:5'"):
        parse(text)


def test_a_curve_is_linear_between_its_points_and_constant_beyond_them():
    service, curve = curve_and_service("1:0.2,2:0.3,4:0.5")
    assert service == Distribution("fixed", (0.2,))
    assert [curve.factor(jobs) for jobs in (1, 2, 3, 4, 9)] == pytest.approx([1.0, 1.5, 2.0, 2.5, 2.5])
    assert ALONE.factor(7) == 1.0


@pytest.mark.parametrize("text", ["", "0:0.3", "1:0", "1:0.2,1:0.3", "1:x", "1", "1:0.2,"])
def test_a_curve_that_is_none_is_refused(text):
    with pytest.raises(DistributionError, match="is not a service curve"):
        curve_and_service(text)
