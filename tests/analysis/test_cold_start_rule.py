"""The rule on cold starts, from cases worked by hand: what each worker was given, when, and what the endpoint told."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.runs.load import load
from analysis.tables import cold_starts
from analysis.tables.cold_start_rule import COLD_AFTER_S, judge_cold_starts
from analysis.tables.run_tables import Tables
from analysis.tables.worker_list import worker_list
from analysis.tables.worker_starts import worker_starts
from tests.support.listed_runs import attempts, events, polls, ready

RUNS = Path(__file__).parents[1] / "runs"


def job(worker, start_s, took_s, sent_s=0.0, **other):
    """A queue job that an endpoint worker began at ``start_s`` and worked on for ``took_s``."""
    times = {"queue_s": start_s - sent_s, "execution_s": took_s, "done_s": start_s + took_s}
    return {"worker_id": worker, "sent_s": sent_s, **times, **other}


def judged(rows, *told, endpoint=None, cold_after_s=2.0):
    starts = worker_starts(events(told) if told else None, endpoint)
    return judge_cold_starts(rows, starts, cold_after_s).attempts


def told(found):
    """By row: True, False or None, and how."""
    return [(None if cold is pd.NA else bool(cold), by) for cold, by in zip(found["cold"], found["cold_by"], strict=True)]


NO, UNKNOWN, LISTED, WAITED = (False, ""), (None, ""), (True, "worker_list"), (True, "first_on_worker")


def test_the_first_by_start_is_not_the_first_row():
    rows = attempts(job("a", 30.0, 10.0), job("a", 20.0, 10.0), job("a", 9.0, 11.0))
    assert told(judged(rows)) == [NO, NO, WAITED]
    assert told(judged(rows, ready("a", 8.9))) == [NO, NO, LISTED]


def test_rows_in_any_order_from_any_generator_give_the_same():
    run = load(RUNS / "queue")
    known = Tables(run).cold_judgement.assign(seq=run.attempts["seq"]).set_index("seq").sort_index()
    shuffled = run.attempts.sample(frac=1, random_state=5).assign(generator=lambda rows: np.where(rows["seq"] % 2, "g1", "g2"))
    found = Tables(replace(run, attempts=shuffled)).cold_judgement.assign(seq=shuffled["seq"]).set_index("seq").sort_index()
    pd.testing.assert_frame_equal(found, known)


def test_four_at_a_time_are_one_hand_over():
    rows = attempts(*(job("a", 12.0 + k / 100, 5.0) for k in range(4)), job("a", 17.2, 5.0))
    assert told(judged(rows)) == [WAITED] * 4 + [NO]
    assert told(judged(rows, ready("a", 11.9))) == [LISTED] * 4 + [NO]


def test_a_job_that_begins_after_the_first_one_ended_is_of_a_later_hand_over():
    assert told(judged(attempts(job("a", 12.0, 0.05), job("a", 12.1, 0.05)))) == [WAITED, NO]


def test_one_of_a_hand_over_that_was_sent_after_the_worker_was_ready_is_not_cold():
    rows = attempts(job("a", 12.0, 5.0), job("a", 12.2, 5.0, sent_s=12.1))
    assert told(judged(rows, ready("a", 11.9))) == [LISTED, NO]


def test_a_burst_on_warm_workers_has_no_cold_start():
    """20 at once, 5 workers of one at a time kept warm, 60 s each: batches at 0.05, 61.05, 122.05 and 183.05 s."""
    found = judged(attempts(*(job(f"w{k % 5}", 0.05 + 61.0 * (k // 5), 60.0) for k in range(20))))
    assert told(found) == [NO] * 20
    assert found["condition"].to_list() == ["warm"] * 5 + ["queued"] * 15


def test_a_worker_that_comes_back_under_its_name_is_cold_again():
    """FlashBoot: given up at 20 s or so, back at 60.4 s for a job sent at 60.0 s."""
    rows = attempts(job("a", 5.0, 10.0), job("a", 60.5, 10.0, sent_s=60.0), job("a", 71.0, 10.0, sent_s=60.0))
    assert told(judged(rows)) == [WAITED, NO, NO]
    assert told(judged(rows, ready("a", 4.9), ready("a", 60.4, 0.4))) == [LISTED, LISTED, NO]
    assert told(judged(rows, ready("a", 60.4, 0.4))) == [WAITED, LISTED, NO]  # it was there before the list was first asked


def test_a_warm_worker_that_is_busy_makes_others_queue():
    rows = attempts(job("a", 31.0, 5.0, sent_s=1.0))
    assert told(judged(rows)) == [WAITED]
    assert told(judged(rows, ready("a", 0.5))) == [NO]
    assert told(judged(rows, ready("a", -3600.0))) == [NO]
    assert judged(rows, ready("a", 0.5))["condition"].to_list() == ["queued"]


@pytest.mark.parametrize(("wait_s", "after_s", "known"), [(2.0, 2.0, WAITED), (1.99, 2.0, NO), (1.99, 1.0, WAITED)])
def test_the_wait_of_the_first_on_a_worker_decides_where_nothing_is_told(wait_s, after_s, known):
    assert told(judged(attempts(job("a", wait_s, 5.0)), cold_after_s=after_s)) == [known]


def outlier(first, others, **columns):
    """A first job, on a worker known to be warm, that takes ``first`` seconds, and others after it."""
    rows = [job("a", 0.05, first), *(job("a", 100.0 + 20.0 * k, took) for k, took in enumerate(others))]
    found = judged(attempts(*rows).assign(**columns), ready("a", -1.0))
    assert told(found)[1:] == [NO] * len(others)
    return told(found)[0]


def test_an_execution_that_is_an_outlier_is_a_cold_start_though_the_worker_was_ready():
    """Q1 = 9.2 (2nd of 8), Q3 = 9.7 (6th), so the limit is 9.7 + 3 × 0.5 = 11.2; 1.3 × the median (9.4) is 12.22."""
    warm = [9.1, 9.2, 9.3, 9.4, 9.5, 9.7, 9.8, 9.9]
    assert outlier(14.4, warm) == (True, "execution")
    assert outlier(12.23, warm) == (True, "execution")
    assert outlier(12.2, warm) == NO  # above the quartiles' limit, but not 1.3 × the median
    assert outlier(14.4, warm[:7]) == NO  # too few to tell
    assert outlier(14.4, [*warm[:7], 9.9, 20.0, 20.0, 20.0, 20.0]) == NO  # such times are usual here


def test_an_execution_time_is_held_against_its_audio():
    warm = [1.0] * 8
    assert outlier(6.0, warm, audio_s=[12.0, *([2.0] * 8)]) == NO
    assert outlier(6.0, warm, audio_s=[2.0, *([2.0] * 8)]) == (True, "execution")
    assert outlier(6.0, warm, audio_s=[2.0, *([2.0] * 7), None]) == NO  # seven with audio are too few


def test_the_endpoints_own_word_goes_first_both_ways():
    rows = attempts(job("a", 0.01, 1.0, cold=True), job("b", 50.0, 1.0, cold=False), {"done_s": 9.0, "cold": True})
    assert told(judged(rows, ready("b", 49.0))) == [(True, "said"), NO, (True, "said")]


def test_without_a_worker_or_an_answer_nobody_can_tell():
    rows = attempts(
        {"queue_s": 50.0, "done_s": 60.0},
        job("a", 9.0, 1.0, outcome="abandoned"),
        {"worker_id": "b", "outcome": "unfinished"},
        {"worker_id": "c", "outcome": "timed_out", "done_s": 330.0, "status": 524},
        {"outcome": "not_sent", "sent_s": None, "worker_id": "d"},
        answer("e", 0.5),
        answer("e", 1.0, sent_s=0.5),
    )
    found = judged(rows)
    assert told(found) == [UNKNOWN] * 5 + [NO] * 2
    assert found["condition"].to_list() == [""] * 5 + ["untold"] * 2


def test_a_job_that_was_cut_was_still_the_first_on_its_worker():
    cut = {"worker_id": "a", "queue_s": 9.0, "outcome": "unfinished"}
    assert told(judged(attempts(cut, job("a", 40.0, 5.0)))) == [UNKNOWN, NO]


def test_a_failed_job_met_a_cold_start_as_any_other():
    assert told(judged(attempts(job("a", 9.0, 1.0, outcome="failed"), job("b", 9.0, 600.0, outcome="timed_out")))) == [WAITED, WAITED]


# The list of workers is asked at 0, 2, 4, … s, so it tells of a start up to two seconds after it.


def test_a_look_at_the_list_that_came_late_makes_no_second_cold_start():
    """Ready at 8.9 s, first job at 9.0 s, the next at 10.5 s; the look at 10.0 s tells of it. Both were sent at 0."""
    rows = attempts(job("a", 9.0, 0.5), job("a", 10.5, 0.5))
    late = ready("a", 10.02, 7.52)
    assert told(judged(rows, late, endpoint=polls(0, 2, 4, 6, 8, 10, 12))) == [LISTED, NO]
    starts = judge_cold_starts(rows, worker_starts(events([late]), polls(6, 8, 10)), COLD_AFTER_S).starts
    assert starts["ready_s"].to_list() == [9.0]
    assert starts["cold_start_s"].to_list() == pytest.approx([6.5])  # started at 2.5


def test_sent_between_two_looks_the_wait_decides():
    endpoint, seen = polls(8, 10), ready("a", 10.02)
    assert told(judged(attempts(job("a", 9.7, 1.0, sent_s=9.0)), seen, endpoint=endpoint)) == [LISTED]
    assert told(judged(attempts(job("a", 9.1, 1.0, sent_s=9.0)), seen, endpoint=endpoint)) == [UNKNOWN]


def test_a_worker_does_not_become_ready_while_it_works():
    rows = attempts(job("a", 5.0, 30.0), job("a", 36.0, 1.0))
    assert told(judged(rows, ready("a", 20.0))) == [WAITED, NO]


def test_a_start_after_the_last_look_bounds_when_it_can_have_become_ready():
    """The old life's job at 10.1 s came after the look at 10.0 s; the new life began at 12.02 − 0.8 = 11.22 s."""
    rows = attempts(job("a", 3.0, 1.0), job("a", 10.1, 0.2), job("a", 11.9, 0.5, sent_s=11.0))
    found = judged(rows, ready("a", 12.02, 0.8), endpoint=polls(8, 10, 12))
    assert told(found) == [WAITED, NO, LISTED]


