"""The dead man's switch of a generator: it stops sending when its master has been silent for 10 s, because GPU time costs money."""

from __future__ import annotations

import time
from collections.abc import Callable

from locust import runners

# Without a word from the master for so long a generator stops.
SILENT_S = 10.0
# For Locust's own switch, which would cut what is still in flight after 60 s.
NEVER_S = 10**9


class DeadMansSwitch:
    """Calls ``stop`` when no word has come from the master for SILENT_S while one is needed.

    Args:
        needed: whether a part of a run is under way that nobody has ended yet; false once ``stop`` was called.
        stop: called with the seconds of silence; must not block.
    """

    def __init__(self, needed: Callable[[], bool], stop: Callable[[float], None]) -> None:
        self._needed, self._stop = needed, stop
        self._heard = time.perf_counter()

    def heard(self) -> None:
        """Notes that the master has spoken."""
        self._heard = time.perf_counter()

    def check(self) -> None:
        """Stops the generator if it is time; called with each of its own beats."""
        silent_s = time.perf_counter() - self._heard
        if silent_s < SILENT_S or not self._needed():
            return
        runners.MASTER_HEARTBEAT_TIMEOUT = NEVER_S
        self._stop(silent_s)
