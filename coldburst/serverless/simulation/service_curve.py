"""How a job's service time grows with the jobs at its worker, as in ``1:0.284,128:0.606``."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from itertools import pairwise

EXAMPLE = "1:0.284,128:0.606"


@dataclass(frozen=True, slots=True)
class ServiceCurve:
    """Seconds of a job by the number of jobs at the worker when it starts, itself included; linear between points, flat outside."""

    jobs: tuple[float, ...]
    seconds: tuple[float, ...]

    def __str__(self) -> str:
        return ",".join(f"{jobs:g}:{seconds:g}" for jobs, seconds in zip(self.jobs, self.seconds, strict=True))

    def at(self, jobs: float) -> float:
        """Seconds of a job that starts as one of ``jobs``."""
        above = bisect.bisect_right(self.jobs, jobs)
        if above in (0, len(self.jobs)):
            return self.seconds[max(above - 1, 0)]
        low, high = self.jobs[above - 1], self.jobs[above]
        return self.seconds[above - 1] + (self.seconds[above] - self.seconds[above - 1]) * (jobs - low) / (high - low)

    def factor(self, jobs: int) -> float:
        """The same relative to a job alone."""
        return self.at(jobs) / self.at(1)


def parse_curve(text: str) -> ServiceCurve:
    """From ``1:0.284,128:0.606``; ValueError."""
    try:
        jobs, seconds = zip(*([float(number) for number in point.split(":")] for point in text.split(",")), strict=True)
    except ValueError:
        jobs, seconds = (), ()
    rising = all(before < after for before, after in pairwise(jobs))
    if not (jobs and rising and jobs[0] >= 1 and all(0 < second < math.inf for second in seconds) and jobs[-1] < math.inf):
        raise ValueError(f"'{text}' is not a service curve: write JOBS:SECONDS with rising JOBS from 1 on, as in '{EXAMPLE}'")
    return ServiceCurve(jobs, seconds)
