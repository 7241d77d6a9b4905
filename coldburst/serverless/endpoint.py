"""One serverless endpoint as the platform runs it: queue or balancer, scaler, workers, limits, bill.

A state machine without clock or I/O, for one thread. The driver passes ``now`` (seconds, any origin, never decreasing),
reports events and carries out what ``actions`` returns. What was due before ``now`` is done at its own instant and in order,
however late the driver is, so a wall clock and a virtual one lead to the same decisions.
"""

from __future__ import annotations

import math
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from coldburst.randomness import stream
from coldburst.serverless.actions import Action, Deliver, Streamed
from coldburst.serverless.billing import Bill
from coldburst.serverless.errors import RequestRefusedError
from coldburst.serverless.job import Job, split_chunk
from coldburst.serverless.job_queue import JobQueue
from coldburst.serverless.load_balancer import LoadBalancer
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.policy import Policy
from coldburst.serverless.rate_limits import Quota, RateLimits
from coldburst.serverless.scaler import Scaler
from coldburst.serverless.status_views import health, worker_list
from coldburst.serverless.timers import Timers
from coldburst.serverless.worker_pool import Worker, WorkerPool
from coldburst.serverless.worker_states import SERVING

# In place of an instant: something has changed since it was found.
TO_BE_FOUND = -math.inf


