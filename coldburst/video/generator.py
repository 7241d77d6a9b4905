"""``VideoGenerator``: workers, a queue, and jobs from their request to their end. All calls come from one event loop.

async with VideoGenerator(GeneratorOptions(workers=2), folder) as generator:
    job = generator.submit(VideoRequest("Hello"))
    await generator.result(job)
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, Self

from coldburst.service.admission import FIRST, Admission, NoRoomError
from coldburst.video import job as states
from coldburst.video.job import VideoJob, VideoRequest
from coldburst.video.settings import GeneratorOptions
from coldburst.video.workers.engines import Order
from coldburst.video.workers.memory import Card
from coldburst.video.workers.pool import JobError, WorkerLostError, WorkerPool
from coldburst.video.workers.process import PART, EngineSettings

# Ended jobs that are kept at most, whatever the time.
MOST_KEPT = 1000
# A speech process that ends again and again is not tried for ever.
RUNS = 2


class Workers(Protocol):
    """What makes videos, by number of worker; see WorkerPool."""

    def start(self) -> None:
        """Begin."""

    def close(self) -> None:
        """End."""

    def set_busy(self, busy: int) -> None:
        """So many jobs run now."""

    async def load(self, slot: int) -> None:
        """Return when the models of a worker are loaded."""

    async def make(self, slot: int, order: Order) -> Mapping[str, float]:
        """Make one video; the times of its phases."""


class VideoGenerator:
    """Makes videos in worker processes, as many at a time as fit on the card; the others wait.

    Args:
        folder: where videos are written; files of an earlier process that were not finished are removed.
        workers: makes the videos; None: worker processes.

    Attributes:
        card: the modelled memory.
        counts: jobs by how they ended, and "submitted", "refused", "rerun".
    """

    def __init__(self, options: GeneratorOptions, folder: Path, workers: Workers | None = None) -> None:
        self.options, self._folder = options, folder
        self.card = Card(options.memory)
        self._admission = Admission(options.queue)
        self.workers: Workers = workers or self._pool()
        self._jobs: dict[str, VideoJob] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._places: dict[str, asyncio.Future[int]] = {}
        self._loading: asyncio.Task[None] | None = None
        self._running = 0
        self._turns = itertools.count()
        self.counts: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self) -> None:
        """Start the workers; unless lazy, their models load from now on."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in (*self._folder.glob(f"*{PART}"), *self._folder.glob("*.wav"), *self._folder.glob("*.portrait")):
            left.unlink(missing_ok=True)
        self.workers.start()
        for slot in range(self.options.slots):
            self._admission.offer(slot)
        if not (self.options.lazy or self.options.unsafe):
            self._loading = asyncio.ensure_future(self._load())

    async def stop(self) -> None:
        """Cancel what waits and runs, and end the workers."""
        if self._loading:
            self._loading.cancel()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        self.workers.close()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def loaded(self) -> bool:
        """Whether the models are loaded, or load at the first job."""
        return self._loading is None or (self._loading.done() and not self._loading.cancelled() and self._loading.exception() is None)

    async def wait_loaded(self) -> None:
        """Return when the models are loaded; JobError, WorkerLostError. At once if they load at the first job."""
        if self._loading:
            await asyncio.shield(self._loading)

    @property
    def busy(self) -> int:
        """Jobs that a worker has."""
        return self._running

    @property
    def waiting(self) -> int:
        """Jobs that wait for a worker."""
        return self._admission.waiting

    @property
    def kept(self) -> int:
        """Jobs that are known: waiting, running, or with a result that is kept."""
        return len(self._jobs)

    def submit(self, request: VideoRequest) -> VideoJob:
        """A job for ``request``, which waits for a worker or has one; NoRoomError if the queue is full."""
        job = VideoJob(request)
        if not self.options.unsafe:
            try:
                self._places[job.id] = self._admission.enter(request.priority)
            except NoRoomError:
                self.counts["refused"] += 1
                raise NoRoomError(f"{self.waiting} jobs wait already, and the queue has no more places. Please retry later.") from None
        self.counts["submitted"] += 1
        self._jobs[job.id] = job
        self._tasks[job.id] = asyncio.ensure_future(self._serve(job))
        limit_s = request.max_wait_s or self.options.max_wait_s
        if limit_s and not self.options.unsafe:
            asyncio.get_running_loop().call_later(limit_s, self._expire, job, limit_s)
        return job

    def find(self, job_id: str) -> VideoJob | None:
        """The job of that id; None if there is none, or its result is no longer kept."""
        return self._jobs.get(job_id)

    async def result(self, job: VideoJob) -> VideoJob:
        """The job when it has ended, however."""
        await job.ended.wait()
        return job

    def cancel(self, job: VideoJob) -> None:
        """Give a job up, waiting or running; its worker becomes free when it has stopped working on it."""
        task = self._tasks.get(job.id)
        if task and not task.cancelling():
            task.cancel()

    def statistics(self) -> dict[str, Any]:
        """Counts, models and memory."""
        return {
            "slots": self.options.slots,
            "busy": self.busy,
            "waiting": self.waiting,
            "counts": dict(self.counts),
            "loads": dict(self.card.loads),
            "memory": {
                "card_gb": self.options.memory.card_gb,
                "used_gb": round(self.card.used_gb, 3),
                "peak_gb": round(self.card.peak_gb, 3),
                "duplicates_gb": round(self.card.duplicates_gb, 3),
                "fit": self.options.memory.fit,
                "kills": self.card.kills,
            },
        }

    def _pool(self) -> WorkerPool:
        options = self.options
        settings = EngineSettings(
            options.engine, options.tts_s, options.video_s, options.model_load_s, options.contention, locks=not options.unsafe
        )
        return WorkerPool(options.slots, settings, self.card)

    async def _load(self) -> None:
        await asyncio.gather(*(self.workers.load(slot) for slot in range(self.options.slots)))

    async def _serve(self, job: VideoJob) -> None:
        try:
            await self._save_portrait(job)
            while not await self._run(job):
                self.counts["rerun"] += 1
        except asyncio.CancelledError:
            job.end(states.CANCELLED, "cancelled", "the job was cancelled")
        except JobError as error:
            job.end(states.FAILED, error.code, str(error))
        except WorkerLostError as error:
            job.end(states.FAILED, "worker_lost", str(error))
        except Exception as error:
            job.end(states.FAILED, "service_error", f"the service failed: {type(error).__name__}: {error}")
            raise
        finally:
            self._close(job)

    async def _save_portrait(self, job: VideoJob) -> None:
        """On disk, so that the memory of a queue does not grow with its pictures."""
        if job.request.portrait:
            job.portrait = True
            await asyncio.to_thread(self._path(job, ".portrait").write_bytes, job.request.portrait)
            job.lighten()

    async def _run(self, job: VideoJob) -> bool:
        """Wait for a worker and make the video; False if it is to be run again."""
        slot = await self._slot(job)
        try:
            await self._make(job, slot)
        except WorkerLostError:
            if not self.options.rerun or job.runs >= RUNS:
                raise
            job.state = states.QUEUED
            self._return_first(job)
            return False
        finally:
            self._running -= 1
            self.workers.set_busy(self._running)
            if job.state != states.QUEUED:
                self._leave(job)
        return True

    def _return_first(self, job: VideoJob) -> None:
        """Put a job before all that wait, ahead of leaving its slot."""
        if before := self._places.pop(job.id, None):
            self._places[job.id] = self._admission.enter(FIRST)
            self._admission.leave(before)

    def _leave(self, job: VideoJob) -> None:
        if place := self._places.pop(job.id, None):
            self._admission.leave(place)

    async def _slot(self, job: VideoJob) -> int:
        """The number of a worker, once one is free; from then on the job runs."""
        place = self._places.get(job.id)
        slot = next(self._turns) % self.options.slots if place is None else await asyncio.shield(place)
        job.begin(f"{self.options.worker_id}-{slot}")
        self._running += 1
        self.workers.set_busy(self._running)
        return slot

    async def _make(self, job: VideoJob, slot: int) -> None:
        limit_s, loop_s = self.options.execution_limit_s, asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(limit_s):
                began_s = loop_s()
                await self.workers.load(slot)
                job.load_s = loop_s() - began_s
                found = await self.workers.make(slot, self._order(job))
        except TimeoutError:
            raise JobError("timed_out", f"the job was stopped after {limit_s:g} s, the limit of --execution-limit") from None
        job.tts_s, job.video_s, job.audio_s = (found.get(name) for name in ("tts_s", "video_s", "audio_s"))
        job.file = self._path(job, ".mp4")
        job.end(states.DONE)

    def _expire(self, job: VideoJob, limit_s: float) -> None:
        """The wait of a job has passed its limit: unless it has a worker by now, it ends and is never run."""
        place = self._places.get(job.id)
        if job.state == states.QUEUED and job.runs == 0 and place is not None and not place.done():
            job.end(states.EXPIRED, states.EXPIRED, f"queue timeout: no worker was free within {limit_s:g} s, the limit on waiting")
            self.cancel(job)

    def _close(self, job: VideoJob) -> None:
        self._leave(job)
        self.counts[job.state] += 1
        self._tasks.pop(job.id, None)
        for suffix in (".portrait", ".mp4.wav", f".mp4{PART}"):
            self._path(job, suffix).unlink(missing_ok=True)
        # A loop that is closing keeps nothing.
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop().call_later(self.options.keep_s, self._forget, job)
        ended = [one for one in self._jobs.values() if one.id not in self._tasks]
        for old in ended[: max(len(ended) - MOST_KEPT, 0)]:
            self._forget(old)

    def _forget(self, job: VideoJob) -> None:
        self._jobs.pop(job.id, None)
        self._path(job, ".mp4").unlink(missing_ok=True)

    def _order(self, job: VideoJob) -> Order:
        request, portrait = job.request, self._path(job, ".portrait")
        picture = str(portrait) if job.portrait else ""
        return Order(job.id, request.script, picture, str(self._path(job, ".mp4")), request.size, request.fps)

    def _path(self, job: VideoJob, suffix: str) -> Path:
        return self._folder / f"{job.id}{suffix}"
