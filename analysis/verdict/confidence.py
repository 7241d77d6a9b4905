"""How far the main figure of a run, or the pick of a sweep, can be relied on, and what would make it surer."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..statistics.percentiles import TimeSummary, smallest_sample
from ..sweep.decision import Decision, setting_names
from ..sweep.sweep_result import SweepResult
from ..tables.burst import Prediction, comparable, draws, is_burst, prediction
from ..tables.cold_runs import cold_run
from ..tables.run_tables import Tables
from ..text.number_format import plural, seconds_range
from .remedy import Remedy, cold_starts, further_runs, repeats
from .verdict import Verdict

HIGH, MEDIUM, LOW = "high", "medium", "low"
INVALID = "the run is invalid"
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
        remedy: what raises it; None if nothing is needed, or nothing is known.
    """

    level: str
    reason: str
    remedy: Remedy | None = None

    @property
    def sentence(self) -> str:
        """Level, reason and remedy in one line."""
        return f"{self.level}: {self.reason}" + (f"; to raise it, {self.remedy.sentence}" if self.remedy else "")


def confidence(of: Tables, verdict: Verdict) -> Confidence:
    """The confidence in the P95 response time of a run that is not a sweep, or in the cold time of a cold-start test."""
    if verdict.state == "invalid":
        return Confidence(LOW, INVALID)
    if of.run.totals is not None:
        return Confidence(LOW, verdict.reasons[0].rstrip("."))
    if (cold := cold_run(of)) is not None and cold.cold.n:
        return _of_cold(of, verdict, cold.cold)
    tail, ahead = of.response["ok"].at(95), prediction(of)
    if tail.value is None:
        return Confidence(LOW, "no request was answered ok")
    ends = ahead.ranges.get(95) if ahead else None
    ends = ends or (None if tail.lower is None or tail.upper is None else (tail.lower, tail.upper))
    remedy = _remedy(of)
    if ends is None:
        return Confidence(LOW, f"{plural(tail.n, 'ok answer')} of one run give no interval for its P95", remedy)
    ratio = _ratio(*ends)
    interval = f"the interval of the P95 is {seconds_range(*ends)}"
    measured = _measured(of, ahead)
    if ahead and ahead.draws >= DRAWS and ratio <= NARROW and verdict.state == "valid":
        return Confidence(HIGH, f"{measured}, and {interval}")
    level = MEDIUM if ratio <= WIDE and verdict.state == "valid" else LOW
    why = verdict.reasons[0].rstrip(".") if verdict.state != "valid" else f"{measured}, and {interval}"
    return Confidence(level, why, remedy)


def _of_cold(of: Tables, verdict: Verdict, cold: TimeSummary) -> Confidence:
    """The median of the cold starts, which are draws of their own."""
    middle, once_s = cold.at(50), _once_s(of)
    more = max(smallest_sample(50), 2 * cold.n)
    remedy = cold_starts(of.run, more, None if once_s is None else once_s / cold.n * more)
    if verdict.state != "valid":
        return Confidence(LOW, verdict.reasons[0].rstrip("."), remedy)
    if middle.lower is None or middle.upper is None:
        return Confidence(LOW, f"the median of {plural(cold.n, 'cold start')} has no interval", remedy)
    ratio = _ratio(middle.lower, middle.upper)
    reason = f"the interval of the median of {plural(cold.n, 'cold start')} is {seconds_range(middle.lower, middle.upper)}"
    return Confidence(HIGH, reason) if ratio <= NARROW else Confidence(MEDIUM if ratio <= WIDE else LOW, reason, remedy)


def _ratio(low: float, high: float) -> float:
    return high / low if low > 0 else math.inf


def _measured(of: Tables, ahead: Prediction | None) -> str:
    if ahead and ahead.draws >= DRAWS:
        return f"{plural(ahead.draws, ahead.unit)} were measured"
    many, alike = len(draws(of)), len(comparable(of))
    if alike < many:
        return f"of {many} bursts or runs only {alike} are alike in whether they began with cold starts"
    return "one run cannot show what differs from run to run" if many == 1 else f"{many} bursts or runs do not show how much they differ"


def _remedy(of: Tables) -> Remedy:
    """Repeats of a burst in one run, or further runs."""
    many, once_s = len(draws(of)), _once_s(of)
    if is_burst(of):
        number = REPEATS if many < REPEATS else 2 * many
        return repeats(of.run, number, None if once_s is None else once_s * number)
    more = max(DRAWS - many, 2)
    return further_runs(of.run, more, None if once_s is None else once_s * more)


def _once_s(of: Tables) -> float | None:
    """How long one draw took."""
    elapsed_s = of.run.about.get("elapsed_s", of.throughput.wall_s)
    return float(elapsed_s) * (1 + len(of.others)) / len(draws(of)) if isinstance(elapsed_s, int | float) else None


def sweep_confidence(of: Tables, verdict: Verdict, found: SweepResult, decision: Decision) -> Confidence:
    """The confidence in the setting that a sweep picks."""
    if verdict.state == "invalid":
        return Confidence(LOW, INVALID)
    main, done = decision.main, min((len(cell.each) for cell in found.deciding), default=0)
    if main.cell is None or len(found.deciding) < 2:
        return Confidence(LOW, "no setting was picked" if main.cell is None else "only one setting was measured completely")
    elapsed_s = of.run.about.get("elapsed_s")
    once_s = float(elapsed_s) / done if isinstance(elapsed_s, int | float) and done else None
    number = max(main.repeats or 0, DRAWS, done + 1)
    remedy = repeats(of.run, number, None if once_s is None else once_s * number)
    if decision.reservation:
        return Confidence(LOW, decision.reservation, remedy)
    if main.unsure:
        ruled = main.policy.endswith("rule")
        missed = main.policy if ruled else "the objective"
        return Confidence(LOW, f"{main.cell.name} may miss {missed}", remedy if main.repeats or not ruled else None)
    if main.rivals and not main.equal:
        names = setting_names(main.rivals)
        alike = f"{names} may meet {main.policy} too" if main.policy.endswith("rule") else f"{main.cell.name} cannot be told from {names}"
        return Confidence(LOW, alike, remedy if main.repeats or done < DRAWS else None)
    if done < DRAWS:
        return Confidence(MEDIUM, f"{plural(done, 'repeat')} cannot show what differs from run to run", remedy)
    if verdict.state != "valid":
        return Confidence(MEDIUM, verdict.reasons[0].rstrip("."))
    if main.rivals:
        return Confidence(HIGH, f"{plural(done, 'repeat')} show that {setting_names((main.cell, *main.rivals))} are equal")
    return Confidence(HIGH, f"in {plural(done, 'repeat')} no other setting is as good")
