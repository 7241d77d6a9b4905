"""Objectives while a run goes: what cannot be met any more is told at the row that decides it, and what can be met seldom is."""

import random
from itertools import count

import pytest

from coldburst.load.objective_watch import ObjectiveWatch, allowed, check_abort, unbelievable
from coldburst.record.attempt import Attempt
from coldburst.record.objectives import ObjectiveError, objective


def row(seq, seconds=0.1, outcome="ok", attempt=1, queue_s=None):
    return Attempt(seq, attempt, "steady", float(seq), outcome, sent_s=float(seq), done_s=seq + seconds, queue_s=queue_s)


def given_up(rows, text, planned=None, after=1, tries=0):
    """After how many rows the objective is given up; None where it never is."""
    judged = objective(text, abort=True, after=after)
    check_abort(judged)
    dog = ObjectiveWatch([judged], planned, tries)
    return next((place for place, one in enumerate(rows, 1) if dog.row(one)), None)


def slow(places, n=1000, seconds=3.0):
    return [row(seq, seconds if seq in places else 0.1) for seq in range(n)]


@pytest.mark.parametrize(
    ("text", "n", "most"),
    [
        ("p95 < 2 s", 100, 5),  # the 95th of 100 decides: five may be above it
        ("p95 < 2 s", 30, 1),  # rank 29 of 30
        ("p50 < 2 s", 10, 5),
        ("max < 2 s", 1000, 0),
        ("success > 95 %", 100, 4),  # 95 of 100 are not more than 95 %
        ("success >= 95 %", 100, 5),
        ("success == 100 %", 100, 0),
        ("failed < 1 %", 1000, 9),
        ("failed <= 1 %", 1000, 10),
        ("failed < 5", 1000, 4),
        ("queue_timeouts == 0", 1000, 0),
    ],
)
def test_how_many_may_be_bad(text, n, most):
    assert allowed(objective(text), n) == most


def test_a_percentile_is_given_up_when_too_many_of_all_that_can_come_are_above_it():
    """Of 100 the six slow ones decide, wherever they are; the mixture is not yet sure of it."""
    assert given_up(slow({0, 20, 40, 60, 80, 99}, 100), "p95 < 2 s", planned=100) == 100
    assert given_up(slow({0, 20, 40, 60, 80}, 100), "p95 < 2 s", planned=100) is None


def test_requests_that_fail_leave_fewer_answers_to_come():
    """96 answers may have four above the limit (rank 92 of 96): the fifth decides, though of 100 five might be."""
    rows = [row(seq, outcome="failed") if seq < 4 else row(seq, 3.0 if seq < 9 else 0.1) for seq in range(100)]
    assert given_up(rows, "p95 < 2 s", planned=100, after=9) == 9
    assert given_up(rows[4:], "p95 < 2 s", planned=None, after=90) is None


def test_success_counts_whatever_was_not_ok():
    rows = [row(seq, outcome=("failed", "throttled", "not_sent")[seq % 3]) if seq < 6 else row(seq) for seq in range(100)]
    assert given_up(rows[6:] + rows[:6], "success > 95 %", planned=100) == 99  # the fifth of them


def test_a_number_is_exceeded_in_the_instant_that_it_is():
    rows = [row(seq, outcome="queue_timeout" if seq in (40, 70) else "ok") for seq in range(100)]
    assert given_up(rows, "queue_timeouts == 0") == 41
    assert given_up(rows, "queue_timeouts < 2") == 71
    assert given_up(rows, "queue_timeouts <= 2") is None


def test_nothing_is_given_up_before_so_many_have_ended():
    rows = [row(seq, outcome="failed") for seq in range(100)]
    assert given_up(rows, "failed == 0", after=30) == 30


def test_a_try_that_another_follows_is_not_judged():
    rows = [row(0, outcome="throttled"), row(0, outcome="throttled", attempt=2), row(0, attempt=3)]
    assert given_up(rows, "throttled == 0", tries=2) is None
    assert given_up(rows, "throttled == 0", tries=1) == 2


def test_a_time_that_no_row_tells_decides_nothing():
    assert given_up([row(seq) for seq in range(100)], "queue_p95 < 1 s") is None
    assert given_up([row(seq, queue_s=2.0) for seq in range(100)], "queue_p95 < 1 s", planned=100_000) < 10


def test_what_is_hopeless_is_given_up_long_before_it_is_certain():
    """All of 10,000 are slow: 500 would have to be for certainty."""
    assert given_up(slow(range(1000)), "p95 < 2 s", planned=10_000, after=1) <= 5


@pytest.mark.nightly
def test_a_run_that_would_just_meet_it_is_hardly_ever_given_up():
    """Exactly the share allowed is slow, looked at after every row of 2,000: at most one run in 1,000 may be stopped."""
    stopped = 0
    for seed in range(1000):
        random_ = random.Random(seed)
        bad = 0
        for n in range(1, 2001):
            bad += random_.random() < 0.05
            if n >= 30 and unbelievable(bad, n, 0.05):
                stopped += 1
                break
    assert stopped <= 5  # 1 is expected at most; six or more would come in one of 1,500 such tests


def test_a_run_that_clearly_misses_it_is_given_up_soon():
    """One in ten is slow where one in twenty may be: half of the runs are stopped within 500 rows."""
    found = []
    for seed in range(100):
        random_ = random.Random(seed)
        bad = 0
        for n in count(1):
            bad += random_.random() < 0.10
            if unbelievable(bad, n, 0.05):
                break
        found.append(n)
    assert sorted(found)[50] < 500


@pytest.mark.parametrize(
    "text", ["mean < 2 s", "wer < 5 %", "cold_share < 5 %", "throughput > 2", "p95 > 2 s", "success < 50 %", "failed > 3"]
)
def test_what_only_the_end_can_tell_ends_no_run(text):
    with pytest.raises(ObjectiveError, match="can only be decided at the end: leave out abort"):
        check_abort(objective(text, abort=True))
