"""Whatever traffic and faults do: each job ends exactly once, none is lost, the order holds, and the bill is the sum of its parts."""

import math
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldburst.serverless.actions import Deliver, Ended, Kill, Launch, Stop
from coldburst.serverless.errors import JobNotFoundError, RequestRefusedError
from coldburst.serverless.job import TERMINAL_STATES
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.policy import Policy
from tests.support.virtual import Logged, endpoint, serving

LOAD = ("STARTING", "LOADING", "RESUMING")
BILLED = (*LOAD, "READY", "RUNNING", "DRAINING")
PLATFORM = Platform(start_s=1.5, resume_s=0.5, init_limit_s=60.0, unhealthy_retry_s=2.0, keep_s=30.0, starting_at_once=0, step=0)
FIRST = Policy(workers_min=1, workers_max=3, execution_timeout_s=120.0)


class Play:
    """Random traffic, and workers that do what they are told by the example, rightly or wrongly."""

    def __init__(self, flashboot):
        self.core = Logged(FIRST.changed(flashboot=flashboot), PLATFORM, seed=1)
        self.now, self.jobs, self.ended = 0.0, [], []
        self.queue, self.handed = [], set()
        self.up, self.stopping, self.at = [], [], {}
        self.settle()

    def settle(self):
        """Do what the model asks for now; what it tells to stop ends with the next step."""
        given_out = []
        while actions := self.core.actions(self.now):
            for action in actions:
                if isinstance(action, Launch):
                    self.up.append(action.worker_id)
                elif isinstance(action, Stop):
                    self.stopping.append(action.worker_id)
                elif isinstance(action, Kill):
                    self.gone(action.worker_id)
                elif isinstance(action, Deliver):
                    self.at.setdefault(action.worker_id, []).append([job.id for job in action.jobs])
                    given_out += [job.id for job in action.jobs]
                elif isinstance(action, Ended):
                    self.ended.append((action.job.id, action.job.state))
        self.check()
        self.check_order(given_out)

    def check_order(self, given_out):
        """The queue since the last look: none overtakes, and what was handed out was its head, normal jobs first."""
        queue = [job for job in self.core.open_jobs() if job.state == "IN_QUEUE"]
        names, gone = [job.id for job in queue], set(given_out)
        stayed = [name for name in self.queue if name in set(names) - gone]
        assert stayed == [name for name in names if name in set(self.queue) - gone], "none overtakes"
        reopened = {job.id for job in self.jobs if job.opened > 1}
        for is_low in (False, True):
            line = [job.id for job in queue if job.low_priority == is_low and job.id not in reopened]
            had = [name for name in line if name in self.handed | gone]
            assert line[: len(had)] == had, "what a worker had is before what none had"
            fresh = line[len(had) :]
            assert fresh == [job.id for job in self.jobs if job.id in set(fresh)], "last come, last"
        head = [name for name in self.queue if name in gone or name in stayed]
        taken = [name for name in given_out if name in self.queue]
        assert head[: len(taken)] == taken, "the head of the queue, and normal jobs first"
        self.handed |= gone
        self.queue = names

    def check(self):
        """What holds at any instant: an open job is known as open once, one that ended has told so each time that it was opened."""
        known = Counter(job.id for job in self.core.open_jobs())
        ends = Counter(name for name, _ in self.ended)
        for job in self.jobs:
            is_open = job.state not in TERMINAL_STATES
            assert (known[job.id], ends[job.id]) == (is_open, job.opened - is_open), job

    def advance(self, seconds):
        until_s = self.now + seconds
        for worker_id in self.stopping[:]:
            self.gone(worker_id)
        while (wake_s := self.core.wake_s()) is not None and wake_s <= until_s:
            self.now = max(self.now, wake_s)
            self.settle()
        self.now = until_s
        self.settle()

    def gone(self, worker_id):
        for names in (self.up, self.stopping):
            if worker_id in names:
                names.remove(worker_id)
        self.core.gone(worker_id, self.now)

    # what may happen; ``a`` and ``b`` are any small numbers

    def submit(self, a, b):
        policy = {
            "lowPriority": a % 4 == 0,
            **({"ttl": 15_000} if a % 5 == 1 else {}),
            **({"executionTimeout": 7000} if a % 7 == 2 else {}),
        }
        for _ in range(1 + b % 3):
            self.jobs.append(self.core.submit({"input": {"n": 1}, "policy": policy}, self.now, sync=b % 2 == 0))

    def work(self, a, b):
        if self.up:
            worker_id = self.up[a % len(self.up)]
            self.core.ready(worker_id, self.now)
            self.core.poll(worker_id, 1 + b % 4, self.now)

    def finish(self, a, b):
        """By any worker that lives or lived: often the right one, or too late, or of another's job."""
        if self.jobs and self.at:
            worker_id = list(self.at)[a % len(self.at)]
            mine = [name for batch in self.at[worker_id] for name in batch]
            name = mine[b % len(mine)] if b % 5 else self.jobs[a % len(self.jobs)].id
            job = next(job for job in self.jobs if job.id == name)
            has_it = job.state == "IN_PROGRESS" and job.worker_id == worker_id
            answer = {"error": "broken"} if b % 3 == 1 else {"output": 1}
            assert self.core.done(worker_id, name, answer | ({"stopPod": True} if b % 11 == 3 else {}), self.now) == has_it

    def give_back(self, a, b):
        if self.at:
            worker_id = list(self.at)[a % len(self.at)]
            self.core.give_back(worker_id, self.at[worker_id][-1 if b % 2 else 0], self.now)

    def ping(self, a, b):
        for worker_id in self.up[: 1 + a % 3]:
            self.core.ping(worker_id, [name for batch in self.at.get(worker_id, ()) for name in batch], self.now)

    def kill(self, a, b):
        if self.up:
            self.gone(self.up[a % len(self.up)])

    def sicken(self, a, b):
        if self.up:
            self.core.unhealthy(self.up[a % len(self.up)], self.now, "checks fail")

    def known(self, job):
        """Whether it can be asked after still: not after its ttl, nor after the retention of its result."""
        try:
            return self.core.job(job.id, self.now) is job
        except JobNotFoundError:
            assert job.state in TERMINAL_STATES, "a job that has not ended is always found"
            return False

    def cancel(self, a, b):
        if self.jobs and self.known(job := self.jobs[a % len(self.jobs)]):
            before = job.state
            assert self.core.cancel(job.id, self.now).state == (before if before in TERMINAL_STATES else "CANCELLED")

    def retry(self, a, b):
        failed = [job for job in self.jobs if job.state in ("FAILED", "TIMED_OUT") and self.known(job)]
        for job in failed[: 1 + a % 2]:
            self.handed.discard(job.id)
            self.core.retry(job.id, self.now)
        for job in self.jobs[:1]:
            if job not in failed and self.known(job):
                with pytest.raises(RequestRefusedError):
                    self.core.retry(job.id, self.now)

    def purge(self, a, b):
        waiting = sum(job.state == "IN_QUEUE" for job in self.jobs)
        assert self.core.purge(self.now) == waiting

    def throttle(self, a, b):
        self.core.throttle((None, 0, 1, 2)[a % 4], self.now)

    def change(self, a, b):
        most = a % 4
        self.core.change(self.now, workers_max=most, workers_min=min(b % 3, most), scaler=("QUEUE_DELAY", "REQUEST_COUNT")[b % 2])

    def drain(self):
        """Workers that do all they are given: nothing may stay open."""
        self.core.throttle(None, self.now)
        self.core.change(self.now, workers_max=3, workers_min=1)
        self.settle()
        for _ in range(300):
            if not self.core.open_jobs():
                return
            for worker_id in self.up:
                self.core.ready(worker_id, self.now)
                self.core.poll(worker_id, 2, self.now)
            self.settle()
            for job in self.core.open_jobs():
                if job.state == "IN_PROGRESS" and job.worker_id in self.up:
                    self.core.done(job.worker_id, job.id, {"output": 1}, self.now)
            self.advance(1.0)
        raise AssertionError(f"still open after 300 s of willing workers: {self.core.open_jobs()}")


