"""The worker backend: what carries out the model's wishes for an endpoint's workers, as processes or in this process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from coldburst.emulator.settings.endpoint_specs import WorkerSpec
from coldburst.serverless.actions import Action
from coldburst.serverless.simulation.driver import WorkerResult


class WorkerBackend(Protocol):
    """The workers of an endpoint. ``spec``: of those that start from now on."""

    spec: WorkerSpec

    def actions(self, now: float) -> Iterable[Action | WorkerResult]:
        """Let the model (and workers in this process) act; what is left for others to carry out."""

    def wake_s(self) -> float | None:
        """When ``actions`` is due next; None = not before something else happens."""

    def carry_out(self, action: Action | WorkerResult, now: float) -> None:
        """Do what an action asks of a worker; nothing for the others."""

    def kill(self, worker_id: str) -> None:
        """End a worker as a crash would."""

    def change(self, spec: WorkerSpec) -> None:
        """Use another spec for the workers that start from now on."""

    async def end(self) -> None:
        """End all workers."""
