"""The load that a run had, to be sent to its endpoint once more in virtual time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from coldburst.schedule import stages
from coldburst.schedule.stages import ScheduleError, Stage

# Requests of a run that are simulated, the first ones.
MOST_REQUESTS = 10_000
# A load that is due at once is taken to come again after this long.
BURST_EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class RecordedLoad:
    """What is simulated.

    Attributes:
        requests, planned: how many of the run's requests these are, and how many there are.
        closed: whether answers cause requests, so that another setting gets more or fewer of them.
        every_s: the load is taken to come again after this long; 0 = as soon as the endpoint is at rest.
    """

    stages: tuple[Stage, ...]
    requests: int
    planned: int
    closed: bool
    every_s: float


def recorded_load(schedule: str, due_s: Sequence[float], sent: Mapping[str, int]) -> RecordedLoad:
    """The load of a run: the instants of its arrivals, or the stages of its schedule if one of them is a closed loop.

    Args:
        due_s: when its requests were due, ascending; at least one.
        sent: requests by stage.
    """
    planned = len(due_s)
    if found := _closed(schedule):
        kept = _first(found, sent)
        return RecordedLoad(kept, min(planned, MOST_REQUESTS), planned, True, 0.0)
    chosen = tuple(due_s[:MOST_REQUESTS])
    every_s = BURST_EVERY_S if chosen[0] == chosen[-1] else 0.0
    return RecordedLoad((Stage("recorded", chosen[-1], at=chosen),), len(chosen), planned, False, every_s)


def _closed(schedule: str) -> tuple[Stage, ...]:
    """The stages, if one is a closed loop; recorded arrivals cannot be parsed, and have none."""
    try:
        found = stages.parse(schedule)
    except ScheduleError:
        return ()
    return found if any(stage.closed for stage in found) else ()


def _first(found: Sequence[Stage], sent: Mapping[str, int]) -> tuple[Stage, ...]:
    """The stages up to the MOST_REQUESTS-th request; the last one is cut in proportion."""
    kept, room = [], MOST_REQUESTS
    for stage in found:
        if room <= 0:
            break
        count = sent.get(stage.name, 0)
        kept.append(_cut(stage, room, count) if count > room else stage)
        room -= count
    return tuple(kept)


def _cut(stage: Stage, room: int, count: int) -> Stage:
    if stage.duration_s is None:
        return replace(stage, count=room)
    share = room / count
    return replace(stage, duration_s=stage.duration_s * share, rate_end=stage.rate + (stage.rate_end - stage.rate) * share)