WHAT = ("submit", "submit", "submit", "work", "work", "work", "finish", "finish", "give_back", "ping")
RARE = ("kill", "sicken", "cancel", "retry", "purge", "throttle", "change")
STEP = st.tuples(
    st.sampled_from((0.0, 0.0, 0.25, 1.3, 4.0, 11.0, 41.0)), st.sampled_from(WHAT + RARE), st.integers(0, 20), st.integers(0, 20)
)


def played(steps, flashboot):
    """The play after all steps."""
    play = Play(flashboot)
    for seconds, what, a, b in steps:
        play.advance(seconds)
        getattr(play, what)(a, b)
        play.settle()
    return play


def spans(core, now):
    """Each billed stretch from the log of states: (seconds in all, seconds of start)."""
    found = []
    for worker_id in {entry[2] for entry in core.log if entry[1] == "Changed"}:
        entries = [*core.states(worker_id), (now, "")]
        from_s, start_s = None, 0.0
        for (at_s, state), (next_s, following) in pairwise(entries):
            if state not in BILLED or (state == "DRAINING" and from_s is None):
                continue  # a kept state that is ended has no container
            from_s = at_s if from_s is None else from_s
            start_s += (next_s - at_s) * (state in LOAD)
            if following not in BILLED:
                found.append((next_s - from_s, start_s))
                from_s, start_s = None, 0.0
    return found


