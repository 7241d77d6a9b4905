"""How often a process may poll its jobs: one limit for all of them, first come, first served."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

import gevent
from gevent.event import Event

BURST_S = 0.05
"""Seconds of the rate that may be saved up: timers count whole milliseconds, and what they lose is made good."""
MOST_HALVINGS = 6
_NEARLY = 1 - 1e-9


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How often an operation of RunPod's may be called, per endpoint and user (documented under "rate limits").

    Attributes:
        requests: within any ``window_s`` seconds.
        concurrent: open at a time.
        share: the part of both that this process uses. The rest is for other generators, and for the window's edge.
    """

    requests: int
    concurrent: int
    share: float
    window_s: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"a share of {self.share:g} of RunPod's rate limit cannot be used: give one above 0 and up to 1, as in 0.8")

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests * self.share / self.window_s

    @property
    def places(self) -> int:
        """Requests open at a time."""
        return max(1, int(self.concurrent * self.share))


class TokenBucket:
    """When the next request may go: a token bucket whose rate halves when the service says 429. It takes ``now``, in seconds.

    Within any stretch of t seconds it lets at most ``burst`` + rate × t requests go.

    Args:
        rate: requests per second.
        burst: requests that may be saved up, 1 or more.
        window_s: how long a halving lasts, if no other follows; then the rate doubles.
    """

    def __init__(self, rate: float, burst: float, window_s: float, now: float) -> None:
        self._rate, self._burst, self._window_s = rate, max(1.0, burst), window_s
        self._tokens, self._at = self._burst, now
        self._halvings, self._slowed, self._doubles = 0, now, now

    def change(self, rate: float, burst: float, now: float) -> None:
        """Another rate from now on; what was saved up stays, as far as ``burst`` goes."""
        self._refill(now)
        self._rate, self._burst = rate, max(1.0, burst)
        self._add(now)

    def wait_s(self, now: float) -> float:
        """Seconds until a request may go, 0 = at once."""
        self._refill(now)
        return 0.0 if self._tokens >= _NEARLY else (1 - self._tokens) / self.rate

    def take(self, now: float) -> None:
        """A request goes."""
        self._refill(now)
        self._tokens -= 1

    def slow(self, now: float, sent: float) -> None:
        """The service said 429 to a request sent at ``sent``: half the rate, once for all requests that were under way together."""
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


class RateLimiter:
    """Turns to send a request, for any number of greenlets: at the pace and within the places of a rate limit, first come, first served.

    Args:
        burst: requests that may be saved up; by default what goes in BURST_S.
    """

    def __init__(self, limit: RateLimit, burst: float | None = None) -> None:
        self.places = limit.places
        self._bucket = TokenBucket(limit.rate, limit.rate * BURST_S if burst is None else burst, limit.window_s, time.perf_counter())
        self._waiting: OrderedDict[Event, None] = OrderedDict()
        self._open = 0
        self._timer: gevent.Greenlet | None = None

    def change(self, limit: RateLimit) -> None:
        """Another limit from now on, with the burst of BURST_S; turns that were taken stay taken."""
        self.places = limit.places
        self._bucket.change(limit.rate, limit.rate * BURST_S, time.perf_counter())
        self._serve()

    @property
    def rate(self) -> float:
        """Requests per second at present."""
        return self._bucket.rate

    @property
    def open(self) -> int:
        """Turns taken and not given back."""
        return self._open

    @property
    def waiting(self) -> int:
        """Greenlets in line."""
        return len(self._waiting)

    def enter(self, timeout_s: float, *, urgent: bool = False) -> bool:
        """Waits for a turn, at the head of the line where it is urgent; False = there was none in time. Ends with ``leave``."""
        turn = Event()
        self._waiting[turn] = None
        if urgent:
            self._waiting.move_to_end(turn, last=False)
        try:
            self._serve()
            turn.wait(timeout_s)
        except BaseException:  # killed: a turn that came at the same moment goes to another
            self._waiting.pop(turn, None)
            if turn.is_set():
                self.leave()
            raise
        self._waiting.pop(turn, None)
        return bool(turn.is_set())

    def leave(self) -> None:
        """Gives a turn back: the request has ended."""
        self._open -= 1
        self._serve()

    def slow(self, sent: float) -> None:
        """The service said 429 to a request sent at ``sent`` (perf_counter): half the rate for a window."""
        self._bucket.slow(time.perf_counter(), sent)

    def _serve(self) -> None:
        now = time.perf_counter()
        while self._waiting and self._open < self.places:
            if (wait_s := self._bucket.wait_s(now)) > 0:
                self._timer = self._timer or gevent.spawn_later(wait_s, self._tick)
                return
            self._bucket.take(now)
            self._open += 1
            self._waiting.popitem(last=False)[0].set()

    def _tick(self) -> None:
        self._timer = None
        self._serve()
