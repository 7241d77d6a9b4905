"""The dead man's switch of a generator: it stops sending when its master has been silent for 10 s, because GPU time costs money."""

from __future__ import annotations

import time
from collections.abc import Callable

from locust import runners

# A generator stops after this many seconds without a message from its master.
SILENT_S = 10.0
# Turns off Locust's own switch, which would cut requests in flight after 60 s.
NEVER_S = 10**9


class DeadMansSwitch:
    """Calls ``stop`` when the master has been silent for SILENT_S during a run.

    Args:
        needed: whether the master is needed, because a run is in progress; false once ``stop`` was called.
        stop: called with the seconds of silence; must not block.
    """

    def __init__(self, needed: Callable[[], bool], stop: Callable[[float], None]) -> None:
        self._needed, self._stop = needed, stop
        self._heard = time.perf_counter()

    def heard(self) -> None:
        """Notes a message from the master."""
        self._heard = time.perf_counter()

    def check(self) -> None:
        """Stops the generator if the master has been silent for too long; called at each beat."""
        silent_s = time.perf_counter() - self._heard
        if silent_s < SILENT_S or not self._needed():
            return
        runners.MASTER_HEARTBEAT_TIMEOUT = NEVER_S
        self._stop(silent_s)
