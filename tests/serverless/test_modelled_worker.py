"""The modelled worker against what was measured of the real SDK: its ceiling, its second of sleep, what it counts twice."""

import pytest

from coldburst.randomness import stream
from coldburst.serverless.actions import Ended
from coldburst.serverless.job import Job
from coldburst.serverless.simulation.modelled_worker import TURN_S, Crashed, Finished, ModelledWorker, Ping, Poll, Ready
from tests.support.virtual import AT_ONCE, BODY, endpoint, jump, simulation, submit


def worker(service_s=60.0, **settings):
    """A worker that is ready at 0 and has begun its first poll."""
    made = ModelledWorker("w", service=lambda job, rng: service_s, rng=stream(1, "service"), **{"load_s": 0.0, **settings})
    made.launch(0.0)
    assert made.act(0.0) == [Ready(), Poll(settings.get("concurrency", 1))]
    return made


def jobs(number, body=None):
    return [Job(f"job{n}", False, body or {"input": {"n": n}}, "IN_PROGRESS", 0.0, 0.0, 0.0) for n in range(number)]


def events_until(made, until_s):
    """(instant, event) of all that it does up to ``until_s``."""
    found = []
    while (wake_s := made.wake_s()) is not None and wake_s <= until_s:
        found += [(round(wake_s, 6), event) for event in made.act(wake_s)]
    return found


def burst(number, at_s=10.05, **settings):
    """So many jobs at once for one worker through the model."""
    core = endpoint(platform=AT_ONCE, workers_min=1, workers_max=1)
    found = []
    jump(simulation(core, **settings), [(at_s, submit(core, into=found)) for _ in range(number)])
    return found


@pytest.mark.parametrize("concurrency", [1, 2, 4, 8])
@pytest.mark.parametrize("service_s", [0.02, 0.3])
def test_a_worker_takes_its_concurrency_in_jobs_each_whole_second(concurrency, service_s):
    """Jobs of 20 and of 300 ms alike: from the second look on, c jobs are taken each second (measured: 1.06, 2.1, 3.95, 7.9)."""
    taken = [round(job.taken_s - 10.05, 6) for job in burst(20 * concurrency, service=service_s, concurrency=concurrency)]
    for second in range(1, 18):
        assert sum(second <= at_s < second + 1 for at_s in taken) == concurrency


@pytest.mark.parametrize(
    ("service_s", "at_s", "gap_s"),
    [(0.85, 10.05, 1), (0.95, 10.07, 1), (0.95, 10.02, 2), (1.05, 10.05, 2), (1.5, 10.05, 2), (2.2, 10.05, 3), (60.0, 10.05, 61)],
)
def test_jobs_begin_a_whole_number_of_seconds_apart(service_s, at_s, gap_s):
    """The first two takes: ceil(service + pick-up) s apart, the pick-up being what is left to the next 100 ms (10.05: 50 ms)."""
    first, second = burst(2, at_s, service=service_s)
    assert second.taken_s - first.taken_s == pytest.approx(gap_s, abs=1e-6)


def test_a_full_worker_looks_again_after_a_whole_second_whenever_its_job_ended():
    made = worker(0.2)
    made.deliver(jobs(1), 5.05)
    assert events_until(made, 6.049) == [(5.3, Finished("job0", {"output": {"echo": {"n": 0}, "service_s": 0.2}}))]
    assert events_until(made, 6.05) == [(6.05, Poll(1))]


def test_a_job_that_was_just_taken_counts_twice():
    """Taken off the tick, so that it waits to be picked up: of two places two are full, of four two are left."""
    two, four = worker(concurrency=2), worker(concurrency=4)
    for made in (two, four):
        made.deliver(jobs(1), 5.05)
        assert made.occupancy == 2
    assert events_until(two, 6.049) == []
    assert events_until(two, 6.05) == [(6.05, Poll(1))]
    assert events_until(four, 5.06) == [(5.05 + TURN_S, Poll(2))]


def test_jobs_are_picked_up_each_100_ms():
    """Ready at 0, so ticks at 5.0, 5.1, …: a job of 60 s taken at 5.03 ends at 65.1."""
    made = worker()
    made.deliver(jobs(1), 5.03)
    assert [at_s for at_s, event in events_until(made, 70.0) if isinstance(event, Finished)] == [65.1]


def test_a_poll_keeps_its_number_until_its_hold_ends():
    """Of four places one is given out at 5.05; the poll for two stands, though three are free from 5.1 on, until 20 s later."""
    made = worker(concurrency=4, hold_s=20.0)
    made.deliver(jobs(1), 5.05)
    polls = [(at_s, event.want) for at_s, event in events_until(made, 30.0) if isinstance(event, Poll)]
    assert polls == [(5.052, 2), (25.052, 3)]


