"""Holds submissions back where the service's own answers say that no further one is allowed (see targets.quota).

The numbers of RunPod's documents are not applied: what they do to a load is a result, and a service without the headers gets every
request when it is due.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import gevent
from gevent.lock import BoundedSemaphore

from coldburst.targets.exchange import Exchange
from coldburst.targets.quota import Quota

logger = logging.getLogger("coldburst")


class SubmissionLimit:
    """The limit of one process; requests wait in order."""

    def __init__(self) -> None:
        self._quota = Quota()
        self._line = BoundedSemaphore(1)
        self._waiting = 0
        self._warned = False

    def share(self, generators: int) -> None:
        """From now on so many load generators submit."""
        self._quota.share = 1 / generators

    def enter(self, exchange: Exchange) -> int:
        """Waits until a request may be sent, and notes for how long in ``exchange``; its number for ``hear``."""
        now = time.perf_counter()
        if self._waiting or self._quota.wait_s(now) > 0:
            self._wait()
            exchange.held_s = time.perf_counter() - now
            exchange.events += (("rate_limited", f"held for {exchange.held_s:.3f} s by the limit in the endpoint's answers"),)
        return self._quota.take(time.perf_counter())

    def hear(self, turn: int, headers: Mapping[str, str]) -> None:
        """Reads what the answer to that request says of the limit."""
        self._quota.hear(turn, headers, time.perf_counter())

    def _wait(self) -> None:
        self._waiting += 1
        try:
            with self._line:
                while (wait_s := self._quota.wait_s(time.perf_counter())) > 0:
                    if not self._warned:
                        self._warned = True
                        logger.warning("The endpoint's answers allow no further job for %.1f s (RateLimit): requests are held", wait_s)
                    # An answer may allow more, or less, meanwhile.
                    gevent.sleep(min(wait_s, 1.0))
        finally:
            self._waiting -= 1
