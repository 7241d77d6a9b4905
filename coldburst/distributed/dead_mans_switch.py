"""The dead man's switch of a generator: it stops sending when its master has been silent for 10 s, because GPU time costs money."""

from __future__ import annotations

import time
from collections.abc import Callable

from locust import runners

from coldburst.distributed.messages import STALL_S

# A generator stops after this many seconds without a message from its master.
SILENT_S = 10.0
# Between two runs it waits for longer.
IDLE_S = 60.0
# Turns off Locust's own switch. It goes by the wall clock, which can be changed, and cuts requests in flight.
NEVER_S = 10**9


class DeadMansSwitch:
    """Calls ``stop`` when the master has been silent for too long.

    Silence counts while this process runs. After a standstill (SIGSTOP, a laptop's lid) it counts from the first turn on.

    Args:
        limit_s: how long the master may be silent now; infinite once ``stop`` was called.
        stop: called with the seconds of silence; must not block.
    """

    def __init__(self, limit_s: Callable[[], float], stop: Callable[[float], None]) -> None:
        self._limit_s, self._stop = limit_s, stop
        self._heard = self._checked = time.perf_counter()
        runners.MASTER_HEARTBEAT_TIMEOUT = NEVER_S

    def heard(self) -> None:
        """Notes a message from the master."""
        self._heard = time.perf_counter()

    def check(self) -> None:
        """Stops the generator if the master has been silent for too long; called at each beat."""
        before, now = self._checked, time.perf_counter()
        self._checked = now
        if now - before > STALL_S:
            self._heard = now
        if now - self._heard >= self._limit_s():
            self._stop(now - self._heard)
