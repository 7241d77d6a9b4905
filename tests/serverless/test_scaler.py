"""How many workers there are, and when: both formulas, the check, the step, and what is not counted."""

import pytest

from coldburst.serverless.errors import PolicyError
from coldburst.serverless.line import Load
from coldburst.serverless.policy import Policy
from coldburst.serverless.scaler import request_count
from tests.support.virtual import AT_ONCE, BODY, PROMPT, endpoint, jump, low, serving, simulation, state_of, submit


def wanted(core, now):
    """Workers that there are or will be at ``now``."""
    core.actions(now)
    return sum(worker["state"] not in ("DRAINING", "CACHED", "UNHEALTHY") for worker in core.workers(now))


def started(core):
    """Instants at which workers were wanted for the first time."""
    first = {}
    for at_s, kind, *what in core.log:
        if kind == "Changed":
            first.setdefault(what[0], at_s)
    return list(first.values())


def stopped(core):
    return [at_s for at_s, kind, *what in core.log if kind == "Stop"]


@pytest.mark.parametrize(
    ("waiting", "working", "value", "desired"),
    [(0, 0, 1, 0), (1, 0, 1, 1), (2, 1, 1, 3), (2, 1, 2, 2), (3, 1, 2, 2), (5, 0, 2, 3), (100, 0, 1, 10), (0, 9, 4, 3)],
)
def test_request_count_is_the_clamped_quotient_rounded_up(waiting, working, value, desired):
    load = Load(waiting, working)
    assert request_count(load, value, 0, 10) == desired
    assert request_count(load, value, 2, 10) == max(desired, 2)


def test_from_zero_the_first_request_adds_a_worker_at_once():
    for scaler in ({"scaler": "QUEUE_DELAY"}, {"scaler": "REQUEST_COUNT", "scaler_value": 1}):
        core = endpoint(**scaler)
        assert wanted(core, 0.4) == 0
        core.submit(BODY, 0.4)
        assert wanted(core, 0.4) == 1


def test_without_first_at_once_it_waits_for_the_next_check():
    core = endpoint(platform={"first_at_once": False})
    core.submit(BODY, 0.4)
    assert core.wake_s() == 1.0
    assert (wanted(core, 0.999), wanted(core, 1.0)) == (0, 1)


def test_a_start_that_ends_as_a_check_is_due_does_not_put_the_check_off():
    """Containers start within a second, which is the period of the checks: each check still adds a worker."""
    core = endpoint(platform={"start_s": 1.0, "load_s": 3.0}, kind="LOAD_BALANCER", workers_max=4, scaler="REQUEST_COUNT", scaler_value=1)
    for number in range(30):
        core.arrive(f"request-{number}", 0.4)
    jump(simulation(core), until_s=3.5)
    assert started(core) == [pytest.approx(at_s) for at_s in (0.4, 1.0, 2.0, 3.0)]


def test_request_count_adds_a_step_at_each_check():
    core = endpoint(platform={**PROMPT, "step": 2, "check_s": 3.0}, workers_max=10, scaler="REQUEST_COUNT", scaler_value=2)
    for _ in range(15):
        core.submit(BODY, 0.5)
    assert [wanted(core, now) for now in (0.5, 2.9, 3.0, 6.0, 9.0, 12.0, 15.0)] == [1, 1, 3, 5, 7, 8, 8]
    assert core.wake_s() is None or core.wake_s() > 12.0


def test_step_0_goes_to_the_desired_number_in_one_check():
    core = endpoint(platform=AT_ONCE, workers_max=10, scaler="REQUEST_COUNT", scaler_value=1)
    for _ in range(30):
        core.submit(BODY, 0.5)
    assert (wanted(core, 0.5), wanted(core, 1.0)) == (1, 10)