def test_pings_come_each_10_s_and_only_with_jobs():
    made = worker(25.0)
    assert events_until(made, 12.0) == []
    made.deliver(jobs(1), 12.0)
    assert [entry for entry in events_until(made, 100.0) if isinstance(entry[1], Ping)] == [
        (20.0, Ping(("job0",))),
        (30.0, Ping(("job0",))),
    ]


def test_a_stopped_job_is_not_heard_of_again():
    made = worker(3.0)
    made.deliver(jobs(1), 5.0)
    events_until(made, 6.0)
    made.stop_job("job0", 6.5)
    assert [event for _, event in events_until(made, 30.0)] == [Poll(1)]


def test_word_to_stop_a_job_that_was_not_picked_up_yet_is_forgotten():
    """Taken at 5.03 and picked up at 5.1; the SDK knows only what runs, and cancels nothing else."""
    made = worker(3.0)
    made.deliver(jobs(1), 5.03)
    made.stop_job("job0", 5.05)
    assert [(at_s, event.id) for at_s, event in events_until(made, 30.0) if isinstance(event, Finished)] == [(8.1, "job0")]


@pytest.mark.parametrize(
    ("given", "kept"), [("x" * 1000, True), ("x" * 1001, False), ([1] * 998, True), ([1] * 1001, False), ({"x" * 1001: 1}, False)]
)
def test_an_input_is_given_back_unless_it_is_large(given, kept):
    made = worker(1.0)
    made.deliver(jobs(1, {"input": given}), 5.0)
    (output,) = [event.body["output"] for _, event in events_until(made, 30.0) if isinstance(event, Finished)]
    assert output == {"service_s": 1.0} | ({"echo": given} if kept else {"echo_left_out": "more than 1000 characters"})


def test_a_single_job_without_input_is_dropped_as_the_sdk_drops_it():
    """Of a poll for one it is an error to the SDK, which tells nobody; of a poll for more it is run."""
    for concurrency, results in ((1, 0), (2, 1)):
        made = worker(1.0, concurrency=concurrency)
        made.deliver(jobs(1, {"input": {}}), 5.0)
        assert sum(isinstance(event, Finished) for _, event in events_until(made, 30.0)) == results


def test_a_worker_that_never_acknowledges_takes_jobs_and_says_nothing_of_them():
    made = worker(1.0, never_acks=lambda: True)
    made.deliver(jobs(1), 5.0)
    assert {type(event) for _, event in events_until(made, 30.0)} == {Poll}


def test_the_job_beyond_the_cards_memory_fails_at_once():
    """2 GB shared and 3 GB a job: two need 8 GB, three 11 GB; the card has 10."""
    made = worker(5.0, concurrency=3, shared_gb=2.0, memory_gb_per_job=3.0, card_gb=10.0)
    made.deliver(jobs(3), 5.05)
    results = [(at_s, event.id, "error" in event.body) for at_s, event in events_until(made, 30.0) if isinstance(event, Finished)]
    assert results == [(5.1, "job2", True), (10.1, "job0", False), (10.1, "job1", False)]


def test_what_failed_for_want_of_memory_does_not_count_against_the_card():
    made = worker(5.0, concurrency=5, shared_gb=2.0, memory_gb_per_job=3.0, card_gb=10.0)
    made.deliver(jobs(5), 5.0)
    errors = [event.body["error"] for _, event in events_until(made, 30.0) if isinstance(event, Finished) and "error" in event.body]
    assert len(errors) == 3
    assert all("3 jobs at a time need 11 GB, the card has 10 GB" in error for error in errors)


def test_the_first_job_pays_the_warm_up():
    made = worker(1.0, first_extra_s=4.0)
    made.deliver(jobs(1), 5.05)
    assert [at_s for at_s, event in events_until(made, 12.0) if isinstance(event, Finished)] == [10.1]
    made.deliver(jobs(1), 13.05)
    assert [at_s for at_s, event in events_until(made, 20.0) if isinstance(event, Finished)] == [14.1]


def test_it_loads_crashes_or_never_gets_ready():
    for load_s, crash_s, events in ((6.0, None, [(6.0, Ready()), (6.0, Poll(1))]), (6.0, 2.0, [(2.0, Crashed())]), (None, None, [])):
        made = ModelledWorker("w", load_s=load_s, crash_after_s=crash_s, service=lambda job, rng: 1.0, rng=stream(1, "service"))
        made.launch(0.0)
        assert events_until(made, 10.0) == events


# with the model


