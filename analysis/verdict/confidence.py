"""How far the main figure of a run can be relied on, and what would make it surer."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..command_name import PROGRAM
from ..tables.burst import Prediction, prediction
from ..tables.run_tables import Tables
from ..text.number_format import plural, seconds
from .verdict import Verdict

HIGH, MEDIUM, LOW = "high", "medium", "low"
# Draws (runs, or bursts of one run) after which what differs between runs is known.
DRAWS = 3
REPEATS = 5
# The upper end of the P95's interval divided by the lower one: at most this for high, and for medium confidence.
NARROW, WIDE = 1.5, 2.5


@dataclass(frozen=True)
class Confidence:
    """How far the main figure of a run can be relied on.

    Attributes:
        level: HIGH, MEDIUM or LOW.
        reason: why, in a sentence without a full stop.
        command: what raises it, in words with a command; "" if nothing is needed.
        duration_s: how long that takes; None if unknown.
    """

    level: str
    reason: str
    command: str = ""
    duration_s: float | None = None

    @property
    def sentence(self) -> str:
        """Level, reason, remedy and its duration in one line."""
        takes = f" (about {seconds(self.duration_s)})" if self.duration_s else ""
        return f"{self.level}: {self.reason}" + (f"; to raise it, {self.command}{takes}" if self.command else "")


def confidence(of: Tables, verdict: Verdict) -> Confidence:
    """The confidence in the P95 response time of a run that is not a sweep."""
    if verdict.state == "invalid" or of.run.totals is not None:
        return Confidence(LOW, verdict.reasons[0].rstrip(".") if verdict.reasons else "the run is invalid")
    tail, ahead = of.response["ok"].at(95), prediction(of)
    if tail.value is None:
        return Confidence(LOW, "no request was answered ok")
    ends = ahead.ranges.get(95) if ahead else None
    draws = ahead.draws if ahead else 1
    ends = ends or (None if tail.lower is None or tail.upper is None else (tail.lower, tail.upper))
    command, duration_s = _remedy(of, draws, _elapsed_s(of))
    if ends is None:
        return Confidence(LOW, f"one run of {plural(tail.n, 'ok answer')} gives no interval for its P95", command, duration_s)
    ratio = ends[1] / ends[0] if ends[0] > 0 else math.inf
    interval = f"the interval of the P95 is {seconds(ends[0])} to {seconds(ends[1])}"
    if draws >= DRAWS and ratio <= NARROW and verdict.state == "valid":
        return Confidence(HIGH, f"{_draws(ahead)}, and {interval}")
    level = MEDIUM if ratio <= WIDE and verdict.state == "valid" else LOW
    why = verdict.reasons[0].rstrip(".") if verdict.state != "valid" else f"{_draws(ahead)}, and {interval}"
    return Confidence(level, why, command, duration_s)


def _draws(ahead: Prediction | None) -> str:
    if ahead is None or ahead.draws == 1:
        return "one run cannot show what differs from run to run"
    return f"{ahead.draws} {ahead.unit}s were measured"


def _elapsed_s(of: Tables) -> float | None:
    elapsed_s = of.run.about.get("elapsed_s")
    return float(elapsed_s) if isinstance(elapsed_s, int | float) else of.throughput.wall_s


def _remedy(of: Tables, draws: int, elapsed_s: float | None) -> tuple[str, float | None]:
    """What to do, and how long it takes: repeats of a burst in one run, or further runs."""
    once_s = None if elapsed_s is None else elapsed_s / max(draws, 1)
    if of.throughput.not_offered == "all at once":
        many = REPEATS if draws < REPEATS else 2 * draws
        return f"run the same command with --repeats {many}", None if once_s is None else once_s * many
    more = max(DRAWS - draws, 2)
    pooled = f"run the same command {more} more times and pool the runs: {PROGRAM} report RUN RUN RUN"
    return pooled, None if once_s is None else once_s * more