def test_request_count_counts_jobs_in_progress_too():
    core = endpoint(platform=AT_ONCE, workers_max=10, scaler="REQUEST_COUNT", scaler_value=2)
    for _ in range(4):
        core.submit(BODY, 0.0)
    serving(core, 0.0, want=4)
    assert core.health(0.0)["jobs"] | {"inProgress": 4, "inQueue": 0} == core.health(0.0)["jobs"]
    assert wanted(core, 1.0) == 2


def test_queue_delay_adds_one_when_a_request_has_waited_longer_than_the_value():
    core = endpoint(platform={"starting_at_once": 0}, workers_max=3, scaler_value=4.0)
    for _ in range(3):
        core.submit(BODY, 0.0)
    assert [wanted(core, now) for now in (0.0, 3.0, 4.0, 5.0, 6.0, 20.0)] == [1, 1, 1, 2, 3, 3]


def test_queue_delay_looks_only_at_checks():
    core = endpoint(platform={"starting_at_once": 0, "check_s": 2.5}, workers_max=3, scaler_value=4.0)
    for _ in range(3):
        core.submit(BODY, 0.3)
    assert core.wake_s() == 0.3 and core.actions(0.3)
    assert core.wake_s() == 2.3  # the container has started
    assert [wanted(core, now) for now in (4.9, 5.0, 7.4, 7.5)] == [1, 2, 2, 3]


def test_one_worker_initializes_at_a_time():
    core = endpoint(platform={**PROMPT, "starting_at_once": 1}, workers_max=5, scaler="REQUEST_COUNT", scaler_value=1)
    for _ in range(5):
        core.submit(BODY, 0.0)
    assert wanted(core, 30.0) == 1
    serving(core, 30.0)
    assert [wanted(core, now) for now in (30.0, 31.0, 40.0)] == [1, 2, 2]


def test_request_count_pauses_after_each_step_on_a_queue_endpoint():
    core = endpoint(platform={**AT_ONCE, "step": 1, "rise_s": 10.0}, workers_max=4, scaler="REQUEST_COUNT", scaler_value=1)
    for _ in range(5):
        core.submit(BODY, 0.5)
    # The checks after 10.5, 21 and 32 s.
    assert [wanted(core, now) for now in (0.5, 10.9, 11.0, 21.9, 22.0, 33.0, 60.0)] == [1, 1, 2, 2, 3, 4, 4]


def test_the_pause_is_shorter_where_a_cached_worker_is_resumed():
    core = endpoint(
        platform={**AT_ONCE, "step": 1, "rise_s": 100.0, "rise_cached_s": 3.0, "resume_s": 1.0},
        workers_max=2,
        flashboot=True,
        scaler="REQUEST_COUNT",
        scaler_value=1,
        workers_min=2,
    )
    serving(core, 0.0)
    core.change(1.0, workers_min=0)
    assert [worker["state"] for worker in core.workers(2.0)] == ["CACHED", "CACHED"]
    for _ in range(2):
        core.submit(BODY, 10.0)
    assert [wanted(core, now) for now in (10.0, 13.0, 14.0)] == [1, 1, 2]


def test_queue_delay_starts_no_more_workers_than_jobs_wait():
    core = endpoint(workers_max=5, scaler_value=4.0)
    core.submit(BODY, 0.0)
    assert wanted(core, 7.0) == 1
    core.submit(BODY, 7.0)
    assert wanted(core, 8.0) == 2


def test_low_priority_starts_nothing_and_is_not_counted():
    core = endpoint(platform=AT_ONCE, workers_max=5, scaler="REQUEST_COUNT", scaler_value=1)
    for _ in range(5):
        core.submit(low(), 0.0)
    assert wanted(core, 100.0) == 0 and core.wake_s() == 86400.0
    core.submit(BODY, 100.0)
    assert wanted(core, 110.0) == 1
    serving(core, 110.0, want=6)
    assert core.health(110.0)["jobs"]["inProgress"] == 6
    assert wanted(core, 120.0) == 1
    delayed = endpoint(workers_min=1, workers_max=5)
    delayed.submit(low(), 0.0)
    assert wanted(delayed, 100.0) == 1


