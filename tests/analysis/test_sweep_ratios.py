"""The arithmetic of sweeps against the published documents' own numbers: ratios, memory, intervals, the scalability law."""

import math
import statistics

import numpy as np
import pytest

from analysis.statistics.intervals import WITHIN, Interval, batch_means, difference, exact, interval_over_repeats, mean_interval, quotient
from analysis.sweep import ratios, usl
from analysis.sweep.ratios import memory_plan, workers_that_fit
from analysis.sweep.sweep_settings import Card
from analysis.sweep.usl import Usl, throughput
from tests.support.sweeps import WHISPER

LEVELS = [1, 2, 4, 8, 16, 32, 64]


@pytest.mark.parametrize(("c", "wall_s", "times", "lost", "worth"), [(2, 61.2, 1.6732, 0.1634, True), (4, 38.7, 2.6460, 0.3385, False)])
def test_the_methodologys_own_table(c, wall_s, times, lost, worth):
    found = quotient(exact(20 / wall_s), exact(20 / 102.4)).value
    assert found == pytest.approx(times, abs=5e-5)
    assert ratios.contention(found, c) == pytest.approx(lost, abs=5e-5)
    assert ratios.worth_it(found, c, 0.7) is worth


def test_the_rule_takes_the_limit_itself():
    assert ratios.worth_it(0.7 * 3, 3, 0.7)
    assert not ratios.worth_it(0.7 * 3 - 1e-6, 3, 0.7)


def test_two_workers_do_what_five_did():
    times = 102.4 / 38.7
    assert ratios.savings(times) == pytest.approx(0.622, abs=5e-4)
    assert ratios.workers_needed(5, times) == pytest.approx(1.89, abs=5e-3)


@pytest.mark.parametrize(("per_s", "mean_s", "flying"), [(10.5, 0.476, 5.0), (20.1, 0.498, 10.0), (29.8, 0.512, 15.26)])
def test_littles_law_finds_the_guides_contradiction(per_s, mean_s, flying):
    assert ratios.in_flight(per_s, mean_s) == pytest.approx(flying, abs=0.02)
    assert ratios.exceeds_asked_concurrency(per_s, mean_s, 4)
    assert not ratios.exceeds_asked_concurrency(4 / mean_s, mean_s, 4)


def test_a_video_costs_the_same_with_5_and_with_20_workers():
    price = 1.39 / 3600
    assert ratios.usd_per_hour(price, 5) == pytest.approx(6.95)
    assert ratios.usd_per_hour(price, 20) == pytest.approx(27.80)
    for workers, per_minute in ((5, 5), (20, 20)):
        assert ratios.usd_per_1000(price, workers, per_minute / 60) / 1000 == pytest.approx(0.0232, abs=5e-5)


def test_an_hour_of_audio():
    assert ratios.usd_per_audio_hour(0.00031, 2, 100.0) == pytest.approx(0.00031 * 2 * 36)


def test_the_memory_plan_of_the_avatar_workers():
    card = Card(24.0, 3.4, 3.3)
    assert (workers_that_fit(card), workers_that_fit(Card(24.0, 3.4, 3.3, 0.9))) == (6, 5)
    assert [usage for _, usage, _, _ in memory_plan(card)] == pytest.approx([6.7, 10.0, 13.3, 16.6, 19.9, 23.2, 26.5])
    assert [fits for *_, fits in memory_plan(card)] == [True] * 6 + [False]
    assert memory_plan(card)[2][2] == pytest.approx(0.554, abs=5e-4)


@pytest.mark.parametrize(("card", "fit"), [(Card(10.0, 0.0, 2.5), 4), (Card(24.0, 24.5, 1.0), 0), (Card(0.9, 0.3, 0.1), 6)])
def test_memory_at_the_edge(card, fit):
    assert workers_that_fit(card) == fit


# --- intervals


def test_equal_repeats_have_an_interval_of_no_width():
    assert interval_over_repeats([5.0, 5.0, 5.0], statistics.fmean) == Interval(5.0, 5.0, 5.0, "over 3 repeats")


def test_three_repeats_by_hand():
    """Deviation 1, so 10 ± 4.30265 ÷ √3, Student's t at two degrees of freedom; by factors, of ln 0.9 and ln 1.1 in its place."""
    found = interval_over_repeats([9.0, 10.0, 11.0], statistics.fmean)
    assert (found.value, found.basis) == (10.0, "over 3 repeats")
    assert found.upper - 10 == pytest.approx(4.30265 / math.sqrt(3), abs=1e-4)
    assert 10 - found.lower == pytest.approx(found.upper - 10)
    positive = interval_over_repeats([9.0, 10.0, 11.0], statistics.fmean, 0.0)
    factor = math.exp(4.30265 * math.sqrt((math.log(0.9) ** 2 + math.log(1.1) ** 2) / 2 / 3))
    assert (positive.lower, positive.upper) == pytest.approx((10 / factor, 10 * factor), rel=1e-5)


@pytest.mark.parametrize("repeats", [2, 3, 5])
def test_intervals_over_few_repeats_cover_what_they_claim(repeats):
    drawn = np.random.default_rng(repeats).normal(10.0, 1.0, (150, repeats))
    found = [interval_over_repeats(list(row), statistics.fmean) for row in drawn]
    assert np.mean([one.lower <= 10.0 <= one.upper for one in found]) > 0.90


