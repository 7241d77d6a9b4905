"""Percentiles and intervals against exact arithmetic, textbook ranks and a simulation."""

from fractions import Fraction
from math import ceil

import numpy as np
import pytest

from analysis.models import likeness, order_statistic_ranks, percentile, rank, smallest_sample


@pytest.mark.parametrize("percent", [1, 5, 7, 50, 90, 95, 99, 100])
def test_rank_is_the_exact_ceiling(percent):
    assert [rank(n, percent) for n in range(1, 400)] == [ceil(Fraction(percent, 100) * n) for n in range(1, 400)]


def test_percentile_is_the_inverse_of_the_empirical_distribution():
    values = np.sort(np.random.default_rng(4).exponential(size=173))
    for percent in (50, 90, 95, 99):
        assert percentile(values, percent).value == np.percentile(values, percent, method="inverted_cdf")


# The median's ranks stand in every table of the sign test; the others follow from p^n <= 0.025.
@pytest.mark.parametrize(
    ("n", "percent", "ranks"),
    [
        (0, 50, None),
        (1, 50, None),
        (5, 50, None),
        (6, 50, (1, 6)),
        (10, 50, (2, 9)),
        (20, 50, (6, 15)),
        (100, 50, (40, 61)),
        (71, 95, None),
        (367, 99, None),
    ],
)
def test_ranks_of_the_interval(n, percent, ranks):
    assert order_statistic_ranks(n, percent) == ranks


@pytest.mark.parametrize(("percent", "least"), [(95, 72), (99, 368)])
def test_the_smallest_sample_is_the_first_with_an_interval(percent, least):
    assert smallest_sample(percent) == least
    assert order_statistic_ranks(least - 1, percent) is None
    assert order_statistic_ranks(least, percent)[1] == least


@pytest.mark.parametrize(("n", "percent"), [(50, 50), (100, 95), (400, 95)])
def test_the_interval_encloses_the_true_percentile_in_95_of_100_samples(n, percent):
    samples = np.sort(np.random.default_rng(n + percent).exponential(size=(4000, n)), axis=1)
    lower, upper = order_statistic_ranks(n, percent)
    truth = -np.log(1 - percent / 100)
    covered = np.mean((samples[:, lower - 1] <= truth) & (truth < samples[:, upper - 1]))
    assert 0.94 < covered < 0.99


def test_a_small_sample_says_what_its_figures_are():
    values = np.arange(1.0, 21.0)
    p95, p99 = percentile(values, 95), percentile(values, 99)
    assert (p95.value, p95.lower, p95.remark) == (19.0, None, "n too small")
    assert (p99.value, p99.lower, p99.remark) == (20.0, None, "n = 20: this is the maximum")
    assert percentile(values, 50).remark == ""
    assert percentile(np.array([]), 50).remark == "no values"


def test_likeness_of_known_series():
    rising = likeness(range(1000))
    assert rising == pytest.approx(1, abs=0.005)
    assert likeness([0.0, 1.0] * 500) == pytest.approx(-1, abs=0.005)
    alone = likeness(np.random.default_rng(1).exponential(size=10_000))
    assert abs(alone) < 0.05
    noise = np.random.default_rng(2).normal(size=20_000)
    tied = np.zeros(20_000)
    for i in range(1, len(tied)):  # x[i] = 0.8 x[i-1] + noise has autocorrelation 0.8
        tied[i] = 0.8 * tied[i - 1] + noise[i]
    assert likeness(tied) == pytest.approx(0.8, abs=0.03)
    assert likeness([1.0] * 50) is None
    assert likeness(range(19)) is None
