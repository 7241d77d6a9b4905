"""Edges of the model: results that are given up early, streams in pieces, what a release leaves, guesses that are parameters."""

import pytest

from coldburst.serverless.actions import Deliver, Forward, Stop
from coldburst.serverless.errors import JobNotFoundError, PolicyError, short_repr
from coldburst.serverless.job import split_chunk
from tests.support.virtual import AT_ONCE, BODY, endpoint, serving, state_of

LB = {"kind": "LOAD_BALANCER", "scaler": "REQUEST_COUNT"}


def ended(core, now=1.0, sync=False):
    """A job that a worker has done at ``now``."""
    job = core.submit(BODY, 0.0, sync=sync)
    (worker_id,) = serving(core, 0.0)
    core.done(worker_id, job.id, {"output": 1}, now)
    return job


# a result's life


@pytest.mark.parametrize(("life_s", "gone_s"), [(6.0, 16.0), (0.0, 10.0), (1e6, 1801.0)])
def test_a_result_is_kept_for_no_longer_than_was_asked_and_never_longer_than_without(life_s, gone_s):
    """Done at 1, asked at 10; without asking it is kept for 30 minutes."""
    core = endpoint(platform=AT_ONCE)
    job = ended(core)
    core.shorten(job.id, life_s, 10.0)
    assert gone_s <= 10.0 or core.job(job.id, gone_s - 0.001) is job
    with pytest.raises(JobNotFoundError):
        core.job(job.id, gone_s)


def test_a_longer_life_does_not_undo_a_shorter_one():
    core = endpoint(platform=AT_ONCE)
    job = ended(core)
    core.shorten(job.id, 5.0, 10.0)
    core.shorten(job.id, 100.0, 11.0)
    with pytest.raises(JobNotFoundError):
        core.job(job.id, 15.0)


def test_a_life_that_was_shortened_is_whole_again_after_a_retry():
    core = endpoint(platform=AT_ONCE)
    job = core.submit(BODY, 0.0)
    (worker_id,) = serving(core, 0.0)
    core.done(worker_id, job.id, {"error": "no"}, 1.0)
    core.shorten(job.id, 5.0, 2.0)
    core.retry(job.id, 3.0)
    assert core.job(job.id, 1000.0).state == "IN_QUEUE"


def test_a_job_that_has_not_ended_keeps_its_life():
    core = endpoint(workers_max=0)
    job = core.submit(BODY, 0.0)
    core.shorten(job.id, 0.0, 1.0)
    assert core.job(job.id, 1000.0).state == "IN_QUEUE"


# streams


def test_a_text_is_cut_between_its_characters_and_other_values_stay_whole():
    assert split_chunk("abcdefg", 3) == ["abc", "def", "g"]
    assert split_chunk("aéé", 4) == ["aé", "é"]  # 1 + 2 + 2 bytes
    assert split_chunk("€€€", 4) == ["€", "€", "€"]
    assert split_chunk("\ud800ab", 4) == ["\ud800a", "b"]
    assert split_chunk({"text": "abcdefg"}, 3) == [{"text": "abcdefg"}]
    assert split_chunk("abc", 3) == ["abc"]


def test_a_streams_chunk_above_1_mb_comes_in_several():
    core = endpoint(platform=AT_ONCE)
    job = core.submit(BODY, 0.0)
    (worker_id,) = serving(core, 0.0)
    core.stream(worker_id, job.id, "x" * 2_500_000, 1.0)
    assert [len(chunk) for chunk in core.drain_stream(job.id, 1.0)] == [1_000_000, 1_000_000, 500_000]


# a rolling release


@pytest.mark.parametrize("at_s", [20.2, 10.0])
def test_a_worker_that_is_to_be_replaced_is_not_kept_for_later(at_s):
    """Cached from 6 on, resuming from 20 to 20.5; told to stop while it resumes, or while it is cached."""
    core = endpoint(platform={**AT_ONCE, "resume_s": 0.5}, flashboot=True, idle_timeout_s=5.0, workers_max=1)
    job = ended(core)
    worker_id = job.worker_id
    core.actions(10.0)
    assert state_of(core, worker_id) == "CACHED"
    if at_s > 20:
        core.submit(BODY, 20.0)
        assert state_of(core, worker_id) == "RESUMING"
    core.done(worker_id, "", {"stopPod": True}, at_s)
    assert [action for action in core.actions(at_s) if isinstance(action, Stop)] == [Stop(worker_id)]
    assert state_of(core, worker_id) == "DRAINING"
    core.gone(worker_id, at_s + 1)
    assert state_of(core, worker_id) == "STOPPED"


