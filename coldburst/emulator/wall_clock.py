"""The emulator's clock."""

from __future__ import annotations

import time


class WallClock:
    """Seconds since the emulator's second 0; ``zero_s`` is that instant in seconds since 1970."""

    def __init__(self) -> None:
        self.zero_s = time.time()
        self._start_s = time.monotonic()

    def now(self) -> float:
        """Seconds since second 0; never goes back."""
        return time.monotonic() - self._start_s
