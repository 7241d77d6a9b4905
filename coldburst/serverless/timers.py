"""Timers without a clock: a heap of calls, each due at an instant and cancellable."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
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
        self._numbers = itertools.count()
        self._dead = 0
        self.next_s = math.inf

    def __len__(self) -> int:
        return len(self._heap) - self._dead

    def at(self, due_s: float, call: Callable[[T, float], object], what: T) -> Timer:
        """Schedule ``call(what, due_s)``."""
        timer = [due_s, next(self._numbers), call, what]
        heappush(self._heap, timer)
        if due_s < self.next_s:
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
            heapify(self._heap)
            self._dead = 0

    def fire(self) -> None:
        """Make the next call; there must be one."""
        heap = self._heap
        due_s, _, call, what = timer = heappop(heap)
        timer[2] = timer[3] = None
        if heap and heap[0][2] is not None:
            self.next_s = heap[0][0]
        else:
            self._drop_dead()
        call(what, due_s)

    def _drop_dead(self) -> None:
        """Remove cancelled calls from the front."""
        heap = self._heap
        while heap and heap[0][2] is None:
            heappop(heap)
            self._dead -= 1
        self.next_s = heap[0][0] if heap else math.inf