# the balancer


@pytest.mark.parametrize(("choose", "shares"), [("least_in_flight", [2, 2]), ("round_robin", [2, 2])])
def test_requests_that_were_held_are_spread_as_those_that_come(choose, shares):
    """Two workers with one request each; their cap is raised while two more are held."""
    core = endpoint(platform={**AT_ONCE, "choose": choose}, **LB, scaler_value=1, workers_min=2, workers_max=2)
    core.actions(0.0)
    for worker in core.workers(0.0):
        core.ready(worker["id"], 0.0)
    for number in range(4):
        core.arrive(f"r{number}", 1.0)
    core.change(2.0, scaler_value=5)
    given = [action for action in core.actions(2.0) if isinstance(action, Forward)]
    assert [action.request_id for action in given] == ["r0", "r1", "r2", "r3"]
    workers = [action.worker_id for action in given]
    assert [workers.count(worker["id"]) for worker in core.workers(2.0)] == shares


# guesses that are parameters


def test_how_long_request_count_leaves_a_worker_idle():
    """Done at 1.0: without a rest it goes at the next check, which is at 2; with 10 s at the first check after 11."""
    for surplus_s, stopped_s in ((0.0, 2.0), (10.0, 12.0), (9.5, 11.0)):
        core = endpoint(platform={**AT_ONCE, "surplus_s": surplus_s}, scaler="REQUEST_COUNT", scaler_value=1)
        job = ended(core)
        core.actions(stopped_s - 0.001)
        assert state_of(core, job.worker_id) == "READY"
        assert core.wake_s() == stopped_s
        core.actions(stopped_s)
        assert state_of(core, job.worker_id) == "DRAINING"


@pytest.mark.parametrize(("bound", "most"), [(1, 1), (2, 2), (0, 3)])
def test_how_many_start_at_a_time_while_starts_fail(bound, most):
    """REQUEST_COUNT wants three; the first fails at 1, and its pause of 1 s is over at 2."""
    platform = {**AT_ONCE, "starting_after_failure": bound, "unhealthy_retry_s": 1.0}
    core = endpoint(platform=platform, scaler="REQUEST_COUNT", scaler_value=1, workers_max=3)
    for _ in range(3):
        core.submit(BODY, 0.5)
    (worker,) = core.workers(0.5)
    core.actions(0.5)
    core.gone(worker["id"], 0.9)
    core.actions(10.0)
    assert sum(worker["state"] == "LOADING" for worker in core.workers(10.0)) == most


@pytest.mark.parametrize(("first", "order"), [(True, [0, 1]), (False, [1, 0])])
def test_whether_a_job_that_is_dispatched_again_goes_first(first, order):
    core = endpoint(platform={**AT_ONCE, "requeue_first": first}, workers_max=1)
    jobs = [core.submit(BODY, 0.0), core.submit(BODY, 0.0)]
    (worker_id,) = serving(core, 0.0)
    assert jobs[0].state == "IN_PROGRESS"
    core.actions(40.0)
    core.poll(worker_id, 2, 41.0)
    (given,) = [action for action in core.actions(41.0) if isinstance(action, Deliver)]
    assert [jobs.index(job) for job in given.jobs] == order


@pytest.mark.parametrize("state", ["CANCELLED", "FAILED", "TIMED_OUT"])
def test_how_a_purged_job_ends(state):
    core = endpoint(platform={"purge_state": state}, workers_max=0)
    job = core.submit(BODY, 0.0)
    assert (core.purge(1.0), job.state, job.reason) == (1, state, "purged")
    with pytest.raises(PolicyError, match="purge_state 'COMPLETED'"):
        endpoint(platform={"purge_state": "COMPLETED"})


def test_what_a_sentence_shows_of_a_strangers_value_is_short():
    assert short_repr({"a": 1}) == "{'a': 1}"
    for value in ("x" * 5000, list(range(5000)), 10**400, {str(number): number for number in range(5000)}):
        assert len(short_repr(value)) < 100
