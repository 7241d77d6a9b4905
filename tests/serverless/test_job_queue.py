"""A queue endpoint's jobs: what a client sees of them, what a worker gets, and each one's end."""

import pytest

from coldburst.serverless.actions import Deliver, Ended, StopJob
from coldburst.serverless.errors import JobNotFoundError, RequestRefusedError
from tests.support.virtual import BODY, endpoint, low, serving, state_of


def warm(want=1, platform=None, **policy):
    """An endpoint with one worker that polls, at second 0."""
    core = endpoint(platform={"start_s": 0.0, "hand_over_s": 0.0, **(platform or {})}, **{"workers_min": 1, "workers_max": 1, **policy})
    (worker_id,) = serving(core, 0.0, want)
    core.actions(0.0)
    return core, worker_id


def found(core, now, kind):
    return [action for action in core.actions(now) if isinstance(action, kind)]


def test_a_job_goes_through_its_states_and_its_times_are_milliseconds():
    core, worker_id = warm()
    core.unpoll(worker_id)
    job = core.submit(BODY, 1.0)
    assert job.view() == {"id": job.id, "status": "IN_QUEUE"}
    core.poll(worker_id, 1, 3.5)
    assert found(core, 3.5, Deliver) == [Deliver(worker_id, (job,))]
    assert job.view() == {"id": job.id, "status": "IN_PROGRESS", "delayTime": 2500, "workerId": worker_id}
    assert core.done(worker_id, job.id, {"output": {"text": "hello"}}, 4.125) is True
    assert found(core, 4.125, Ended) == [Ended(job)]
    assert job.view() == {
        "id": job.id,
        "status": "COMPLETED",
        "delayTime": 2500,
        "executionTime": 625,
        "workerId": worker_id,
        "output": {"text": "hello"},
    }
    assert (job.delay_s, job.execution_s, job.reason) == (2.5, 0.625, "done")
    assert core.done(worker_id, job.id, {"output": "again"}, 5.0) is False
    assert job.output == {"text": "hello"}


def test_ids_have_runpods_form_and_come_from_the_seed():
    first, second, other = (endpoint(seed=seed) for seed in (1, 1, 2))
    job = first.submit(BODY, 0.0)
    assert job.id == second.submit(BODY, 0.0).id != other.submit(BODY, 0.0).id
    assert len(job.id) == 39 and job.id.endswith("-u1")
    assert first.submit(BODY, 0.0, sync=True).id.startswith("sync-")
    (worker,) = first.workers(0.0)
    assert len(worker["id"]) == 14 and worker["id"].isalnum() and worker["id"].islower()


@pytest.mark.parametrize(
    ("sent", "state", "output", "error"),
    [
        ({"output": False}, "COMPLETED", False, None),
        ({"output": [1]}, "COMPLETED", [1], None),
        ({}, "COMPLETED", ..., None),
        ({"output": {"rest": 1}, "error": "broken"}, "FAILED", {"rest": 1}, "broken"),
        ({"error": "broken"}, "FAILED", ..., "broken"),
        ({"error": {"code": 3}, "output": 1}, "COMPLETED", ..., None),
        ({"output": None}, "COMPLETED", None, None),
    ],
)
def test_results_have_the_shapes_of_the_sdk(sent, state, output, error):
    core, worker_id = warm()
    job = core.submit(BODY, 0.0)
    assert core.done(worker_id, job.id, sent, 1.0)
    shown = job.view()
    assert (shown["status"], shown.get("output", ...), shown.get("error")) == (state, output, error)


def test_progress_is_shown_until_the_end_and_ignored_after_it():
    core, worker_id = warm()
    job = core.submit(BODY, 0.0)
    assert core.done(worker_id, job.id, {"status": "IN_PROGRESS", "output": "half"}, 1.0)
    assert (job.view()["status"], job.view()["output"]) == ("IN_PROGRESS", "half")
    core.done(worker_id, job.id, {}, 2.0)
    core.progress(worker_id, job.id, "late", 3.0)
    assert "output" not in job.view()


