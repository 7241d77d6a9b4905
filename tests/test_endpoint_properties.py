"""What must hold whatever happens: random traffic, random faults, any clock."""

import math
import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rig.actions import Deliver, Ended, Kill, Launch, Stop, StopJob
from rig.jobs import NotFound, Refused
from rig.policy import TERMINAL
from tests.virtual import BODY, drift, endpoint, jump, low, rehearsal, submit

BODIES = (
    BODY,
    BODY,
    BODY,
    low(),
    {"input": {}, "policy": {"ttl": 10_000}},
    {"input": {"a": 1}, "policy": {"executionTimeout": 5_000}},
)
WANTED = {"THROTTLED", "PULLING", "STARTING", "LOADING", "RESUMING", "READY", "RUNNING"}
BILLED = {"STARTING", "LOADING", "RESUMING", "READY", "RUNNING", "DRAINING"}


class Play:
    """An endpoint whose workers, clients and faults are played by hand, and what must hold after each move."""

    def __init__(self, **how):
        self.core = endpoint(platform={"start_s": 1.5, "resume_s": 0.5, "keep_s": 30.0, "jitter": 0.3, "starting_at_once": 2}, **how)
        self.now = 0.0
        self.jobs, self.ends = [], Counter()
        self.returned = set()
        self.held = {}  # worker id -> ids of its jobs, for each process that lives
        self.last = None
        self.gone_s = {}
        self.settle()

    # moves

    def submit(self, kind):
        self.jobs.append(self.core.submit(BODIES[kind % len(BODIES)], self.now))

    def wait(self, number):
        end_s = self.now + 0.37 * number**1.7
        while (wake_s := self.core.wake_s()) is not None and wake_s <= end_s:
            self.now = max(self.now, wake_s)
            self.settle()
        self.now = end_s

    def ready(self, number):
        worker_id = self._pick(number)
        if worker_id:
            self.core.ready(worker_id, self.now)

    def poll(self, number):
        worker_id = self._pick(number)
        if worker_id:
            self.core.poll(worker_id, 1 + number % 3, self.now)

    def unpoll(self, number):
        self.core.unpoll(self._pick(number) or "nobody")

    def ping(self, number):
        for worker_id, held in self.held.items():
            self.core.ping(worker_id, sorted(held), self.now)

    def done(self, number):
        worker_id = self._pick(number)
        for job_id in sorted(self.held.get(worker_id, ()))[:1]:
            body = {"error": "broken"} if number % 3 == 0 else {"output": number}
            self.core.done(worker_id, job_id, body | ({"stopPod": True} if number % 7 == 0 else {}), self.now)
            self.held[worker_id].discard(job_id)

    def late(self, number):
        if self.jobs:
            job = self.jobs[number % len(self.jobs)]
            before = (job.state, job.output)
            assert self.core.done("somebody else", job.id, {"output": "late"}, self.now) is False
            assert (job.state, job.output) == before

    def kill(self, number):
        worker_id = self._pick(number)
        if worker_id:
            self._end(worker_id)

    def unhealthy(self, number):
        self.core.unhealthy(self._pick(number) or "nobody", self.now, "its checks fail")

    def give_back(self, number):
        if self.last:
            worker_id, ids = self.last
            self.returned.update(ids)
            self.core.give_back(worker_id, ids, self.now)
            self.held.get(worker_id, set()).difference_update(ids)

    def cancel(self, number):
        self._of_client(self.core.cancel, number)

    def retry(self, number):
        self._of_client(self.core.retry, number)

    def purge(self, number):
        self.core.purge(self.now)

    def throttle(self, number):
        self.core.throttle((None, 0, 1, 2)[number % 4], self.now)

    def change(self, number):
        self.core.change(
            self.now,
            workers_min=number % 2,
            workers_max=1 + number % 4,
            idle_timeout_s=1.0 + number % 5,
            flashboot=bool(number % 3),
            **(
                {"scaler": "REQUEST_COUNT", "scaler_value": 1 + number % 3}
                if number % 2
                else {"scaler": "QUEUE_DELAY", "scaler_value": 1.5}
            ),
        )

    # what comes of them

    def settle(self):
        while actions := self.core.actions(self.now):
            for action in actions:
                if isinstance(action, Launch):
                    self.held[action.worker_id] = set()
                elif isinstance(action, Stop | Kill):
                    self._end(action.worker_id)
                elif isinstance(action, Deliver):
                    self._delivered(action)
                elif isinstance(action, StopJob):
                    self.held.get(action.worker_id, set()).discard(action.job_id)
                elif isinstance(action, Ended):
                    self.ends[action.job.id] += 1
        assert self.core.actions(self.now) == []
        self._check()

    def _delivered(self, action):
        if action.worker_id in self.held:
            self.held[action.worker_id] |= {job.id for job in action.jobs}
        self.last = (action.worker_id, [job.id for job in action.jobs])
        number = {job.id: place for place, job in enumerate(self.jobs)}
        waiting = [job for job in self.jobs if job.state == "IN_QUEUE" and self._plain(job)]
        for job in action.jobs:
            if self._plain(job):
                ahead = [other for other in waiting if other.low_priority == job.low_priority and number[other.id] < number[job.id]]
                assert ahead == []  # first in, first out
            if job.low_priority:
                assert [other for other in waiting if not other.low_priority] == []
        normal_last = [job.low_priority for job in action.jobs]
        assert normal_last == sorted(normal_last)

    def _plain(self, job):
        return job.retries == 0 and job.opened == 1 and job.id not in self.returned

    def _check(self):
        core, states = self.core, Counter(job.state for job in self.jobs)
        said = core.health(self.now)
        assert (said["jobs"]["inQueue"], said["jobs"]["inProgress"]) == (states["IN_QUEUE"], states["IN_PROGRESS"])
        for job in self.jobs:
            assert self.ends[job.id] == job.opened - (job.state not in TERMINAL)
            assert (job.taken_s is not None) == bool(job.worker_id)
        workers = core.workers(self.now)
        assert sum(worker["state"] in WANTED for worker in workers) <= core.policy.workers_max
        lent = Counter(job.worker_id for job in self.jobs if job.state == "IN_PROGRESS")
        for worker in workers:
            if worker["id"] in self.held:
                assert worker["load"] == lent[worker["id"]]
                assert worker["state"] != "READY" or not worker["load"]
                assert worker["state"] != "RUNNING" or worker["load"]

    def _end(self, worker_id):
        if self.held.pop(worker_id, None) is not None:
            self.gone_s[worker_id] = self.now
        self.core.gone(worker_id, self.now)

    def _pick(self, number):
        return sorted(self.held)[number % len(self.held)] if self.held else None

    def _of_client(self, call, number):
        if self.jobs:
            try:
                call(self.jobs[number % len(self.jobs)].id, self.now)
            except (NotFound, Refused):
                assert self.jobs[number % len(self.jobs)].state not in ("IN_QUEUE", "IN_PROGRESS") or call == self.core.retry

    # the end

    def heal(self):
        """All faults are over, and all workers do their work: every job must end."""
        self.core.throttle(None, self.now)
        self.core.change(self.now, workers_min=1, workers_max=4)
        self.settle()
        for _ in range(400):
            if all(job.state in TERMINAL for job in self.jobs):
                return
            for worker_id in sorted(self.held):
                self.core.ready(worker_id, self.now)
                for job_id in sorted(self.held.get(worker_id, ())):
                    self.core.done(worker_id, job_id, {"output": 1}, self.now)
                    self.held[worker_id].discard(job_id)
                self.core.poll(worker_id, 2, self.now)
                self.settle()
            self.wait(4)
            self.settle()
        raise AssertionError(f"never ended: {[job for job in self.jobs if job.state not in TERMINAL]}")

    def check_bill(self):
        """The bill against what the log of states says."""
        stretches = {}
        for at_s, kind, *what in self.core.log:
            if kind == "Changed":
                worker_id, state = what
                state = "STOPPED" if state == "UNHEALTHY" and worker_id not in self.held and self.gone_s.get(worker_id) == at_s else state
                stretches.setdefault(worker_id, []).append((at_s, state))
        spent, billed = 0.0, 0
        for worker_id, line in stretches.items():
            since_s = None
            for at_s, state in [*line, (self.now, None)]:
                if state in BILLED or (state == "UNHEALTHY" and since_s is not None):
                    since_s = at_s if since_s is None else since_s
                elif since_s is not None:
                    end_s = min(at_s, self.gone_s.get(worker_id, math.inf))
                    spent, billed = spent + end_s - since_s, billed + math.ceil(round(end_s - since_s, 6))
                    since_s = None
        bill = self.core.bill(self.now)
        assert bill.start_s + bill.execution_s + bill.idle_s == pytest.approx(spent)
        assert bill.billed_s == billed


