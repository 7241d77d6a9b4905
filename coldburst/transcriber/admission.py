"""Admission: free slots, and a queue of limited length. No clock, no I/O; all calls come from one event loop."""

from __future__ import annotations

import asyncio
from collections import deque


class NoRoomError(Exception):
    """The request cannot be admitted; the message is the service's answer."""


class Admission:
    """Slots by number, first come, first served.

    A place is a future that gets the number of a slot. Every ``enter`` needs a ``leave``, with or without a slot.

    Args:
        places: how many may wait when no slot is free.
        fail_fast: nobody waits.
    """

    def __init__(self, places: int, fail_fast: bool = False) -> None:
        self._places = places
        self._fail_fast = fail_fast
        self._free: deque[int] = deque()
        self._waiting: deque[asyncio.Future[int]] = deque()
        self._live: set[int] = set()

    @property
    def open(self) -> bool:
        """Whether a slot is loaded."""
        return bool(self._live)

    @property
    def busy(self) -> int:
        """Loaded slots in use."""
        return len(self._live) - len(self._free)

    @property
    def waiting(self) -> int:
        """Occupied places of the queue."""
        return len(self._waiting)

    def offer(self, slot: int) -> None:
        """Put a newly loaded slot in service."""
        self._live.add(slot)
        self._give(slot)

    def retire(self, slot: int) -> None:
        """Take a slot out of service; once left, it is not used again."""
        self._live.discard(slot)

    def enter(self) -> asyncio.Future[int]:
        """A place: with a slot if one is free, else in the queue; NoRoomError."""
        if not self.open:
            raise NoRoomError("Service is loading its model. Please retry later.")
        place: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self._free:
            place.set_result(self._free.popleft())
        elif self._fail_fast:
            raise NoRoomError("Service busy. Please retry later.")
        elif len(self._waiting) >= self._places:
            raise NoRoomError("Service temporarily overloaded. Please retry later.")
        else:
            self._waiting.append(place)
        return place

    def leave(self, place: asyncio.Future[int]) -> None:
        """Pass the slot of ``place`` to the next in the queue, or leave the queue."""
        if place in self._waiting:
            self._waiting.remove(place)
        elif place.done() and not place.cancelled() and place.result() in self._live:
            self._give(place.result())

    def _give(self, slot: int) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(slot)
                return
        self._free.append(slot)