def test_a_stream_is_drained():
    core, worker_id = warm()
    job = core.submit(BODY, 0.0)
    core.stream(worker_id, job.id, "a", 1.0)
    core.stream(worker_id, job.id, "b", 1.1)
    core.stream("somebody else", job.id, "x", 1.2)
    assert core.drain_stream(job.id, 1.3) == ["a", "b"]
    assert core.drain_stream(job.id, 1.4) == []
    core.stream(worker_id, job.id, "c", 1.5)
    core.done(worker_id, job.id, {"output": []}, 1.6)
    assert core.drain_stream(job.id, 1.7) == ["c"]


def test_a_worker_is_not_given_an_empty_input_nor_unknown_keys():
    core = endpoint()
    siblings = {"webhook": "http://x", "policy": {"ttl": 20_000}, "s3Config": {"bucketName": "b"}}
    job = core.submit({"input": {}, "other": 1, **siblings}, 0.0)
    assert job.payload() == {"id": job.id, **siblings}
    job = core.submit({"input": {"a": 1}}, 0.0)
    assert job.payload() == {"id": job.id, "input": {"a": 1}}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "no .input."),
        ({"input": None}, "no .input."),
        ({"input": {}, "policy": 3}, "policy. is 3"),
        ({"input": {}, "policy": {"ttl": 9_999}}, "policy.ttl. is 9999: give milliseconds from 10000 to 604800000"),
        ({"input": {}, "policy": {"executionTimeout": 4_999}}, "give milliseconds from 5000 to"),
        ({"input": {}, "policy": {"executionTimeout": True}}, "is True"),
        ({"input": {}, "policy": {"ttl": float("nan")}}, "is nan"),
    ],
)
def test_a_wrong_body_is_refused_in_one_sentence(body, says):
    core = endpoint()
    with pytest.raises(RequestRefusedError, match=says) as refused:
        core.submit(body, 0.0)
    assert refused.value.status == 400
    assert core.health(0.0)["jobs"]["inQueue"] == 0


def test_a_full_queue_refuses_with_429():
    core = endpoint(workers_max=0, platform={"queue_limit": 2})
    core.submit(BODY, 0.0)
    core.submit(low(), 0.0)
    with pytest.raises(RequestRefusedError, match="2 jobs are waiting, the limit is 2") as refused:
        core.submit(BODY, 0.0)
    assert refused.value.status == 429


def test_first_in_first_out_and_low_priority_last():
    core, worker_id = warm(want=1)
    core.unpoll(worker_id)
    jobs = [core.submit(low() if number % 2 else BODY, 0.1 * number) for number in range(6)]
    core.poll(worker_id, 4, 1.0)
    core.poll(worker_id, 4, 1.0)
    delivered = [action.jobs for action in found(core, 1.0, Deliver)]
    assert delivered == [(jobs[0], jobs[2], jobs[4], jobs[1]), (jobs[3], jobs[5])]


def test_a_poll_is_answered_at_once_with_what_there_is():
    core, worker_id = warm(want=3)
    job = core.submit(BODY, 1.0)
    assert found(core, 1.0, Deliver) == [Deliver(worker_id, (job,))]
    core.submit(BODY, 1.1)
    assert found(core, 1.1, Deliver) == []  # the poll was answered


def test_the_poll_that_stands_longest_is_answered_first():
    core = endpoint(platform={"start_s": 0.0, "hand_over_s": 0.0}, workers_min=3, workers_max=3)
    first, second, third = serving(core, 0.0)
    core.poll(first, 1, 1.0)  # a new poll of a worker replaces its old one
    core.unpoll(second)
    for _ in range(2):
        core.submit(BODY, 2.0)
    assert [action.worker_id for action in found(core, 2.0, Deliver)] == [third, first]


