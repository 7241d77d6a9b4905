"""Which attempts are retried, and when. Off by default; each try is a row of its own."""

from __future__ import annotations

import random
from dataclasses import dataclass

# Outcomes that may change with another try: no room, or no connection.
AGAIN = ("queue_timeout", "throttled", "busy", "unreachable")
# Longest pause, unless the endpoint asks for more by Retry-After.
LONGEST_S = 60.0
# If the endpoint asks for more than this there is no further try, so that the run can end.
LONGEST_ASKED_S = 600.0
# Outcomes of an endpoint that answers at once because it cannot serve. A place of a closed loop that gets one sends its next request
# this long after the failed one, in seconds, or after Retry-After, up to the longest pause.
REJECTED = (*AGAIN, "failed", "refused")
PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0


def back_off_s(outcome: str, took_s: float, retry_after_s: float | None) -> float:
    """Seconds that a place of a closed loop pauses after a request that ended with ``outcome`` after ``took_s`` seconds."""
    if outcome not in REJECTED:
        return 0.0
    return max(PAUSE_S - took_s, min(retry_after_s or 0.0, LONGEST_PAUSE_S), 0.0)


@dataclass(frozen=True, slots=True)
class Retries:
    """At most ``most`` retries; ``first_s`` is the mean pause before the first one, in seconds."""

    most: int = 0
    first_s: float = 1.0

    def pause_s(self, outcome: str, tries: int, retry_after_s: float | None, random_: random.Random) -> float | None:
        """Seconds until the next try, after ``tries`` of which the last ended with ``outcome``; None for no further try.

        The mean doubles from try to try. Each pause is drawn from 0.5 to 1.5 times the mean, so that requests that failed
        together do not return together. A pause is at least as long as ``retry_after_s``.
        """
        if tries > self.most or outcome not in AGAIN or (retry_after_s or 0.0) > LONGEST_ASKED_S:
            return None
        mean_s = min(self.first_s * 2.0 ** (tries - 1), LONGEST_S)
        return max(mean_s * random_.uniform(0.5, 1.5), retry_after_s or 0.0)
