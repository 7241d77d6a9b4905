"""The jobs of a queue endpoint: first in, first out, lent to workers, each ended exactly once."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Any

from coldburst.serverless.actions import Action, Ended, StopJob
from coldburst.serverless.job import Job, NotFound, Refused, opened
from coldburst.serverless.policy import TERMINAL, Platform
from coldburst.serverless.timers import Timers


class JobQueue:
    """All jobs that can still be asked after.

    A job that a worker has is on lease: silence for ``lease_s`` ends the lease. Queues are ordered
    dictionaries, so that taking, cancelling and putting back cost the same at any length.

    Args:
        left: called with a job that its worker has no more; the job still names the worker.

    Attributes:
        waiting: jobs of normal priority in the queue; ``waiting_low`` those of low priority.
        lent: jobs of normal priority that workers have; ``lent_low`` those of low priority.
    """

    def __init__(
        self,
        platform: Platform,
        timers: Timers,
        tell: Callable[[Action], None],
        left: Callable[[Job, float], None],
        new_id: Callable[[bool], str],
    ) -> None:
        self._platform, self._timers = platform, timers
        self._tell, self._left, self._new_id = tell, left, new_id
        self._jobs: dict[str, Job] = {}
        self.waiting: OrderedDict[str, Job] = OrderedDict()
        self.waiting_low: OrderedDict[str, Job] = OrderedDict()
        self.lent: dict[str, Job] = {}
        self.lent_low: dict[str, Job] = {}
        self.completed = self.failed = self.retried = 0
        self._kept: dict[bool, deque[tuple[float, Job]]] = {True: deque(), False: deque()}

    # what it is asked

    def __len__(self) -> int:
        return len(self._jobs)

    def find(self, job_id: str) -> Job:
        """A job by its id.

        Raises:
            NotFound: there is none, or its result is not kept any more.
        """
        try:
            return self._jobs[job_id]
        except KeyError:
            raise NotFound(f"there is no job {job_id!r}, or its result is not kept any more") from None

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
        return len(self.lent) + len(self.lent_low)

    def open_jobs(self) -> list[Job]:
        """Jobs that have not ended: those that workers have, then the queue in its order."""
        return [*self.lent.values(), *self.lent_low.values(), *self.waiting.values(), *self.waiting_low.values()]

    def oldest_s(self) -> float | None:
        """Since when the first job of normal priority waits."""
        return next(iter(self.waiting.values())).queued_s if self.waiting else None

    # what clients do

    def open(self, body: Mapping[str, Any], now: float, *, sync: bool) -> Job:
        """A new job at the end of its queue.

        Raises:
            Refused: the body is not accepted, or the queue is full.
        """
        limit = self._platform.queue_limit
        if limit is not None and self.queued >= limit:
            raise Refused(f"the queue is full: {self.queued} jobs wait, and at most {limit} may", status=429)
        job = opened(self._new_id(sync), body, now, sync=sync, platform=self._platform)
        self._jobs[job.id] = job
        self._enqueue(job, now)
        return job

    def cancel(self, job: Job, now: float) -> None:
        """End a job that has not ended."""
        if job.state not in TERMINAL:
            self._stop_at_worker(job)
            self.end(job, "CANCELLED", "cancelled", now)

    def reopen(self, job: Job, now: float) -> None:
        """A failed job once more, with its own id and input, at the end of the queue.

        Raises:
            Refused: it has not failed.
        """
        if job.state not in ("FAILED", "TIMED_OUT"):
            raise Refused(f"job {job.id} is {job.state}: only FAILED and TIMED_OUT jobs can be tried again")
        job.output, job.has_output, job.error, job.reason = None, False, None, ""
        job.finished_s = None
        job.retries = 0
        job.opened += 1
        job.stream = []
        self._enqueue(job, now)

    def shorten(self, job: Job, life_s: float, now: float) -> None:
        """Keep the result of a job that has ended for no longer than ``life_s``; one that has not is left as it is."""
        if job.state not in TERMINAL or job.finished_s is None:
            return
        keep_s = self._platform.keep_sync_s if job.sync else self._platform.keep_run_s
        if now + life_s < (job.finished_s + keep_s if job.timer is None else job.timer.due_s):
            self._timers.cancel(job.timer)
            job.timer = self._timers.at(now + life_s, lambda now: self._outlive(job, now))

    def purge(self, now: float) -> int:
        """End all queued jobs; how many they were."""
        queued = [*self.waiting.values(), *self.waiting_low.values()]
        for job in queued:
            self.end(job, self._platform.purge_state, "purged", now)
        return len(queued)

    # what workers do

    def take(self, worker_id: str, number: int, execution_timeout_s: float, now: float) -> list[Job]:
        """Lend up to ``number`` jobs to a worker: normal ones first."""
        taken: list[Job] = []
        while len(taken) < number and (self.waiting or self.waiting_low):
            job = (self.waiting or self.waiting_low).popitem(last=False)[1]
            job.state, job.worker_id = "IN_PROGRESS", worker_id
            job.taken_s, job.lease_until_s = now, now + self._platform.lease_s
            own_s = job.own_execution_timeout_s
            job.execution_timeout_s = execution_timeout_s if own_s is None else own_s
            (self.lent_low if job.low_priority else self.lent)[job.id] = job
            self._arm(job)
            taken.append(job)
        return taken

    def give_back(self, job: Job, now: float) -> None:
        """The job never reached its worker: to the head of the queue, as if it had not been taken."""
        self._unlend(job, now)
        self._enqueue(job, job.queued_s, head=True)

    def renew(self, job: Job, now: float) -> None:
        """Its worker was heard of."""
        job.lease_until_s = now + self._platform.lease_s
        self._arm(job)

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

    # ends

    def end(self, job: Job, state: str, reason: str, now: float) -> None:
        """The job's one end."""
        lent = job.state == "IN_PROGRESS"
        if not lent:
            (self.waiting_low if job.low_priority else self.waiting).pop(job.id)
        self._timers.cancel(job.timer)
        job.timer = None
        job.state, job.reason, job.finished_s = state, reason, now
        self._keep(job, now)
        self._tell(Ended(job))
        if lent:
            self._unlend(job, now)

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
            self._arm(job)

    def forget(self, now: float) -> None:
        """Drop results that are not kept any more."""
        for sync, kept in self._kept.items():
            keep_s = self._platform.keep_sync_s if sync else self._platform.keep_run_s
            while kept and kept[0][0] <= now:
                due_s, job = kept.popleft()
                if job.finished_s is not None and job.finished_s + keep_s == due_s:
                    self._jobs.pop(job.id, None)

    # time

    def _arm(self, job: Job) -> None:
        """Set the job's one timer to the first of its deadlines."""
        self._timers.cancel(job.timer)
        due_s = job.submitted_s + job.ttl_s
        if job.state == "IN_PROGRESS":
            due_s = min(due_s, job.lease_until_s, self._too_long_s(job))
        job.timer = self._timers.at(due_s, lambda now: self._expire(job, now))

    @staticmethod
    def _too_long_s(job: Job) -> float:
        limit_s = job.execution_timeout_s
        return (job.taken_s or 0.0) + limit_s if limit_s else float("inf")

    def _expire(self, job: Job, now: float) -> None:
        if job.submitted_s + job.ttl_s <= now:
            self._outlive(job, now)
        elif self._too_long_s(job) <= now:
            self._stop_at_worker(job)
            job.error = self._platform.execution_timeout_error
            self.end(job, self._platform.execution_timeout_state, "execution time-out", now)
        else:
            self._lapse(job, now)

    def _outlive(self, job: Job, now: float) -> None:
        """Its ttl is over: gone in any state, and asking after it gives 404."""
        if job.state in TERMINAL:
            self._jobs.pop(job.id, None)
            return
        self._stop_at_worker(job)
        self.end(job, "TIMED_OUT", "ttl", now)

    def _lapse(self, job: Job, now: float) -> None:
        """Its worker was silent for too long: dispatched again, or failed."""
        if job.retries >= self._platform.job_retries:
            job.error = f"job timed out after {job.retries} retries"
            self.end(job, "FAILED", "lease expired", now)
            return
        job.retries += 1
        self.retried += 1
        self._unlend(job, now)
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
        self._arm(job)

    def _unlend(self, job: Job, now: float) -> None:
        del (self.lent_low if job.low_priority else self.lent)[job.id]
        self._left(job, now)

    def _stop_at_worker(self, job: Job) -> None:
        if job.state == "IN_PROGRESS":
            self._tell(StopJob(job.worker_id, job.id))
