"""The life of workers: hosts, starts that fail, FlashBoot, what is billed, and what the endpoint says of them."""

import pytest

from coldburst.serverless.actions import Kill, Launch, Resume, Stop
from coldburst.serverless.billing import BillingMeter, Span, ceil_s
from tests.support.virtual import AT_ONCE, BODY, endpoint, jump, serving, simulation, state_of, submit


def kinds(core, now, *wanted):
    return [action for action in core.actions(now) if isinstance(action, wanted)]


def states(core, now):
    return sorted(worker["state"] for worker in core.workers(now))


def idle_sum(core, now):
    workers = core.health(now)["workers"]
    return {name: number for name, number in workers.items() if number}


def test_a_cold_worker_goes_through_pull_start_and_load():
    core = endpoint(platform={"pull_s": 10.0, "start_s": 2.0}, idle_timeout_s=5.0)
    jump(simulation(core, 3.0, load_s=6.0), [(1.0, submit(core))], until_s=100.0)
    (worker_id,) = {entry[2] for entry in core.log if entry[1] == "Launch"}
    assert core.states(worker_id) == [
        (1.0, "PULLING"),
        (11.0, "STARTING"),
        (13.0, "LOADING"),
        (19.0, "READY"),
        (19.0, "RUNNING"),
        (22.1, "READY"),
        (27.1, "DRAINING"),
        (27.1, "STOPPED"),
    ]  # 0.1 s until the job is picked up


def test_jitter_varies_the_waits_by_its_share_and_by_the_seed():
    def launched(seed, jitter):
        core = endpoint(seed=seed, platform={"pull_s": 10.0, "start_s": 10.0, "jitter": jitter}, workers_min=20, workers_max=20)
        jump(simulation(core), until_s=100.0)
        return [entry[0] for entry in core.log if entry[1] == "Launch"]

    assert launched(1, 0.0) == [20.0] * 20
    varied = launched(1, 0.2)
    assert varied == launched(1, 0.2) != launched(2, 0.2)
    assert all(16.0 <= at_s <= 24.0 for at_s in varied) and len(set(varied)) == 20
    assert 18.0 < sum(varied) / 20 < 22.0


# hosts


def test_without_room_on_the_hosts_workers_are_throttled():
    core = endpoint(platform={**AT_ONCE, "hosts": 2}, workers_max=5, scaler="REQUEST_COUNT", scaler_value=1)
    for _ in range(5):
        core.submit(BODY, 0.0)
    core.actions(1.0)
    assert states(core, 1.0) == ["LOADING", "LOADING", "THROTTLED", "THROTTLED", "THROTTLED"]
    assert core.health(1.0)["workers"]["throttled"] == 3
    core.throttle(3, 2.0)
    assert states(core, 2.0).count("THROTTLED") == 2
    core.throttle(1, 3.0)
    assert states(core, 3.0).count("THROTTLED") == 2  # those that run stay
    core.throttle(None, 4.0)
    assert states(core, 4.0).count("THROTTLED") == 0


def test_a_throttled_worker_takes_the_place_of_one_that_ended():
    core = endpoint(platform={**AT_ONCE, "hosts": 1}, workers_min=2, workers_max=2)
    core.actions(0.0)
    first, second = (worker["id"] for worker in core.workers(0.0))
    core.ready(first, 1.0)
    core.gone(first, 2.0)
    assert state_of(core, second) == "LOADING"


def test_throttled_workers_that_nothing_waits_for_are_given_up():
    core = endpoint(platform={**AT_ONCE, "hosts": 0}, workers_max=2)
    job = core.submit(BODY, 0.0)
    core.actions(3.0)
    assert states(core, 3.0) == ["THROTTLED"]
    core.cancel(job.id, 3.5)
    core.actions(4.0)
    assert states(core, 4.0) == []
    assert core.bill(10.0).billed_s == 0


# starts that fail


