"""``hand_over_s``: jobs that come to a waiting worker are collected for a while."""

from coldburst.serverless.actions import Deliver
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
