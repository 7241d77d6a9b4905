"""Whether the endpoint became slower or faster during a sweep, by the trend within its stages."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..statistics.autocorrelation import Floats
from ..text.number_format import percent

# A stage gives one slope of log service time, from the means of so many parts: successive service times are correlated.
PARTS, LEAST = 10, 20
# Standard errors that a trend must have, and the change over all stages below which it changes no decision.
ERRORS, LEAST_CHANGE = 3.0, 0.05


def drift(stages: Sequence[tuple[Floats, Floats]]) -> str:
    """A sentence about the trend of service times over all stages, or ""; each stage: instants and service times in s, in order.

    The slopes of the stages are weighted by their precision; their sum over the measured time is the change.
    """
    slopes, weights, seconds = [], [], 0.0
    for at_s, service_s in stages:
        if len(at_s) < LEAST or not (service_s > 0).all():
            continue
        x = np.array([part.mean() for part in np.array_split(at_s, PARTS)])
        y = np.log([part.mean() for part in np.array_split(service_s, PARTS)])
        x -= x.mean()
        slope = float(x @ y / (x @ x))
        rest = y - y.mean() - slope * x
        error = max(float(rest @ rest) / (PARTS - 2) / float(x @ x), 1e-18)
        slopes.append(slope)
        weights.append(1 / error)
        seconds += float(at_s[-1] - at_s[0])
    if not slopes:
        return ""
    slope, error = float(np.average(slopes, weights=weights)), 1 / math.sqrt(sum(weights))
    change = math.expm1(slope * seconds)
    if abs(slope) < ERRORS * error or abs(change) < LEAST_CHANGE:
        return ""
    way, later = ("rose", "worse") if change > 0 else ("fell", "better")
    return f"service times {way} by about {percent(abs(change))} while it was measured, so later settings look {later}: repeat the sweep"