def test_a_start_beyond_the_init_limit_is_unhealthy_and_killed():
    core = endpoint(platform={"start_s": 2.0})
    core.submit(BODY, 0.0)
    assert kinds(core, 2.0, Launch)
    (worker_id,) = (worker["id"] for worker in core.workers(2.0))
    assert kinds(core, 419.9, Kill) == []
    assert kinds(core, 420.0, Kill) == [Kill(worker_id)]
    assert state_of(core, worker_id) == "UNHEALTHY"
    core.ready(worker_id, 421.0)
    assert state_of(core, worker_id) == "UNHEALTHY"
    core.gone(worker_id, 422.0)
    assert state_of(core, worker_id) == "UNHEALTHY"
    assert core.bill(500.0).start_s == 422.0 + 69.0  # and the next one, from the check after a pause of 10 s on


def test_a_crash_loop_grows_the_unhealthy_and_backs_off():
    core = endpoint(platform={**AT_ONCE, "unhealthy_retry_s": 10.0, "unhealthy_retry_max_s": 60.0}, workers_max=4)
    core.submit(BODY, 0.0)
    driven = simulation(core, load_s=None, crash_after_s=1.0)
    jump(driven, until_s=300.0)
    launches = [entry[0] for entry in core.log if entry[1] == "Launch"]
    # each start ends after 1 s; then a pause of 10, 20, 40, 60, 60 ... s, and the check after it
    assert launches == [0.0, 12.0, 34.0, 76.0, 138.0, 200.0, 262.0]
    assert idle_sum(core, 11.5) == {"unhealthy": 4}  # time does not go back: as it was at 300 s, no more than may be at all
    assert core.health(300.0)["jobs"]["inQueue"] == 1


def test_the_unhealthy_count_grows_while_nothing_becomes_ready():
    core = endpoint(platform={**AT_ONCE, "unhealthy_retry_s": 1.0, "unhealthy_retry_max_s": 1.0}, workers_max=3)
    core.submit(BODY, 0.0)
    driven, seen = simulation(core, load_s=None, crash_after_s=0.5), []
    for now in range(1, 12):
        jump(driven, until_s=float(now))
        seen.append(core.health(float(now))["workers"])
    unhealthy = [workers["unhealthy"] for workers in seen]
    assert unhealthy == sorted(unhealthy) and unhealthy[0] == 1 and unhealthy[-1] == 3
    assert {workers["ready"] for workers in seen} == {0}
    assert any(workers["running"] for workers in seen)  # wanted, and nothing there


def test_starts_that_fail_together_make_one_pause():
    core = endpoint(platform={**AT_ONCE, "unhealthy_retry_s": 10.0}, workers_min=3, workers_max=3)
    jump(simulation(core, load_s=None, crash_after_s=1.0), until_s=50.0)
    launches = [entry[0] for entry in core.log if entry[1] == "Launch"]
    assert launches == [0.0] * 3 + [12.0] * 3 + [34.0] * 3


def test_a_worker_that_becomes_ready_ends_the_pause_and_the_record():
    core = endpoint(platform={**AT_ONCE, "unhealthy_retry_s": 10.0}, workers_min=1, workers_max=2)
    core.actions(0.0)
    core.gone(core.workers(0.0)[0]["id"], 0.5)
    core.actions(11.0)
    healthy = next(worker["id"] for worker in core.workers(11.0) if worker["state"] == "LOADING")
    assert (core.workers(11.0)[0]["reason"], core.health(11.0)["workers"]["unhealthy"]) == ("ended before it was ready", 1)
    core.ready(healthy, 12.0)
    assert states(core, 12.0) == ["READY"]
    core.gone(healthy, 20.5)
    core.actions(21.0)
    assert states(core, 21.0) == ["LOADING"]  # a crash after it was ready is no failed start