def test_a_list_that_tells_whole_seconds_leaves_one_open():
    """Up for 1.72 s, told as 1: the worker began between 10.02 and 11.02 s, so its job at 10.4 s is of this life."""
    rows = attempts(job("a", 10.4, 0.2), job("a", 11.6, 0.2))
    assert told(judged(rows, ready("a", 12.02, 1.0), endpoint=polls(8, 10, 12))) == [LISTED, NO]
    starts = worker_starts(events([ready("a", 12.02, 1.0), ready("b", 12.02, 1.5)]), polls(8, 10, 12))
    assert starts[["from_s", "seconds"]].to_numpy().tolist() == [pytest.approx([10.02, 1.5]), pytest.approx([10.52, 1.5])]
    assert judge_cold_starts(rows, starts, COLD_AFTER_S).starts["cold_start_s"].to_list() == [0.0, 1.5]


def test_a_look_without_an_answer_is_none():
    endpoint = polls(6, 8, 10).assign(error=["", "timed out", ""])
    assert worker_starts(events([ready("a", 10.02)]), endpoint)["from_s"].to_list() == [6.0]


def test_two_generators_that_see_one_start_tell_of_one():
    named = [ready("a", 10.0, 5.0, "g1"), ready("a", 11.5, 6.5, "g2"), ready("a", 60.0, 1.0, "g1"), ready("a", 61.0, 2.0, "g2")]
    assert worker_starts(events(named), None)["at_s"].to_list() == [10.0, 60.0]
    nameless = [ready("", 10.0, None, "g1"), ready("", 10.4, None, "g2"), ready("", 20.0, None, "g1")]
    assert worker_starts(events(nameless), None)["at_s"].to_list() == [10.0, 20.0]


