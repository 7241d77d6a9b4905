"""A number of endpoint workers against the smallest: what was gained, and whether a verdict on it can be given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..statistics.intervals import BY_DEFINITION, Interval, quotient
from ..text.number_format import number, percent, plural
from .worker_level import WorkerLevel, saturation_doubt

MOSTLY_FAILED = 0.50
"""Above this share of failures a rate is no measure of what the workers can do."""
IMPOSSIBLE = 1.10
"""Above this efficiency n times the workers gave more than n times the rate, by more than noise explains."""
HELD_BACK = (
    "likely the baseline was held back (failures, cold starts, a throttled client), "
    "or the workers, the users or the work were not those of the other run"
)


@dataclass(frozen=True)
class LevelShare:
    """A level against the smallest.

    Attributes:
        multiplier: throughput ÷ that of the smallest level.
        efficiency: multiplier ÷ (n ÷ n_1), which has no value where ``doubt`` says why.
        doubt: why there is no efficiency; "" where there is one.
        unjudged: why the efficiency cannot be held against the marks, though its figure is true; "" where it can.
        impossible: whether more came out than n times the workers can give.
    """

    multiplier: Interval
    efficiency: Interval
    doubt: str
    unjudged: str = ""
    impossible: bool = False


def level_share(one: WorkerLevel, base: WorkerLevel, per_worker: int | None) -> LevelShare:
    """``one`` against ``base``; ``per_worker`` is as ``saturation_doubt`` has it."""
    doubt, its = saturation_doubt(one, per_worker), base_doubt(base, per_worker)
    if its:
        doubt = its if one is base else doubt or f"the baseline of {plural(base.workers, 'worker')}: {its}"
    times = quotient(one.flow.per_s, base.flow.per_s)
    if one is base and times.value is not None:
        times = Interval(1.0, 1.0, 1.0, BY_DEFINITION)
    by = one.workers / base.workers
    impossible = not doubt and times.value is not None and times.value / by > IMPOSSIBLE
    if impossible:
        assert times.value is not None
        gave = f"{number(by, '×')} the workers gave {number(times.value, '×')} the rate"
        doubt = f"{percent(times.value / by)} is impossible: {gave}; {HELD_BACK}"
    value, lower, upper = (None if end is None or doubt else end / by for end in (times.value, times.lower, times.upper))
    unjudged = "" if one is base else "; ".join(_unlike(one, base))
    return LevelShare(times, Interval(value, lower, upper, doubt or times.basis), doubt, unjudged, impossible)


def base_doubt(base: WorkerLevel, per_worker: int | None) -> str:
    """Why nothing can be held against ``base``; "" where nothing speaks against it."""
    return saturation_doubt(base, per_worker) or (
        f"{percent(base.flow.failed)} of its requests failed, so its rate does not show what its workers can do"
        if mostly_failed(base)
        else ""
    )


def mostly_failed(of: WorkerLevel) -> bool:
    """Whether more of the requests that the rate is made of failed than were ok."""
    return of.flow.failed > MOSTLY_FAILED


def _unlike(one: WorkerLevel, base: WorkerLevel) -> Iterator[str]:
    users, its = one.flow.users, base.flow.users
    if users is not None and its is not None and users != its:
        yield f"{its:,.0f} users at {plural(base.workers, 'worker')} and {users:,.0f} at {one.workers:,} are not the same load"
    if mostly_failed(one):
        yield f"{percent(one.flow.failed)} of the requests at {plural(one.workers, 'worker')} failed"
