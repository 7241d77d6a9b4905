"""Rate limits of each operation: requests per window, and requests at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

from coldburst.serverless.platform_parameters import OperationLimit, Platform

RETRY_S = 1.0
"""Suggested pause where too many requests are open; when one ends is not known."""


class RateLimits:
    """Fixed windows from ``origin_s`` on: requests <= max(per window, running workers × requests per worker)."""

    def __init__(self, platform: Platform, running: Callable[[], int], origin_s: float) -> None:
        self._platform, self._running, self._origin_s = platform, running, origin_s
        self._rows: dict[str, OperationLimit] = {row.operation: row for row in platform.limits} if platform.limits_on else {}
        self._window: dict[str, tuple[int, int]] = {}
        self._open: dict[str, int] = {}

    def admit(self, operation: str, now: float) -> float | None:
        """None admits the request until ``release``; otherwise the seconds after which to retry."""
        row = self._rows.get(operation)
        if row is None:
            return None
        if row.concurrent is not None and self._open.get(operation, 0) >= row.concurrent:
            return RETRY_S
        number = math.floor((now - self._origin_s) / self._platform.window_s)
        window, used = self._window.get(operation, (number, 0))
        if window != number:
            used = 0
        if used >= max(row.per_window, self._running() * row.per_worker):
            return self._origin_s + (number + 1) * self._platform.window_s - now
        self._window[operation] = (number, used + 1)
        self._open[operation] = self._open.get(operation, 0) + 1
        return None

    def release(self, operation: str) -> None:
        """End an admitted request."""
        if self._open.get(operation, 0):
            self._open[operation] -= 1
