"""Rate limits of each operation: requests per window, and requests at a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from coldburst.serverless.platform_parameters import OperationLimit, Platform

RETRY_S = 1.0
"""Suggested pause where too many requests are open; when one ends is not known."""


class Quota(NamedTuple):
    """The window of an operation: requests that it allows and has left, its length, and seconds to its end."""

    full: int
    left: int
    window_s: float
    ends_s: float


class RateLimits:
    """Fixed windows from ``origin_s`` on: requests <= max(per window, running workers × requests per worker).

    Attributes:
        refused: requests that were not admitted, by operation.
    """

    def __init__(self, platform: Platform, running: Callable[[], int], origin_s: float) -> None:
        self._platform, self._running, self._origin_s = platform, running, origin_s
        self._rows: dict[str, OperationLimit] = {row.operation: row for row in platform.limits} if platform.limits_on else {}
        self._window: dict[str, tuple[int, int]] = {}
        self._open: dict[str, int] = {}
        self.refused: Counter[str] = Counter()

    def admit(self, operation: str, now: float) -> float | None:
        """None admits the request until ``release``; otherwise the seconds after which to retry."""
        row = self._rows.get(operation)
        if row is None:
            return None
        again_s = self._admit(row, operation, now)
        self.refused[operation] += again_s is not None
        return again_s

    def _admit(self, row: OperationLimit, operation: str, now: float) -> float | None:
        if row.concurrent is not None and self._open.get(operation, 0) >= row.concurrent:
            return RETRY_S
        number, used = self._used(operation, now)
        if used >= self._most(row):
            return self._ends_s(number) - now
        self._window[operation] = (number, used + 1)
        self._open[operation] = self._open.get(operation, 0) + 1
        return None

    def release(self, operation: str) -> None:
        """End an admitted request."""
        if self._open.get(operation, 0):
            self._open[operation] -= 1

    def quota(self, operation: str, now: float) -> Quota | None:
        """The state of the window, where answers tell it."""
        row = self._rows.get(operation)
        if row is None or self._platform.quota is None:
            return None
        number, used = self._used(operation, now)
        return Quota(self._platform.quota, max(0, self._platform.quota - used), self._platform.window_s, self._ends_s(number) - now)

    def _most(self, row: OperationLimit) -> int:
        return max(row.per_window, self._running() * row.per_worker) if self._platform.quota is None else self._platform.quota

    def _used(self, operation: str, now: float) -> tuple[int, int]:
        """The number of the present window, and the requests in it."""
        number = math.floor((now - self._origin_s) / self._platform.window_s)
        window, used = self._window.get(operation, (number, 0))
        return number, used if window == number else 0

    def _ends_s(self, number: int) -> float:
        return self._origin_s + (number + 1) * self._platform.window_s
