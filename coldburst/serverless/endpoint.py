"""One serverless endpoint as the platform runs it: queue or balancer, scaler, workers, limits, bill.

A state machine without clock and I/O. Whoever drives it hands in ``now`` (seconds, any origin, never
decreasing), tells it what happened and does what ``actions`` asks for. What is due before ``now`` is
done at its own instant, in order, however late the driver comes; so a wall clock and a virtual one
take the same decisions. One thread.
"""

from __future__ import annotations

import math
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from coldburst.randomness import stream
from coldburst.serverless.actions import Action, Deliver
from coldburst.serverless.billing import Bill
from coldburst.serverless.job import Job, Refused, pieces
from coldburst.serverless.job_queue import JobQueue
from coldburst.serverless.load_balancer import LoadBalancer
from coldburst.serverless.policy import Platform, Policy
from coldburst.serverless.rate_limits import RateLimits
from coldburst.serverless.scaler import Load, Scaler
from coldburst.serverless.status_views import health, worker_list
from coldburst.serverless.timers import Timers
from coldburst.serverless.worker_pool import SERVING, Worker, WorkerPool


class Endpoint:
    """One endpoint.

    Args:
        policy, platform: what the operator set; what the platform does.
        now: the present instant; the scaler's checks and the rate limits' windows count from here.
        seed: of worker ids, job ids and jitter.
        name: the endpoint's id.
        new_id: makes a job id; its argument is whether the job came by /runsync.
        price_per_s: USD per worker-second.
    """

    def __init__(
        self,
        policy: Policy,
        platform: Platform = Platform(),  # noqa: B008 - frozen
        *,
        now: float = 0.0,
        seed: int = 0,
        name: str = "demo",
        new_id: Callable[[bool], str] | None = None,
        price_per_s: float = 0.0,
    ) -> None:
        self.platform, self.name, self.price_per_s = platform, name, price_per_s
        self._now = now
        self._out: list[Action] = []
        self._polls: OrderedDict[str, Worker] = OrderedDict()
        self._timers = Timers()
        self._job_ids = stream(seed, "job ids")
        luck, ids = stream(seed, "worker times"), stream(seed, "worker ids")
        self._fleet = WorkerPool(policy, platform, self._timers, self._out_append, self._moved, ids=ids, luck=luck)
        self._book = JobQueue(platform, self._timers, self._out_append, self._job_left, new_id or self._new_id)
        self._balancer = LoadBalancer(self._fleet, self._timers, self._out_append)
        self._scaler = Scaler(self._fleet, self._load, now)
        self._limits = RateLimits(platform, lambda: self._fleet.serving, now)
        self._top_up(now)

    @property
    def policy(self) -> Policy:
        """What the operator set last."""
        return self._fleet.policy

    # jobs, client side

    def submit(self, body: Mapping[str, Any], now: float, *, sync: bool = False) -> Job:
        """A new job.

        Raises:
            Refused: the body is not accepted.
        """
        now = self._to(now)
        job = self._book.open(body, now, sync=sync)
        self._queued(job, now)
        return job

    def job(self, job_id: str, now: float) -> Job:
        """A job by its id.

        Raises:
            NotFound: there is none, or its ttl or its result's life is over.
        """
        self._to(now)
        return self._book.find(job_id)

    def cancel(self, job_id: str, now: float) -> Job:
        """End a job; one that has ended stays as it is.

        Raises:
            NotFound: there is none.
        """
        now = self._to(now)
        job = self._book.find(job_id)
        self._book.cancel(job, now)
        self._dispatch(now)
        return job

    def retry(self, job_id: str, now: float) -> Job:
        """A FAILED or TIMED_OUT job once more.

        Raises:
            NotFound: there is none.
            Refused: it is in another state.
        """
        now = self._to(now)
        job = self._book.find(job_id)
        self._book.reopen(job, now)
        self._queued(job, now)
        return job

    def shorten(self, job_id: str, life_s: float, now: float) -> None:
        """Keep the result of a job that has ended for no longer than ``life_s`` from now.

        Raises:
            NotFound: there is no such job.
        """
        now = self._to(now)
        self._book.shorten(self._book.find(job_id), life_s, now)

    def purge(self, now: float) -> int:
        """End the queued jobs; how many they were."""
        return self._book.purge(self._to(now))

    def drain_stream(self, job_id: str, now: float) -> list[Any]:
        """The chunks since the last call.

        Raises:
            NotFound: there is no such job.
        """
        self._to(now)
        job = self._book.find(job_id)
        chunks, job.stream = job.stream, []
        return chunks

    def _queued(self, job: Job, now: float) -> None:
        if not job.low_priority:
            self._scaler.first(now)
        self._dispatch(now)

    # jobs, worker side

    def poll(self, worker_id: str, want: int, now: float) -> None:
        """The worker waits for up to ``want`` jobs; answered by Deliver. Of an unknown or ending worker: never answered."""
        now = self._to(now)
        worker = self._fleet.workers.get(worker_id)
        if worker is None or want < 1:
            return
        worker.want = want
        self._polls.pop(worker_id, None)
        if worker.state in SERVING:
            self._polls[worker_id] = worker
            self._dispatch(now)

    def unpoll(self, worker_id: str) -> None:
        """The worker waits no more: the poll's time is over, or its connection lost."""
        self._polls.pop(worker_id, None)
        worker = self._fleet.workers.get(worker_id)
        if worker is not None:
            worker.want = 0

    def give_back(self, worker_id: str, job_ids: Iterable[str], now: float) -> None:
        """A Deliver did not reach its worker: the jobs return to the head of the queue, in their order."""
        now = self._to(now)
        for job_id in reversed(list(job_ids)):
            job = self._book.at_worker(worker_id, job_id)
            if job is not None:
                self._book.give_back(job, now)
        worker = self._fleet.workers.get(worker_id)
        if worker is not None and not worker.load and worker.handovers == 1:
            worker.handovers = 0
        self._dispatch(now)

    def ping(self, worker_id: str, job_ids: Iterable[str], now: float) -> None:
        """The worker lives and says which jobs it has."""
        now = self._to(now)
        for job_id in job_ids:
            job = self._book.at_worker(worker_id, job_id)
            if job is not None:
                self._book.renew(job, now)

    def progress(self, worker_id: str, job_id: str, output: Any, now: float) -> None:
        """A job's preliminary output; ignored once the job has ended."""
        now = self._to(now)
        job = self._book.at_worker(worker_id, job_id)
        if job is not None:
            job.output, job.has_output = output, True
            self._book.renew(job, now)

    def stream(self, worker_id: str, job_id: str, chunk: Any, now: float) -> None:
        """A chunk of a job's output; ignored once the job has ended."""
        now = self._to(now)
        job = self._book.at_worker(worker_id, job_id)
        if job is not None:
            job.stream += pieces(chunk, self.platform.chunk_bytes)
            self._book.renew(job, now)

    def done(self, worker_id: str, job_id: str, body: Mapping[str, Any], now: float) -> bool:
        """A worker's result, with the SDK's shapes; False = late or unknown, and ignored."""
        now = self._to(now)
        job = self._book.at_worker(worker_id, job_id)
        if job is not None:
            if body.get("status") == "IN_PROGRESS":
                self.progress(worker_id, job_id, body.get("output"), now)
                return True
            self._book.done(job, body, now)
        if body.get("stopPod"):
            worker = self._fleet.workers.get(worker_id)
            if worker is not None:
                self._fleet.stop(worker, now, keep=False)
        self._dispatch(now)
        return job is not None

    def _job_left(self, job: Job, now: float) -> None:
        worker = self._fleet.workers.get(job.worker_id)
        if worker is not None:
            self._fleet.vacate(worker, now)

    # worker life

    def state_of(self, worker_id: str) -> str:
        """The worker's state; STOPPED where there is none of that id any more."""
        worker = self._fleet.workers.get(worker_id)
        return "STOPPED" if worker is None else worker.state

    def ready(self, worker_id: str, now: float) -> None:
        """The worker can be given work: its first poll, the end of its load, a successful check."""
        now = self._to(now)
        worker = self._fleet.workers.get(worker_id)
        if worker is not None:
            self._fleet.ready(worker, now)
            self._dispatch(now)

    def unhealthy(self, worker_id: str, now: float, reason: str) -> None:
        """The worker's checks fail."""
        now = self._to(now)
        worker = self._fleet.workers.get(worker_id)
        if worker is not None:
            self._fleet.unhealthy(worker, now, reason)
            self._dispatch(now)

    def gone(self, worker_id: str, now: float) -> None:
        """The worker's process has ended. Its jobs wait for the end of their lease, its requests are answered with 502."""
        now = self._to(now)
        worker = self._fleet.workers.get(worker_id)
        if worker is not None:
            self._balancer.lost(worker)
            self._fleet.gone(worker, now)
            self._dispatch(now)

    def _moved(self, worker: Worker, before: str, now: float) -> None:
        if worker.state not in SERVING:
            self._polls.pop(worker.id, None)
            if worker.state in ("DRAINING", "CACHED", "STOPPED"):
                self._balancer.release_bound_requests(worker)
        elif before not in SERVING and worker.want:
            self._polls[worker.id] = worker

    # load balancer

    def arrive(self, request_id: str, now: float, *, affinity: str = "") -> None:
        """A request: answered by Forward, or in the end by GiveUp. ``affinity`` is the header X-Runpod-Worker-Id.

        Raises:
            Refused: that id is in use, or this is a queue endpoint.
        """
        now = self._to(now)
        if self.policy.kind != "LOAD_BALANCER":
            raise Refused("not allowed for QB API")
        self._balancer.arrive(request_id, now, affinity)
        if self._balancer.waiting:
            self._scaler.first(now)

    def left(self, request_id: str, now: float) -> None:
        """A request was answered, or its client went away."""
        now = self._to(now)
        self._balancer.left(request_id, now)
        self._dispatch(now)

    # time and settings

    def actions(self, now: float) -> list[Action]:
        """Does all that is due by now; what the driver must do, in order."""
        self._to(now)
        out = self._out[:]
        self._out.clear()
        return out

    def wake_s(self) -> float | None:
        """The next instant at which ``actions`` would have something to do; None = nothing, unless something happens."""
        due_s = self._now if self._out else self._next()[0]
        return None if due_s == math.inf else due_s

    def change(self, now: float, **settings: Any) -> None:
        """Other settings, at once: too many workers are sent away (the busy ones after their work), too few are made up.

        Raises:
            PolicyError: a setting that cannot be.
        """
        now = self._to(now)
        self._fleet.policy = self.policy.changed(**settings)
        self._fleet.trim(now)
        self._top_up(now)
        if self._load().waiting:
            self._scaler.first(now)
        self._dispatch(now)

    def throttle(self, hosts: int | None, now: float) -> None:
        """The hosts have room for so many workers from now on; those that run stay. None = no bound."""
        now = self._to(now)
        self._fleet.hosts = hosts
        self._fleet.place(now)

    def _to(self, now: float) -> float:
        """Do what is due by ``now``, each at its own instant."""
        now = max(now, self._now)
        while (due := self._next())[0] <= now:
            self._now = max(self._now, due[0])
            due[1](self._now)
            self._dispatch(self._now)
        self._now = now
        self._book.forget(now)
        return now

    def _next(self) -> tuple[float, Callable[[float], object]]:
        """What is due next, and when: a timer, a check of the scaler, an idle time-out, in this order at one instant."""
        due_s, do = self._timers.due_s(), self._timers.fire
        check_s, idle_s = self._scaler.due_s(self._now), self._fleet.idle_due_s()
        if check_s < due_s and check_s <= idle_s:
            return check_s, self._scaler.check
        return (idle_s, self._fleet.stop_idle) if idle_s < due_s else (due_s, do)

    def _top_up(self, now: float) -> None:
        while self._fleet.wanted < self.policy.workers_min and now >= self._fleet.held_until_s:
            self._fleet.add(now)

    def _dispatch(self, now: float) -> None:
        """Answer standing polls, the longest first, while there are jobs; give requests that are held to who has room."""
        while self._polls and self._book.queued:
            worker = self._polls.popitem(last=False)[1]
            jobs = self._book.take(worker.id, worker.want, self.policy.execution_timeout_s, now)
            worker.want = 0
            ready_s = worker.ready_s or 0.0
            first = self._fleet.occupy(worker, len(jobs), now)
            for job in jobs:
                job.worker_ready_s = ready_s
                job.cold = first and job.submitted_s < ready_s
            self._out.append(Deliver(worker.id, tuple(jobs)))
        self._balancer.fill(now)

    def _load(self) -> Load:
        """What the scaler counts."""
        if self.policy.kind == "QUEUE":
            return Load(len(self._book.waiting), len(self._book.lent), self._book.oldest_s())
        return Load(self._balancer.waiting, self._balancer.working, self._balancer.oldest_s())

    # what it says of itself

    def health(self, now: float) -> dict[str, dict[str, int]]:
        """RunPod's /health, with its peculiarities: ``{"jobs": {...}, "workers": {...}}``."""
        self._to(now)
        return health(self._fleet, self._book, self._balancer)

    def workers(self, now: float) -> list[dict[str, Any]]:
        """REST v2's worker list; seconds by the core's clock, ``state`` is the core's own word."""
        return worker_list(self._fleet, self._to(now))

    def open_jobs(self) -> list[Job]:
        """Jobs that have not ended: those that workers have, then the queue in its order."""
        return self._book.open_jobs()

    def bill(self, now: float) -> Bill:
        """Worker time and its price so far."""
        now = self._to(now)
        return self._fleet.meter.bill((worker.span for worker in self._fleet.workers.values()), now, self.price_per_s)

    def admit(self, operation: str, now: float) -> float | None:
        """Let a request of this operation in (None, until ``release``), or the seconds after which to try again (429)."""
        return self._limits.admit(operation, self._to(now))

    def release(self, operation: str) -> None:
        """The request that was let in has been answered."""
        self._limits.release(operation)

    def _out_append(self, action: Action) -> None:
        self._out.append(action)

    def _new_id(self, sync: bool) -> str:
        made = uuid.UUID(int=self._job_ids.getrandbits(128), version=4)
        return f"{'sync-' if sync else ''}{made}-u1"
