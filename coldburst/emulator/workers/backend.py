"""The worker backend: carries out the model's actions on an endpoint's workers, as processes or in this process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from coldburst.emulator.settings.endpoint_specs import WorkerSpec
from coldburst.emulator.workers.worker_log import WorkerLog
from coldburst.serverless.actions import Action
from coldburst.serverless.simulation.driver import WorkerResult


class WorkerBackend(Protocol):
    """The workers of an endpoint; ``spec``: of those that start from now on."""

    spec: WorkerSpec

    def actions(self, now: float) -> Iterable[Action | WorkerResult]:
        """Let the model (and workers in this process) act; the remaining actions."""

    def wake_s(self) -> float | None:
        """When ``actions`` is due next; None = not before another event."""

    def carry_out(self, action: Action | WorkerResult, now: float) -> None:
        """Carry out an action on a worker; ignores the others."""

    def kill(self, worker_id: str) -> None:
        """End a worker as a crash would."""

    def log(self, worker_id: str) -> WorkerLog | None:
        """What a worker wrote; None if it wrote nothing."""

    async def end(self) -> None:
        """End all workers."""
