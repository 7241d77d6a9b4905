"""Do intervals cover what they claim? Samples whose true percentiles are known, independent and from queues at 80 and 90 % load."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scipy.special import ndtri

from analysis.runs.load import load
from analysis.statistics.autocorrelation import effective_sample_size
from analysis.statistics.intervals import mean_interval
from analysis.statistics.percentiles import (
    PERCENTS,
    order_statistic_ranks,
    percentile,
    percentiles,
    percentiles_over_repeats,
    value_at_rank,
)
from analysis.statistics.two_groups import two_groups_sentence
from analysis.sweep import usl
from analysis.sweep.usl import Usl, throughput
from analysis.tables.run_tables import Tables
from analysis.verdict.verdict import judge

METHODOLOGY = " ".join((Path(__file__).parents[2] / "docs" / "methodology.md").read_text(encoding="utf-8").split())
SERVERS = 4
WARM = 2000
"""Arrivals before the first that counts: a queue that began empty has forgotten it."""
LAWS = {
    "exponential": lambda u: -np.log(1 - u),
    "uniform": lambda u: u,
    "lognormal": lambda u: np.exp(ndtri(u)),
    "pareto": lambda u: (1 - u) ** -0.5,
}


# --- independent samples


@pytest.mark.slow
@pytest.mark.parametrize(
    ("percent", "n"), [(50, 6), (50, 10), (50, 30), (50, 500), (90, 36), (90, 150), (95, 72), (95, 100), (95, 400), (99, 368), (99, 1000)]
)
def test_intervals_of_independent_samples_cover_the_truth_in_95_of_100(percent, n):
    """2,000 samples each, of any distribution; whole ranks alone would cover up to 99 of 100."""
    drawn = np.sort(np.random.default_rng(n + percent).random((2000, n)), axis=1)
    places = order_statistic_ranks(n, percent)
    for law in LAWS.values():
        lower, upper = (_between(law(drawn), place) for place in places)
        assert 0.93 <= np.mean((lower <= law(percent / 100)) & (law(percent / 100) <= upper)) <= 0.97


def _between(ascending, place):
    """``at_rank`` of many samples."""
    whole, part = int(place), place - int(place)
    return (1 - part) * ascending[:, whole - 1] + part * ascending[:, min(whole, ascending.shape[1] - 1)]


def test_many_at_once_are_the_same_as_each_alone():
    rows = np.sort(np.random.default_rng(1).random((3, 72)), axis=1)
    for place in order_statistic_ranks(72, 95):
        assert _between(rows, place) == pytest.approx([value_at_rank(row, place) for row in rows])


@pytest.mark.nightly
@pytest.mark.parametrize("n", [100, 1000])
def test_independent_samples_in_order_of_time_keep_their_intervals(n):
    """In 3 of 100 neighbours look alike by chance; of the others, and of those, the intervals cover the truth in 95 ± 2 of 100."""
    found = [percentiles(sample) for sample in np.random.default_rng(n).exponential(size=(2000, n))]
    assert np.mean([each[0].alike for each in found]) < 0.05
    for place, percent in enumerate(PERCENTS):
        shown = [each[place] for each in found if each[place].lower is not None]
        assert len(shown) > 0.95 * len(found) or (n == 100 and percent == 99)
        truth = -math.log(1 - percent / 100)
        assert not shown or 0.93 <= np.mean([of.lower <= truth <= of.upper for of in shown]) <= 0.97


# --- queues


def queue(runs, n, load, seed, cv=1.0):
    """Response times of ``n`` requests in order of arrival, a row a run: Poisson arrivals, four servers, mean service time 1."""
    noise, each = np.random.default_rng(seed), np.arange(runs)
    free, now, found = np.zeros((runs, SERVERS)), np.zeros(runs), np.empty((runs, n))
    for k in range(-WARM, n):
        now += noise.exponential(1 / (load * SERVERS), runs)
        first = free.argmin(axis=1)
        done = np.maximum(free[each, first], now) + noise.gamma(cv**-2, cv**2, runs)
        free[each, first] = done
        if k >= 0:
            found[:, k] = done - now
    return found


def truth(percent, load):
    """The percentile of the response time with exponential service (Erlang C; Kleinrock, Queueing Systems I, 3.5)."""
    busy = load * SERVERS
    last = busy**SERVERS / math.factorial(SERVERS) / (1 - load)
    waits = last / (sum(busy**k / math.factorial(k) for k in range(SERVERS)) + last)
    rate = SERVERS * (1 - load)

    def longer(t):
        return (1 - waits) * math.exp(-t) + waits * (rate * math.exp(-t) - math.exp(-rate * t)) / (rate - 1)

    return brentq(lambda t: longer(t) - (1 - percent / 100), 0, 1000)


def covered(found, true):
    """Shares of ``found`` that have an interval, and whose interval misses the truth."""
    shown = [of for of in found if of.lower is not None]
    return len(shown) / len(found), sum(not of.lower <= true <= of.upper for of in shown) / len(found)


@pytest.fixture(scope="module")
def busy():
    """2,000 runs of 3,000 requests at 80 % load."""
    return queue(2000, 3000, 0.8, seed=11)


def test_the_simulated_queue_is_the_one_of_the_formula():
    runs = queue(40, 2000, 0.5, seed=1)
    assert np.quantile(runs, 0.95) == pytest.approx(truth(95, 0.5), rel=0.03)
    assert runs.mean() == pytest.approx(1 + 0.1739 / 2, rel=0.03)  # Erlang C of 2 erlangs and 4 servers is 0.1739, and W = C / 2


@pytest.mark.nightly
def test_the_interval_of_independent_requests_covers_a_quarter_at_80_percent_load_and_a_tenth_at_90(busy):
    for runs, utilisation, most in ((busy[:500], 0.8, 0.30), (queue(500, 3000, 0.9, seed=12), 0.9, 0.15)):
        share, misses = covered([percentile(np.sort(run), 95) for run in runs], truth(95, utilisation))
        assert share == 1
        assert 0.05 < 1 - misses < most


@pytest.mark.nightly
def test_five_repeats_of_a_busy_queue_cover_the_truth_in_nine_of_ten(busy):
    found = [percentiles_over_repeats(list(runs)) for runs in busy.reshape(-1, 5, busy.shape[1])]
    for place, percent in ((0, 50), (1, 90), (2, 95)):
        shown, misses = covered([each[place] for each in found], truth(percent, 0.8))
        assert shown > 0.90
        assert misses < 0.10 * shown
    shown, misses = covered([each[3] for each in found], truth(99, 0.8))
    assert shown < 0.05  # "values are correlated": five such repeats cannot tell P99
    assert misses < 0.02


@pytest.mark.nightly
@pytest.mark.parametrize("n", [100, 300, 1000])
def test_five_short_repeats_cover_the_truth_or_say_that_they_cannot_tell(busy, n):
    found = [percentiles_over_repeats(list(runs)) for runs in busy[:, :n].reshape(-1, 5, n)]
    for place, percent in enumerate(PERCENTS):
        assert covered([each[place] for each in found], truth(percent, 0.8))[1] <= 0.10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "load"),
    [
        (300, 0.8),
        *(
            pytest.param(n, load, marks=pytest.mark.nightly)
            for n in (300, 1000, 3000)
            for load in (0.5, 0.8, 0.9)
            if (n, load) != (300, 0.8)
        ),
    ],
)
def test_one_run_covers_the_truth_or_says_that_it_cannot_tell(load, n):
    found = [percentiles(run) for run in queue(500, n, load, seed=n)]
    for place, percent in enumerate(PERCENTS):
        assert covered([each[place] for each in found], truth(percent, load))[1] <= (0.10 if n > 300 else 0.13)
    if load > 0.5:
        assert covered([each[2] for each in found], truth(95, load))[0] < 0.20
        assert found[0][2].remark in ("", "values are correlated: repeat the run")


@pytest.mark.nightly
def test_in_a_quarter_of_very_short_runs_likeness_is_not_seen():
    found = [percentiles(run)[0].alike for run in queue(500, 100, 0.8, seed=2)]
    assert np.mean(found) == pytest.approx(3 / 4, abs=0.05)


@pytest.mark.nightly
def test_one_long_run_has_an_interval_that_covers():
    found = [percentiles(run) for run in queue(100, 100_000, 0.8, seed=4)]
    for place, percent in ((0, 50), (1, 90), (2, 95)):
        shown, misses = covered([each[place] for each in found], truth(percent, 0.8))
        assert shown > 0.90
        assert misses < 0.10 * shown


@pytest.mark.nightly
def test_the_mean_of_tied_values_has_an_honest_interval(busy):
    """By Erlang C the mean response time at 80 % load is 1 + 0.5964 ÷ 0.8."""
    for n, least, most in ((300, 0, 0.13), (3000, 0.75, 0.13)):
        shown, misses = covered([mean_interval(run[:n].tolist()) for run in busy[:500]], 1 + 0.5964 / 0.8)
        assert shown >= least
        assert misses <= most


def test_a_sample_knows_what_it_is_worth():
    noise = np.random.default_rng(8).normal(size=20_000)
    assert effective_sample_size([noise]) is None
    assert effective_sample_size([noise[:19]]) is None
    assert effective_sample_size([np.ones(100)]) is None
    assert effective_sample_size([np.repeat(noise, 10)]) == pytest.approx(20_000, rel=0.7)
    assert effective_sample_size([np.repeat(some, 10) for some in noise.reshape(10, 2000)]) == pytest.approx(20_000, rel=0.4)
    assert effective_sample_size([np.arange(1000.0)]) < 15


@pytest.mark.parametrize("odd", [[1e-320] * 30 + [2e-320] * 30, [1e308, 1e300] * 30, [1.0] * 30 + [1 + 2e-16] * 30, [math.inf, 1.0] * 30])
def test_odd_values_have_percentiles_and_no_warning(odd):
    ordered = sorted(odd)
    for found in (percentiles(odd), percentiles_over_repeats([np.array(odd), np.array(odd[::-1])]) if math.isfinite(ordered[-1]) else ()):
        assert [of.value for of in found] == [ordered[-(-60 * percent // 100) - 1] for percent in PERCENTS[: len(found)]]
    assert two_groups_sentence(odd) == ""


# --- two groups


def of_two(share, n=500, quick=(1.2, 0.3), slow=(31.0, 0.15), seed=0):
    noise = np.random.default_rng(seed)
    cold = np.arange(n) < round(share * n)
    (middle, wide), (late, narrow) = quick, slow
    return np.where(cold, noise.lognormal(math.log(late), narrow, n), noise.lognormal(math.log(middle), wide, n)), cold


def exactly(n=200):
    """92 % of 1.2 s and 8 % of 31 s in the middle, 10 % up and down."""
    return np.r_[np.linspace(1.08, 1.32, n - n * 8 // 100), np.linspace(27.9, 34.1, n * 8 // 100)], np.arange(n) >= n - n * 8 // 100


def test_p95_between_warm_and_cold_is_told():
    values, cold = exactly()
    said = "P95 lies between two groups: 92 % around 1.2 s, 8 % around 31 s; it depends on the share of"
    assert two_groups_sentence(values, cold) == f"{said} cold starts, so look at both groups."
    assert two_groups_sentence(values) == f"{said} slow answers, so look at both groups."
    assert two_groups_sentence(np.r_[values, np.full(9, np.nan)], np.r_[cold, np.zeros(9, bool)]) == two_groups_sentence(values, cold)


@pytest.mark.parametrize("share", [0.03, 0.05, 0.08, 0.095])
def test_groups_of_any_such_share_are_found(share):
    assert np.mean([bool(two_groups_sentence(of_two(share, seed=seed)[0])) for seed in range(50)]) > 0.9
    wide = {"quick": (1.2, 0.6), "slow": (31.0, 0.3), "n": 2000}
    assert share == 0.03 or np.mean([bool(two_groups_sentence(of_two(share, seed=seed, **wide)[0])) for seed in range(50)]) > 0.9


@pytest.mark.parametrize("share", [0.0, 0.01, 0.15, 0.3, 0.5, 1.0])
def test_p95_within_one_group_is_not_between_two(share):
    assert [two_groups_sentence(of_two(share, seed=seed)[0]) for seed in range(50)] == [""] * 50


@pytest.mark.parametrize("n", [60, 200, 1000])
@pytest.mark.parametrize(
    "law",
    [
        lambda noise, n: noise.lognormal(0, 0.3, n),
        lambda noise, n: noise.lognormal(0, 1.5, n),
        lambda noise, n: noise.gamma(0.5, 1, n),
        lambda noise, n: noise.gamma(2, 1, n),
        lambda noise, n: noise.gamma(20, 1, n),
        lambda noise, n: 1 + noise.pareto(1, n),
    ],
    ids=["lognormal", "wide lognormal", "gamma 0.5", "gamma 2", "gamma 20", "pareto"],
)
def test_one_group_is_not_taken_for_two(law, n):
    noise = np.random.default_rng(n)
    assert sum(bool(two_groups_sentence(law(noise, n))) for _ in range(500)) <= 10


def test_values_without_two_groups():
    assert [two_groups_sentence(values) for values in ([], [1.0] * 100, [0.0] * 100, [1.0] * 39, np.full(60, np.nan))] == [""] * 5


@pytest.mark.slow
def test_millions_of_values_are_told_as_thousands_are():
    values, cold = exactly(1_000_003)
    order = np.random.default_rng(1).permutation(len(values))
    assert two_groups_sentence(values[order], cold[order]).startswith("P95 lies between two groups: 92 % around 1.2 s, 8 % around 31 s")


@pytest.mark.slow
def test_the_verdict_tells_of_two_groups():
    """Four copies of 30 requests, of which 9 met a cold start of 31 s and the others took 1.2 s."""
    burst = load(Path(__file__).parents[1] / "runs" / "burst")
    rows = pd.concat([burst.attempts.assign(seq=burst.attempts["seq"] + 30 * k) for k in range(4)], ignore_index=True)
    took, cold = exactly(120)
    order = np.random.default_rng(1).permutation(120)
    rows = rows.assign(scheduled_s=0.0, held_s=0.0, sent_s=0.0, done_s=took[order], cold=pd.array(cold[order], dtype="boolean"))
    run = replace(burst, attempts=rows, about=burst.about | {"planned": 120})
    told = [note for note in judge(run, Tables(run)).notes if note.startswith("P95 lies between two groups")]
    assert told == [two_groups_sentence(took, cold)]
    assert "8 % around 31 s; it depends on the share of cold starts" in told[0]


# --- the peak of the Universal Scalability Law


@pytest.mark.nightly
@pytest.mark.parametrize(("even", "said"), [(False, "within 10 % in 90 % and in its interval in 91 %"), (True, "in 97 %")])
def test_the_peak_is_within_a_tenth_and_in_its_interval_in_nine_of_ten(even, said):
    """Seven levels, noise of 5 % (of the throughput, or of the mean throughput), true peak 25.2."""
    levels = [1, 2, 4, 8, 16, 32, 64]
    curve, noise = throughput(np.array(levels, float), np.array([10.0, 0.04744, 0.0015])), np.random.default_rng(0)
    size = curve.mean() if even else curve
    fits = [usl.fit(levels, np.maximum(curve + 0.05 * size * noise.standard_normal(7), 0.1)) for _ in range(300)]
    assert all(isinstance(fit, Usl) for fit in fits)
    near = np.mean([fit.peak.value is not None and abs(fit.peak.value / 25.2 - 1) <= 0.10 for fit in fits])
    inside = np.mean([fit.peak.lower <= 25.2 <= (fit.peak.upper or math.inf) for fit in fits])
    assert f"within 10 % in {100 * near:.0f} % and in its interval in {100 * inside:.0f} %".endswith(said)
    assert said in METHODOLOGY
