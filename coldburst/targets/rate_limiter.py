"""Limits how often a process makes calls of one kind: polls within RunPod's documented limits, requests within the endpoint's own.

The documented numbers are not applied to requests: what they do to a load is a result, and a service whose answers tell no limit
gets every request when it is due.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from coldburst.targets.exchange import Exchange
from coldburst.targets.quota import Quota

logger = logging.getLogger("coldburst")

# Requests of so many seconds may be saved up, because timers count whole milliseconds.
BURST_S = 0.05
MOST_HALVINGS = 6
_NEARLY = 1 - 1e-9


@dataclass(frozen=True, slots=True)
class RateLimit:
    """RunPod's limit on an operation, per endpoint and user (documented under "rate limits").

    Attributes:
        requests: allowed within any ``window_s`` seconds.
        concurrent: requests allowed at a time.
        share: part of both that this process uses. The rest is for other generators and for the edges of windows.
    """

    requests: int
    concurrent: int
    share: float
    window_s: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"a share of {self.share:g} of RunPod's rate limit is not usable: give one above 0 and at most 1, as in 0.8")

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests * self.share / self.window_s

    @property
    def places(self) -> int:
        """Requests at a time."""
        return max(1, int(self.concurrent * self.share))


class TokenBucket:
    """A token bucket whose rate halves when the service answers 429. ``now`` is in seconds.

    Within any t seconds it allows at most ``burst`` + rate × t requests.

    Args:
        rate: requests per second.
        burst: requests that can be saved up, 1 or more.
        window_s: how long a halved rate lasts before it doubles again.
    """

    def __init__(self, rate: float, burst: float, window_s: float, now: float) -> None:
        self._rate, self._burst, self._window_s = rate, max(1.0, burst), window_s
        self._tokens, self._at = self._burst, now
        self._halvings, self._slowed, self._doubles = 0, now, now

    def change(self, rate: float, burst: float, now: float) -> None:
        """Sets another rate; saved requests are kept, up to ``burst``."""
        self._refill(now)
        self._rate, self._burst = rate, max(1.0, burst)
        self._add(now)

    def wait_s(self, now: float) -> float:
        """Seconds until the next request is allowed."""
        self._refill(now)
        return 0.0 if self._tokens >= _NEARLY else (1 - self._tokens) / self.rate

    def take(self, now: float) -> None:
        """Counts a request."""
        self._refill(now)
        self._tokens -= 1

    def slow(self, now: float, sent: float) -> None:
        """Halves the rate after a 429 to a request sent at ``sent``; once for all requests that were in flight together."""
        if self._halvings and sent < self._slowed:
            return
        self._refill(now)
        self._halvings = min(self._halvings + 1, MOST_HALVINGS)
        self._tokens = min(self._tokens, 0.0)
        self._slowed, self._doubles = now, now + self._window_s

    @property
    def rate(self) -> float:
        """Requests per second at present."""
        return self._rate * 0.5**self._halvings

    def _refill(self, now: float) -> None:
        while self._halvings and now >= self._doubles:
            self._add(self._doubles)
            self._halvings -= 1
            self._doubles += self._window_s
        self._add(now)

    def _add(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self.rate)
        self._at = now


class _Turn(Event):  # type: ignore[misc]
    """A greenlet's place in line; ``number`` is of its request, once it has its turn."""

    number = 0


class RateLimiter:
    """Gives greenlets turns to send a request within a rate limit, and the service's own where its answers tell one; in order.

    Args:
        burst: requests that can be saved up; by default those of BURST_S.

    Attributes:
        quota: the service's own limit.
    """

    def __init__(self, limit: RateLimit, burst: float | None = None) -> None:
        self.places = limit.places
        self._bucket = TokenBucket(limit.rate, limit.rate * BURST_S if burst is None else burst, limit.window_s, time.perf_counter())
        self.quota = Quota(limit.share, spread=True)
        self._waiting: OrderedDict[_Turn, None] = OrderedDict()
        self._open = 0
        self._timer: gevent.Greenlet | None = None

    def change(self, limit: RateLimit) -> None:
        """Sets another limit, with the burst of BURST_S; turns already taken stay valid."""
        self.places = limit.places
        self._bucket.change(limit.rate, limit.rate * BURST_S, time.perf_counter())
        self.quota.share = limit.share
        self._serve()

    @property
    def rate(self) -> float:
        """Requests per second at present."""
        return self._bucket.rate

    @property
    def open(self) -> int:
        """Turns in use."""
        return self._open

    @property
    def waiting(self) -> int:
        """Greenlets in line."""
        return len(self._waiting)

    def enter(self, timeout_s: float, *, urgent: bool = False) -> int:
        """Waits for a turn, first in line if ``urgent``; its number, 0 if none was free in time. ``leave`` returns the turn."""
        turn = _Turn()
        self._waiting[turn] = None
        if urgent:
            self._waiting.move_to_end(turn, last=False)
        try:
            self._serve()
            turn.wait(timeout_s)
        # Killed: a turn that came at the same moment is returned.
        except BaseException:
            self._waiting.pop(turn, None)
            if turn.is_set():
                self.leave()
            raise
        self._waiting.pop(turn, None)
        return turn.number

    def leave(self) -> None:
        """Returns a turn: the request has ended."""
        self._open -= 1
        self._serve()

    def slow(self, sent: float) -> None:
        """Halves the rate for a window after a 429 to a request sent at ``sent`` (perf_counter)."""
        self._bucket.slow(time.perf_counter(), sent)

    def hear(self, turn: int, headers: Mapping[str, str]) -> None:
        """Reads what the answer to the request of that turn says of the service's own limit."""
        if self.quota.hear(turn, headers, time.perf_counter()):
            if self._timer:
                self._timer.kill(block=False)
                self._timer = None
            self._serve()

    def _serve(self) -> None:
        now = time.perf_counter()
        while self._waiting and self._open < self.places:
            if (wait_s := max(self._bucket.wait_s(now), self.quota.wait_s(now))) > 0:
                self._timer = self._timer or gevent.spawn_later(wait_s, self._tick)
                return
            self._bucket.take(now)
            self._open += 1
            turn, _ = self._waiting.popitem(last=False)
            turn.number = self.quota.take(now)
            turn.set()

    def _tick(self) -> None:
        self._timer = None
        self._serve()


class RequestLimit:
    """Holds requests back, in order, where the service's own answers say that no further one is allowed (see targets.quota)."""

    def __init__(self) -> None:
        self._quota = Quota()
        self._line = BoundedSemaphore(1)
        self._waiting = 0
        self._warned = False

    def share(self, generators: int) -> None:
        """From now on so many load generators send."""
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
                        logger.warning("The endpoint's answers allow no further request for %.1f s (RateLimit): requests are held", wait_s)
                    # An answer may allow more, or less, meanwhile.
                    gevent.sleep(min(wait_s, 1.0))
        finally:
            self._waiting -= 1
