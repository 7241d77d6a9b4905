"""The bill: what workers cost, in seconds from container start to full stop and by what the worker did in them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

START, EXECUTION, IDLE = "start", "execution", "idle"


@dataclass(frozen=True, slots=True)
class Bill:
    """Worker time so far.

    Attributes:
        start_s, execution_s, idle_s: seconds in container start and model load, with a job, without one. Not rounded.
        billed_s: the same seconds, each stretch of a worker from start to stop rounded up to the second.
        usd: billed_s at the price.
    """

    start_s: float = 0.0
    execution_s: float = 0.0
    idle_s: float = 0.0
    billed_s: int = 0
    usd: float = 0.0


def ceil_s(seconds: float) -> int:
    """Rounded up to the second; a rest below a microsecond is the arithmetic's, not the worker's."""
    return math.ceil(round(seconds, 6))


@dataclass(slots=True)
class Span:
    """The billed time of one worker.

    Attributes:
        phase: what its time counts as now; "" = not billed.
        phase_from_s: since when.
        from_s: when the present billed stretch began.
    """

    phase: str = ""
    phase_from_s: float = 0.0
    from_s: float = 0.0


@dataclass(slots=True)
class BillingMeter:
    """Adds up the billed time of all workers."""

    spent_s: dict[str, float] = field(default_factory=lambda: {START: 0.0, EXECUTION: 0.0, IDLE: 0.0})
    billed_s: int = 0

    def move(self, span: Span, phase: str, now: float) -> None:
        """A worker's time counts as ``phase`` from now on; "" ends its billed stretch."""
        if phase == span.phase:
            return
        if span.phase:
            self.spent_s[span.phase] += now - span.phase_from_s
        else:
            span.from_s = now
        if not phase:
            self.billed_s += ceil_s(now - span.from_s)
        span.phase, span.phase_from_s = phase, now

    def bill(self, spans: Iterable[Span], now: float, price_per_s: float) -> Bill:
        """The bill at ``now``, with the stretches of ``spans`` that have not ended."""
        spent = dict(self.spent_s)
        billed = self.billed_s
        for span in spans:
            if span.phase:
                spent[span.phase] += now - span.phase_from_s
                billed += ceil_s(now - span.from_s)
        return Bill(spent[START], spent[EXECUTION], spent[IDLE], billed, billed * price_per_s)
