"""Requests at a load balancer: each waits for the model's decision."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from coldburst.serverless.actions import Cut, Forward, GiveUp
from coldburst.serverless.simulation.driver import WorkerResult


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


@dataclass(slots=True, eq=False)
class HeldRequest:
    """One request.

    Attributes:
        client_name: its ``X-Request-ID``, or "".
        cut: why the platform takes it from its worker: the processing limit, or the worker's end.
        output: a modelled worker's answer.
    """

    id: str
    client_name: str
    arrived_s: float
    decision: asyncio.Future[Forward | GiveUp] = field(default_factory=_future)
    cut: asyncio.Future[Cut | GiveUp] = field(default_factory=_future)
    output: asyncio.Future[Any] = field(default_factory=_future)

    @property
    def forward(self) -> Forward | None:
        """The worker that got it; None = none did."""
        decision = self.decision.result() if self.decision.done() and not self.decision.cancelled() else None
        return decision if isinstance(decision, Forward) else None

    def settle(self, action: Forward | GiveUp | Cut | WorkerResult) -> None:
        """Pass on a decision, or a modelled worker's answer."""
        if isinstance(action, WorkerResult):
            settle(self.output, action.output)
        elif isinstance(action, Forward) or not (self.decision.done() or isinstance(action, Cut)):
            settle(self.decision, action)
        else:
            settle(self.cut, action)


def settle(future: asyncio.Future[Any], result: Any) -> None:
    """Set the result of a future that has none yet."""
    if not future.done():
        future.set_result(result)