MOVES = ("submit", "submit", "submit", "wait", "wait", "ready", "ready", "poll", "poll", "poll", "ping", "done", "done", "done")
FAULTS = ("unpoll", "late", "kill", "unhealthy", "give_back", "cancel", "retry", "purge", "throttle", "change")
TURNS = st.lists(st.tuples(st.sampled_from(MOVES + FAULTS), st.integers(0, 20)), min_size=5, max_size=60)
FEW = settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@FEW
@given(TURNS, st.sampled_from([{}, {"workers_min": 2}, {"scaler": "REQUEST_COUNT", "scaler_value": 1, "flashboot": True}]))
def test_each_job_ends_exactly_once_and_each_second_is_billed_once(turns, policy):
    play = Play(**policy)
    for move, number in turns:
        getattr(play, move)(number)
        play.settle()
    play.heal()
    assert all(play.ends[job.id] == job.opened for job in play.jobs)
    said = play.core.health(play.now)["jobs"]
    kept = Counter(job.state for job in play.jobs if job.reason != "ttl" and job.opened == 1)
    assert said["completed"] >= kept["COMPLETED"] and said["failed"] >= kept["FAILED"] + kept["TIMED_OUT"]
    play.check_bill()


# two clocks


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
    driven = rehearsal(
        core, lambda job, work: work.expovariate(0.5), load_s=2.1, concurrency=rng.choice((1, 3)), first_extra_s=0.5, ping_s=3.0
    )
    return core, driven, list(traffic(core, driven, rng, balancer))


