"""Loads something once, however many ask for it at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

Loaded = TypeVar("Loaded")


class SingleFlight(Generic[Loaded]):
    """The first call loads, calls meanwhile wait for it, later ones get its result. After a failure the next call loads again."""

    def __init__(self, load: Callable[[], Awaitable[Loaded]]) -> None:
        self._load = load
        self._flight: asyncio.Task[Loaded] | None = None

    @property
    def loaded(self) -> bool:
        """Whether a load has succeeded."""
        flight = self._flight
        return flight is not None and flight.done() and not flight.cancelled() and flight.exception() is None

    async def get(self) -> Loaded:
        """What was loaded; raises what the load raised."""
        if self._flight is None or (self._flight.done() and not self.loaded):
            self._flight = asyncio.ensure_future(self._begin())
            self._flight.add_done_callback(_note_failure)
        # One caller that is cancelled does not end the load of the others.
        return await asyncio.shield(self._flight)

    async def _begin(self) -> Loaded:
        return await self._load()


def _note_failure(flight: asyncio.Task[Any]) -> None:
    """A failure whose callers were all cancelled is no error of the event loop."""
    if not flight.cancelled():
        flight.exception()
