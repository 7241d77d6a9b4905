"""Workers that are modelled in this process: the SDK's pull loop, and nothing computed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from coldburst.emulator.hosted_endpoint import HostedEndpoint
from coldburst.emulator.options import WorkerSpec
from coldburst.serverless.actions import Action
from coldburst.serverless.job import Job
from coldburst.serverless.simulation.driver import Simulation, WorkerResult
from coldburst.serverless.simulation.modelled_worker import ModelledWorker

CRASH_S = 0.05
"""Launch to exit of a worker that crashes before it is ready: about what an interpreter takes."""


LONGEST_S = 7 * 86400.0
"""Of a job; no longer time can be asked of the platform either."""


class ModelledBackend:
    """See hosted.Crew. A job whose input has a number ``sleep_s``, up to LONGEST_S, takes so many seconds; the others a drawn time."""

    def __init__(self, hosted: HostedEndpoint) -> None:
        self._hosted = hosted
        self.work = hosted.hosting.work
        self._rehearsal = Simulation(hosted.endpoint, self._make)

    def actions(self, now: float) -> Iterable[Action | WorkerResult]:
        """See hosted.Crew."""
        return self._rehearsal.pump(now)

    def wake_s(self) -> float | None:
        """See hosted.Crew."""
        return self._rehearsal.wake_s()

    def carry_out(self, action: Action | WorkerResult, now: float) -> None:
        """See hosted.Crew: nothing is left to do."""

    def kill(self, worker_id: str) -> None:
        """See hosted.Crew."""
        self._rehearsal.kill(worker_id, self._hosted.now())

    def change(self, work: WorkerSpec) -> None:
        """See hosted.Crew."""
        self.work = work

    async def end(self) -> None:
        """See hosted.Crew: there is nothing to end."""

    def _make(self, worker_id: str) -> ModelledWorker:
        hosted, work = self._hosted, self.work
        rng = random.Random(f"{hosted.options.seed} {worker_id}")
        crash = hosted.crash_starts > 0
        hosted.crash_starts -= crash
        spread = hosted.platform.jitter
        return _Worker(
            hosted,
            worker_id,
            concurrency=work.concurrency,
            load_s=None if crash else hosted.platform.load_s * rng.uniform(1 - spread, 1 + spread),
            crash_after_s=CRASH_S if crash else None,
            service=self._service_s,
            rng=rng,
            first_extra_s=work.first_extra_s,
            memory_gb_per_job=work.job_gb,
            card_gb=work.card_gb,
            shared_gb=work.shared_gb,
            ping_s=hosted.platform.ping_s,
            hold_s=hosted.options.poll_hold_s,
        )

    def _service_s(self, job: Job, rng: random.Random) -> float:
        drawn_s = self.work.service_time.draw(rng)
        wants = job.input["input"]
        said = wants.get("sleep_s") if isinstance(wants, Mapping) else None
        return float(said) if isinstance(said, int | float) and 0 <= said <= LONGEST_S else drawn_s


class _Worker(ModelledWorker):
    """A modelled worker that can be told, while it works, to acknowledge no job any more."""

    def __init__(self, hosted: HostedEndpoint, worker_id: str, **settings: object) -> None:
        super().__init__(worker_id, **settings)  # type: ignore[arg-type]
        self._hosted = hosted

    def deliver(self, jobs: Iterable[Job], now: float) -> None:
        """See ModelledWorker."""
        super().deliver(() if self._hosted.never_ack in ("all", self.id) else jobs, now)