def test_jobs_that_could_not_be_delivered_return_to_the_head_in_their_order():
    core, worker_id = warm(want=2)
    core.unpoll(worker_id)
    jobs = [core.submit(BODY, 0.0) for _ in range(3)]
    core.poll(worker_id, 2, 1.0)
    core.give_back(worker_id, [job.id for job in jobs[:2]], 1.5)
    assert [job.state for job in jobs] == ["IN_QUEUE"] * 3
    core.poll(worker_id, 3, 2.0)
    assert found(core, 2.0, Deliver)[-1].jobs == tuple(jobs)
    assert [(job.retries, job.delay_s) for job in jobs] == [(0, 2.0)] * 3
    core.give_back("nobody", [jobs[0].id], 3.0)
    assert jobs[0].state == "IN_PROGRESS"


# leases


def test_silence_for_40_s_dispatches_a_job_again_and_then_fails_it():
    core, worker_id = warm()
    job = core.submit(BODY, 1.0)
    assert core.wake_s() == 1.0 and core.actions(1.0)
    assert core.wake_s() == 41.0
    core.actions(40.999)
    assert job.state == "IN_PROGRESS"
    core.actions(41.0)
    assert (job.view(), core.health(41.0)["jobs"]["retried"]) == ({"id": job.id, "status": "IN_QUEUE", "retries": 1}, 1)
    core.poll(worker_id, 1, 62.372)
    assert job.view()["delayTime"] == 61372
    core.actions(102.372)
    assert job.view() == {
        "id": job.id,
        "status": "FAILED",
        "delayTime": 61372,
        "executionTime": 40000,
        "workerId": worker_id,
        "error": "job timed out after 1 retries",
        "retries": 1,
    }
    assert job.reason == "lease expired"
    assert [entry[3:] for entry in core.log if entry[1] == "Ended"] == [(job.id, "FAILED", "lease expired")]


def test_pings_keep_the_jobs_that_they_name():
    core, worker_id = warm(want=2)
    core.unpoll(worker_id)
    kept, lost = (core.submit(BODY, 0.0) for _ in range(2))
    core.poll(worker_id, 2, 0.0)
    for now in range(10, 100, 10):
        core.ping(worker_id, [kept.id], float(now))
    assert (kept.state, kept.retries, lost.state, lost.retries) == ("IN_PROGRESS", 0, "IN_QUEUE", 1)
    core.ping("somebody else", [kept.id], 100.0)
    core.actions(130.0)
    assert kept.retries == 1


def test_a_crashed_workers_job_waits_for_its_lease_and_goes_to_the_head():
    core, worker_id = warm()
    job = core.submit(BODY, 0.0)
    core.gone(worker_id, 5.0)
    behind = core.submit(BODY, 6.0)
    assert (job.state, core.health(6.0)["jobs"]["inProgress"]) == ("IN_PROGRESS", 1)
    (other,) = serving(core, 50.0)
    assert core.states(worker_id)[-1][1] == "STOPPED" != other
    assert job.worker_id == other and job.retries == 1 and behind.state == "IN_QUEUE"
    core.gone(other, 51.0)
    core.actions(90.0)
    assert (job.state, job.error) == ("FAILED", "job timed out after 1 retries")


def test_a_late_result_of_the_worker_that_lost_the_job_is_ignored():
    core = endpoint(platform={"start_s": 0.0}, workers_min=2, workers_max=2)
    first, second = serving(core, 0.0)
    job = core.submit(BODY, 0.0)
    core.actions(41.0)
    assert job.worker_id == second
    assert core.done(first, job.id, {"output": "late"}, 42.0) is False
    assert core.done(second, job.id, {"output": "right"}, 43.0) is True
    assert job.output == "right"


# ends that the platform decides


