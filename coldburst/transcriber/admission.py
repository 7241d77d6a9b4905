"""Admission: slots that are free, a queue of bounded length, and nothing lost when a client leaves.

No clock and no I/O; everything happens in the thread of one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque


class NoRoomError(Exception):
    """There is no room; the message is the service's own word for it."""


class Admission:
    """Slots by number, handed out first come, first served.

    A place is a future whose result is the number of the slot that its owner has got. Whoever
    enters must leave, with the slot or without having got one; both are ``leave``.

    Args:
        places: how many may wait when no slot is free.
        fail_fast: nobody waits: without a free slot there is no room.
    """

    def __init__(self, places: int, fail_fast: bool = False) -> None:
        self._places = places
        self._fail_fast = fail_fast
        self._free: deque[int] = deque()
        self._waiting: deque[asyncio.Future[int]] = deque()
        self._live: set[int] = set()

    @property
    def open(self) -> bool:
        """Whether at least one slot is loaded."""
        return bool(self._live)

    @property
    def busy(self) -> int:
        """Loaded slots that somebody has."""
        return len(self._live) - len(self._free)

    @property
    def waiting(self) -> int:
        """Places of the queue that are taken."""
        return len(self._waiting)

    def offer(self, slot: int) -> None:
        """Put a newly loaded slot in service."""
        self._live.add(slot)
        self._give(slot)

    def retire(self, slot: int) -> None:
        """Take a slot that somebody has out of service; once left, it is handed to nobody."""
        self._live.discard(slot)

    def enter(self) -> asyncio.Future[int]:
        """A place: with a slot at once when one is free, otherwise in the queue.

        Raises:
            NoRoomError: no slot is loaded, or none is free and nobody (more) may wait.
        """
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
        """Give back the slot of ``place`` to the next in the queue, or the place itself if it never got one."""
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