def test_the_wait_of_a_cold_request_in_three_parts():
    """Sent at 1.0; the worker began at 3.0, was ready at 11.0 and took it at 11.1. Another came at 7.0 and waited for less."""
    rows = attempts(job("a", 11.1, 5.0, sent_s=1.0), job("a", 11.1, 5.0, sent_s=7.0), job("b", 30.0, 5.0, sent_s=1.0))
    found = judged(rows, ready("a", 11.0, 8.0))
    assert told(found) == [LISTED, LISTED, WAITED]
    for row, known in enumerate([(2.0, 8.0, 0.1), (0.0, 4.0, 0.1)]):
        assert tuple(found.loc[row, ["scaler_s", "cold_start_s", "hand_over_s"]]) == pytest.approx(known)
        assert sum(known) == pytest.approx(found.loc[row, "wait_s"])
    assert found.loc[2, ["scaler_s", "cold_start_s", "hand_over_s"]].isna().all()


def test_a_start_is_timed_from_the_containers_own_start():
    """Container at 4.154, first job at 8.157, seen at 10.094 with an age of 5 whole seconds: a start of 4.003 s, not of 3.563 s."""
    rows = attempts({"worker_id": "a", "queue_s": 8.157, "execution_s": 1.0, "done_s": 9.157})
    span = {"worker_id": "a", "start_s": 4.154, "seen_s": 20.0, "ready_s": 10.094}
    about = {"platform": {"settings": {"scaler": "QUEUE_DELAY"}, "workers": [span]}}
    for start_s, took_s in ((4.154, 4.003), (3.0, 3.563)):  # the second by a clock that does not agree with the age
        list_ = worker_list({"platform": about["platform"] | {"workers": [span | {"start_s": start_s}]}}, polls(8, 10.094, 12))
        found = judge_cold_starts(rows, worker_starts(events([ready("a", 10.094, 5.0)]), polls(8, 10.094, 12)), COLD_AFTER_S, list_)
        assert found.starts["cold_start_s"].to_list() == pytest.approx([took_s])