def test_the_execution_timeout_stops_the_job_alone():
    core, worker_id = warm(execution_timeout_s=30.0, want=2)
    core.unpoll(worker_id)
    long, own = core.submit(BODY, 0.0), core.submit({"input": {"a": 1}, "policy": {"executionTimeout": 5000}}, 0.0)
    core.poll(worker_id, 2, 10.0)
    core.actions(10.0)
    core.ping(worker_id, [long.id, own.id], 14.9)
    assert found(core, 15.0, StopJob) == [StopJob(worker_id, own.id)]
    assert (own.state, own.reason, own.execution_s) == ("TIMED_OUT", "execution time-out", 5.0)
    assert long.state == "IN_PROGRESS"
    core.ping(worker_id, [long.id], 35.0)
    core.actions(40.0)
    assert (long.state, core.health(40.0)["jobs"]["failed"], state_of(core, worker_id)) == ("TIMED_OUT", 2, "READY")


def test_the_state_after_the_execution_timeout_is_a_parameter_and_0_is_none():
    core, worker_id = warm(execution_timeout_s=10.0, platform={"execution_timeout_state": "FAILED"})
    job = core.submit(BODY, 0.0)
    core.actions(10.0)
    assert job.state == "FAILED"
    core, worker_id = warm(execution_timeout_s=0.0)
    job = core.submit(BODY, 0.0)
    for now in range(0, 10_000, 30):
        core.ping(worker_id, [job.id], float(now))
    assert job.state == "IN_PROGRESS"


@pytest.mark.parametrize("taken", [False, True])
def test_ttl_deletes_a_job_in_any_state(taken):
    core, worker_id = warm()
    if not taken:
        core.unpoll(worker_id)
    job = core.submit({"input": {"a": 1}, "policy": {"ttl": 10_000}}, 1.0)
    assert core.job(job.id, 10.999) is job
    with pytest.raises(JobNotFoundError):
        core.job(job.id, 11.0)
    out = core.actions(11.0)
    assert [action for action in out if isinstance(action, Ended)] == [Ended(job)]
    assert (job.state, job.reason) == ("TIMED_OUT", "ttl")
    assert [action.job_id for action in out if isinstance(action, StopJob)] == ([job.id] if taken else [])
    assert core.health(11.0)["jobs"] == {"completed": 0, "failed": 0, "inProgress": 0, "inQueue": 0, "retried": 0}


def test_ttl_ends_a_result_that_would_have_been_kept():
    core, worker_id = warm()
    job = core.submit({"input": {"a": 1}, "policy": {"ttl": 20_000}}, 0.0)
    core.done(worker_id, job.id, {}, 5.0)
    assert core.job(job.id, 19.9) is job
    with pytest.raises(JobNotFoundError):
        core.job(job.id, 20.0)
    assert [entry[1] for entry in core.log].count("Ended") + len(found(core, 20.0, Ended)) == 1


@pytest.mark.parametrize(("sync", "kept_s"), [(True, 60.0), (False, 1800.0)])
def test_results_are_kept_for_a_while(sync, kept_s):
    core, worker_id = warm()
    job = core.submit(BODY, 0.0, sync=sync)
    core.done(worker_id, job.id, {}, 5.0)
    core.actions(5.0)
    assert core.job(job.id, 5.0 + kept_s - 0.001) is job
    with pytest.raises(JobNotFoundError, match=f"job '{job.id}' does not exist"):
        core.job(job.id, 5.0 + kept_s)


# what clients do


def test_cancel_in_each_state():
    core, worker_id = warm()
    running, queued = core.submit(BODY, 0.0), core.submit(BODY, 0.0)
    core.actions(0.0)
    assert core.cancel(queued.id, 1.0) is queued
    assert queued.view() == {"id": queued.id, "status": "CANCELLED"}
    assert core.cancel(running.id, 2.0).state == "CANCELLED"
    assert [action for action in core.actions(2.0) if isinstance(action, StopJob | Ended)] == [
        Ended(queued),
        StopJob(worker_id, running.id),
        Ended(running),
    ]
    assert core.cancel(running.id, 3.0).finished_s == 2.0 and core.actions(3.0) == []
    assert core.done(worker_id, running.id, {}, 3.0) is False
    with pytest.raises(JobNotFoundError):
        core.cancel("unknown", 3.0)


