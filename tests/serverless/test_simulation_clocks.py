"""The same decisions by either clock: jumping from instant to instant, or called too often and a little late."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldburst.serverless.job import TERMINAL_STATES
from tests.support.virtual import BODY, drift, endpoint, jump, low, simulation, submit

BODIES = (
    BODY,
    BODY,
    low(),
    {"input": {"a": 1}, "policy": {"ttl": 10_000}},
    {"input": {"a": 1}, "policy": {"executionTimeout": 5_000}},
)


def scenario(seed):
    """Random settings, traffic and faults: what makes an endpoint, and the inputs for it."""
    rng = random.Random(seed)
    balancer = seed % 4 == 3
    policy = {
        "workers_min": rng.randrange(2),
        "workers_max": 3,
        "idle_timeout_s": rng.choice((1.0, 3.0, 8.0)),
        "flashboot": rng.random() < 0.5,
        "execution_timeout_s": 9.0,
        **({"scaler": "REQUEST_COUNT", "scaler_value": rng.randrange(1, 3)} if balancer or seed % 2 else {"scaler_value": 2.0}),
        **({"kind": "LOAD_BALANCER"} if balancer else {}),
    }
    platform = {"pull_s": 1.3, "start_s": 0.7, "resume_s": 0.4, "keep_s": 6.0, "jitter": 0.4, "starting_at_once": rng.randrange(3)}
    platform |= {"lease_s": 12.0, "hold_s": 4.0, "processing_s": 7.0, "hosts": rng.choice((None, 2))}
    core = endpoint(seed=seed, platform=platform, **policy)
    driven = simulation(
        core, lambda job, work: work.expovariate(0.5), load_s=2.1, concurrency=rng.choice((1, 3)), first_extra_s=0.5, ping_s=3.0
    )
    jobs = []
    return core, driven, list(traffic(core, driven, rng, balancer, jobs)), jobs


def traffic(core, driven, rng, balancer, jobs):
    now = 0.0

    def kill(at_s):
        workers = [worker["id"] for worker in core.workers(at_s) if worker["state"] in ("LOADING", "READY", "RUNNING")]
        if workers:
            driven.kill(workers[-1], at_s)

    def cancel(at_s):
        waiting = [job for job in jobs if job.state not in TERMINAL_STATES]
        if waiting:
            core.cancel(waiting[len(waiting) // 2].id, at_s)

    for number in range(60):
        now += rng.choice((0.0, rng.expovariate(1.0), rng.expovariate(0.2)))
        if balancer:
            yield now, lambda at_s, number=number: core.arrive(f"request {number}", at_s)
        else:
            yield now, submit(core, rng.choice(BODIES), into=jobs)
        if rng.random() < 0.15:
            fault = rng.choice(
                (
                    kill,
                    cancel,
                    lambda at_s: core.throttle(1, at_s),
                    lambda at_s: core.throttle(None, at_s),
                    lambda at_s: core.change(at_s, workers_max=2),
                )
            )
            yield now + 0.01, fault


@pytest.mark.parametrize("seed", range(12))
def test_virtual_time_and_a_wall_clock_take_the_same_decisions_on_the_same_schedule(seed):
    """One endpoint jumps from instant to instant; its twin is called too often, and up to 4 ms late where something is due."""
    until_s = 400.0
    core, driven, inputs, jobs = scenario(seed)
    jump(driven, inputs, until_s=until_s)
    twin, other, same_inputs, same_jobs = scenario(seed)
    drift(other, same_inputs, until_s, random.Random(seed + 1000))
    assert [at_s for at_s, _ in inputs] == [at_s for at_s, _ in same_inputs]
    assert len(core.decided()) > 100
    assert core.decided() == twin.decided()
    assert core.bill(until_s) == twin.bill(until_s)
    assert core.health(until_s) == twin.health(until_s)
    taken = [[(job.id, job.state, job.taken_s, job.finished_s) for job in submitted] for submitted in (jobs, same_jobs)]
    assert taken[0] == taken[1]


@settings(derandomize=True, database=None)
@given(st.lists(st.floats(0.0, 30.0), max_size=40).map(sorted))
def test_more_calls_of_actions_change_nothing(instants):
    def run(extra):
        core = endpoint(workers_max=3, scaler_value=2.0, platform={"lease_s": 5.0, "starting_at_once": 0})
        found = []
        for at_s in sorted([0.3, 1.1, 1.1, *extra]):
            if at_s in (0.3, 1.1):
                core.submit(BODY, at_s)
            found += core.actions(at_s) + core.actions(at_s)
        return found + core.actions(30.0), core.wake_s()

    assert run(instants) == run([])