def test_a_queue_worker_reported_unhealthy_is_killed_and_replaced():
    core = endpoint(platform=AT_ONCE, workers_min=1, workers_max=1)
    (worker_id,) = serving(core, 0.0)
    core.submit(BODY, 1.0)
    core.unhealthy(worker_id, 2.0, "its checks fail")
    assert kinds(core, 2.0, Kill) == [Kill(worker_id)]
    core.gone(worker_id, 2.5)
    core.actions(3.0)
    assert [(worker["state"], worker["load"]) for worker in core.workers(3.0)] == [("UNHEALTHY", 0), ("LOADING", 0)]


def test_an_end_that_is_told_twice_frees_its_host_once():
    core = endpoint(platform={**AT_ONCE, "hosts": 1}, workers_min=2, workers_max=2)
    first, second = serving(core, 0.0)
    core.unhealthy(first, 2.0, "its checks fail")
    assert state_of(core, second) == "THROTTLED"  # until it has ended, it takes up the host
    core.gone(first, 2.5)
    core.gone(first, 2.6)
    core.actions(3.0)
    assert [worker["state"] for worker in core.workers(3.0)] == ["UNHEALTHY", "LOADING", "THROTTLED"]


def test_what_is_told_of_unknown_workers_is_ignored():
    core = endpoint()
    core.ready("nobody", 0.0)
    core.gone("nobody", 0.0)
    core.poll("nobody", 1, 0.0)
    core.unpoll("nobody")
    core.ping("nobody", ["nothing"], 0.0)
    core.unhealthy("nobody", 0.0, "")
    assert core.done("nobody", "nothing", {"stopPod": True}, 0.0) is False
    assert core.actions(0.0) == [] and state_of(core, "nobody") == "STOPPED"


# scaled down and back


def test_with_flashboot_a_worker_is_kept_and_comes_back_with_its_id():
    core = endpoint(platform={**AT_ONCE, "resume_s": 0.5}, flashboot=True, idle_timeout_s=5.0, workers_max=1)
    jobs = []
    driven = simulation(core, 1.0, load_s=9.0)
    jump(driven, [(0.0, submit(core, into=jobs)), (100.0, submit(core, into=jobs)), (100.0, submit(core, into=jobs))], until_s=300.0)
    (worker_id,) = {job.worker_id for job in jobs}
    assert core.states(worker_id) == [
        (0.0, "LOADING"),
        (9.0, "READY"),
        (9.0, "RUNNING"),
        (10.1, "READY"),
        (15.1, "CACHED"),
        (100.0, "RESUMING"),
        (100.5, "READY"),
        (100.5, "RUNNING"),
        (pytest.approx(101.6), "READY"),
        (pytest.approx(102.5), "RUNNING"),
        (pytest.approx(103.6), "READY"),
        (pytest.approx(108.6), "CACHED"),
    ]
    assert [job.cold for job in jobs] == [True, True, False]  # the third waited too, but came with the second hand-over
    assert [entry[0] for entry in core.log if entry[1] == "Resume"] == [100.5]
    assert [job.worker_ready_s for job in jobs] == [9.0, 100.5, 100.5]


def test_a_kept_state_is_lost_in_the_end():
    core = endpoint(platform={**AT_ONCE, "keep_s": 50.0}, flashboot=True, idle_timeout_s=5.0)
    jump(simulation(core, 1.0), [(0.0, submit(core))], until_s=300.0)
    assert [entry[0] for entry in core.log if entry[1] == "Stop"] == [56.1]
    assert core.workers(300.0) == []


def test_ending_a_kept_state_costs_nothing_and_leaves_nothing_due():
    core = endpoint(platform={**AT_ONCE, "keep_s": 50.0}, flashboot=True, idle_timeout_s=5.0)
    job = core.submit(BODY, 0.0)
    (worker_id,) = serving(core, 0.0)
    core.done(worker_id, job.id, {}, 1.0)
    assert kinds(core, 56.0, Stop) == [Stop(worker_id)]
    core.gone(worker_id, 59.0)
    core.actions(59.0)
    assert (core.bill(59.0).billed_s, core.workers(59.0), core.wake_s()) == (6, [], None)


