"""Workers modelled in this process: the SDK's pull loop, without computation."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from coldburst.emulator.hosted_endpoint import HostedEndpoint
from coldburst.emulator.workers.worker_log import WorkerLog
from coldburst.randomness import stream
from coldburst.serverless.actions import Action
from coldburst.serverless.job import Job
from coldburst.serverless.quantiles import draw
from coldburst.serverless.simulation.driver import Simulation, WorkerResult
from coldburst.serverless.simulation.modelled_worker import ModelledWorker

CRASH_S = 0.05
"""Launch to exit of a worker that crashes at its start, about as long as an interpreter takes."""


LONGEST_S = 7 * 86400.0
"""Longest job, as on the platform."""


class ModelledBackend:
    """See WorkerBackend. A job takes its input's ``sleep_s`` seconds (at most LONGEST_S), or a random time."""

    def __init__(self, endpoint: HostedEndpoint) -> None:
        self._endpoint = endpoint
        self.spec = endpoint.spec.workers
        self._simulation = Simulation(endpoint.core, self._make)

    def actions(self, now: float) -> Iterable[Action | WorkerResult]:
        """See WorkerBackend."""
        return self._simulation.pump(now)

    def wake_s(self) -> float | None:
        """See WorkerBackend."""
        return self._simulation.wake_s()

    def carry_out(self, action: Action | WorkerResult, now: float) -> None:
        """See WorkerBackend: nothing is left to do."""

    def kill(self, worker_id: str) -> None:
        """See WorkerBackend."""
        self._simulation.kill(worker_id, self._endpoint.now())

    def log(self, worker_id: str) -> WorkerLog | None:
        """See WorkerBackend: a modelled worker writes nothing."""
        return None

    async def end(self) -> None:
        """See WorkerBackend: there is nothing to end."""

    def _make(self, worker_id: str) -> ModelledWorker:
        endpoint, spec = self._endpoint, self.spec
        rng = random.Random(f"{endpoint.options.seed} {worker_id}")
        crash = endpoint.faults.use_crash_start()
        platform = endpoint.platform
        reports = stream(endpoint.options.seed, f"{worker_id} report")
        return ModelledWorker(
            worker_id,
            concurrency=spec.concurrency,
            load_s=None if crash else self._load_s(worker_id, rng),
            crash_after_s=CRASH_S if crash else None,
            service=self._service_s,
            tokens=spec.tokens,
            rng=rng,
            first_extra_s=spec.first_extra_s,
            memory_gb_per_job=spec.job_gb,
            card_gb=spec.card_gb,
            shared_gb=spec.shared_gb,
            never_acks=lambda: endpoint.faults.never_acks(worker_id),
            ping_s=platform.ping_s,
            hold_s=endpoint.options.poll_hold_s,
            curve=spec.service_curve,
            speed=endpoint.core.host_speed(worker_id),
            report=(lambda: draw(platform.report_s, reports)) if endpoint.is_queue else float,
        )

    def _load_s(self, worker_id: str, rng: random.Random) -> float:
        platform, loads = self._endpoint.platform, stream(self._endpoint.options.seed, f"{worker_id} load")
        return draw(platform.load_s, loads) * rng.uniform(1 - platform.jitter, 1 + platform.jitter)

    def _service_s(self, job: Job, rng: random.Random) -> float:
        curve = self.spec.service_curve
        random_s = curve.at(1) if curve else self.spec.service_time.sample(rng)
        job_input = job.input["input"]
        sleep_s = job_input.get("sleep_s") if isinstance(job_input, Mapping) else None
        return float(sleep_s) if isinstance(sleep_s, int | float) and 0 <= sleep_s <= LONGEST_S else random_s
