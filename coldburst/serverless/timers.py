"""Timers without a clock: a heap of calls, each due at an instant and cancellable."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

DEAD_FROM = 1000
"""Cancelled entries that the heap may hold before it is rebuilt."""


class Timer:
    """One scheduled call; ``Timers.cancel`` cancels it."""

    __slots__ = ("call", "due_s")

    def __init__(self, due_s: float, call: Callable[[float], None]) -> None:
        self.due_s = due_s
        self.call: Callable[[float], None] | None = call


class Timers:
    """Calls in order of their due time, and of their setting at one instant."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._set = 0
        self._dead = 0

    def __len__(self) -> int:
        return len(self._heap) - self._dead

    def at(self, due_s: float, call: Callable[[float], None]) -> Timer:
        """Schedule ``call(due_s)``."""
        timer = Timer(due_s, call)
        self._set += 1
        heapq.heappush(self._heap, (due_s, self._set, timer))
        return timer

    def cancel(self, timer: Timer | None) -> None:
        """Cancel ``timer`` if it is still due."""
        if timer is None or timer.call is None:
            return
        timer.call = None
        self._dead += 1
        if self._dead > DEAD_FROM and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].call is not None]
            heapq.heapify(self._heap)
            self._dead = 0

    def due_s(self) -> float:
        """When the next call is due; infinity = none is."""
        heap = self._heap
        while heap and heap[0][2].call is None:
            heapq.heappop(heap)
            self._dead -= 1
        return heap[0][0] if heap else math.inf

    def fire(self, now: float) -> bool:
        """Make the next call if it is due by ``now``; whether one was made."""
        due = self.due_s()
        if due > now or due == math.inf:
            return False
        timer = heapq.heappop(self._heap)[2]
        call, timer.call = timer.call, None
        if call is not None:
            call(due)
        return True
