"""The job queue of an endpoint: leases, retries, expiry, and one end for each job."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Any

from coldburst.serverless.actions import Action, Ended, StopJob
from coldburst.serverless.errors import JobNotFoundError, RequestRefusedError, short_repr
from coldburst.serverless.job import TERMINAL_STATES, Job
from coldburst.serverless.line import Load
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.timers import Timers
from coldburst.serverless.worker_pool import Worker


class JobQueue:
    """All jobs that have not expired, first in, first out.

    A job at a worker is on lease, which ends after ``lease_s`` of silence. Queues are ordered dictionaries: taking, cancelling and
    returning a job cost the same at any length.

    Args:
        on_released: called with the id of a worker that no longer has a job.

    Attributes:
        waiting, waiting_low: queued jobs of normal and of low priority.
        leased, leased_low: jobs at workers.
    """

    def __init__(
        self,
        platform: Platform,
        timers: Timers,
        emit: Callable[[Action], None],
        on_released: Callable[[str, float], object],
        new_id: Callable[[bool], str],
    ) -> None:
        self._platform, self._timers = platform, timers
        self._emit, self._on_released, self._new_id = emit, on_released, new_id
        self._jobs: dict[str, Job] = {}
        self.waiting: OrderedDict[str, Job] = OrderedDict()
        self.waiting_low: OrderedDict[str, Job] = OrderedDict()
        self.leased: dict[str, Job] = {}
        self.leased_low: dict[str, Job] = {}
        self.completed = self.failed = self.retried = 0
        self._kept: dict[bool, deque[tuple[float, Job]]] = {True: deque(), False: deque()}
        # When a new job next drops expired results; ``find`` does so at once.
        self._sweep_s = -math.inf

    def __len__(self) -> int:
        return len(self._jobs)

    def find(self, job_id: str, now: float) -> Job:
        """A job by its id; JobNotFoundError where it does not exist or has expired."""
        self._drop_expired_results(now)
        try:
            return self._jobs[job_id]
        except KeyError:
            raise JobNotFoundError(f"job {job_id!r} does not exist or has expired") from None

    def at_worker(self, worker_id: str, job_id: str) -> Job | None:
        """The job, if this worker has it now."""
        job = self._jobs.get(job_id)
        return job if job is not None and job.state == "IN_PROGRESS" and job.worker_id == worker_id else None

    @property
    def queued(self) -> int:
        """Queued jobs of both priorities."""
        return len(self.waiting) + len(self.waiting_low)

    @property
    def working(self) -> int:
        """Jobs at workers."""
        return len(self.leased) + len(self.leased_low)

    def counts(self) -> dict[str, int]:
        """The counts of RunPod's /health."""
        return {
            "completed": self.completed,
            "failed": self.failed,
            "inProgress": self.working,
            "inQueue": self.queued,
            "retried": self.retried,
        }

    def open_jobs(self) -> list[Job]:
        """Jobs that have not ended: those at workers, then the queue in order."""
        return [*self.leased.values(), *self.leased_low.values(), *self.waiting.values(), *self.waiting_low.values()]

    def load(self) -> Load:
        """See Line."""
        return Load(len(self.waiting), len(self.leased))

    def oldest_s(self) -> float | None:
        """See Line."""
        return next(iter(self.waiting.values())).queued_s if self.waiting else None

    def open(self, body: Mapping[str, Any], now: float, *, sync: bool) -> Job:
        """A new job at the end of its queue; RequestRefusedError for its body, or where the queue is full.

        ``watch`` sets its deadline, unless a worker takes it at once.
        """
        if now >= self._sweep_s:
            self._sweep_s = now + min(self._platform.keep_sync_s, self._platform.keep_run_s)
            self._drop_expired_results(now)
        limit = self._platform.queue_limit
        if limit is not None and self.queued >= limit:
            raise RequestRefusedError(f"the queue is full: {self.queued} jobs are waiting, the limit is {limit}", status=429)
        job = _job_from_request(self._new_id(sync), body, now, sync=sync, platform=self._platform)
        self._jobs[job.id] = job
        (self.waiting_low if job.low_priority else self.waiting)[job.id] = job
        return job

    def cancel(self, job: Job, now: float) -> None:
        """End a job that has not ended."""
        if job.state not in TERMINAL_STATES:
            self._stop_at_worker(job)
            self.end(job, "CANCELLED", "cancelled", now)

    def reopen(self, job: Job, now: float) -> None:
        """Queue a failed job again, with its id and input; RequestRefusedError where it has not failed."""
        if job.state not in ("FAILED", "TIMED_OUT"):
            raise RequestRefusedError(f"job {job.id} is {job.state}: only FAILED and TIMED_OUT jobs can be retried")
        job.output, job.has_output, job.error, job.reason = None, False, None, ""
        job.finished_s = None
        job.retries = 0
        job.opened += 1
        job.stream = None
        self._enqueue(job, now)

    def shorten(self, job: Job, life_s: float, now: float) -> None:
        """Keep an ended job's result for at most ``life_s``; other jobs are left alone."""
        if job.state not in TERMINAL_STATES or job.finished_s is None:
            return
        keep_s = self._platform.keep_sync_s if job.sync else self._platform.keep_run_s
        if now + life_s < (job.finished_s + keep_s if job.timer is None else job.timer[0]):
            self._timers.cancel(job.timer)
            job.timer = self._timers.at(now + life_s, self._ttl_expired, job)

    def purge(self, now: float) -> int:
        """End all queued jobs; their number."""
        queued = [*self.waiting.values(), *self.waiting_low.values()]
        for job in queued:
            self.end(job, self._platform.purge_state, "purged", now)
        return len(queued)

    def take(self, worker: Worker, execution_timeout_s: float, now: float) -> list[Job]:
        """Lease up to as many jobs as it wants to a worker, those of normal priority first."""
        taken: list[Job] = []
        lease_until_s, ready_s = now + self._platform.lease_s, worker.ready_s or 0.0
        while len(taken) < worker.want and (queue := self.waiting or self.waiting_low):
            job = queue.popitem(last=False)[1]
            job.state, job.worker_id, job.worker_ready_s = "IN_PROGRESS", worker.id, ready_s
            job.taken_s, job.lease_until_s = now, lease_until_s
            job.cold = not worker.handovers and job.submitted_s < ready_s
            limit_s = execution_timeout_s if job.own_execution_timeout_s is None else job.own_execution_timeout_s
            job.execute_until_s = now + limit_s if limit_s else math.inf
            (self.leased_low if job.low_priority else self.leased)[job.id] = job
            self.watch(job)
            taken.append(job)
        return taken

    def give_back(self, job: Job, now: float) -> None:
        """Return a job that did not reach its worker to the head of the queue, as if it had not been taken."""
        self._end_lease(job, now)
        self._enqueue(job, job.queued_s, head=True)

    def renew(self, job: Job, now: float) -> None:
        """Extend the lease: the worker has reported on the job."""
        job.lease_until_s = now + self._platform.lease_s
        self.watch(job)

    def done(self, job: Job, body: Mapping[str, Any], now: float) -> None:
        """End a job with its worker's result. As in production, an error that is not text gives COMPLETED without output."""
        error = body.get("error")
        if error is not None and not isinstance(error, str):
            job.output, job.has_output = None, False
            self.end(job, "COMPLETED", "done", now)
            return
        job.has_output, job.output = "output" in body, body.get("output")
        if error is None:
            self.end(job, "COMPLETED", "done", now)
        else:
            job.error = error
            self.end(job, "FAILED", "error", now)

    def end(self, job: Job, state: str, reason: str, now: float) -> None:
        """End a job."""
        leased = job.state == "IN_PROGRESS"
        if not leased:
            (self.waiting_low if job.low_priority else self.waiting).pop(job.id)
        self._timers.cancel(job.timer)
        job.timer = None
        job.state, job.reason, job.finished_s = state, reason, now
        if reason == "ttl":
            del self._jobs[job.id]
        else:
            self._keep(job, now)
        self._emit(Ended(job))
        if leased:
            self._end_lease(job, now)

    def _keep(self, job: Job, now: float) -> None:
        """Count the end, and keep the result for its time."""
        if job.state == "COMPLETED":
            self.completed += 1
        elif job.state != "CANCELLED":
            self.failed += 1
        due_s = now + (self._platform.keep_sync_s if job.sync else self._platform.keep_run_s)
        if due_s <= job.submitted_s + job.ttl_s:
            self._kept[job.sync].append((due_s, job))
        else:
            self.watch(job)

    def _drop_expired_results(self, now: float) -> None:
        """Drop results whose time is over."""
        for sync, kept in self._kept.items():
            while kept and kept[0][0] <= now:
                due_s, job = kept.popleft()
                keep_s = self._platform.keep_sync_s if sync else self._platform.keep_run_s
                if job.finished_s is not None and job.finished_s + keep_s == due_s:
                    self._remove(job)

    def _remove(self, job: Job) -> None:
        self._jobs.pop(job.id, None)
        self._timers.cancel(job.timer)
        job.timer = None

    def watch(self, job: Job) -> None:
        """Set the job's timer to its next deadline."""
        due_s = job.submitted_s + job.ttl_s
        if job.state == "IN_PROGRESS":
            if job.lease_until_s < due_s:
                due_s = job.lease_until_s
            if job.execute_until_s < due_s:
                due_s = job.execute_until_s
        if job.timer is not None:
            self._timers.cancel(job.timer)
        job.timer = self._timers.at(due_s, self._expire, job)

    def watch_waiting(self) -> None:
        """Watch the queued jobs that are not watched yet."""
        for job in (*self.waiting.values(), *self.waiting_low.values()):
            if job.timer is None:
                self.watch(job)

    def _expire(self, job: Job, now: float) -> None:
        if job.submitted_s + job.ttl_s <= now:
            self._ttl_expired(job, now)
        elif job.execute_until_s <= now:
            self._stop_at_worker(job)
            job.error = self._platform.execution_timeout_error
            self.end(job, self._platform.execution_timeout_state, "execution time-out", now)
        else:
            self._lease_expired(job, now)

    def _ttl_expired(self, job: Job, now: float) -> None:
        """Remove the job in any state; its status is then 404."""
        if job.state in TERMINAL_STATES:
            self._remove(job)
            return
        self._stop_at_worker(job)
        self.end(job, "TIMED_OUT", "ttl", now)

    def _lease_expired(self, job: Job, now: float) -> None:
        """Queue the job again after its worker's silence, or fail it."""
        if job.retries >= self._platform.job_retries:
            job.error = f"job timed out after {job.retries} retries"
            self.end(job, "FAILED", "lease expired", now)
            return
        job.retries += 1
        self.retried += 1
        self._end_lease(job, now)
        if not self._platform.requeue_first:
            self._enqueue(job, now)
            return
        queue = self.waiting_low if job.low_priority else self.waiting
        ahead = list(takewhile(lambda other: other.retries and other.queued_s == now, queue.values()))
        self._enqueue(job, now, head=True)
        for other in reversed(ahead):  # jobs whose lease expired at the same instant stay before it
            queue.move_to_end(other.id, last=False)

    def _enqueue(self, job: Job, since_s: float, *, head: bool = False) -> None:
        queue = self.waiting_low if job.low_priority else self.waiting
        job.state, job.queued_s = "IN_QUEUE", since_s
        job.worker_id, job.taken_s, job.worker_ready_s, job.cold = "", None, None, False
        queue[job.id] = job
        if head:
            queue.move_to_end(job.id, last=False)
        self.watch(job)

    def _end_lease(self, job: Job, now: float) -> None:
        del (self.leased_low if job.low_priority else self.leased)[job.id]
        self._on_released(job.worker_id, now)

    def _stop_at_worker(self, job: Job) -> None:
        if job.state == "IN_PROGRESS":
            self._emit(StopJob(job.worker_id, job.id))


