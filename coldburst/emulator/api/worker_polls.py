"""The long polls of a queue endpoint's workers: where each waits for jobs, and for word to stop one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from coldburst.emulator.hosted_endpoint import HostedEndpoint
from coldburst.serverless.actions import Deliver, StopJob
from coldburst.serverless.job import Job

PAUSE_S = 0.5
"""What a worker that is being ended, or is unknown, waits for its 204: the SDK asks again without a pause."""


@dataclass(slots=True, eq=False)
class WorkerPoll:
    """One worker's polls.

    Attributes:
        poll: waits for jobs.
        stop_poll: waits for word to stop jobs.
        to_stop: ids of jobs that it has not been told to stop yet.
        ready: whether it has polled for jobs already.
        ending: it is given nothing more.
    """

    poll: asyncio.Future[tuple[Job, ...]] | None = None
    stop_poll: asyncio.Future[None] | None = None
    to_stop: list[str] = field(default_factory=list)
    ready: bool = False
    ending: bool = False


class WorkerPolls:
    """All workers' polls, by worker id."""

    def __init__(self, hosted: HostedEndpoint) -> None:
        self._hosted = hosted
        self._lines: dict[str, WorkerPoll] = {}

    def open(self, worker_id: str) -> None:
        """A worker is on its way."""
        self._lines[worker_id] = WorkerPoll()

    def end(self, worker_id: str) -> None:
        """A worker is given nothing more: its polls are answered, so that it can end."""
        if line := self._lines.get(worker_id):
            line.ending = True
            for poll, nothing in ((line.poll, ()), (line.stop_poll, None)):
                if poll is not None and not poll.done():
                    poll.set_result(nothing)  # type: ignore[arg-type]

    def close(self, worker_id: str) -> None:
        """A worker is gone."""
        self.end(worker_id)
        self._lines.pop(worker_id, None)

    async def take(self, worker_id: str, want: int) -> tuple[Job, ...]:
        """Up to ``want`` jobs for a worker, as soon as there are any; none once the poll's time is over."""
        line, hosted = self._lines.get(worker_id), self._hosted
        if line is None or line.ending:
            await asyncio.sleep(min(PAUSE_S, hosted.options.poll_hold_s))
            return ()
        if line.poll is not None and not line.poll.done():
            line.poll.set_result(())  # the SDK asks one at a time: the older one is dead
        poll: asyncio.Future[tuple[Job, ...]] = asyncio.get_running_loop().create_future()
        line.poll = poll
        if not line.ready:
            line.ready = True
            hosted.endpoint.ready(worker_id, hosted.now())
        hosted.endpoint.poll(worker_id, want, hosted.now())
        hosted.pump()
        try:
            await asyncio.wait({poll}, timeout=hosted.options.poll_hold_s)
        except asyncio.CancelledError:  # the connection is lost
            self._withdraw(worker_id, line, poll)
            raise
        if not poll.done():
            self._withdraw(worker_id, line, poll)
            return ()
        return poll.result()

    def _withdraw(self, worker_id: str, line: WorkerPoll, poll: asyncio.Future[tuple[Job, ...]]) -> None:
        if poll.done():
            self.give_back(worker_id, poll.result())
        elif line.poll is poll:
            line.poll = None
            self._hosted.endpoint.unpoll(worker_id)

    def give_back(self, worker_id: str, jobs: tuple[Job, ...]) -> None:
        """Jobs that were handed out and did not arrive return to the head of the queue."""
        self._hosted.endpoint.give_back(worker_id, [job.id for job in jobs], self._hosted.now())
        self._hosted.pump()

    def deliver(self, action: Deliver) -> None:
        """Answers a worker's poll with jobs."""
        line = self._lines.get(action.worker_id)
        poll = line.poll if line else None
        if line is None or line.ending or poll is None or poll.done():
            self.give_back(action.worker_id, action.jobs)
            return
        line.poll = None
        poll.set_result(() if self._hosted.never_ack in ("all", action.worker_id) else action.jobs)

    async def stops(self, worker_id: str) -> list[str]:
        """Ids of the jobs that a worker is to stop, as soon as there are any; none once the poll's time is over."""
        line, hold_s = self._lines.get(worker_id), self._hosted.options.poll_hold_s
        if line is None or line.ending:
            await asyncio.sleep(min(PAUSE_S, hold_s))
            return []
        if not line.to_stop:
            poll = line.stop_poll = asyncio.get_running_loop().create_future()
            await asyncio.wait({poll}, timeout=hold_s)
        found, line.to_stop = line.to_stop, []
        return found

    def stop_job(self, action: StopJob) -> None:
        """Tells a worker to stop a job."""
        if line := self._lines.get(action.worker_id):
            line.to_stop.append(action.job_id)
            if line.stop_poll is not None and not line.stop_poll.done():
                line.stop_poll.set_result(None)
