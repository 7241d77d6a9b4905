"""``hand_over_s``: jobs that come to a waiting worker are collected for a while."""

import pytest

from coldburst.serverless.actions import Deliver
from coldburst.serverless.platform_parameters import Platform
from tests.support.virtual import BODY, endpoint, serving


def delivered(core, now):
    return [action.jobs for action in core.actions(now) if isinstance(action, Deliver)]


def warm(hand_over_s, want):
    core = endpoint(platform={"start_s": 0.0, "hand_over_s": hand_over_s}, workers_min=1, workers_max=1)
    (worker_id,) = serving(core, 0.0, want)
    core.actions(0.0)
    return core, worker_id


def test_jobs_that_come_to_a_waiting_worker_are_handed_over_together():
    core, worker_id = warm(0.5, 3)
    first, second = core.submit(BODY, 1.0), core.submit(BODY, 1.25)
    assert delivered(core, 1.49) == []
    assert delivered(core, 1.5) == [(first, second)]
    # Nobody waits for these: they go to the next poll, at once.
    third, fourth = core.submit(BODY, 1.6), core.submit(BODY, 3.0)
    core.poll(worker_id, 1, 3.125)
    assert delivered(core, 3.125) == [(third,)]
    core.poll(worker_id, 2, 3.25)
    assert delivered(core, 3.25) == [(fourth,)]


def test_of_more_jobs_than_a_worker_asks_for_the_others_stay():
    core, worker_id = warm(0.5, 2)
    jobs = [core.submit(BODY, 1.0 + n / 8) for n in range(3)]
    assert delivered(core, 1.5) == [(jobs[0], jobs[1])]
    core.poll(worker_id, 2, 1.625)
    assert delivered(core, 1.625) == [(jobs[2],)]


def test_without_it_a_job_is_handed_over_at_once():
    core, _ = warm(0.0, 3)
    first = core.submit(BODY, 1.0)
    core.submit(BODY, 1.125)
    assert delivered(core, 1.125) == [(first,)]


def test_by_default_it_is_the_delay_of_runpods_warm_jobs():
    """CR recon: two jobs at a warm worker, 127 ms each. GP18: three jobs taken after 149 ms, one that came 93 ms later after 56 ms."""
    core, _ = warm(Platform().hand_over_s, 4)
    jobs = [core.submit(BODY, at_s) for at_s in (1.0, 1.0, 1.0, 1.093)]
    assert delivered(core, 1.126) == []
    assert delivered(core, 1.127) == [tuple(jobs)]
    assert [round(job.delay_s, 3) for job in jobs] == [0.127, 0.127, 0.127, 0.034]


def test_a_worker_does_not_end_while_a_job_is_collected_for_it():
    """Idle from 2.0 on, so its time-out of 5 s ends at 7.0; a job of 6.875 is handed over at 7.375. Idle again at 8.0, it ends at 13.0."""
    core = endpoint(platform={"start_s": 0.0, "hand_over_s": 0.5}, idle_timeout_s=5.0, workers_max=1)
    first = core.submit(BODY, 0.0)
    (worker_id,) = serving(core, 0.0)
    core.done(worker_id, first.id, {"output": 1}, 2.0)
    core.poll(worker_id, 1, 2.0)
    core.actions(2.0)
    second = core.submit(BODY, 6.875)
    assert delivered(core, 7.374) == []
    assert delivered(core, 7.375) == [(second,)]
    core.done(worker_id, second.id, {"output": 1}, 8.0)
    core.actions(8.0)
    core.actions(13.0)
    states = [(at_s, state) for at_s, state in core.states(worker_id) if at_s > 2.0]
    assert states == [(7.375, "RUNNING"), (8.0, "READY"), (13.0, "DRAINING")]


@pytest.mark.parametrize(("ttl_s", "taken"), [(0.25, []), (4.0, ["first"])])
def test_jobs_expire_on_time_also_while_they_are_collected_and_where_they_stay(ttl_s, taken):
    """For a worker that asks for one: of two jobs that live for 4 s, the second stays, and both are gone at 5.0."""
    core = endpoint(platform={"start_s": 0.0, "hand_over_s": 0.5, "ttl_min_s": 0.0}, workers_min=1, workers_max=1)
    serving(core, 0.0)
    body = BODY | {"policy": {"ttl": 1000 * ttl_s}}
    jobs = {core.submit(body, 1.0).id: name for name in ("first", "second")}
    while (wake_s := core.wake_s()) is not None:
        core.actions(wake_s)
    assert [jobs[entry[3]] for entry in core.log if entry[1] == "Deliver"] == taken
    assert [(entry[0], *entry[4:]) for entry in core.log if entry[1] == "Ended"] == [(1.0 + ttl_s, "TIMED_OUT", "ttl")] * 2
