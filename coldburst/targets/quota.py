"""A service's own rate limit, by its answers: ``RateLimit: "minute";r=176;t=12, "hour";r=7193`` and ``RateLimit-Policy``.

RunPod documents these headers for REST v2, whose windows are minute, hour and day. For an endpoint's own API it documents numbers only
("send requests"); where its answers carry the headers, these count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from coldburst.option import number as finite

WINDOWS_S = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
# The headers have whole seconds, and may be rounded either way.
ROUNDED_S = 1.0
# A request that was sent so long ago has arrived, though it may be held there.
ARRIVED_S = 5.0


@dataclass(slots=True)
class Window:
    """One window of a rate limit.

    Attributes:
        left: requests left in it.
        ends_s: seconds to its end, from the answer on; in ``Quota`` the latest instant of its end.
        length_s: its length.
        full: requests that it allows; 0 = not told.
        mine: requests of this process that may count in it; ``late``: those that may count in the next one already.
    """

    left: float
    ends_s: float
    length_s: float
    full: float
    mine: int = 0
    late: int = 0


def windows(headers: Mapping[str, str]) -> dict[str, Window]:
    """The windows in an answer's headers, by name; without ``t`` a window of a known name is taken to have just begun."""
    policy = _members(headers.get("ratelimit-policy", ""))
    found = {}
    for name, words in _members(headers.get("ratelimit") or headers.get("x-ratelimit") or "").items():
        of = policy.get(name, {})
        length_s = of.get("w", WINDOWS_S.get(name))
        ends_s = words.get("t", length_s)
        if "r" in words and ends_s is not None:
            found[name] = Window(words["r"], ends_s, max(length_s or 0.0, ends_s, ROUNDED_S), of.get("q", 0.0))
    return found


def rate_window(headers: Mapping[str, str]) -> tuple[float, float] | None:
    """Requests left and seconds to the end of the tightest window; None if the headers have none."""
    found = [(window.left, window.ends_s) for window in windows(headers).values()]
    return max(found, key=lambda window: window[1] / max(window[0], 1.0), default=None)


class Quota:
    """What is left of a service's rate limit on one operation. Instants in seconds by any clock.

    The least of two bounds counts. What an answer says does not count the requests that left after its own, nor those before it that
    have not arrived. The whole number less the requests of this process holds in any order of answers, but knows no other client.

    Args:
        share: part of the limit that this process uses.
        spread: spread what is left over the rest of the window instead of using it at once.
    """

    def __init__(self, share: float = 1.0, *, spread: bool = False) -> None:
        self.share, self._spread = share, spread
        self._windows: dict[str, Window] = {}
        self._sent = self._heard = 0
        self._last_s = 0.0
        # When requests without an answer were sent, by number; without those that must have arrived.
        self._open: dict[int, float] = {}

    def __bool__(self) -> bool:
        """Whether an answer has told a limit."""
        return bool(self._windows)

    def take(self, now: float) -> int:
        """Counts a request; its number, from 1."""
        self._sent, self._last_s = self._sent + 1, now
        self._open[self._sent] = now
        while now - next(iter(self._open.values())) > ARRIVED_S:
            del self._open[next(iter(self._open))]
        for window in self._windows.values():
            window.left -= 1
            window.mine += 1
            window.late += now >= window.ends_s - 2 * ROUNDED_S
        return self._sent

    def hear(self, turn: int, headers: Mapping[str, str], now: float) -> bool:
        """Reads the answer to the request with that number; whether it tells a limit, and none of a later request did before."""
        self._open.pop(turn, None)
        if ("ratelimit" not in headers and "x-ratelimit" not in headers) or turn < self._heard or not (told := windows(headers)):
            return False
        self._heard = turn
        uncounted = self._sent - turn + sum(number < turn and now - sent_s < ARRIVED_S for number, sent_s in self._open.items())
        for name, window in told.items():
            window.left = int(window.left * self.share) - uncounted
            window.ends_s += now + ROUNDED_S
            told[name] = self._joined(self._windows.get(name), window)
        self._windows = told
        return True

    def _joined(self, before: Window | None, told: Window) -> Window:
        """What an answer tells, with what is known from before."""
        if before is None:
            told.mine = self._sent
            return told
        later_s = told.ends_s - before.ends_s
        if later_s < -2 * ROUNDED_S:
            # Of the window that has ended meanwhile.
            return before
        if later_s > 2 * ROUNDED_S:
            told.mine = before.late
        else:
            told.mine, told.late, told.ends_s = before.mine, before.late, min(before.ends_s, told.ends_s)
        return told

    def wait_s(self, now: float) -> float:
        """Seconds until the next request is allowed."""
        wait_s = 0.0
        for window in self._windows.values():
            while window.ends_s <= now:
                window.mine, window.late = window.late, 0
                # Of an unknown number one request is sent, and its answer tells.
                window.left, window.ends_s = window.full * self.share or 1, max(now, window.ends_s + window.length_s)
            left = min(window.left, max(1, int(window.full * self.share)) - window.mine) if window.full else window.left
            if left < 1:
                wait_s = max(wait_s, window.ends_s - now)
            elif self._spread:
                wait_s = max(wait_s, min(self._last_s, now) + (window.ends_s - now) / left - now)
        return wait_s


def _members(header: str) -> dict[str, dict[str, float]]:
    """The members of a structured list with their numbers, by name without quotes; one with a number that is none has none."""
    found: dict[str, dict[str, float]] = {}
    for item in header.split(","):
        name, *more = item.split(";")
        words = dict(part.strip().partition("=")[::2] for part in more)
        try:
            found[name.strip().strip('"')] = {key: max(finite(text), 0.0) for key, text in words.items() if key in ("r", "t", "q", "w")}
        except ValueError:
            continue
    return found
