"""Times between the chunks of a streamed answer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from typing import Any


def between(instants: Sequence[float]) -> dict[str, Any]:
    """The columns of the times between ``instants``, in seconds; percentiles are of the nearest rank."""
    gaps = sorted(later - before for before, later in pairwise(instants))
    if not gaps:
        return {}
    return {"itl_p50_s": gaps[ceil(0.5 * len(gaps)) - 1], "itl_p95_s": gaps[ceil(0.95 * len(gaps)) - 1], "itl_max_s": gaps[-1]}