def _job_from_request(job_id: str, body: Mapping[str, Any], now: float, *, sync: bool, platform: Platform) -> Job:
    """A new job from a request's body; RequestRefusedError where ``input`` is missing or ``policy`` is out of bounds."""
    if "input" not in body or body["input"] is None:
        raise RequestRefusedError('the body has no "input": send {"input": {...}}')
    policy = body.get("policy")
    if policy is None:
        return Job(job_id, sync, body, "IN_QUEUE", now, now, platform.ttl_s)
    if not isinstance(policy, Mapping):
        raise RequestRefusedError(f'"policy" is {short_repr(policy)}: send an object such as {{"executionTimeout": 60000}}')
    ttl_s = _limit_s(policy, "ttl", platform.ttl_min_s, platform.policy_max_s)
    return Job(
        job_id,
        sync,
        body,
        "IN_QUEUE",
        now,
        now,
        platform.ttl_s if ttl_s is None else ttl_s,
        low_priority=policy.get("lowPriority") is True,
        own_execution_timeout_s=_limit_s(policy, "executionTimeout", platform.execution_timeout_min_s, platform.policy_max_s),
    )


def _limit_s(policy: Mapping[str, Any], key: str, least_s: float, most_s: float) -> float | None:
    value = policy.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least_s * 1000 <= value <= most_s * 1000:
        raise RequestRefusedError(
            f'"policy.{key}" is {short_repr(value)}: give milliseconds from {least_s * 1000:.0f} to {most_s * 1000:.0f}'
        )
    return value / 1000