def test_batch_means_of_a_poisson_stream_cover_its_rate():
    noise, covered = np.random.default_rng(3), 0
    for _ in range(100):
        done = np.cumsum(noise.exponential(0.1, 700))
        done = done[done < 50.0]
        found = batch_means(list(done), 0.0, 50.0, len(done) / 50.0)
        assert found.basis == WITHIN
        covered += found.lower <= 10.0 <= found.upper
    assert covered > 0.90 * 100


def test_few_answers_have_a_wide_interval_and_fewer_none():
    few = batch_means([float(k) for k in range(1, 17)], 0.0, 16.0, 1.0)
    assert (few.lower, few.upper) == pytest.approx((1 - 1.96 / 4, 1 + 1.96 / 4), abs=1e-4)
    assert "16 answers" in few.basis
    assert batch_means([1.0, 2.0], 0.0, 2.0, 1.0).lower is None
    assert batch_means([], 0.0, 0.0, None).value is None


def test_without_an_interval_no_difference_is_shown():
    wide, narrow, none = Interval(1.0, 0.0, 2.0, ""), Interval(3.0, 2.5, 3.5, ""), Interval(9.0, None, None, "")
    assert not wide.overlaps(narrow)
    assert wide.overlaps(Interval(2.5, 2.0, 3.0, ""))
    assert none.overlaps(narrow) and narrow.overlaps(none)


def test_quotients_and_differences_of_independent_figures():
    found = quotient(Interval(10.0, 7.0, 13.0, WITHIN), Interval(5.0, 3.0, 7.0, WITHIN))
    assert (found.value, found.upper) == pytest.approx((2.0, 3.0))
    apart = difference(Interval(10.0, 7.0, 13.0, WITHIN), Interval(5.0, 1.0, 9.0, WITHIN))
    assert (apart.value, apart.lower, apart.upper) == (5.0, 0.0, 10.0)
    assert quotient(Interval(1.0, 0.9, 1.1, ""), Interval(0.0, 0.0, 0.0, "")).value is None
    assert quotient(Interval(1.0, None, None, "few"), Interval(2.0, 1.0, 3.0, "")).basis == "few"
    assert difference(mean_interval([]), mean_interval([1.0])).value is None
    assert mean_interval([1.0]).lower is None


# --- the law


@pytest.mark.parametrize("truth", [(10.0, 0.04744, 0.0015), (9.9, 0.5, 0.0001), (120.0, 0.001, 0.00001), (3.0, 0.0, 0.01)])
def test_exact_points_give_the_law_back(truth):
    found = usl.fit(LEVELS, throughput(np.array(LEVELS, float), np.array(truth)))
    assert (found.rate.value, found.sigma.value, found.kappa.value) == pytest.approx(truth, rel=1e-6, abs=1e-6)
    assert found.peak.value == pytest.approx(math.sqrt((1 - truth[1]) / truth[2]), rel=1e-6)
    assert found.r_squared == pytest.approx(1.0)
    assert bool(found.peak_note) is (found.peak.value > 64)


@pytest.mark.slow
def test_the_peak_is_found_within_a_tenth_at_5_percent_noise():
    curve, noise = throughput(np.array(LEVELS, float), np.array([10.0, 0.04744, 0.0015])), np.random.default_rng(0)
    fits = [usl.fit(LEVELS, curve * (1 + 0.05 * noise.standard_normal(7))) for _ in range(40)]
    peaks = [fit.peak for fit in fits if isinstance(fit, Usl)]
    assert len(peaks) > 37
    assert np.mean([abs(peak.value / 25.2 - 1) <= 0.10 for peak in peaks]) > 0.75
    assert np.mean([peak.lower <= 25.2 <= (peak.upper or math.inf) for peak in peaks]) > 0.75


def test_the_published_whisper_curve():
    found = usl.fit(LEVELS, [per_s for per_s, *_ in WHISPER.values()])
    assert found.sigma.value == pytest.approx(0.153, abs=5e-4)
    assert found.kappa.value == pytest.approx(0.0002, abs=2e-5)
    assert found.peak.value == pytest.approx(66, abs=0.5)
    assert found.r_squared == pytest.approx(0.994, abs=5e-4)
    assert found.peak_note.startswith("no peak within the measured levels (1 to 64)")


def test_a_line_and_a_plateau_have_no_peak():
    for per_s in ([10.0 * n for n in LEVELS], [10.0] * 7):
        found = usl.fit(LEVELS, per_s)
        assert found.peak.value is None
        assert found.peak_note == "no peak within the measured levels (1 to 64)"


@pytest.mark.parametrize(
    ("levels", "per_s", "said"),
    [
        ([1, 2, 4], [1.0, 2.0, 3.0], "3 usable levels, but a fit of three parameters needs 4 or more"),
        ([1, 1, 2, 2, 4, 4], [1.0, 1.1, 2.0, 2.1, 3.0, 3.1], "3 usable levels"),
        ([1, 2, 4, math.nan, 8], [1.0, 2.0, 3.0, 4.0, math.inf], "3 usable levels"),
        ([1, 1], [1.0, 1.1], "1 usable level"),
        ([], [], "0 usable levels"),
        (LEVELS, [10.0, 1.0, 40.0, 2.0, 50.0, 3.0, 60.0], "does not fit these points"),
    ],
)
def test_points_that_cannot_bear_the_law_are_refused(levels, per_s, said):
    assert said in usl.fit(levels, per_s)