def test_a_worker_without_work_stops_after_the_idle_timeout():
    core = endpoint(platform=AT_ONCE, idle_timeout_s=7.0)
    jump(simulation(core, 2.5), [(0.2, submit(core))], until_s=100.0)
    assert stopped(core) == [pytest.approx(0.2 + 0.1 + 2.5 + 7.0)]  # 0.1 s until the job is picked up


def test_a_job_within_the_idle_timeout_keeps_the_worker():
    core = endpoint(platform=AT_ONCE, idle_timeout_s=7.0)
    jump(simulation(core, 2.0), [(0.0, submit(core)), (8.5, submit(core))], until_s=100.0)
    assert stopped(core) == [pytest.approx(8.5 + 0.1 + 2.0 + 7.0)]
    assert len(started(core)) == 1


def test_the_minimum_is_there_from_the_start_and_stays():
    core = endpoint(platform=AT_ONCE, workers_min=2, workers_max=5, idle_timeout_s=1.0)
    driven = simulation(core, 30.0)
    jump(driven, [(10.0, submit(core)) for _ in range(5)], until_s=500.0)
    assert started(core)[:2] == [0.0, 0.0] and len(started(core)) > 2
    assert len(stopped(core)) == len(started(core)) - 2
    assert wanted(core, 500.0) == 2


def test_a_worker_of_the_minimum_that_crashes_is_replaced_at_the_next_check():
    core = endpoint(platform=AT_ONCE, workers_min=2, workers_max=2)
    first, _second = serving(core, 0.0)
    core.gone(first, 3.3)
    assert (wanted(core, 3.9), wanted(core, 4.0)) == (1, 2)


def test_request_count_on_a_queue_scales_down_to_desired_at_the_next_check_without_idle_timeout():
    core = endpoint(platform=AT_ONCE, workers_max=4, scaler="REQUEST_COUNT", scaler_value=1, idle_timeout_s=3600.0)
    jobs = []
    jump(simulation(core, 10.0, load_s=1.0), [(0.0, submit(core, into=jobs)) for _ in range(4)], until_s=100.0)
    assert max(job.finished_s for job in jobs) == pytest.approx(12.1, abs=0.1)
    assert stopped(core) == [12.0, 13.0, 13.0, 13.0]  # the first worker started a second before the others


def test_request_count_does_not_stop_a_worker_with_work():
    core = endpoint(platform=AT_ONCE, workers_min=2, workers_max=2, scaler="REQUEST_COUNT", scaler_value=4)
    serving(core, 0.0)
    for _ in range(2):
        core.submit(BODY, 0.0)
    core.change(0.5, workers_min=0)
    assert wanted(core, 30.0) == 2
    core.done(core.open_jobs()[0].worker_id, core.open_jobs()[0].id, {}, 30.5)
    assert (wanted(core, 30.9), wanted(core, 31.0)) == (2, 1)


def test_extra_workers_come_on_top_of_the_maximum():
    core = endpoint(platform={**AT_ONCE, "extra_workers": 2}, workers_max=3, scaler="REQUEST_COUNT", scaler_value=1)
    for _ in range(50):
        core.submit(BODY, 0.0)
    assert wanted(core, 10.0) == 5


def test_at_rest_nothing_is_due():
    core = endpoint(platform=AT_ONCE, workers_min=1, workers_max=3)
    serving(core, 0.0)
    core.actions(0.0)
    assert core.wake_s() is None


# changed settings


