"""The rule on cold starts against the platform's model, which knows of each job whether it met one.

The rule sees what a run sees: the jobs' own times, and a list of workers that is asked every two seconds
and tells whole seconds of uptime.
"""

import random
from pathlib import Path

import pytest

from analysis.tables.cold_start_rule import judge_cold_starts, worker_starts
from coldburst.serverless.actions import Forward
from coldburst.serverless.simulation.driver import WorkerResult
from tests.analysis.test_cold_start_rule import attempts, events, job, looks, ready
from tests.support import virtual

METHODOLOGY = (Path(__file__).parents[2] / "docs" / "methodology.md").read_text(encoding="utf-8")
LOOK_S = 2.0
EARLIER = {**virtual.PROMPT, "starting_at_once": 1, "choose": "least_in_flight"}
"""The platform for which the figures below were counted."""
BEGIN_S = 30.0
"""Workers of the minimum are ready by then; second 0 of the run."""
REST_S = 150.0
"""By so long after the last arrival every job has ended."""


def endpoint(draw, seed):
    """An endpoint with settings that vary: how long starts take, how many workers, how they are scaled, FlashBoot."""
    platform = {**EARLIER, "start_s": draw.choice([0.5, 1.0, 3.0]), "resume_s": draw.choice([0.3, 0.7])}
    policy = {"workers_max": draw.choice([3, 5]), "workers_min": draw.choice([0, 0, 1, 3]), "flashboot": draw.random() < 0.5}
    policy |= {"idle_timeout_s": draw.choice([1.0, 5.0]), "scaler": draw.choice(["QUEUE_DELAY", "REQUEST_COUNT"]), "scaler_value": 1.0}
    return virtual.endpoint(seed=seed, platform=platform, **policy)


def arrivals(draw):
    """Some bursts a while apart, so that workers go and come back, some of their requests spread over 20 s."""
    starts = [BEGIN_S, BEGIN_S + draw.choice([20.0, 60.0])]
    return sorted(start + draw.choice([0.0, draw.uniform(0, 20)]) for start in starts for _ in range(draw.choice([1, 5, 20])))


def containers(listed):
    """The start of each worker that serves in a container, as the sampler keeps it: one that FlashBoot keeps has none."""
    serve = [worker for worker in listed if worker["status"] in ("RUNNING", "IDLE") and worker["startedAt_s"] is not None]
    return {worker["id"]: worker["startedAt_s"] for worker in serve}


def news(serving, listed, at_s):
    """What the hook ``worker_ready`` would say of workers that serve now and did not at the look before."""
    for worker in listed:
        if worker["id"] in serving[1] and serving[0].get(worker["id"], "") != serving[1][worker["id"]]:
            yield ready(worker["id"], at_s, float(int(worker["uptime_s"])))


def rehearsed(seed):
    """A run's rows, its events and looks, and the truth of each row."""
    draw = random.Random(seed)
    core = endpoint(draw, seed)
    work = {"concurrency": draw.choice([1, 1, 2, 4]), "load_s": draw.choice([0.2, 2.0, 8.0])}
    driver = virtual.simulation(core, service=draw.choice([0.3, 1.0, 3.0, 12.0]), **work)
    due = arrivals(draw)
    asked = [BEGIN_S + LOOK_S * k for k in range(int((due[-1] - BEGIN_S + REST_S) / LOOK_S))]
    jobs, told, serving = [], [], None
    for at_s, look in sorted([(at_s, False) for at_s in due] + [(at_s, True) for at_s in asked]):
        while (wake_s := driver.wake_s()) is not None and wake_s < at_s:
            driver.pump(wake_s)
        driver.pump(at_s)
        if not look:
            jobs.append(core.submit(virtual.BODY, at_s))
            driver.pump(at_s)
            continue
        listed = core.workers(at_s)
        now = containers(listed)
        told += news((serving, now), listed, at_s - BEGIN_S) if serving is not None else []
        serving = now
    assert all(found.state == "COMPLETED" for found in jobs)
    rows = [job(j.worker_id, j.taken_s - BEGIN_S, j.finished_s - j.taken_s, sent_s=j.submitted_s - BEGIN_S) for j in jobs]
    return attempts(*rows), told, looks(*(at_s - BEGIN_S for at_s in asked)), [j.cold for j in jobs]