def test_retry_opens_a_failed_job_again_visibly():
    core, worker_id = warm()
    job = core.submit(BODY, 0.0)
    with pytest.raises(RequestRefusedError, match="is IN_PROGRESS: only FAILED and TIMED_OUT"):
        core.retry(job.id, 0.5)
    core.done(worker_id, job.id, {"error": "broken", "output": 1}, 1.0)
    behind = core.submit(BODY, 1.0)
    core.actions(1.0)
    core.retry(job.id, 2.0)
    assert (job.view(), job.opened) == ({"id": job.id, "status": "IN_QUEUE"}, 2)
    core.poll(worker_id, 2, 3.0)
    assert found(core, 3.0, Deliver)[-1].jobs == (behind, job)
    core.done(worker_id, job.id, {"output": 2}, 4.0)
    assert (job.view()["delayTime"], job.output) == (3000, 2)
    core.actions(4.0)
    assert [entry[3:5] for entry in core.log if entry[1] == "Ended"] == [(job.id, "FAILED"), (job.id, "COMPLETED")]


def test_a_retried_job_outlives_the_retention_of_its_first_result():
    core, worker_id = warm()
    core.unpoll(worker_id)
    job = core.submit(BODY, 0.0, sync=True)
    core.poll(worker_id, 1, 0.0)
    core.done(worker_id, job.id, {"error": "broken"}, 1.0)
    core.retry(job.id, 2.0)
    assert core.job(job.id, 100.0).state == "IN_QUEUE"


def test_purge_takes_the_queue_only():
    core, _worker_id = warm()
    running, *queued = [core.submit(BODY, 0.0) for _ in range(3)] + [core.submit(low(), 0.0)]
    assert core.purge(1.0) == 3
    assert (running.state, [job.state for job in queued]) == ("IN_PROGRESS", ["CANCELLED"] * 3)
    assert core.purge(1.0) == 0


# what happened in truth


def test_cold_is_who_waited_for_the_worker_to_become_ready_and_came_with_its_first_hand_over():
    core = endpoint(workers_max=1, platform={"start_s": 2.0})
    early = [core.submit(BODY, 0.5) for _ in range(3)]
    core.actions(3.0)
    (worker,) = core.workers(3.0)
    core.ready(worker["id"], 10.0)
    late = core.submit(BODY, 10.5)
    core.poll(worker["id"], 2, 11.0)
    core.poll(worker["id"], 2, 12.0)
    assert [(job.cold, job.worker_ready_s) for job in (*early, late)] == [(True, 10.0), (True, 10.0), (False, 10.0), (False, 10.0)]


def test_a_hand_over_that_failed_was_not_the_first():
    core = endpoint(workers_max=1, platform={"start_s": 0.0})
    job = core.submit(BODY, 0.0)
    (worker,) = core.workers(0.0)
    core.ready(worker["id"], 5.0)
    core.poll(worker["id"], 1, 5.0)
    core.give_back(worker["id"], [job.id], 5.1)
    assert (job.cold, job.worker_ready_s) == (False, None)
    core.poll(worker["id"], 1, 5.2)
    assert job.cold


def test_open_jobs_are_those_that_have_not_ended():
    core, worker_id = warm()
    jobs = [core.submit(BODY, 0.0), core.submit(low(), 0.0), core.submit(BODY, 0.0)]
    assert core.open_jobs() == [jobs[0], jobs[2], jobs[1]]
    core.done(worker_id, jobs[0].id, {}, 1.0)
    assert core.open_jobs() == [jobs[2], jobs[1]]
