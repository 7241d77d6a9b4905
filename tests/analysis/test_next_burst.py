"""The prediction of the next burst, against arithmetic and against bursts that were simulated."""

import math

import numpy as np
import pytest

from analysis.runs.load import load
from analysis.statistics.next_burst import Slots, next_burst, slots
from analysis.statistics.percentiles import nearest_rank
from analysis.tables.burst import next_burst_s
from analysis.tables.run_tables import Tables
from tests.support.locusts import ROOT


def served(free, service_s, overhead_s=0.0):
    """A burst on slots that begin at ``free``: workers, begins, ends and response times."""
    free, rows = list(free), []
    for service in service_s:
        slot = int(np.argmin(free))
        rows.append((slot, free[slot], free[slot] + service, free[slot] + service + overhead_s))
        free[slot] += service
    workers, *times = zip(*rows, strict=True)
    return workers, *map(np.array, times)


def test_slots_are_found_with_their_begins_and_the_time_between_two_requests():
    workers, begun, ended = ["a", "b", "a", "a"], np.array([4.0, 6.0, 5.5, 7.0]), np.array([5.0, 7.0, 6.5, 8.0])
    found = slots(workers, begun, ended, ended + 0.25)
    assert sorted(found.begins) == [4.0, 6.0]
    # The first request of "a" occupies it until the next one begins, its last one until it ends.
    assert found.busy.tolist() == [1.5, 1.0, 1.5, 1.0]
    assert found.tails.tolist() == [1.25] * 4


def test_a_worker_that_takes_two_at_a_time_has_two_slots():
    found = slots(["a"] * 4, np.array([0.0, 0.0, 1.0, 1.0]), np.array([1.0, 1.0, 2.0, 2.0]), np.array([1.0, 1.0, 2.0, 2.0]))
    assert found.begins.tolist() == [0.0, 0.0]
    assert found.busy.tolist() == [1.0] * 4


def test_requests_that_overlap_by_a_network_delay_share_a_slot():
    begun = np.array([0.0, 0.99, 2.0])
    assert slots(["a"] * 3, begun, begun + 1.0, begun + 1.0).begins.tolist() == [0.0]


def test_where_nothing_varies_the_prediction_is_the_arithmetic():
    """30 requests of 1 s on 3 slots: ten rounds, so half within 5 s and 95 % within 10 s."""
    found = next_burst(slots(*served([0.0] * 3, [1.0] * 30)))
    for percent, exact in {50: 5.0, 95: 10.0, 99: 10.0}.items():
        assert found[percent] == pytest.approx((exact, exact), rel=0.01)


def test_a_single_start_is_assumed_to_vary_by_a_fifth():
    """Ten requests of 1 s behind one start of 4 s: the last answer after 4 × exp(± 1.96 × 0.2) + 10 s."""
    found = next_burst(slots(*served([4.0], [1.0] * 10)))
    assert found[99] == pytest.approx((12.70, 15.92), rel=0.02)


def test_too_few_requests_predict_nothing():
    assert next_burst(Slots(np.zeros(1), np.ones(9), np.ones(9))) == {}


@pytest.mark.slow
@pytest.mark.parametrize(("slots_", "cv", "cold_s"), [(1, 0.3, 4.0), (3, 0.3, 4.0), (5, 1.0, 0.0), (15, 1.0, 4.0), (30, 0.3, 0.0)])
def test_it_covers_the_next_burst(slots_, cv, cold_s):
    """Lognormal services of mean 1 s, and slots that begin after a cold start that varies by 20 %."""
    draw, sigma, covered, tries = np.random.default_rng(7), math.sqrt(math.log(1 + cv * cv)), {50: 0, 95: 0}, 75

    def burst():
        free = cold_s * np.exp(0.2 * draw.standard_normal(slots_))
        return served(free, np.exp(sigma * draw.standard_normal(30) - sigma**2 / 2), 0.05)

    for seed in range(tries):
        found, after = next_burst(slots(*burst()), seed), np.sort(burst()[3])
        for percent in covered:
            lower, upper = found[percent]
            covered[percent] += lower <= after[nearest_rank(30, percent) - 1] <= upper
    assert all(0.88 <= share / tries <= 1 for share in covered.values()), covered


def test_a_run_that_is_no_burst_predicts_nothing():
    assert next_burst_s(Tables(load(ROOT / "tests/runs/queue"))) == {}
