"""The long polls of a queue endpoint's workers, for jobs and for orders to stop one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from coldburst.emulator.hosted_endpoint import HostedEndpoint
from coldburst.serverless.actions import Deliver, StopJob
from coldburst.serverless.job import Job

PAUSE_S = 0.5
"""Delay of a 204 to an ending or unknown worker: the SDK polls again at once."""


@dataclass(slots=True, eq=False)
class OpenPolls:
    """One worker's polls.

    Attributes:
        to_stop: ids of jobs whose stop it has not been told.
        ready: whether it has ever polled for jobs.
        ending: it gets nothing more.
    """

    poll: asyncio.Future[tuple[Job, ...]] | None = None
    stop_poll: asyncio.Future[None] | None = None
    to_stop: list[str] = field(default_factory=list)
    ready: bool = False
    ending: bool = False


class LongPolls:
    """All workers' polls, by worker id."""

    def __init__(self, endpoint: HostedEndpoint) -> None:
        self._endpoint = endpoint
        self._polls: dict[str, OpenPolls] = {}

    def open(self, worker_id: str) -> None:
        """A worker starts."""
        self._polls[worker_id] = OpenPolls()

    def end(self, worker_id: str) -> None:
        """Answer a worker's polls with nothing, now and later, so that it can end."""
        if polls := self._polls.get(worker_id):
            polls.ending = True
            for poll, nothing in ((polls.poll, ()), (polls.stop_poll, None)):
                if poll is not None and not poll.done():
                    poll.set_result(nothing)  # type: ignore[arg-type]

    def close(self, worker_id: str) -> None:
        """A worker is gone."""
        self.end(worker_id)
        self._polls.pop(worker_id, None)

    async def take(self, worker_id: str, want: int) -> tuple[Job, ...]:
        """Up to ``want`` jobs for a worker, as soon as there are any; none after the poll's hold."""
        polls, endpoint = self._polls.get(worker_id), self._endpoint
        if polls is None or polls.ending:
            await asyncio.sleep(min(PAUSE_S, endpoint.options.poll_hold_s))
            return ()
        if polls.poll is not None and not polls.poll.done():
            polls.poll.set_result(())  # the SDK polls once at a time: the older poll is dead
        poll: asyncio.Future[tuple[Job, ...]] = asyncio.get_running_loop().create_future()
        polls.poll = poll
        if not polls.ready:
            polls.ready = True
            endpoint.core.ready(worker_id, endpoint.now())
        endpoint.core.poll(worker_id, want, endpoint.now())
        endpoint.pump()
        try:
            await asyncio.wait({poll}, timeout=endpoint.options.poll_hold_s)
        except asyncio.CancelledError:  # the connection is lost
            self._withdraw(worker_id, polls, poll)
            raise
        if not poll.done():
            self._withdraw(worker_id, polls, poll)
            return ()
        return poll.result()

    def _withdraw(self, worker_id: str, polls: OpenPolls, poll: asyncio.Future[tuple[Job, ...]]) -> None:
        if poll.done():
            self.give_back(worker_id, poll.result())
        elif polls.poll is poll:
            polls.poll = None
            self._endpoint.core.unpoll(worker_id)

    def give_back(self, worker_id: str, jobs: tuple[Job, ...]) -> None:
        """Return jobs that did not reach their worker to the head of the queue."""
        self._endpoint.core.give_back(worker_id, [job.id for job in jobs], self._endpoint.now())
        self._endpoint.pump()

    def deliver(self, action: Deliver) -> None:
        """Answer a worker's poll with jobs."""
        polls = self._polls.get(action.worker_id)
        poll = polls.poll if polls else None
        if polls is None or polls.ending or poll is None or poll.done():
            self.give_back(action.worker_id, action.jobs)
            return
        polls.poll = None
        poll.set_result(() if self._endpoint.faults.never_acks(action.worker_id) else action.jobs)

    async def stops(self, worker_id: str) -> list[str]:
        """Ids of the jobs that a worker must stop, as soon as there are any; none after the poll's hold."""
        polls, hold_s = self._polls.get(worker_id), self._endpoint.options.poll_hold_s
        if polls is None or polls.ending:
            await asyncio.sleep(min(PAUSE_S, hold_s))
            return []
        if not polls.to_stop:
            poll = polls.stop_poll = asyncio.get_running_loop().create_future()
            await asyncio.wait({poll}, timeout=hold_s)
        found, polls.to_stop = polls.to_stop, []
        return found

    def stop_job(self, action: StopJob) -> None:
        """Tell a worker to stop a job."""
        if polls := self._polls.get(action.worker_id):
            polls.to_stop.append(action.job_id)
            if polls.stop_poll is not None and not polls.stop_poll.done():
                polls.stop_poll.set_result(None)
