"""The load balancer: hold, assign, cut; who gets a request, and what affinity asks for."""

import pytest

from coldburst.serverless.actions import Cut, Forward, GiveUp, Kill, Stop
from coldburst.serverless.errors import RequestRefusedError
from coldburst.serverless.load_balancer import parse_affinity
from coldburst.serverless.simulation.driver import WorkerResult
from tests.support.virtual import AT_ONCE, endpoint, jump, simulation, state_of

LB = {"kind": "LOAD_BALANCER", "scaler": "REQUEST_COUNT", "scaler_value": 2}


def balancer(workers=2, platform=None, **policy):
    """A balancer with so many workers that are ready at second 0; the endpoint and their ids."""
    core = endpoint(platform={**AT_ONCE, **(platform or {})}, **{**LB, "workers_min": workers, "workers_max": max(workers, 1), **policy})
    core.actions(0.0)
    ids = [worker["id"] for worker in core.workers(0.0)]
    for worker_id in ids:
        core.ready(worker_id, 0.0)
    core.actions(0.0)
    return core, ids


def arrive(core, *names, now=1.0, affinity=""):
    """What is decided for these requests: (id, worker) or (id, status, reason)."""
    for name in names:
        core.arrive(name, now, affinity=affinity)
    return decisions(core, now)


def decisions(core, now):
    found = []
    for action in core.actions(now):
        if isinstance(action, Forward | Cut):
            found.append((type(action).__name__, action.request_id, action.worker_id))
        elif isinstance(action, GiveUp):
            found.append((action.request_id, action.status, action.reason))
    return found


def test_the_first_worker_is_filled_to_its_cap_before_the_next():
    core, (a, b) = balancer(workers=2, scaler_value=3)
    assert arrive(core, *"12345") == [("Forward", name, worker) for name, worker in zip("12345", (a, a, a, b, b), strict=True)]
    core.left("2", 2.0)
    assert arrive(core, "6", "7", "8", now=2.0) == [("Forward", "6", a), ("Forward", "7", b)]
    core.left("1", 3.0)
    assert decisions(core, 3.0) == [("Forward", "8", a)]


def test_a_place_at_a_worker_ends_a_little_after_its_request():
    core, (a,) = balancer(workers=1, scaler_value=1, platform={"slot_s": 0.16})
    assert arrive(core, "1", "2", now=1.0) == [("Forward", "1", a)]
    core.left("1", 2.0)
    assert decisions(core, 2.0) == []
    assert core.health(2.0)["jobs"] == {"completed": 1, "failed": 0, "inProgress": 0, "inQueue": 1, "retried": 0}
    assert core.wake_s() == 2.16
    assert decisions(core, 2.16) == [("Forward", "2", a)]
    core.gone(a, 3.0)
    assert decisions(core, 3.0) == [("2", 502, "the worker ended")]


def test_the_worker_with_the_least_to_do_gets_a_request_up_to_its_cap():
    core, (a, b) = balancer(platform={"choose": "least_in_flight"})
    assert arrive(core, "1", "2", "3") == [("Forward", "1", a), ("Forward", "2", b), ("Forward", "3", a)]
    core.left("1", 2.0)
    core.left("3", 2.0)
    assert arrive(core, "4", "5", "6", now=2.0) == [("Forward", "4", a), ("Forward", "5", b), ("Forward", "6", a)]
    assert arrive(core, "7", now=3.0) == []
    assert core.health(3.0)["jobs"] == {"completed": 2, "failed": 0, "inProgress": 4, "inQueue": 1, "retried": 0}
    core.left("5", 4.0)
    assert decisions(core, 4.0) == [("Forward", "7", b)]


def test_round_robin_takes_turns_whatever_they_have():
    core, (a, b) = balancer(platform={"choose": "round_robin", "per_worker": 10})
    arrive(core, "1", "2")
    core.left("2", 1.5)
    assert arrive(core, "3", "4", "5", now=2.0) == [("Forward", "3", a), ("Forward", "4", b), ("Forward", "5", a)]


@pytest.mark.parametrize(("per_worker", "cap"), [(None, 2), (1, 1), (7, 7)])
def test_the_cap_is_the_scalers_value_or_a_parameter(per_worker, cap):
    core, _ = balancer(workers=1, platform={"per_worker": per_worker})
    assert len(arrive(core, *map(str, range(20)))) == cap


def test_a_request_is_held_for_exactly_two_minutes_and_answered_with_400():
    core, _ = balancer(workers=0, workers_max=1)
    core.throttle(0, 0.5)
    assert arrive(core, "1", now=1.25) == []
    assert decisions(core, 121.249) == []
    assert core.wake_s() == 121.25
    assert decisions(core, 121.25) == [("1", 400, "timed out waiting for worker")]
    assert core.health(121.25)["jobs"] == {"completed": 0, "failed": 1, "inProgress": 0, "inQueue": 0, "retried": 0}
    core.left("1", 121.3)  # the answer has been sent
    assert core.health(122.0)["jobs"]["completed"] == 0