def test_a_start_that_is_called_off_leaves_nothing_due():
    core = endpoint(platform=AT_ONCE, workers_min=1, workers_max=1)
    core.actions(0.0)
    (worker,) = core.workers(0.0)
    core.change(1.0, workers_min=0, workers_max=0)
    assert kinds(core, 1.0, Stop) == [Stop(worker["id"])]
    assert core.wake_s() is None  # also not the end of the init limit


def test_a_cached_worker_without_a_host_waits_throttled_and_is_resumed_first():
    core = endpoint(platform={**AT_ONCE, "resume_s": 1.0}, flashboot=True, idle_timeout_s=1.0)
    first = core.submit(BODY, 0.0)
    (worker_id,) = serving(core, 0.0)
    core.done(worker_id, first.id, {}, 1.0)
    core.throttle(0, 1.5)
    core.poll(worker_id, 1, 1.6)  # its poll stands while it is kept
    core.actions(3.0)
    assert state_of(core, worker_id) == "CACHED"
    job = core.submit(BODY, 4.0)
    assert state_of(core, worker_id) == "THROTTLED"
    core.throttle(1, 5.0)
    assert kinds(core, 6.0, Resume) == [Resume(worker_id)]
    assert (job.worker_id, job.taken_s, job.cold) == (worker_id, 6.0, True)


def test_a_worker_whose_state_is_kept_leaves_its_host_to_a_throttled_one():
    core = endpoint(platform={**AT_ONCE, "hosts": 1}, workers_max=2, flashboot=True, idle_timeout_s=5.0)
    first, _waiting = core.submit(BODY, 0.0), core.submit(BODY, 0.0)
    (worker_id,) = serving(core, 0.0)
    core.actions(5.0)
    core.done(worker_id, first.id, {}, 6.0)  # and it asks for no more
    assert states(core, 10.9) == ["READY", "THROTTLED"]
    assert states(core, 11.0) == ["CACHED", "LOADING"]


def test_a_worker_may_ask_to_be_ended():
    core = endpoint(platform=AT_ONCE, workers_min=1, workers_max=1, flashboot=True)
    (worker_id,) = serving(core, 0.0, want=2)
    core.unpoll(worker_id)
    jobs = [core.submit(BODY, 0.0) for _ in range(2)]
    core.poll(worker_id, 2, 0.0)
    core.done(worker_id, jobs[0].id, {"output": 1, "stopPod": True}, 1.0)
    assert (kinds(core, 1.0, Stop), state_of(core, worker_id)) == ([], "DRAINING")
    core.done(worker_id, jobs[1].id, {"output": 1}, 2.0)
    assert kinds(core, 2.0, Stop) == [Stop(worker_id)]
    core.gone(worker_id, 2.5)
    assert state_of(core, worker_id) == "STOPPED"
    bill = core.bill(2.5)
    assert (bill.execution_s, bill.idle_s) == (2.0, 0.5)  # the work that it finished, and its stopping


# the bill


def test_the_bill_counts_from_container_start_to_full_stop_and_rounds_each_stretch_up():
    core = endpoint(platform={"pull_s": 100.0, "start_s": 2.0}, idle_timeout_s=5.0)
    core.price_per_s = 0.001
    core.submit(BODY, 0.0)
    core.actions(102.0)
    (worker_id,) = (worker["id"] for worker in core.workers(102.0))
    core.ready(worker_id, 108.25)
    core.poll(worker_id, 1, 108.25)
    core.done(worker_id, core.open_jobs()[0].id, {}, 110.75)
    core.actions(115.75)
    core.gone(worker_id, 116.0)  # stopping takes a quarter of a second, and is billed
    bill = core.bill(1000.0)
    assert (bill.start_s, bill.execution_s, bill.idle_s, bill.billed_s) == (8.25, 2.5, 5.25, 16)
    assert bill.usd == pytest.approx(0.016)