def traffic(core, driven, rng, balancer):
    now, jobs = 0.0, []

    def kill(at_s):
        workers = [worker["id"] for worker in core.workers(at_s) if worker["state"] in ("LOADING", "READY", "RUNNING")]
        if workers:
            driven.kill(workers[-1], at_s)

    def cancel(at_s):
        waiting = [job for job in jobs if job.state not in TERMINAL]
        if waiting:
            core.cancel(waiting[len(waiting) // 2].id, at_s)

    for number in range(60):
        now += rng.choice((0.0, rng.expovariate(1.0), rng.expovariate(0.2)))
        if balancer:
            yield now, lambda at_s, number=number: core.arrive(f"request {number}", at_s)
        else:
            yield now, submit(core, BODIES[rng.randrange(5)], into=jobs)
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
    core, driven, inputs = scenario(seed)
    jump(driven, inputs, until_s=until_s)
    twin, other, same_inputs = scenario(seed)
    drift(other, same_inputs, until_s, random.Random(seed + 1000))
    assert [at_s for at_s, _ in inputs] == [at_s for at_s, _ in same_inputs]
    assert len(core.decided()) > 100
    assert core.decided() == twin.decided()
    assert core.bill(until_s) == twin.bill(until_s)
    assert core.health(until_s) == twin.health(until_s)
    taken = [[(job.id, job.taken_s, job.finished_s) for job in jobs] for jobs in (kept(core), kept(twin))]
    assert taken[0] == taken[1]


def kept(core):
    return [core._book.find(job_id) for job_id in core._book._jobs]


@FEW
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
