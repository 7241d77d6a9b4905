"""Timers without a clock: a heap of calls, each due at an instant and cancellable."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Any, TypeVar

DEAD_FROM = 64
"""Cancelled entries that the heap may hold before it is rebuilt."""

# [due_s, number, call, argument]; a list, which the heap compares by its first two fields without a call. No call: made or cancelled.
Timer = list[Any]
T = TypeVar("T")


class Timers:
    """Calls in order of their due time, and of their setting at one instant; ``next_s``: when the first is due, infinity without one."""

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._set = 0
        self._dead = 0
        self.next_s = math.inf

    def __len__(self) -> int:
        return len(self._heap) - self._dead

    def at(self, due_s: float, call: Callable[[T, float], object], what: T) -> Timer:
        """Schedule ``call(what, due_s)``."""
        self._set += 1
        timer = [due_s, self._set, call, what]
        heapq.heappush(self._heap, timer)
        if self._heap[0] is timer:
            self.next_s = due_s
        return timer

    def cancel(self, timer: Timer | None) -> None:
        """Cancel ``timer`` if it is still due."""
        if timer is None or timer[2] is None:
            return
        timer[2] = timer[3] = None
        self._dead += 1
        if timer[0] <= self.next_s:
            self._drop_dead()
        if self._dead > DEAD_FROM and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2] is not None]
            heapq.heapify(self._heap)
            self._dead = 0

    def fire(self, now: float) -> bool:
        """Make the next call if it is due by ``now``; whether one was made."""
        if self.next_s > now or not self._heap:
            return False
        timer = heapq.heappop(self._heap)
        due_s, _, call, what = timer
        timer[2] = timer[3] = None
        self._drop_dead()
        call(what, due_s)
        return True

    def _drop_dead(self) -> None:
        """Remove cancelled calls from the front."""
        heap = self._heap
        while heap and heap[0][2] is None:
            heapq.heappop(heap)
            self._dead -= 1
        self.next_s = heap[0][0] if heap else math.inf
