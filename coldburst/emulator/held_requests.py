"""Requests to a load balancer, from their arrival to their end: each waits for what the model decides."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any

from coldburst.serverless.actions import Cut, Forward, GiveUp
from coldburst.serverless.simulation.driver import WorkerResult


@dataclass(slots=True, eq=False)
class HeldRequest:
    """One request to a load balancer.

    Attributes:
        client_name: the client's name for it, from ``X-Request-ID``; "" where it gave none.
        decision: Forward or GiveUp.
        cut: why the platform takes the request away from its worker: the limit on processing, or the worker's end.
        output: what a modelled worker answers.
    """

    id: str
    client_name: str
    arrived_s: float
    decision: asyncio.Future[Forward | GiveUp]
    cut: asyncio.Future[Cut | GiveUp]
    output: asyncio.Future[Any]

    @property
    def forward(self) -> Forward | None:
        """Who has the request; None = no worker got it."""
        decision = self.decision.result() if self.decision.done() and not self.decision.cancelled() else None
        return decision if isinstance(decision, Forward) else None


class HeldRequests:
    """The requests that have not ended, by id."""

    def __init__(self) -> None:
        self._requests: dict[str, HeldRequest] = {}
        self._numbers = itertools.count(1)

    def open(self, client_name: str, now: float) -> HeldRequest:
        """A new request, which waits for a decision."""
        loop = asyncio.get_running_loop()
        request_id = f"request-{next(self._numbers)}"
        held = HeldRequest(request_id, client_name, now, loop.create_future(), loop.create_future(), loop.create_future())
        self._requests[request_id] = held
        return held

    def close(self, held: HeldRequest) -> None:
        """The request has ended."""
        del self._requests[held.id]

    def settle(self, action: Forward | GiveUp | Cut | WorkerResult) -> None:
        """Pass on what was decided for a request, or a modelled worker's answer to it."""
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