def test_a_lower_maximum_acts_at_once_on_the_idle_and_lets_the_busy_finish():
    core = endpoint(platform=AT_ONCE, workers_min=3, workers_max=3)
    ids = serving(core, 0.0)
    jobs = [core.submit(BODY, 1.0) for _ in range(2)]
    core.actions(1.0)
    core.change(2.0, workers_min=0, workers_max=0)
    core.actions(2.0)
    assert stopped(core) == [2.0]
    assert [state_of(core, worker_id) for worker_id in ids] == ["DRAINING"] * 3
    core.done(jobs[0].worker_id, jobs[0].id, {}, 5.0)
    core.actions(5.0)
    assert stopped(core) == [2.0, 5.0]
    core.poll(jobs[1].worker_id, 1, 6.0)
    core.submit(BODY, 6.0)
    core.actions(7.0)
    assert core.health(7.0)["jobs"]["inQueue"] == 1  # a draining worker is given nothing, and at most 0 may be added


def test_a_lower_maximum_ends_what_has_not_begun():
    core = endpoint(platform={"pull_s": 5.0, "starting_at_once": 0, "step": 0}, workers_min=3, workers_max=3)
    core.throttle(1, 0.0)
    core.change(1.0, workers_min=0, workers_max=1)
    core.actions(1.0)
    assert [state for worker in core.workers(1.0) for state in [worker["state"]]] == ["PULLING"]
    core.change(2.0, workers_max=0)
    core.actions(2.0)
    assert core.workers(2.0) == [] and stopped(core) == []


def test_a_higher_minimum_is_made_up_at_once_and_a_higher_maximum_lets_waiting_jobs_start():
    core = endpoint(workers_max=0)
    core.submit(BODY, 0.0)
    assert wanted(core, 500.0) == 0
    core.change(500.3, workers_max=3)
    assert wanted(core, 500.3) == 1
    core.change(501.3, workers_min=3)
    assert wanted(core, 501.3) == 3


def test_changing_the_scaler_acts_from_the_next_check_on():
    core = endpoint(platform=AT_ONCE, workers_max=5, scaler_value=1000.0)
    for _ in range(5):
        core.submit(BODY, 0.0)
    assert wanted(core, 9.5) == 1
    core.change(9.5, scaler="REQUEST_COUNT", scaler_value=1)
    assert (wanted(core, 9.9), wanted(core, 10.0)) == (1, 5)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kind": "POD"}, "kind 'POD' is unknown: use QUEUE or LOAD_BALANCER"),
        ({"kind": "LOAD_BALANCER"}, "scaler QUEUE_DELAY is not for a load balancer: use REQUEST_COUNT"),
        ({"workers_min": 4}, r"workers_max 3 is not a whole number of at least workers_min \(4\)"),
        ({"workers_min": -1}, "workers_min -1 is not"),
        ({"workers_max": 1.5}, "workers_max 1.5 is not"),
        ({"idle_timeout_s": 0.5}, "idle_timeout_s 0.5 is not between 1 and 3600 seconds"),
        ({"scaler": "NONE"}, "scaler 'NONE' is unknown"),
        ({"scaler_value": 0.4}, "scaler_value 0.4 is not a number of at least 0.5"),
        ({"scaler": "REQUEST_COUNT", "scaler_value": 1.5}, "scaler_value 1.5 is not a whole number of at least 1"),
        ({"scaler": "REQUEST_COUNT", "scaler_value": float("inf")}, "scaler_value inf is not a whole number"),
        ({"execution_timeout_s": -1}, "execution_timeout_s -1 is not"),
        ({"execution_timeout_s": float("nan")}, "execution_timeout_s nan is not"),
    ],
)
def test_wrong_settings_are_told_in_one_sentence(settings, says):
    with pytest.raises(PolicyError, match=says):
        Policy(**settings)
    if settings.get("kind") is None:
        core = endpoint()
        with pytest.raises(PolicyError, match=says):
            core.change(0.0, **settings)
        assert core.policy == Policy()


def test_neither_the_kind_nor_an_unknown_setting_can_be_changed():
    with pytest.raises(PolicyError, match="the kind cannot be changed: it is QUEUE"):
        Policy().changed(kind="LOAD_BALANCER", scaler="REQUEST_COUNT")
    with pytest.raises(PolicyError, match="unknown setting 'workersMax': use one of kind, workers_min"):
        Policy().changed(workersMax=3)