@pytest.mark.slow
@given(st.lists(STEP, min_size=5, max_size=60), st.booleans())
@settings(derandomize=True, database=None)
def test_jobs_are_conserved_in_order_and_the_bill_adds_up(steps, flashboot):
    play = played(steps, flashboot)
    play.drain()
    ends = {}
    for name, state in play.ended:
        ends.setdefault(name, []).append(state)
    assert {name: len(states) for name, states in ends.items()} == {job.id: job.opened for job in play.jobs}
    assert all(state in ("FAILED", "TIMED_OUT") for states in ends.values() for state in states[:-1]), "only these are opened again"
    bill, parts = play.core.bill(play.now), spans(play.core, play.now)
    assert bill.start_s + bill.execution_s + bill.idle_s == pytest.approx(sum(part for part, _ in parts), abs=1e-6)
    assert bill.start_s == pytest.approx(sum(start for _, start in parts), abs=1e-6)
    assert bill.billed_s == sum(math.ceil(round(part, 6)) for part, _ in parts)


@pytest.mark.slow
def test_the_random_traffic_meets_every_fault_and_every_end():
    """Else the property above would hold of too little."""
    met = Counter()

    @given(st.lists(STEP, min_size=40, max_size=60), st.booleans())
    @settings(max_examples=30, deadline=None, derandomize=True, database=None)
    def run(steps, flashboot):
        play = played(steps, flashboot)
        met.update(job.reason for job in play.jobs)
        met.update(entry[3] for entry in play.core.log if entry[1] == "Changed")
        met.update(opened=sum(job.opened > 1 for job in play.jobs), retried=sum(job.retries for job in play.jobs))

    run()
    reasons = {"done", "error", "cancelled", "purged", "ttl", "execution time-out", "lease expired"}
    states = {"THROTTLED", "STARTING", "LOADING", "READY", "RUNNING", "DRAINING", "CACHED", "RESUMING", "UNHEALTHY", "STOPPED"}
    assert {what for what, number in met.items() if number} >= reasons | states | {"opened", "retried"}


def test_jobs_of_a_dead_worker_return_to_the_head_in_the_order_in_which_they_were_taken():
    """Three are taken at 0 by a worker that dies; a fourth waits. All three leases end at 40, and 1, 2, 3 come before 4."""
    core = endpoint(platform={"start_s": 0.0, "lease_s": 40.0}, workers_min=1, workers_max=1)
    (worker_id,) = serving(core, 0.0, want=3)
    core.unpoll(worker_id)
    jobs = [core.submit({"input": {"n": n}}, 0.0) for n in range(4)]
    core.poll(worker_id, 3, 0.0)
    core.gone(worker_id, 1.0)
    core.actions(39.9)
    assert core.open_jobs() == jobs and jobs[2].state == "IN_PROGRESS"
    core.actions(40.0)
    assert [job.state for job in jobs] == ["IN_QUEUE"] * 4
    assert core.open_jobs() == jobs
