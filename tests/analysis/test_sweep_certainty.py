"""What a sweep is sure of: warm-ups left in a stage, drift, network time, failures near the limit, and decisions whose truth is known."""

import numpy as np
import pytest

from analysis.statistics.warm_up import warm_up_end
from analysis.sweep.drift import drift
from bench.decisions import CASES, counted, judge, sweep


@pytest.mark.parametrize(("slow", "n"), [(10, 100), (40, 100), (0, 100), (5, 19)])
def test_the_end_of_a_warm_up_is_found(slow, n):
    draw = np.random.default_rng(3)
    values = np.where(np.arange(n) < slow, 3.0, 1.0) * np.exp(0.2 * draw.standard_normal(n))
    assert warm_up_end(values) == (slow if n >= 20 else 0)


def test_noise_has_no_warm_up():
    """Of 400 series of independent values at most 2 in 100 lose a start."""
    draw = np.random.default_rng(4)
    assert sum(warm_up_end(np.exp(0.3 * draw.standard_normal(200))) > 0 for _ in range(400)) <= 8


def test_a_trend_within_the_stages_is_told_and_noise_is_not():
    draw, found = np.random.default_rng(5), []
    for rise in (0.5, 0.0):
        at_s = np.arange(600.0)
        service_s = (1 + rise * at_s / 600) * np.exp(0.1 * draw.standard_normal(600))
        found.append(drift([(at_s[k : k + 200], service_s[k : k + 200]) for k in (0, 200, 400)]))
    assert found[0].startswith("service times rose by about ")
    assert found[0].endswith("while it was measured, so later settings look worse: repeat the sweep")
    assert found[1] == ""


def test_time_in_the_network_is_no_load():
    """Four in flight per worker, of which 0.2 s of 1 s are at the endpoint."""
    refusal = sweep(CASES["network-bound"], 1).relative["w1"].refusal
    assert refusal.startswith("the load did not saturate the workers: 0.")
    assert refusal.endswith(" of 4 requests at the endpoint, the rest in the network")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["slots", "USL", "failing", "network-bound", "cold first 2 s"])
def test_no_decision_is_wrong_without_saying_so(name):
    counts, shown = counted(name, 4)
    assert (counts["without"], shown) == (0, 4)


@pytest.mark.slow
def test_near_the_failure_limit_the_setting_that_surely_keeps_it_is_shown():
    assert all(judge(CASES["failing"], sweep(CASES["failing"], seed))[1] for seed in range(4))