def test_each_stretch_is_rounded_by_itself_and_a_running_one_too():
    billing, spans = BillingMeter(), [Span(), Span()]
    for span in spans:
        billing.move(span, "start", 0.0)
        billing.move(span, "idle", 1.0)
    billing.move(spans[0], "", 1.1)
    bill = billing.bill(spans, 1.3, 1.0)
    assert (bill.start_s, bill.idle_s, bill.billed_s) == (2.0, pytest.approx(0.4), 4)
    # Both from 0 s, each of two whole seconds; the second one has not ended.
    assert [billing.within(spans, from_s, from_s + 1, 1.3) for from_s in (-1.0, 0.0, 1.0, 2.0)] == [0.0, 2.0, 2.0, 0.0]
    assert ceil_s(0.1 + 0.2 + 0.7) == 1 and ceil_s(1.00001) == 2  # a rest of the arithmetic is no second


def test_the_image_pull_is_billed_if_so_told_and_a_kept_state_is_not():
    core = endpoint(platform={"pull_s": 100.0, "start_s": 2.0, "bill_pull": True})
    core.submit(BODY, 0.0)
    assert core.bill(101.0).start_s == 101.0
    core = endpoint(platform={**AT_ONCE, "resume_s": 1.0}, flashboot=True, idle_timeout_s=5.0)
    jump(simulation(core, 1.0), [(0.0, submit(core)), (50.0, submit(core))], until_s=100.0)
    bill = core.bill(100.0)
    assert (bill.start_s, bill.execution_s, bill.idle_s) == pytest.approx((1.0, 2.2, 10.0))
    assert bill.billed_s == 7 + 8  # 6.1 s and 7.1 s, each rounded up


# what it says


def test_health_with_its_peculiarities():
    core = endpoint(platform={"pull_s": 5.0, "start_s": 2.0}, idle_timeout_s=10.0, flashboot=True)
    core.submit(BODY, 0.0)
    core.actions(0.0)
    assert core.health(1.0)["workers"] == {"idle": 0, "initializing": 1, "ready": 0, "running": 1, "throttled": 0, "unhealthy": 0}
    (worker_id,) = serving(core, 7.0)
    assert idle_sum(core, 7.0) == {"running": 1}  # with one job: idle 0, ready 0, running 1
    core.done(worker_id, core.open_jobs()[0].id, {}, 8.0)
    assert idle_sum(core, 8.0) == {"idle": 1, "ready": 1}
    core.actions(18.0)
    assert state_of(core, worker_id) == "CACHED"
    assert idle_sum(core, 18.0) == {"idle": 1, "ready": 1}  # no container, and still ready
    assert core.health(18.0)["jobs"] == {"completed": 1, "failed": 0, "inProgress": 0, "inQueue": 0, "retried": 0}


def test_workers_of_the_minimum_stay_running_and_never_show_as_ready():
    core = endpoint(platform=AT_ONCE, workers_min=2, workers_max=3)
    serving(core, 0.0)
    assert idle_sum(core, 0.0) == {"running": 2}


def test_the_worker_list_has_rest_v2s_words():
    core = endpoint(platform={**AT_ONCE, "hosts": 3}, workers_min=4, workers_max=4, gpu="NVIDIA L4")
    core.actions(0.0)
    ids = [worker["id"] for worker in core.workers(0.0)]
    for worker_id in ids[:2]:
        core.ready(worker_id, 1.0)
        core.poll(worker_id, 1, 1.0)
    core.submit(BODY, 2.0)
    listed = core.workers(3.5)
    assert [worker["status"] for worker in listed] == ["RUNNING", "IDLE", "INITIALIZING", "THROTTLED"]
    assert listed[0] == {
        "id": ids[0],
        "status": "RUNNING",
        "isStale": False,
        "startedAt_s": 0.0,
        "uptime_s": 3.5,
        "gpuTypeId": "NVIDIA L4",
        "gpuCount": 1,
        "state": "RUNNING",
        "created_s": 0.0,
        "ready_s": 1.0,
        "load": 1,
        "reason": "",
    }
    assert (listed[3]["startedAt_s"], listed[3]["uptime_s"]) == (None, 0.0)