# A load balancer tells neither queue delay nor execution time: only the worker, and when the answer was there.


def answer(worker, done_s, sent_s=0.0, **other):
    return {"worker_id": worker, "sent_s": sent_s, "done_s": done_s, **other}


def test_what_a_balancer_held_during_a_cold_start():
    held = [answer("a", 20.0), answer("a", 20.1), answer("a", 20.2)]
    later = [answer("a", 31.0 + k, sent_s=30.0 + k) for k in range(5)]
    found = judged(attempts(*held, *later))
    assert told(found) == [WAITED] * 3 + [NO] * 5
    assert found["wait_s"].to_list() == pytest.approx([19.0, 19.1, 19.2, np.nan, 0.0, 0.0, 0.0, 0.0], nan_ok=True)
    assert found["condition"].to_list() == ["cold"] * 3 + ["untold"] * 5


def test_a_single_answer_of_a_balancer_is_cold_only_where_the_list_says_so():
    slow, fast = attempts(answer("a", 20.0)), attempts(answer("a", 1.0))
    assert (told(judged(slow)), told(judged(fast))) == ([UNKNOWN], [NO])
    assert told(judged(slow, ready("a", 15.0))) == [LISTED]
    assert told(judged(slow, ready("a", -1.0))) == [NO]


def test_the_table_of_the_queue_run():
    """See tests/runs/make.py: three starts of 8.2, 7.7 and 10.1 s to their first jobs."""
    found = cold_starts.cold_starts(Tables(load(RUNS / "queue")))
    assert (found.known, found.cold, found.by, found.starts) == (32, 3, {"worker_list": 3}, 3)
    assert (found.start_s.at(50).value, found.start_s.maximum, found.start_s.n) == (pytest.approx(8.2), pytest.approx(10.1), 3)
    assert {name: (t.n, t.at(50).value) for name, t in found.response.items()} == {
        "cold": (3, pytest.approx(21.6)), "queued": (23, pytest.approx(81.1)), "warm": (6, pytest.approx(12.06)),
    }  # fmt: skip
    assert [found.parts[part].maximum for part in found.parts] == pytest.approx([6.999, 10.1, 0.0])
    assert found.whole.n == 0


def test_without_a_word_of_starts_the_wait_is_told_whole():
    run = replace(load(RUNS / "queue"), events=None)
    found = cold_starts.cold_starts(Tables(run))
    assert (found.by, found.starts, found.start_s.n, found.parts) == ({"first_on_worker": 3}, None, 0, {})
    assert (found.whole.n, found.whole.at(50).value) == (3, pytest.approx(9.599))


def test_the_run_says_from_which_wait_on():
    run = load(RUNS / "queue")
    slow = Tables(replace(run, events=None, about=run.about | {"cold_after_s": 10.0}))
    assert int(slow.requests["cold"].sum()) == 1
    assert Tables(replace(run, about={})).cold_after_s == 2.0


def test_starts_before_second_0_are_not_of_the_run():
    run = load(RUNS / "queue")
    earlier = run.events.assign(at_s=run.events["at_s"] - 100.0)
    found = cold_starts.cold_starts(Tables(replace(run, events=earlier)))
    assert (found.starts, found.cold) == (0, 0)


def test_a_run_without_workers_has_no_table():
    assert cold_starts.cold_start_table(Tables(load(RUNS / "mixed"))) is None