class Balanced:
    """Requests of a load balancer, each with what became of it; its client is told a worker's name and no times."""

    def __init__(self, draw, seed):
        policy = {"kind": "LOAD_BALANCER", "scaler": "REQUEST_COUNT", "scaler_value": draw.choice([1, 2, 4])}
        policy |= {"workers_max": draw.choice([3, 5]), "workers_min": draw.choice([0, 0, 1, 3]), "flashboot": draw.random() < 0.5}
        platform = {**EARLIER, "start_s": draw.choice([0.5, 1.0, 3.0]), "resume_s": draw.choice([0.3, 0.7])}
        self.core = virtual.endpoint(seed=seed, platform=platform, **policy, idle_timeout_s=draw.choice([1.0, 5.0]))
        mean_s, spread = draw.choice([0.3, 1.0, 3.0, 12.0]), draw.choice([0.0, 0.5])
        law = lambda job, rng: mean_s * rng.uniform(1 - spread, 1 + spread)  # noqa: E731
        self._driver = virtual.simulation(self.core, service=law, load_s=draw.choice([0.2, 2.0, 8.0]))
        self._found: dict[str, dict] = {}

    def to(self, now):
        while (wake_s := self._driver.wake_s()) is not None and wake_s < now:
            self._pump(wake_s)
        self._pump(now)

    def arrive(self, now):
        name = str(len(self._found))
        self._found[name] = {"sent_s": now - BEGIN_S}
        self.core.arrive(name, now)
        self._pump(now)

    def _pump(self, now):
        for action in self._driver.pump(now):
            if isinstance(action, Forward):
                self._found[action.request_id] |= {"worker_id": action.worker_id, "cold": action.cold}
            elif isinstance(action, WorkerResult):
                self._found[action.request_id] |= {"done_s": now - BEGIN_S}

    def answered(self):
        """Rows, and the truth of each."""
        ok = [dict(found) for found in self._found.values() if "done_s" in found]
        return ok, [row.pop("cold") for row in ok]


def balanced(seed):
    """A load balancer's run, as ``rehearsed`` has it of a queue."""
    draw = random.Random(seed)
    run, due, told, serving = Balanced(draw, seed), arrivals(draw), [], None
    asked = [BEGIN_S + LOOK_S * k for k in range(int((due[-1] - BEGIN_S + REST_S) / LOOK_S))]
    for at_s, look in sorted([(at_s, False) for at_s in due] + [(at_s, True) for at_s in asked]):
        run.to(at_s)
        if not look:
            run.arrive(at_s)
            continue
        listed = run.core.workers(at_s)
        now = containers(listed)
        told += news((serving, now), listed, at_s - BEGIN_S) if serving is not None else []
        serving = now
    rows, truth = run.answered()
    return attempts(*rows), told, looks(*(at_s - BEGIN_S for at_s in asked)), truth


@pytest.fixture(scope="module")
def rehearsals():
    return [rehearsed(seed) for seed in range(40)]


@pytest.mark.slow
@pytest.mark.parametrize(("listed", "found"), [(True, "116 of 129"), pytest.param(False, "81 of 129", marks=pytest.mark.nightly)])
def test_the_rule_finds_the_cold_starts_of_the_model_and_none_else(rehearsals, listed, found):
    """Missed: starts shorter than the wait that counts, of workers that came and went between two looks."""
    assert held_against(rehearsals, listed) == (found, "0 of 500")
    assert found in METHODOLOGY


@pytest.mark.nightly
@pytest.mark.parametrize(("listed", "found", "alarms"), [(True, "187 of 232", "9 of 747"), (False, "105 of 232", "7 of 747")])
def test_of_a_load_balancer_that_tells_no_times_it_finds_fewer(listed, found, alarms):
    """Missed besides: those that a worker took together and that ended apart, and waits that were every answer's in a burst."""
    assert held_against([balanced(seed) for seed in range(60)], listed) == (found, alarms)
    assert found in METHODOLOGY
    assert alarms in METHODOLOGY


def held_against(runs, listed):
    """Of the cold starts of the model how many were found, and of the other requests how many were called cold."""
    found, truth = [], []
    for rows, told, asked, cold in runs:
        judged = judge_cold_starts(rows, worker_starts(events(told) if listed and told else None, asked), 2.0).attempts["cold"]
        found += judged.fillna(False).to_list()
        truth += cold
    hits = sum(said and true for said, true in zip(found, truth, strict=True))
    return f"{hits} of {sum(truth)}", f"{sum(found) - hits} of {len(truth) - sum(truth)}"