def test_a_client_that_leaves_while_held_is_forgotten():
    core, _ = balancer(workers=0, workers_max=1)
    arrive(core, "1")
    core.left("1", 2.0)
    assert core.health(2.0)["jobs"]["inQueue"] == 0
    assert decisions(core, 500.0) == []


def test_a_request_that_takes_too_long_is_cut():
    core, (worker_id,) = balancer(workers=1)
    arrive(core, "1", "2", "3", now=1.0)
    assert decisions(core, 330.999) == [("3", 400, "timed out waiting for worker")]
    assert decisions(core, 331.0) == [("Cut", "1", worker_id), ("Cut", "2", worker_id)]
    core.left("1", 331.1)
    assert core.health(331.1)["jobs"]["failed"] == 3
    assert arrive(core, "4", now=332.0) == [("Forward", "4", worker_id)]


def test_a_place_that_a_cut_leaves_goes_to_who_is_held():
    core, (worker_id,) = balancer(workers=1, platform={"processing_s": 10.0, "per_worker": 1})
    arrive(core, "1", "2")
    assert decisions(core, 11.0) == [("Cut", "1", worker_id), ("Forward", "2", worker_id)]


def test_held_requests_are_forwarded_in_order_when_a_worker_becomes_ready():
    core, _ = balancer(workers=0, workers_max=3)
    assert arrive(core, "1", "2", "3") == []
    (worker,) = core.workers(1.0)
    core.ready(worker["id"], 21.0)
    forwarded = [action for action in core.actions(21.0) if isinstance(action, Forward)]
    assert forwarded == [Forward("1", worker["id"], True, 20.0), Forward("2", worker["id"], True, 20.0)]
    core.left("1", 22.0)
    assert core.actions(22.0)[-1] == Forward("3", worker["id"], False, 21.0)
    core.left("2", 23.0)
    core.arrive("4", 24.0)
    assert core.actions(24.0)[-1] == Forward("4", worker["id"], False, 0.0)


def test_a_request_that_comes_after_the_worker_was_ready_is_not_cold():
    core, (worker_id, *_) = balancer()
    core.arrive("1", 5.0)
    assert core.actions(5.0)[-1] == Forward("1", worker_id, False, 0.0)


def test_the_same_id_twice_and_a_queue_are_refused():
    core, _ = balancer()
    arrive(core, "1", *map(str, range(2, 6)))
    for name in ("1", "5"):
        with pytest.raises(RequestRefusedError, match=f"request '{name}' already"):
            core.arrive(name, 2.0)
    with pytest.raises(RequestRefusedError, match="not allowed for QB API"):
        endpoint().arrive("1", 0.0)


def test_a_worker_that_ends_answers_its_requests_with_502():
    core, (a, _b) = balancer(platform={"per_worker": 1})
    arrive(core, "1", "2", "3")
    core.gone(a, 2.0)
    assert decisions(core, 2.0) == [("1", 502, "the worker ended")]
    core.left("1", 2.1)
    assert core.health(2.1)["jobs"]["inProgress"] == 1


# scaling


def test_held_and_running_requests_scale_up_and_the_idle_timeout_down():
    core, _ = balancer(workers=0, workers_max=3, idle_timeout_s=10.0)
    arrive(core, *map(str, range(5)))
    core.actions(2.0)
    ids = [worker["id"] for worker in core.workers(2.0)]
    assert len(ids) == 3  # ceil(5 / 2)
    for worker_id in ids:
        core.ready(worker_id, 3.0)
    for name in range(5):
        core.left(str(name), 5.0)
    assert [action for action in core.actions(14.9) if isinstance(action, Stop)] == []
    assert [action.worker_id for action in core.actions(15.0) if isinstance(action, Stop)] == ids


def test_a_draining_worker_finishes_its_requests():
    core, (a, b) = balancer()
    arrive(core, "1", "2")
    core.change(2.0, workers_min=0, workers_max=1)
    assert state_of(core, b) == "DRAINING"
    core.left("2", 3.0)
    assert [action for action in core.actions(3.0) if isinstance(action, Stop)] == [Stop(b)]
    assert arrive(core, "3", now=3.5) == [("Forward", "3", a)]


# health


def test_an_unhealthy_worker_is_out_of_the_pool_and_comes_back():
    core, (a, b) = balancer()
    core.unhealthy(a, 1.0, "its checks fail")
    assert arrive(core, "1", "2", now=2.0) == [("Forward", "1", b), ("Forward", "2", b)]
    assert sorted(worker["state"] for worker in core.workers(2.5)) == ["LOADING", "RUNNING", "UNHEALTHY"]  # the minimum is made up
    core.ready(a, 3.0)
    assert [worker["state"] for worker in core.workers(3.0)] == ["READY", "RUNNING", "DRAINING"]  # and is not exceeded
    assert arrive(core, "3", now=4.0) == [("Forward", "3", a)]
    assert [action for action in core.actions(1000.0) if isinstance(action, Kill)] == []


