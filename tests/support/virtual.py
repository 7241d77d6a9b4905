"""The model in virtual time: workers without the SDK's tick, drivers, and endpoints that keep a log of what they decided."""

import heapq
import itertools
import random

from coldburst.randomness import stream
from coldburst.serverless.actions import Deliver, Ended
from coldburst.serverless.endpoint import Endpoint
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.policy import Policy
from coldburst.serverless.simulation.driver import Simulation
from coldburst.serverless.simulation.modelled_worker import Finished, ModelledWorker, Poll, Ready

BODY = {"input": {"n": 1}}
# Without the platform's own pauses, for tests about something else.
PROMPT = {"rise_s": 0.0, "rise_cached_s": 0.0, "surplus_s": 0.0, "slot_s": 0.0, "hand_over_s": 0.0}
AT_ONCE = {"start_s": 0.0, "starting_at_once": 0, "step": 0, **PROMPT}


class PromptWorker:
    """A worker of concurrency 1 that asks again the instant a job ends: a server of the textbook."""

    def __init__(self, service, rng):
        self._service, self._rng = service, rng
        self._next = None

    def launch(self, now):
        self._next = (now, Ready())

    def deliver(self, jobs, now):
        (job,) = jobs
        self._next = (now + self._service(job, self._rng), Finished(job.id, {"output": 1}))

    def wake_s(self):
        return self._next[0] if self._next else None

    def act(self, now):
        word, self._next = self._next[1], None
        return [word, Poll(1)]


class Logged(Endpoint):
    """Keeps (instant, kind, worker, what) of all it decides."""

    def __init__(self, *args, **kwargs):
        self.log = []
        super().__init__(*args, **kwargs)

    def actions(self, now):
        found = super().actions(now)
        for action in found:
            if isinstance(action, Ended):
                what = ("", action.job.id, action.job.state, action.job.reason)
            elif isinstance(action, Deliver):
                what = (action.worker_id, *(job.id for job in action.jobs))
            else:
                what = tuple(getattr(action, name) for name in action.__slots__)
            self.log.append((now, type(action).__name__, *what))
        return found

    def decided(self, *kinds):
        """(kind, worker, what) in order, without the instants."""
        return [entry[1:] for entry in self.log if not kinds or entry[1] in kinds]

    def states(self, worker_id):
        return [(entry[0], entry[3]) for entry in self.log if entry[1:3] == ("Changed", worker_id)]


def state_of(core, worker_id):
    """The worker's state; STOPPED where there is none of that id any more."""
    return next((worker["state"] for worker in core.workers(0.0) if worker["id"] == worker_id), "STOPPED")


def endpoint(now=0.0, seed=0, platform=None, **policy):
    """An endpoint with a log; ``platform`` is a mapping of what differs."""
    return Logged(Policy(**policy), Platform(**(platform or {})), now=now, seed=seed)


def simulation(core, service=1.0, load_s=0.0, **worker):
    """With modelled workers of one service time; each draws from a stream of its own. ``load_s``: of all, or called for each."""
    numbers = itertools.count()
    law = service if callable(service) else lambda job, rng: service

    def make(worker_id):
        loads_s = load_s() if callable(load_s) else load_s
        return ModelledWorker(worker_id, service=law, rng=stream(next(numbers), "service"), load_s=loads_s, **worker)

    return Simulation(core, make)


def prompt(core, service):
    """With textbook servers."""
    numbers = itertools.count()
    return Simulation(core, lambda worker_id: PromptWorker(service, stream(next(numbers), "service")))


def jump(simulated, inputs=(), until_s=1e9):
    """Drive from wake_s() to wake_s(); ``inputs`` are (instant, call of the instant). What pump reported, with its instants."""
    reported = []
    line = [(at_s, number, call) for number, (at_s, call) in enumerate(inputs)]
    heapq.heapify(line)
    while True:
        wake_s = simulated.wake_s()
        due_s = min(x for x in (wake_s, line[0][0] if line else None, until_s) if x is not None)
        reported += [(due_s, action) for action in simulated.pump(due_s)]
        while line and line[0][0] <= due_s:
            heapq.heappop(line)[2](due_s)
        if due_s >= until_s or (simulated.wake_s() is None and not line):
            return reported + [(due_s, action) for action in simulated.pump(due_s)]


def drift(simulated, inputs, until_s, rng: random.Random):
    """The same by an irregular clock: called too often, and up to 4 ms late where something is due."""
    now, line = 0.0, sorted(inputs, key=lambda entry: entry[0])
    while now < until_s:
        wake_s = simulated.wake_s()
        late_s = until_s if wake_s is None else wake_s + rng.uniform(0, 0.004)
        step_s = now + rng.expovariate(2.0)
        now = min(max(now, min(late_s, step_s)), until_s)
        if line and line[0][0] <= now:
            at_s, call = line.pop(0)
            now = at_s
            simulated.pump(now)
            call(now)
        for _ in range(rng.randrange(3)):
            simulated.pump(now)


def submit(core, body=BODY, sync=False, into=None):
    """An input for the drivers: one job, put into the list ``into``."""

    def call(now):
        job = core.submit(body, now, sync=sync)
        if into is not None:
            into.append(job)

    return call


def low(number=0):
    """The body of a job of low priority."""
    return {"input": {"n": number}, "policy": {"lowPriority": True}}


def serving(core, now, want=1):
    """Bring up all workers that are wanted and let them poll; their ids. For tests that play the worker themselves."""
    core.actions(now)
    for _ in range(3):
        wake_s = core.wake_s()
        if any(worker["state"] in ("PULLING", "STARTING") for worker in core.workers(now)) and wake_s is not None:
            now = max(now, wake_s)
            core.actions(now)
    ids = [worker["id"] for worker in core.workers(now)]
    for worker_id in ids:
        core.ready(worker_id, now)
        core.poll(worker_id, want, now)
    return ids
