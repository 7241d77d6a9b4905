"""How far the main figure of a run can be relied on, and what would make it surer."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..command_name import PROGRAM
from ..tables.burst import Prediction, comparable, draws, is_burst, prediction
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
    ends = ends or (None if tail.lower is None or tail.upper is None else (tail.lower, tail.upper))
    command, duration_s = _remedy(of)
    if ends is None:
        return Confidence(LOW, f"{plural(tail.n, 'ok answer')} of one run give no interval for its P95", command, duration_s)
    ratio = ends[1] / ends[0] if ends[0] > 0 else math.inf
    interval = f"the interval of the P95 is {seconds(ends[0])} to {seconds(ends[1])}"
    measured = _measured(of, ahead)
    if ahead and ahead.draws >= DRAWS and ratio <= NARROW and verdict.state == "valid":
        return Confidence(HIGH, f"{measured}, and {interval}")
    level = MEDIUM if ratio <= WIDE and verdict.state == "valid" else LOW
    why = verdict.reasons[0].rstrip(".") if verdict.state != "valid" else f"{measured}, and {interval}"
    return Confidence(level, why, command, duration_s)


def _measured(of: Tables, ahead: Prediction | None) -> str:
    if ahead and ahead.draws >= DRAWS:
        return f"{plural(ahead.draws, ahead.unit)} were measured"
    many, alike = len(draws(of)), len(comparable(of))
    if alike < many:
        return f"of {many} bursts or runs only {alike} are alike in whether they began with cold starts"
    return "one run cannot show what differs from run to run" if many == 1 else f"{many} bursts or runs do not show how much they differ"


def _remedy(of: Tables) -> tuple[str, float | None]:
    """What to do, and how long it takes: repeats of a burst in one run, or further runs."""
    many, elapsed_s = len(draws(of)), of.run.about.get("elapsed_s", of.throughput.wall_s)
    once_s = float(elapsed_s) * (1 + len(of.others)) / many if isinstance(elapsed_s, int | float) else None
    if is_burst(of):
        repeats = REPEATS if many < REPEATS else 2 * many
        return f"run the same command with --repeats {repeats}", None if once_s is None else once_s * repeats
    more = max(DRAWS - many, 2)
    pooled = f"run the same command {more} more times and pool the runs: {PROGRAM} report RUN RUN RUN"
    return pooled, None if once_s is None else once_s * more
