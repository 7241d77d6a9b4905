"""The report's billed seconds against the model's own bill, in virtual time: no pace decides."""

import math
import random

import pytest

from analysis.tables.billing import billed_time
from tests.support import virtual
from tests.support.listed_runs import POLL_S, Balanced, Queued, Sampler, attempts

# The container starts in 1 s, its model loads in 2 s, work takes 0.5 s on average.
START_S, LOAD_S, WORK_S = 1.0, 2.0, 0.5
# By so long after the last arrival every worker has stopped.
STOPPED_S = 200.0
BALANCER = {"kind": "LOAD_BALANCER", "scaler": "REQUEST_COUNT", "scaler_value": 2}
PAUSES = [2.0, 10.0, 18.0]
# What a sweep changes, and when; its end restores the settings.
CHANGES = [(1.0, {"workers_min": 1, "workers_max": 1}), (30.0, {"workers_min": 2, "workers_max": 2})]
RESTORED = {"workers_min": 0, "workers_max": 3}
# The policy, the arrivals, and when the run is cut.
RUNS = {
    "burst": ({}, lambda draw: [0.5] * 20, math.inf),
    "steady": ({}, lambda draw: [draw.uniform(0, 20) for _ in range(40)], math.inf),
    "flashboot": ({"flashboot": True, "idle_timeout_s": 1.0}, lambda draw: [at + k / 3 for at in PAUSES for k in range(6)], math.inf),
    "balancer": (BALANCER, lambda draw: [k / 3 for k in range(45)], math.inf),
    "cut": ({}, lambda draw: [k / 2 for k in range(120)], 9.0),
    "sweep": ({}, lambda draw: [10 + k / 2 + draw.uniform(0, 0.3) for k in range(30)] + [42 + k / 3 for k in range(45)], math.inf),
}


def billed(name, seed):
    """Billed seconds by the report and by the model. The run ends with its last answer; the model goes on until all workers stop."""
    draw = random.Random(f"{name} {seed}")
    policy, due, cut_s = RUNS[name]
    core = virtual.endpoint(seed=seed, platform={"start_s": START_S, "jitter": 0.1}, **{"workers_max": 3, "workers_min": 0} | policy)
    work = {"service": lambda job, rng: rng.expovariate(1 / WORK_S), "load_s": lambda: LOAD_S * draw.uniform(0.9, 1.1)}
    run = (Balanced if "kind" in policy else Queued)(core, 0.0, **work)
    sampler, due_s = Sampler(core, 0.0), sorted(at for at in due(draw) if at < cut_s)
    phase_s = draw.uniform(0.0, POLL_S)
    changes = CHANGES if name == "sweep" else []
    happens = [*((at_s, "arrival", {}) for at_s in due_s), *((at_s, "change", settings) for at_s, settings in changes)]
    happens += [(phase_s + POLL_S * k, "look", {}) for k in range(200)]
    end_s = None
    for at_s, what, settings in sorted(happens, key=lambda one: one[:2]):
        run.to(at_s)
        if what == "arrival":
            run.arrive(at_s)
        elif what == "change":
            core.change(at_s, **settings)
        elif at_s > due_s[-1] and run.waiting() == 0:
            end_s = at_s
            break
        else:
            sampler.look(at_s)
    if changes:
        core.change(end_s, **RESTORED)
        run.to(end_s)
    sampler.look(end_s)
    rows, _ = run.answered()
    run.to(end_s + STOPPED_S)
    assert not [worker for worker in core.workers(end_s + STOPPED_S) if worker["state"] != "CACHED"]
    found = billed_time({"elapsed_s": end_s, **sampler.about()}, attempts(*rows))
    return found.total_s, core.bill(end_s + STOPPED_S).billed_s


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_over_ten_seeds_the_cost_is_within_two_percent(name):
    pairs = [billed(name, seed) for seed in range(10)]
    total = sum(ours for ours, _ in pairs) / sum(bill for _, bill in pairs) - 1
    print(f"{name}: {total:+.2%} over all")
    assert abs(total) <= 0.02
    # A second: a worker without a request that became ready between the last two polls.
    assert all(abs(ours - bill) <= 1 for ours, bill in pairs), pairs
