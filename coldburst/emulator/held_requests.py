"""Requests at a load balancer: each waits for the model's decision."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any

from coldburst.serverless.actions import Cut, Forward, GiveUp
from coldburst.serverless.simulation.driver import WorkerResult


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
    decision: asyncio.Future[Forward | GiveUp]
    cut: asyncio.Future[Cut | GiveUp]
    output: asyncio.Future[Any]

    @property
    def forward(self) -> Forward | None:
        """The worker that got it; None = none did."""
        decision = self.decision.result() if self.decision.done() and not self.decision.cancelled() else None
        return decision if isinstance(decision, Forward) else None


class HeldRequests:
    """Open requests by id."""

    def __init__(self) -> None:
        self._requests: dict[str, HeldRequest] = {}
        self._numbers = itertools.count(1)

    def open(self, client_name: str, now: float) -> HeldRequest:
        """A new request, waiting for a decision."""
        loop = asyncio.get_running_loop()
        request_id = f"request-{next(self._numbers)}"
        held = HeldRequest(request_id, client_name, now, loop.create_future(), loop.create_future(), loop.create_future())
        self._requests[request_id] = held
        return held

    def close(self, held: HeldRequest) -> None:
        """End a request."""
        del self._requests[held.id]

    def settle(self, action: Forward | GiveUp | Cut | WorkerResult) -> None:
        """Pass a decision, or a modelled worker's answer, to its request."""
        held = self._requests.get(action.request_id)
        if held is None:
            return
        if isinstance(action, WorkerResult):
            settle(held.output, action.output)
        elif isinstance(action, Forward) or not (held.decision.done() or isinstance(action, Cut)):
            settle(held.decision, action)
        else:
            settle(held.cut, action)


def settle(future: asyncio.Future[Any], result: Any) -> None:
    """Set the result of a future that has none yet."""
    if not future.done():
        future.set_result(result)