def test_a_worker_that_stays_unhealthy_or_never_becomes_ready_is_ended_after_8_minutes():
    core, (a, *_) = balancer()
    core.unhealthy(a, 1.0, "its checks fail")
    assert [action for action in core.actions(481.0) if isinstance(action, Kill)] == [Kill(a)]
    core = endpoint(platform=AT_ONCE, workers_min=1, workers_max=1, **LB)
    core.actions(0.0)
    assert [type(action) for action in core.actions(480.0) if isinstance(action, Kill)] == [Kill]


# affinity


@pytest.mark.parametrize(
    ("header", "meant"),
    [
        ("", ("", "")),
        ("abc", ("soft", "abc")),
        ("strict abc", ("strict", "abc")),
        ("strict-resume abc", ("strict-resume", "abc")),
        ("  strict   abc ", ("strict", "abc")),
        ("sometimes abc", ("soft", "abc")),
    ],
)
def test_the_affinity_header_is_read(header, meant):
    assert parse_affinity(header) == meant


def test_soft_affinity_is_kept_while_there_is_room():
    core, (a, b) = balancer()
    decided = [arrive(core, name, affinity=b)[0][2] for name in ("1", "2", "3")]
    assert decided == [b, b, a]
    assert arrive(core, "4", affinity="unknown") == [("Forward", "4", a)]


def test_strict_affinity_waits_for_its_worker():
    core, (a, b) = balancer(platform={"per_worker": 1})
    assert arrive(core, "1", affinity=f"strict {b}") == [("Forward", "1", b)]
    assert arrive(core, "2", now=2.0, affinity=f"strict {b}") == []
    core.left("1", 5.0)
    assert decisions(core, 5.0) == [("Forward", "2", b)]
    assert arrive(core, "3", now=6.0, affinity=f"strict {b}") == []
    assert arrive(core, "4", "5", now=6.5) == [("Forward", "4", a)]
    core.left("2", 7.0)
    assert decisions(core, 7.0) == [("Forward", "3", b)]  # it came before 5, which waits for any
    assert arrive(core, "6", now=8.0, affinity=f"strict {b}") == []
    core.ping(b, [], 300.0)
    assert ("6", 400, "worker_timeout") in decisions(core, 308.0)


def test_strict_affinity_to_a_worker_that_is_no_more_is_404():
    core, (a, b) = balancer(platform={"per_worker": 1})
    assert arrive(core, "1", affinity="strict gone") == [("1", 404, "affinity_worker_gone")]
    arrive(core, "2", affinity=f"strict {a}")
    arrive(core, "3", "4", affinity=f"strict {a}")
    core.left("3", 1.5)
    core.gone(a, 2.0)
    assert sorted(decisions(core, 2.0)) == [("2", 502, "the worker ended"), ("4", 404, "affinity_worker_gone")]
    assert b


def test_strict_resume_wakes_a_worker_whose_state_is_kept():
    core, _ = balancer(workers=1, workers_min=0, platform={"resume_s": 2.0}, flashboot=True, idle_timeout_s=5.0)
    core.arrive("0", 0.0)
    core.actions(0.0)
    (worker,) = core.workers(0.0)
    core.ready(worker["id"], 0.0)
    core.left("0", 0.0)
    core.actions(5.0)
    assert state_of(core, worker["id"]) == "CACHED"
    assert arrive(core, "1", now=6.0, affinity=f"strict {worker['id']}") == [("1", 404, "affinity_worker_gone")]
    assert arrive(core, "2", now=7.0, affinity=f"strict-resume {worker['id']}") == []
    assert decisions(core, 9.0) == [("Forward", "2", worker["id"])]


# modelled workers


def test_modelled_workers_answer_requests():
    core = endpoint(platform=AT_ONCE, workers_min=1, workers_max=1, **LB)
    driven = simulation(core, 2.5, load_s=3.0)
    reported = jump(driven, [(1.0, lambda now: core.arrive("1", now)), (4.0, lambda now: core.arrive("2", now))], until_s=60.0)
    (worker_id,) = (worker["id"] for worker in core.workers(60.0))
    answers = [(at_s, action) for at_s, action in reported if isinstance(action, WorkerResult)]
    assert [(at_s, action.request_id, action.worker_id) for at_s, action in answers] == [(5.5, "1", worker_id), (6.5, "2", worker_id)]
    assert answers[0][1].output == {"output": {"echo": {}, "service_s": 2.5}}
    assert [action.request_id for _, action in reported if isinstance(action, Forward)] == ["1", "2"]
    assert core.health(60.0)["jobs"]["completed"] == 2


def test_a_request_that_is_cut_is_dropped_by_its_modelled_worker():
    core = endpoint(platform={**AT_ONCE, "processing_s": 2.0}, workers_min=1, workers_max=1, **LB)
    reported = jump(simulation(core, 5.0), [(1.0, lambda now: core.arrive("1", now))], until_s=60.0)
    assert [type(action) for _, action in reported if isinstance(action, WorkerResult | Cut)] == [Cut]
