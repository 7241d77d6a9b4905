"""Admission: free slots, and a queue of limited length with priorities. No clock, no I/O; all calls come from one event loop."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections import deque

FIRST = math.inf


class NoRoomError(Exception):
    """The request cannot be admitted; the message is the service's answer."""


class Admission:
    """Slots by number: the highest priority first, and within a priority first come, first served.

    A place is a future that gets the number of a slot. Every ``enter`` needs a ``leave``, with or without a slot. A place with a slot
    keeps it until it leaves, whatever the priority of those who wait.

    Args:
        places: how many may wait when no slot is free.
        fail_fast: nobody waits.
    """

    def __init__(self, places: int, fail_fast: bool = False) -> None:
        self._places = places
        self._fail_fast = fail_fast
        self._free: deque[int] = deque()
        self._waiting: dict[asyncio.Future[int], None] = {}
        self._order: list[tuple[float, int, asyncio.Future[int]]] = []
        self._arrivals = itertools.count()
        self._live: set[int] = set()
        self._holders: dict[int, asyncio.Future[int]] = {}

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
        """Take a slot out of service: at once if it is free, else when its place leaves."""
        self._live.discard(slot)
        self._holders.pop(slot, None)
        if slot in self._free:
            self._free.remove(slot)

    def enter(self, priority: float = 0.0) -> asyncio.Future[int]:
        """A place: with a slot if one is free, else in the queue; NoRoomError.

        Args:
            priority: higher ones overtake those who wait. FIRST is for work that was admitted before, and finds room in a full queue.
        """
        again = priority == FIRST
        if not self.open and not again:
            raise NoRoomError("Service is loading its model. Please retry later.")
        place: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self._free:
            self._hold(place, self._free.popleft())
        elif self._fail_fast and not again:
            raise NoRoomError("Service busy. Please retry later.")
        elif len(self._waiting) >= self._places and not again:
            raise NoRoomError("Service temporarily overloaded. Please retry later.")
        else:
            self._waiting[place] = None
            heapq.heappush(self._order, (-priority, next(self._arrivals), place))
        return place

    def leave(self, place: asyncio.Future[int]) -> None:
        """Pass the slot of ``place`` to the next in the queue, or leave the queue."""
        if place in self._waiting:
            del self._waiting[place]
            self._drop_gone()
        elif place.done() and not place.cancelled() and self._holders.get(place.result()) is place:
            del self._holders[place.result()]
            self._give(place.result())

    def _give(self, slot: int) -> None:
        while self._order:
            place = heapq.heappop(self._order)[-1]
            if place in self._waiting:
                del self._waiting[place]
                if not place.done():
                    self._hold(place, slot)
                    return
        self._free.append(slot)

    def _hold(self, place: asyncio.Future[int], slot: int) -> None:
        self._holders[slot] = place
        place.set_result(slot)

    def _drop_gone(self) -> None:
        """Keep the heap as small as the queue, which many may join and leave while no slot is free."""
        if len(self._order) > 2 * len(self._waiting) + 8:
            self._order = [entry for entry in self._order if entry[-1] in self._waiting]
            heapq.heapify(self._order)
