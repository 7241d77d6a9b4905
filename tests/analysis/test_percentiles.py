"""Percentiles and intervals against exact arithmetic, textbook ranks and a simulation."""

from fractions import Fraction
from math import ceil, comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.statistics.autocorrelation import lag1_autocorrelation
from analysis.statistics.percentiles import (
    PERCENTS,
    nearest_rank,
    order_statistic_ranks,
    percentile,
    percentiles,
    percentiles_over_repeats,
    smallest_sample,
    value_at_rank,
)

TIMES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=300)


@pytest.mark.parametrize("percent", [1, 5, 7, 50, 90, 95, 99, 100])
def test_rank_is_the_exact_ceiling(percent):
    assert [nearest_rank(n, percent) for n in range(1, 400)] == [ceil(Fraction(percent, 100) * n) for n in range(1, 400)]


@given(TIMES, st.sampled_from([1, 5, *PERCENTS, 100]))
def test_percentiles_are_the_exact_ones(values, percent):
    """The smallest value that at least so many percent of the values do not exceed."""
    exact = next(one for one in sorted(values) if 100 * sum(other <= one for other in values) >= percent * len(values))
    assert percentile(np.sort(values), percent).value == exact
    for of in (*percentiles(values), *percentiles_over_repeats([np.array(values), np.array(values)])):
        assert of.value == exact or of.percent != percent


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=300))
def test_numpy_has_the_same_percentiles(values):
    for percent, of in zip(PERCENTS, percentiles(values), strict=True):
        assert of.value == np.percentile(values, percent, method="inverted_cdf")


def places(n, percent):
    """The ranks of the interval in exact fractions, by Nyblom's formula as he has it."""

    def below(share, count):
        return sum(comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(count))

    def lower(p, side=Fraction(1, 40)):
        r = max(r for r in range(n + 1) if below(p, r) <= side)
        first, last = below(p, r), below(p, r + 1)
        return r + 1 / (1 + r * (1 - p) * (last - side) / ((n - r) * p * (side - first)))

    return lower(Fraction(percent, 100)), n + 1 - lower(1 - Fraction(percent, 100))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "percent"), [(6, 50), (10, 50), (25, 50), (40, 90), (72, 95), (120, 95)])
def test_ranks_of_the_interval(n, percent):
    assert order_statistic_ranks(n, percent) == pytest.approx([float(place) for place in places(n, percent)], rel=1e-9)


def test_the_ranks_lie_between_the_whole_ones_of_the_sign_test():
    """Of 10 values the 2nd and the 9th enclose the median in 97.9 of 100 samples, the 3rd and the 8th in 89.1."""
    lower, upper = order_statistic_ranks(10, 50)
    assert (lower, upper) == pytest.approx((2.65766, 8.34234), abs=1e-5)


@pytest.mark.parametrize(("n", "percent"), [(0, 50), (1, 50), (5, 50), (71, 95), (367, 99)])
def test_samples_that_are_too_small_have_no_ranks(n, percent):
    assert order_statistic_ranks(n, percent) is None


@pytest.mark.parametrize(("percent", "least"), [(50, 6), (95, 72), (99, 368)])
def test_the_smallest_sample_is_the_first_with_an_interval(percent, least):
    assert smallest_sample(percent) == least
    assert order_statistic_ranks(least - 1, percent) is None
    assert least - 1 < order_statistic_ranks(least, percent)[1] <= least


def test_intervals_enclose_their_percentile():
    for percent in PERCENTS:
        for n in range(smallest_sample(percent), 1500, 7):
            lower, upper = order_statistic_ranks(n, percent)
            assert 1 <= lower < nearest_rank(n, percent) < upper <= n


def test_a_rank_between_two_is_in_a_straight_line_between_their_values():
    assert [value_at_rank(np.array([1.0, 2.0, 10.0]), place) for place in (1, 1.5, 2.25, 3)] == [1.0, 1.5, 4.0, 10.0]


def test_neighbours_that_are_alike_are_said_to_be():
    rising = percentiles(np.linspace(1, 2, 400))
    assert [(of.alike, of.lower, of.remark) for of in rising[:3]] == [(True, None, "values are correlated: repeat the run")] * 3
    assert (percentiles(np.linspace(1, 2, 50))[2].at_least, percentiles(np.linspace(1, 2, 50))[2].at_most) == (None, None)
    mixed = percentiles(np.random.default_rng(1).permutation(np.linspace(1, 2, 400)))
    assert [of.alike for of in mixed] == [False] * 4
    assert mixed[2] == percentile(np.linspace(1, 2, 400), 95)


def test_too_few_independent_values_have_one_sided_bounds():
    """The largest of n is above P95 in 1 - 0.95^n of samples: 95 % from n = 59; P90 from n = 29."""
    values = np.arange(1.0, 59.0)
    assert percentile(values, 95).at_most is None
    assert percentile(np.arange(1.0, 60.0), 95).at_most == pytest.approx(59.0, abs=0.1)
    assert percentile(values[:29], 90).at_most == pytest.approx(29.0, abs=0.1)
    # P(at most 26 of 30 are below P95) = 0.061 and P(at most 25) = 0.016: the bound is between the 26th and the 27th.
    assert 26.0 < percentile(values[:30], 95).at_least < 27.0
    assert (percentile(np.arange(72.0), 95).at_least, percentile(np.arange(72.0), 95).at_most) == (None, None)


def test_empty_values_are_left_out():
    assert percentiles([1.0, float("nan"), 3.0])[0].n == 2
    assert percentiles([])[0].remark == "no values"
    assert percentiles_over_repeats([np.array([]), np.array([])])[0].remark == "no values"


def test_a_small_sample_says_what_its_figures_are():
    values = np.arange(1.0, 21.0)
    p95, p99 = percentile(values, 95), percentile(values, 99)
    assert (p95.value, p95.lower, p95.remark) == (19.0, None, "n too small")
    assert (p99.value, p99.lower, p99.remark) == (20.0, None, "n = 20: this is the maximum")
    assert percentile(values, 50).remark == ""
    assert percentile(np.array([]), 50).remark == "no values"


def test_likeness_of_known_series():
    rising = lag1_autocorrelation(range(1000))
    assert rising == pytest.approx(1, abs=0.005)
    assert lag1_autocorrelation([0.0, 1.0] * 500) == pytest.approx(-1, abs=0.005)
    alone = lag1_autocorrelation(np.random.default_rng(1).exponential(size=10_000))
    assert abs(alone) < 0.05
    noise = np.random.default_rng(2).normal(size=20_000)
    tied = np.zeros(20_000)
    for i in range(1, len(tied)):  # x[i] = 0.8 x[i-1] + noise has autocorrelation 0.8
        tied[i] = 0.8 * tied[i - 1] + noise[i]
    assert lag1_autocorrelation(tied) == pytest.approx(0.8, abs=0.03)
    assert lag1_autocorrelation([1.0] * 50) is None
    assert lag1_autocorrelation(range(19)) is None


def test_what_floats_round_off_makes_no_neighbours_alike():
    late = [(at_s / 10 + 0.002) - at_s / 10 for at_s in range(100)]
    assert min(late) < max(late)
    assert lag1_autocorrelation(late) is None
    assert percentiles(late)[0].alike is False
