"""Random times as a table of percentiles, the form in which traces give them; linear between two of them.

0.56@0,1@50,2@90,42@100         at least 0.56 s, half below 1 s, one in ten above 2 s
4@0,6@70,60@70,80@100           two humps: 70 % between 4 and 6 s, the others between 60 and 80 s
"""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Percentiles (0 to 100) and values, both in rising order; ValueError for others."""

    percentiles: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        rising = all(_rising(line) and all(map(math.isfinite, line)) for line in (self.percentiles, self.values))
        if not (rising and self.percentiles and self.percentiles[0] == 0 and self.percentiles[-1] == 100 and self.values[0] >= 0):
            raise ValueError(f"'{self}' is not a table of percentiles: write it in rising order from 0 to 100, as in '0.5@0,1@50,4@100'")

    def __str__(self) -> str:
        return ",".join(f"{value:g}@{percentile:g}" for percentile, value in zip(self.percentiles, self.values, strict=True))

    def at(self, percentile: float) -> float:
        """The value at a percentile."""
        above = bisect.bisect_right(self.percentiles, percentile)
        if above == len(self.percentiles):
            return self.values[-1]
        low, high = self.percentiles[above - 1], self.percentiles[above]
        return self.values[above - 1] + (self.values[above] - self.values[above - 1]) * (percentile - low) / (high - low)


def parse_quantiles(text: str) -> Quantiles:
    """From ``0.5@0,1@50,4@100``; ValueError."""
    try:
        points = [[float(number) for number in point.split("@")] for point in text.split(",")]
        values, percentiles = zip(*points, strict=True)
    except ValueError:
        raise ValueError(f"'{text}' is neither a number nor a table of percentiles such as '0.5@0,1@50,4@100'") from None
    return Quantiles(percentiles, values)


def draw(value: float | Quantiles, rng: random.Random) -> float:
    """A value; constants leave ``rng`` alone."""
    return value.at(rng.random() * 100) if isinstance(value, Quantiles) else value


def draws(value: float | Quantiles, rng: random.Random) -> Iterator[float]:
    """``draw`` without end."""
    if not isinstance(value, Quantiles):
        while True:
            yield value
    pieces = [
        (low, from_s, to_s - from_s, high - low)
        for (low, high), (from_s, to_s) in zip(pairwise(value.percentiles), pairwise(value.values), strict=True)
    ]
    inner, random_ = value.percentiles[1:], rng.random
    while True:
        percentile = random_() * 100
        low, base, rise, width = pieces[bisect.bisect_right(inner, percentile)]
        yield base + rise * (percentile - low) / width


def highest(value: float | Quantiles) -> float:
    """The largest value."""
    return value.values[-1] if isinstance(value, Quantiles) else value


def _rising(line: tuple[float, ...]) -> bool:
    return all(before <= after for before, after in pairwise(line))
