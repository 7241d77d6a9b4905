"""The bill: worker time from container start to stop, by what the worker did."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

START, EXECUTION, IDLE = "start", "execution", "idle"


@dataclass(frozen=True, slots=True)
class Bill:
    """Worker time so far: starting, with a job, without one; ``billed_s`` rounds each worker's span up to whole seconds."""

    start_s: float = 0.0
    execution_s: float = 0.0
    idle_s: float = 0.0
    billed_s: int = 0
    usd: float = 0.0


def ceil_s(seconds: float) -> int:
    """``seconds`` rounded up; less than a microsecond above a whole second is rounding error."""
    return math.ceil(round(seconds, 6))


@dataclass(slots=True)
class Span:
    """One worker's billed time: the present phase ("" = not billed) with its start, and the start of the whole span."""

    phase: str = ""
    phase_from_s: float = 0.0
    from_s: float = 0.0


@dataclass(slots=True)
class BillingMeter:
    """Adds up the billed time of all workers; ``ended`` has start and end of each span that has ended."""

    ended: list[tuple[float, float]] = field(default_factory=list)
    spent_s: dict[str, float] = field(default_factory=lambda: {START: 0.0, EXECUTION: 0.0, IDLE: 0.0})
    billed_s: int = 0

    def move(self, span: Span, phase: str, now: float) -> None:
        """Count a worker's time as ``phase`` from now on; "" ends its span."""
        if phase == span.phase:
            return
        if span.phase:
            self.spent_s[span.phase] += now - span.phase_from_s
        else:
            span.from_s = now
        if not phase:
            self.billed_s += ceil_s(now - span.from_s)
            self.ended.append((span.from_s, now))
        span.phase, span.phase_from_s = phase, now

    def turn(self, span: Span, phase: str, now: float) -> None:
        """``move`` from one billed phase to another."""
        self.spent_s[span.phase] += now - span.phase_from_s
        span.phase, span.phase_from_s = phase, now

    def bill(self, spans: Iterable[Span], now: float, price_per_s: float) -> Bill:
        """The bill at ``now``, open spans included."""
        spent = dict(self.spent_s)
        billed = self.billed_s
        for span in spans:
            if span.phase:
                spent[span.phase] += now - span.phase_from_s
                billed += ceil_s(now - span.from_s)
        return Bill(spent[START], spent[EXECUTION], spent[IDLE], billed, billed * price_per_s)

    def within(self, spans: Iterable[Span], from_s: float, to_s: float, now: float) -> float:
        """The billed seconds from ``from_s`` to ``to_s``; each span is rounded up at its end."""
        lives = [*self.ended, *((span.from_s, now) for span in spans if span.phase)]
        return sum(max(min(start_s + ceil_s(end_s - start_s), to_s) - max(start_s, from_s), 0.0) for start_s, end_s in lives)