class Endpoint:
    """One endpoint.

    Args:
        now: start of the scaler's checks and of the rate limits' windows.
        seed: for worker ids, job ids and jitter.
        new_id: makes a job id; its argument: whether the job came by /runsync.
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
        # When something is due next, and what: the scaler, the idle time-out, or another (None).
        self._due_s = TO_BE_FOUND
        self._scale: Callable[[float], object] | None = None
        self._queues = policy.kind == "QUEUE"
        self._actions: list[Action] = []
        self._polls: OrderedDict[str, Worker] = OrderedDict()
        # When jobs that have come to waiting workers are handed over; infinity: there are none.
        self._hand_over_s = math.inf
        self._timers, emit = Timers(), self._actions.append
        self._job_ids = stream(seed, "job ids")
        self._pool = WorkerPool(policy, platform, self._timers, emit, self._worker_changed, random_for=partial(stream, seed))
        self._queue = JobQueue(platform, self._timers, emit, self._pool.vacate, new_id or self._new_id)
        self._balancer = LoadBalancer(self._pool, self._timers, emit)
        self._scaler = Scaler(self._pool, self._queue if self._queues else self._balancer, now)
        self.limits = RateLimits(platform, lambda: self._pool.serving, now)
        self._top_up(now)

    @property
    def policy(self) -> Policy:
        """The operator's present settings."""
        return self._pool.policy

    def submit(self, body: Mapping[str, Any], now: float, *, sync: bool = False) -> Job:
        """A new job; RequestRefusedError where the body is not accepted."""
        now = self._advance(now)
        job = self._queue.open(body, now, sync=sync)
        self._queued(job, now)
        return job

    def job(self, job_id: str, now: float) -> Job:
        """A job by its id; JobNotFoundError where it does not exist or has expired."""
        return self._queue.find(job_id, self._settle(now))

    def cancel(self, job_id: str, now: float) -> Job:
        """End a job that has not ended; JobNotFoundError."""
        now = self._advance(now)
        job = self._queue.find(job_id, now)
        self._queue.cancel(job, now)
        self._dispatch(now)
        return job

    def retry(self, job_id: str, now: float) -> Job:
        """Queue a FAILED or TIMED_OUT job again; JobNotFoundError, RequestRefusedError in another state."""
        now = self._advance(now)
        job = self._queue.find(job_id, now)
        self._queue.reopen(job, now)
        self._queued(job, now)
        return job

    def shorten(self, job_id: str, life_s: float, now: float) -> None:
        """Keep an ended job's result for at most ``life_s`` from now; JobNotFoundError."""
        now = self._advance(now)
        self._queue.shorten(self._queue.find(job_id, now), life_s, now)

    def purge(self, now: float) -> int:
        """End the queued jobs; their number."""
        return self._queue.purge(self._advance(now))

    def drain_stream(self, job_id: str, now: float) -> list[Any]:
        """The chunks since the last call; JobNotFoundError."""
        job = self._queue.find(job_id, self._settle(now))
        chunks, job.stream = job.stream, None
        return chunks or []

    def _queued(self, job: Job, now: float) -> None:
        if not (job.low_priority or self._pool.wanted):
            self._scaler.scale_from_zero(now)
        if self._polls and self._hand_over_s == math.inf:
            if collect_s := self.platform.hand_over_s:
                self._hand_over_s = now + collect_s
            else:
                self._dispatch(now)
        # Once it is handed over, another deadline holds.
        if job.state == "IN_QUEUE" and job.submitted_s + job.ttl_s <= self._hand_over_s:
            self._queue.watch(job)

    def _hand_over(self, now: float) -> None:
        self._hand_over_s = math.inf
        self._dispatch(now)
        self._queue.watch_waiting()

    def poll(self, worker_id: str, want: int, now: float) -> None:
        """A worker waits for up to ``want`` jobs; Deliver answers it, unless the worker is unknown or ending."""
        now = self._settle(now)
        worker = self._pool.workers.get(worker_id)
        if worker is None or want < 1:
            return
        worker.want = want
        self._polls.pop(worker_id, None)
        if worker.state in SERVING:
            self._polls[worker_id] = worker
            if self._queue.waiting or self._queue.waiting_low:
                self._dispatch(self._advance(now))

    def unpoll(self, worker_id: str) -> None:
        """The worker's poll timed out, or its connection was lost."""
        self._polls.pop(worker_id, None)
        if worker := self._pool.workers.get(worker_id):
            worker.want = 0

    def give_back(self, worker_id: str, job_ids: Iterable[str], now: float) -> None:
        """A Deliver did not reach its worker: return the jobs to the head of the queue, in order."""
        now = self._advance(now)
        for job_id in reversed(list(job_ids)):
            if job := self._queue.at_worker(worker_id, job_id):
                self._queue.give_back(job, now)
        worker = self._pool.workers.get(worker_id)
        if worker is not None and not worker.load and worker.handovers == 1:
            worker.handovers = 0
        self._dispatch(now)

    def ping(self, worker_id: str, job_ids: Iterable[str], now: float) -> None:
        """The worker is alive and has these jobs."""
        now = self._advance(now)
        for job_id in job_ids:
            if job := self._queue.at_worker(worker_id, job_id):
                self._queue.renew(job, now)

    def progress(self, worker_id: str, job_id: str, output: Any, now: float) -> None:
        """A job's preliminary output; ignored once the job has ended."""
        now = self._advance(now)
        if job := self._queue.at_worker(worker_id, job_id):
            job.output, job.has_output = output, True
            self._queue.renew(job, now)

    def stream(self, worker_id: str, job_id: str, chunk: Any, now: float) -> None:
        """A chunk of a job's output; ignored once the job has ended."""
        now = self._advance(now)
        if job := self._queue.at_worker(worker_id, job_id):
            job.stream = job.stream or []
            job.stream += split_chunk(chunk, self.platform.chunk_bytes)
            self._queue.renew(job, now)
            self._actions.append(Streamed(job))

    def done(self, worker_id: str, job_id: str, body: Mapping[str, Any], now: float) -> bool:
        """A worker's result, in the SDK's format; False where it is late or unknown, and ignored."""
        now = self._advance(now)
        if job := self._queue.at_worker(worker_id, job_id):
            if body.get("status") == "IN_PROGRESS":
                self.progress(worker_id, job_id, body.get("output"), now)
                return True
            self._queue.done(job, body, now)
        if body.get("stopPod") and (worker := self._pool.workers.get(worker_id)):
            self._pool.stop(worker, now, keep=False)
        if self._polls:
            self._dispatch(now)
        return job is not None

    def ready(self, worker_id: str, now: float) -> None:
        """The worker can take work: its first poll, the end of its load, or a successful health check."""
        now = self._advance(now)
        if worker := self._pool.workers.get(worker_id):
            self._pool.ready(worker, now)
            self._dispatch(now)

    def unhealthy(self, worker_id: str, now: float, reason: str) -> None:
        """The worker's health checks fail."""
        now = self._advance(now)
        if worker := self._pool.workers.get(worker_id):
            self._pool.unhealthy(worker, now, reason)
            self._dispatch(now)

    def gone(self, worker_id: str, now: float) -> None:
        """The worker's process has ended. Its jobs wait until their lease expires; its requests get a 502."""
        now = self._advance(now)
        if worker := self._pool.workers.get(worker_id):
            self._balancer.worker_lost(worker)
            self._pool.gone(worker, now)
            self._dispatch(now)

    def _worker_changed(self, worker: Worker, before: str, now: float) -> None:
        if worker.state not in SERVING:
            self._polls.pop(worker.id, None)
            if worker.state in ("DRAINING", "CACHED", "STOPPED"):
                self._balancer.release_bound_requests(worker)
            return
        if not self._queues:
            self._balancer.note_room(worker)
        if before not in SERVING and worker.want:
            self._polls[worker.id] = worker

    def arrive(self, request_id: str, now: float, *, affinity: str = "") -> None:
        """A request to the load balancer, answered by Forward or GiveUp; ``affinity``: the header X-Runpod-Worker-Id.

        RequestRefusedError: the id is in use, or this is a queue endpoint.
        """
        now = self._advance(now)
        if self._queues:
            raise RequestRefusedError("not allowed for QB API")
        self._balancer.arrive(request_id, now, affinity)
        if self._balancer.waiting:
            self._scaler.scale_from_zero(now)

    def left(self, request_id: str, now: float) -> None:
        """A request was answered, or its client disconnected."""
        now = self._advance(now)
        self._balancer.left(request_id, now)
        self._dispatch(now)

    def actions(self, now: float) -> list[Action]:
        """Do all that is due by ``now``; what the driver must do, in order."""
        self._settle(now)
        if not self._actions:
            return []
        pending = self._actions[:]
        self._actions.clear()
        return pending

    def due_s(self) -> float:
        """``wake_s`` as a number: infinity = not before another event."""
        if self._actions:
            return self._now
        return self._find_next() if self._due_s == TO_BE_FOUND else self._due_s

    def leave_out_changes(self) -> None:
        """From now on ``actions`` has no Changed: nobody is interested."""
        self._pool.tells_changes = False

    def wake_s(self) -> float | None:
        """When ``actions`` is due next; None = not before another event."""
        due_s = self.due_s()
        return None if due_s == math.inf else due_s

    def change(self, now: float, **settings: Any) -> None:
        """Apply settings at once: excess workers stop (busy ones after their work), missing ones start; PolicyError."""
        now = self._advance(now)
        self._pool.apply(self.policy.changed(**settings))
        self._balancer.read_settings()
        self._pool.trim(now)
        self._top_up(now)
        if self._queue.waiting or self._balancer.waiting:
            self._scaler.scale_from_zero(now)
        self._dispatch(now)

    def throttle(self, hosts: int | None, now: float) -> None:
        """Limit the workers that the hosts have room for; running ones stay. None = no limit."""
        now = self._advance(now)
        self._pool.hosts = hosts
        self._pool.place(now)

    def _advance(self, now: float) -> float:
        """Do what is due by ``now``, each at its own instant; the caller changes something."""
        if self._due_s <= now or now < self._now:
            now = self._settle(now)
        self._now, self._due_s = now, TO_BE_FOUND
        return now

    def _settle(self, now: float) -> float:
        """The same for a caller that changes nothing."""
        if now < self._now:
            now = self._now
        while self._due_s <= now and (self._due_s != TO_BE_FOUND or self._find_next() <= now):
            self._now, self._due_s = max(self._now, self._due_s), TO_BE_FOUND
            if self._now == self._hand_over_s:
                self._hand_over(self._now)
            elif self._scale is None:
                self._timers.fire()
            else:
                self._scale(self._now)
            self._dispatch(self._now)
        self._now = now
        return now

    def _find_next(self) -> float:
        """When something is due next: at one instant a hand-over goes first, then a timer, the scaler's check, an idle time-out."""
        due_s, self._scale, pool = min(self._hand_over_s, self._timers.next_s), None, self._pool
        if pool.scaled and (check_s := self._scaler.due_s(self._now)) < due_s:
            due_s, self._scale = check_s, self._scaler.check
        # No worker ends for lack of work while jobs are collected.
        if not pool.fixed and self._hand_over_s == math.inf and (idle_s := pool.idle_due_s()) < due_s:
            due_s, self._scale = idle_s, pool.stop_idle
        self._due_s = due_s
        return due_s

    def _top_up(self, now: float) -> None:
        while self._pool.wanted < self.policy.workers_min and now >= self._pool.paused_until_s:
            self._pool.add(now)

    def _dispatch(self, now: float) -> None:
        """Answer open polls, the oldest first, while there are jobs; forward held requests to workers with room."""
        if not self._queues:
            self._balancer.fill(now)
            return
        if self._hand_over_s != math.inf:
            return
        queue = self._queue
        while self._polls and (queue.waiting or queue.waiting_low):
            worker = self._polls.popitem(last=False)[1]
            jobs = queue.take(worker, self._pool.policy.execution_timeout_s, now)
            worker.want = 0
            self._pool.occupy(worker, len(jobs), now)
            self._actions.append(Deliver(worker.id, tuple(jobs)))

    def health(self, now: float) -> dict[str, dict[str, int]]:
        """RunPod's /health: ``{"jobs": {...}, "workers": {...}}``."""
        self._settle(now)
        counts = self._queue.counts() if self._queues else self._balancer.counts()
        return health(self._pool, counts)

    def workers(self, now: float) -> list[dict[str, Any]]:
        """REST v2's worker list; times in seconds of the model's clock."""
        return worker_list(self._pool, self._settle(now))

    @property
    def billed_workers(self) -> int:
        """Workers with a container, or on their way to one."""
        return self._pool.starting + self._pool.serving + self._pool.count["DRAINING"]

    def host_speed(self, worker_id: str) -> float:
        """The factor of the service times on a worker's host."""
        return self._pool.speed(worker_id)

    def open_jobs(self) -> list[Job]:
        """Jobs that have not ended: those at workers, then the queue in order."""
        return self._queue.open_jobs()

    def bill(self, now: float) -> Bill:
        """Worker time and its price so far."""
        now = self._settle(now)
        return self._pool.billing.bill((worker.span for worker in self._pool.workers.values()), now, self.price_per_s)

    def billed_usd(self, from_s: float, to_s: float, now: float) -> float:
        """What the bill has for a stretch of time."""
        now = self._settle(now)
        return self._pool.billing.within((worker.span for worker in self._pool.workers.values()), from_s, to_s, now) * self.price_per_s

    def admit(self, operation: str, now: float) -> float | None:
        """None admits a request until ``release``; otherwise (429) the seconds after which to retry."""
        return self.limits.admit(operation, self._settle(now))

    def release(self, operation: str) -> None:
        """End an admitted request."""
        self.limits.release(operation)

    def quota(self, operation: str, now: float) -> Quota | None:
        """What is left of the operation's rate limit, where answers tell it."""
        return self.limits.quota(operation, self._settle(now))

    def _new_id(self, sync: bool) -> str:
        made = uuid.UUID(int=self._job_ids.getrandbits(128), version=4)
        return f"{'sync-' if sync else ''}{made}-u1"
