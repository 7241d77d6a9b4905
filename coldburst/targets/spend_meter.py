"""What a run's endpoint workers have cost so far, from the lives of their containers in the worker list.

As a bill does, it counts each container from its start to its stop, rounded up to whole seconds, and only the part within the run.
/health is not used: it shows workers that are not billed, and not the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from coldburst.targets.worker_spans import WorkerSpan, WorkerSpans

# USD per second of a worker with so many GPUs of that type.
Prices = Callable[[str, int], float]


class SpendMeter:
    """The meter of one run.

    Args:
        spans: of the run's workers; the worker list is read every few seconds.
        limit_usd: what may be spent.
        usd_per_s: the price of a worker by type and number of its GPUs.
        now: seconds from second 0 of the run.
    """

    def __init__(self, spans: WorkerSpans, limit_usd: float, usd_per_s: Prices, now: Callable[[], float]) -> None:
        self.limit_usd = limit_usd
        self._spans, self._usd_per_s, self._now = spans, usd_per_s, now

    @property
    def usd(self) -> float:
        """Spent so far. Between two looks at the list, workers that were there at the last one are counted on."""
        now_s = self._now()
        return sum(billed_s(span, now_s) * self._usd_per_s(span.gpu, span.gpus) for span in self._spans.all())

    @property
    def prices(self) -> dict[str, float]:
        """USD per second of the workers that were counted, by their GPUs."""
        kinds = {(span.gpus, span.gpu) for span in self._spans.all()}
        return {f"{gpus} x {gpu}": self._usd_per_s(gpu, gpus) for gpus, gpu in sorted(kinds)}

    @property
    def blind_s(self) -> float:
        """Seconds since the worker list was last read."""
        return self._now() - (self._spans.seen_s or 0.0)


def billed_s(span: WorkerSpan, now_s: float) -> int:
    """Whole seconds that a container is billed for within the run; a stop between two looks is taken to be in their middle."""
    stop_s = now_s if span.gone_s is None else (span.seen_s + span.gone_s) / 2
    before_s = max(-span.start_s, 0.0)
    return max(_whole(max(stop_s, span.start_s) - span.start_s) - _whole(before_s), 0)


def _whole(seconds: float) -> int:
    return math.ceil(round(seconds, 6))
