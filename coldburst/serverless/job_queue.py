"""The job queue of an endpoint: leases, retries, expiry, and the one end of each job."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from functools import partial
from itertools import takewhile
from typing import Any

from coldburst.serverless.actions import Action, Ended, StopJob
from coldburst.serverless.errors import JobNotFoundError, RequestRefusedError
from coldburst.serverless.job import TERMINAL_STATES, Job
from coldburst.serverless.job_request import job_from_request
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.timers import Timer, Timers


class JobQueue:
    """All jobs that a client can still ask for, first in, first out.

    A job that a worker has is on lease: silence for ``lease_s`` ends the lease. Queues are ordered
    dictionaries, so that taking, cancelling and putting back cost the same at any length.

    Args:
        emit: takes the actions for the driver.
        on_released: called with a job that its worker no longer has; the job still names the worker.

    Attributes:
        waiting: jobs of normal priority in the queue; ``waiting_low`` those of low priority.
        leased: jobs of normal priority that workers have; ``leased_low`` those of low priority.
    """

    def __init__(
        self,
        platform: Platform,
        timers: Timers,
        emit: Callable[[Action], None],
        on_released: Callable[[Job, float], None],
        new_id: Callable[[bool], str],
    ) -> None:
        self._platform, self._timers = platform, timers
        self._emit, self._on_released, self._new_id = emit, on_released, new_id
        self._jobs: dict[str, Job] = {}
        self._deadlines: dict[str, Timer] = {}
        self.waiting: OrderedDict[str, Job] = OrderedDict()
        self.waiting_low: OrderedDict[str, Job] = OrderedDict()
        self.leased: dict[str, Job] = {}
        self.leased_low: dict[str, Job] = {}
        self.completed = self.failed = self.retried = 0
        self._kept: dict[bool, deque[tuple[float, Job]]] = {True: deque(), False: deque()}

    # look-ups and counts

    def __len__(self) -> int:
        return len(self._jobs)

    def find(self, job_id: str) -> Job:
        """A job by its id.

        Raises:
            JobNotFoundError: there is none, or its result is not kept any more.
        """
        try:
            return self._jobs[job_id]
        except KeyError:
            raise JobNotFoundError(f"there is no job {job_id!r}, or its result is not kept any more") from None

    def at_worker(self, worker_id: str, job_id: str) -> Job | None:
        """The job if this worker has it now."""
        job = self._jobs.get(job_id)
        return job if job is not None and job.state == "IN_PROGRESS" and job.worker_id == worker_id else None

    @property
    def queued(self) -> int:
        """Jobs in the queue, of either priority."""
        return len(self.waiting) + len(self.waiting_low)

    @property
    def working(self) -> int:
        """Jobs that workers have, of either priority."""
        return len(self.leased) + len(self.leased_low)

    def counts(self) -> dict[str, int]:
        """Jobs by what became of them, with the names of RunPod's /health."""
        return {
            "completed": self.completed,
            "failed": self.failed,
            "inProgress": self.working,
            "inQueue": self.queued,
            "retried": self.retried,
        }

    def open_jobs(self) -> list[Job]:
        """Jobs that have not ended: those that workers have, then the queue in its order."""
        return [*self.leased.values(), *self.leased_low.values(), *self.waiting.values(), *self.waiting_low.values()]

    def oldest_s(self) -> float | None:
        """Since when the first job of normal priority waits."""
        return next(iter(self.waiting.values())).queued_s if self.waiting else None

    # what clients do

    def open(self, body: Mapping[str, Any], now: float, *, sync: bool) -> Job:
        """A new job at the end of its queue.

        Raises:
            RequestRefusedError: the body is not accepted, or the queue is full.
        """
        limit = self._platform.queue_limit
        if limit is not None and self.queued >= limit:
            raise RequestRefusedError(f"the queue is full: {self.queued} jobs wait, and at most {limit} may", status=429)
        job = job_from_request(self._new_id(sync), body, now, sync=sync, platform=self._platform)
        self._jobs[job.id] = job
        self._enqueue(job, now)
        return job

    def cancel(self, job: Job, now: float) -> None:
        """End a job that has not ended."""
        if job.state not in TERMINAL_STATES:
            self._stop_at_worker(job)
            self.end(job, "CANCELLED", "cancelled", now)

    def reopen(self, job: Job, now: float) -> None:
        """A failed job once more, with its own id and input, at the end of the queue.

        Raises:
            RequestRefusedError: it has not failed.
        """
        if job.state not in ("FAILED", "TIMED_OUT"):
            raise RequestRefusedError(f"job {job.id} is {job.state}: only FAILED and TIMED_OUT jobs can be tried again")
        job.output, job.has_output, job.error, job.reason = None, False, None, ""
        job.finished_s = None
        job.retries = 0
        job.opened += 1
        job.stream = []
        self._enqueue(job, now)

    def shorten(self, job: Job, life_s: float, now: float) -> None:
        """Keep the result of a job that has ended for no longer than ``life_s``; one that has not is left as it is."""
        if job.state not in TERMINAL_STATES or job.finished_s is None:
            return
        keep_s = self._platform.keep_sync_s if job.sync else self._platform.keep_run_s
        deadline = self._deadlines.get(job.id)
        if now + life_s < (job.finished_s + keep_s if deadline is None else deadline.due_s):
            self._set_timer(job, now + life_s, self._ttl_expired)

    def purge(self, now: float) -> int:
        """End all queued jobs; how many they were."""
        queued = [*self.waiting.values(), *self.waiting_low.values()]
        for job in queued:
            self.end(job, self._platform.purge_state, "purged", now)
        return len(queued)

    # what workers do

    def take(self, worker_id: str, number: int, execution_timeout_s: float, now: float) -> list[Job]:
        """Lease up to ``number`` jobs to a worker: those of normal priority first."""
        taken: list[Job] = []
        while len(taken) < number and (self.waiting or self.waiting_low):
            job = (self.waiting or self.waiting_low).popitem(last=False)[1]
            job.state, job.worker_id = "IN_PROGRESS", worker_id
            job.taken_s, job.lease_until_s = now, now + self._platform.lease_s
            own_s = job.own_execution_timeout_s
            job.execution_timeout_s = execution_timeout_s if own_s is None else own_s
            (self.leased_low if job.low_priority else self.leased)[job.id] = job
            self._set_deadline(job)
            taken.append(job)
        return taken

    def give_back(self, job: Job, now: float) -> None:
        """The job never reached its worker: to the head of the queue, as if it had not been taken."""
        self._end_lease(job, now)
        self._enqueue(job, job.queued_s, head=True)

    def renew(self, job: Job, now: float) -> None:
        """Extend the lease: the worker has reported on the job."""
        job.lease_until_s = now + self._platform.lease_s
        self._set_deadline(job)

    def done(self, job: Job, body: Mapping[str, Any], now: float) -> None:
        """The result that its worker sent. Source of the rules: production, and the SDK's own shapes.

        An error that is no text gives COMPLETED without output.
        """
        error = body.get("error")
        if error is not None and not isinstance(error, str):
            job.output, job.has_output = None, False
            self.end(job, "COMPLETED", "done", now)
            return
        job.has_output = "output" in body
        job.output = body.get("output")
        job.error = error
        self.end(job, "COMPLETED" if error is None else "FAILED", "done" if error is None else "error", now)

    # the end of a job

    def end(self, job: Job, state: str, reason: str, now: float) -> None:
        """The job's one end."""
        leased = job.state == "IN_PROGRESS"
        if not leased:
            (self.waiting_low if job.low_priority else self.waiting).pop(job.id)
        self._timers.cancel(self._deadlines.pop(job.id, None))
        job.state, job.reason, job.finished_s = state, reason, now
        self._keep(job, now)
        self._emit(Ended(job))
        if leased:
            self._end_lease(job, now)

    def _keep(self, job: Job, now: float) -> None:
        """Count the end, and hold the result for as long as it is kept."""
        if job.reason == "ttl":
            del self._jobs[job.id]
            return
        self.completed += job.state == "COMPLETED"
        self.failed += job.state in ("FAILED", "TIMED_OUT")
        due_s = now + (self._platform.keep_sync_s if job.sync else self._platform.keep_run_s)
        if due_s <= job.submitted_s + job.ttl_s:
            self._kept[job.sync].append((due_s, job))
        else:
            self._set_deadline(job)

    def drop_expired_results(self, now: float) -> None:
        """Drop results that are not kept any more."""
        for sync, kept in self._kept.items():
            keep_s = self._platform.keep_sync_s if sync else self._platform.keep_run_s
            while kept and kept[0][0] <= now:
                due_s, job = kept.popleft()
                if job.finished_s is not None and job.finished_s + keep_s == due_s:
                    self._remove(job)

    def _remove(self, job: Job) -> None:
        self._jobs.pop(job.id, None)
        self._timers.cancel(self._deadlines.pop(job.id, None))

    # deadlines

    def _set_deadline(self, job: Job) -> None:
        """Set the job's one timer to the first of its deadlines."""
        due_s = job.submitted_s + job.ttl_s
        if job.state == "IN_PROGRESS":
            due_s = min(due_s, job.lease_until_s, self._execution_deadline_s(job))
        self._set_timer(job, due_s, self._expire)

    def _set_timer(self, job: Job, due_s: float, call: Callable[[Job, float], None]) -> None:
        self._timers.cancel(self._deadlines.get(job.id))
        self._deadlines[job.id] = self._timers.at(due_s, partial(call, job))

    @staticmethod
    def _execution_deadline_s(job: Job) -> float:
        limit_s = job.execution_timeout_s
        return (job.taken_s or 0.0) + limit_s if limit_s else float("inf")

    def _expire(self, job: Job, now: float) -> None:
        if job.submitted_s + job.ttl_s <= now:
            self._ttl_expired(job, now)
        elif self._execution_deadline_s(job) <= now:
            self._stop_at_worker(job)
            job.error = self._platform.execution_timeout_error
            self.end(job, self._platform.execution_timeout_state, "execution time-out", now)
        else:
            self._lease_expired(job, now)

    def _ttl_expired(self, job: Job, now: float) -> None:
        """The job's ttl is over: it is removed in any state, and asking for it gives 404."""
        if job.state in TERMINAL_STATES:
            self._remove(job)
            return
        self._stop_at_worker(job)
        self.end(job, "TIMED_OUT", "ttl", now)

    def _lease_expired(self, job: Job, now: float) -> None:
        """The worker was silent for the whole lease: the job is queued again, or has failed."""
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
        for other in reversed(ahead):  # those whose lease ended at this same instant stay before it
            queue.move_to_end(other.id, last=False)

    # queue and lease

    def _enqueue(self, job: Job, since_s: float, *, head: bool = False) -> None:
        queue = self.waiting_low if job.low_priority else self.waiting
        job.state, job.queued_s = "IN_QUEUE", since_s
        job.worker_id, job.taken_s, job.worker_ready_s, job.cold = "", None, None, False
        queue[job.id] = job
        if head:
            queue.move_to_end(job.id, last=False)
        self._set_deadline(job)

    def _end_lease(self, job: Job, now: float) -> None:
        del (self.leased_low if job.low_priority else self.leased)[job.id]
        self._on_released(job, now)

    def _stop_at_worker(self, job: Job) -> None:
        if job.state == "IN_PROGRESS":
            self._emit(StopJob(job.worker_id, job.id))
