"""Which attempts are retried, and after how long. Off by default; each try is a row of its own."""

from __future__ import annotations

import random
from dataclasses import dataclass

AGAIN = ("queue_timeout", "throttled", "busy", "unreachable")
"""Outcomes that another try may change: nobody had room, or nobody was there. The others are final."""
LONGEST_S = 60.0
"""A pause grows no longer than this, unless the endpoint itself asks for more (Retry-After)."""
LONGEST_ASKED_S = 600.0
"""An endpoint that asks for a longer one is taken at its word: there is no further try, and the run can end."""


@dataclass(frozen=True, slots=True)
class Retries:
    """``most`` further tries after the first; ``first_s`` is the mean pause before the second, in seconds."""

    most: int = 0
    first_s: float = 1.0

    def pause_s(self, outcome: str, tries: int, retry_after_s: float | None, random_: random.Random) -> float | None:
        """How long to wait before another try, after ``tries`` that ended with ``outcome``; None = no further one.

        Pauses double from try to try, each drawn between a half and three halves of its mean, so that
        requests which failed together do not come back together. An endpoint that names a time
        (``Retry-After``) is not asked before it, and not at all where it names more than LONGEST_ASKED_S.
        """
        if tries > self.most or outcome not in AGAIN or (retry_after_s or 0.0) > LONGEST_ASKED_S:
            return None
        mean_s = min(self.first_s * 2.0 ** (tries - 1), LONGEST_S)
        return max(mean_s * random_.uniform(0.5, 1.5), retry_after_s or 0.0)