@pytest.mark.parametrize(("concurrency", "each_s"), [(1, 1.0), (2, 1.0), (4, 0.1), (8, 0.1)])
def test_one_closed_loop_user_waits_a_second_below_concurrency_3(concurrency, each_s):
    """Measured with jobs of 20 ms: 1.0, 1.0, 0.1 and 0.1 s a job."""
    core = endpoint(platform=AT_ONCE, workers_min=1, workers_max=1)
    driven = simulation(core, 0.02, concurrency=concurrency)
    driven.pump(0.0)
    sent = [core.submit(BODY, 5.0)]
    while len(sent) < 12:
        now = driven.wake_s()
        if any(isinstance(action, Ended) for action in driven.pump(now)):
            sent.append(core.submit(BODY, now))
    assert (sent[-1].submitted_s - sent[1].submitted_s) / 10 == pytest.approx(each_s, abs=0.021)  # and the job's own 0.02 s


def test_of_four_jobs_at_once_the_fourth_begins_a_second_later():
    """Measured at concurrency 4 with jobs of 3 s: 0.01, 0.01, 0.01, 1.02 s. The first is taken alone, for a poll is answered at
    once; then two are asked for, as the one counts twice; the three count six, and the loop sleeps."""
    assert [round(job.taken_s - 5.0, 3) for job in burst(4, 5.0, service=3.0, concurrency=4)] == [0.0, 0.002, 0.002, 1.002]


def test_short_jobs_beside_a_long_one():
    """Measured at concurrency 4, three jobs sent 1.5 s into one of 4 s: 1.52, 1.52, 2.52 s."""
    core, found = endpoint(platform=AT_ONCE, workers_min=1, workers_max=1), []
    driven = simulation(core, lambda job, rng: 4.0 if job.submitted_s == 5.0 else 0.1, concurrency=4)
    jump(driven, [(at_s, submit(core, into=found)) for at_s in (5.0, 6.5, 6.505, 6.51)])
    assert [round(job.taken_s - 5.0, 1) for job in found] == [0.0, 1.5, 1.5, 2.5]
    assert found[3].finished_s < found[0].finished_s


def test_pick_ups_are_spread_evenly_over_100_ms():
    core, found = endpoint(platform=AT_ONCE, workers_min=1, workers_max=1), []
    jump(simulation(core, 1.0), [(5.0 + 7.0137 * number, submit(core, into=found)) for number in range(100)])
    late = sorted(job.finished_s - 1.0 - job.taken_s for job in found)
    assert 0.0 <= late[0] < 0.01 and 0.09 < late[-1] <= 0.1 + 1e-6
    assert 0.04 < late[50] < 0.06


def test_jobs_that_are_not_acknowledged_fail_after_two_leases():
    """An empty input at concurrency 1: live, FAILED about 80 s later, while the job behind it is done."""
    core, found = endpoint(platform=AT_ONCE, workers_min=1, workers_max=1), []
    jump(simulation(core), [(5.0, submit(core, {"input": {}}, into=found)), (5.0, submit(core, into=found))], until_s=200.0)
    assert [(job.state, job.error) for job in found] == [("FAILED", "job timed out after 1 retries"), ("COMPLETED", None)]
    assert found[0].finished_s == pytest.approx(85.0, abs=0.01)


def test_a_cancelled_job_makes_room():
    core, found = endpoint(platform=AT_ONCE, workers_min=1, workers_max=1), []
    inputs = [(5.0, submit(core, into=found)), (5.0, submit(core, into=found)), (7.5, lambda now: core.cancel(found[0].id, now))]
    jump(simulation(core, 100.0), inputs, until_s=300.0)
    assert (found[0].state, found[0].execution_s) == ("CANCELLED", 2.5)
    assert (found[1].taken_s, round(found[1].execution_s)) == (8.0, 100)


def test_long_jobs_live_by_their_workers_pings():
    (job,) = burst(1, service=500.0)
    assert (job.state, job.retries) == ("COMPLETED", 0)


def test_a_killed_workers_job_is_done_by_another():
    core, found = endpoint(platform=AT_ONCE, workers_min=2, workers_max=2), []
    driven = simulation(core, 10.0)
    jump(driven, [(5.0, submit(core, into=found)), (7.0, lambda now: driven.kill(found[0].worker_id, now))], until_s=200.0)
    assert (found[0].state, found[0].retries, found[0].taken_s) == ("COMPLETED", 1, 45.0)
    assert core.bill(200.0).execution_s == pytest.approx(2.0 + 0.1 + 10.0)


def test_jobs_for_a_worker_that_was_killed_meanwhile_are_given_back():
    core = endpoint(platform=AT_ONCE, workers_min=2, workers_max=2)
    driven = simulation(core, 1.0)
    driven.pump(0.0)
    job = core.submit(BODY, 5.0)
    driven.kill(job.worker_id, 5.0)
    jump(driven, until_s=20.0)
    assert (job.state, job.retries, job.taken_s) == ("COMPLETED", 0, 5.0)
