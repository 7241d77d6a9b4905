"""Schedules: stages in a text notation, and the arrivals that they mean.

A schedule is a list of stages separated by commas; a stage is a name and its load::

    burst 30                      30 requests at once
    steady 60s 3/s                one every third of a second for a minute
    steady 60s 3/s poisson        the same number, at random instants (3/s x 60 s = 180)
    steady 60s 3/s poisson free   the number is random too (180 +- 13)
    climb 2m 1/s..10/s            the rate grows linearly
    rest 10s 0/s                  no requests, until the next stage
    level 60s 4 at a time         closed loop: 4 requests in flight, a new one when one ends
    level 100 4 at a time         the same, until 100 requests are done

Times: ms, s, m, h. Rates: /s, /min (or /m), /h.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from coldburst.randomness import stream

# Names that stages usually have; a name is free, so only one that looks like a misspelling of these is refused (difflib's ratio).
WORDS, ALIKE = ("burst", "steady", "climb", "rest", "level", "warm"), 0.8
EXAMPLE = "warm 20s 1/s, steady 60s 3/s poisson"
# Characters of a rate, count or duration: two floats and their units fit.
LONGEST = 64
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PER_SECOND = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?"
_NAME = re.compile(r"[a-z][a-z0-9_-]*", re.IGNORECASE)
_COUNT = re.compile(r"[0-9]+")
_DURATION = re.compile(rf"(?P<value>{_NUMBER})(?P<unit>ms|s|m|h)")
_RATE = re.compile(rf"(?P<value>{_NUMBER})/(?P<unit>s|min|m|h)")
_NEGATIVE = re.compile(rf"-{_NUMBER}.*")


class ScheduleError(ValueError):
    """The text of a schedule is invalid; the message names the word and shows a valid one."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a schedule. ``str(stage)`` is its text.

    Attributes:
        name: unique within a schedule.
        duration_s: seconds; None if ``count`` limits the stage.
        count: requests; None if ``duration_s`` limits the stage.
        rate, rate_end: offered rate in requests per second at the start and at the end (open loop).
        poisson: random instants instead of even spacing.
        free: with ``poisson``, the number of arrivals is random too.
        concurrency: requests in flight at a time (closed loop); None in an open loop.
        at: recorded instants instead of a rate: seconds from the stage's start, ascending (coldburst/schedule/replay.py
            reads them). The notation only shows how many there are, and cannot be parsed.
    """

    name: str
    duration_s: float | None = None
    count: int | None = None
    rate: float = 0.0
    rate_end: float = 0.0
    poisson: bool = False
    free: bool = False
    concurrency: int | None = None
    at: tuple[float, ...] = ()

    @property
    def closed(self) -> bool:
        """Whether completions cause the next request (closed loop)."""
        return self.concurrency is not None

    @property
    def expected(self) -> float:
        """Mean number of arrivals of an open-loop stage: the integral of its rate, or its count."""
        if self.at:
            return float(len(self.at))
        if self.count is not None:
            return float(self.count)
        return (self.rate + self.rate_end) / 2 * (self.duration_s or 0.0)

    def __str__(self) -> str:
        """The stage in the notation of this module, which can be parsed except for recorded arrivals."""
        if self.at:
            return f"{self.name} {len(self.at)} as recorded"
        words = [self.name, str(self.count) if self.duration_s is None else f"{_plain(self.duration_s)}s"]
        if self.closed:
            words.append(f"{self.concurrency} at a time")
        elif self.duration_s is not None:
            ramp = "" if self.rate_end == self.rate else f"..{_plain(self.rate_end)}/s"
            words.append(f"{_plain(self.rate)}/s{ramp}")
        words += [word for word, said in (("poisson", self.poisson), ("free", self.free)) if said]
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A scheduled request: ``seq`` counts from 0 over the whole schedule, ``scheduled_s`` from second 0."""

    seq: int
    scheduled_s: float
    stage: str


def parse(text: str) -> tuple[Stage, ...]:
    """Stages from the notation above.

    Raises:
        ScheduleError: one sentence that names the invalid word and gives a valid example.
    """
    stages = tuple(_stage(part.split()) for part in text.split(","))
    names = [stage.name for stage in stages]
    for name in names:
        if names.count(name) > 1:
            raise ScheduleError(f"two stages are called '{name}': give each stage its own name, as in '{EXAMPLE}'")
    return stages


def text(stages: Iterable[Stage]) -> str:
    """The notation of ``stages``; ``parse(text(stages)) == stages``."""
    return ", ".join(map(str, stages))


def offsets(stage: Stage, seed: int) -> Iterator[float]:
    """Instants of an open-loop stage's arrivals, in seconds from its start, ascending.

    The integral of the rate, L(t) = r t + (r' - r) t^2 / 2d, is inverted at positions k: 0, 1, 2, … for even spacing, a Poisson process
    of rate 1 otherwise. Its count is round(L(d)) unless the stage is ``free``: given the count, the positions of a Poisson process are
    the order statistics of as many uniform variables (Ross, Introduction to Probability Models, 5.3).
    """
    if stage.at:
        yield from stage.at
        return
    if stage.duration_s is None:
        yield from (0.0 for _ in range(stage.count or 0))
        return
    slope = (stage.rate_end - stage.rate) / stage.duration_s
    if not slope:
        twice = stage.rate + math.sqrt(stage.rate**2)
        for k in _positions(stage, seed):
            yield min(2 * k / twice, stage.duration_s) if k > 0 else 0.0
        return
    for k in _positions(stage, seed):
        root = math.sqrt(max(stage.rate**2 + 2 * slope * k, 0.0))
        yield min(2 * k / (stage.rate + root), stage.duration_s) if k > 0 else 0.0


def arrivals(stages: Sequence[Stage], seed: int, start_seq: int = 0, start_s: float = 0.0) -> Iterator[Arrival]:
    """The arrivals of open-loop ``stages``, in order; the same for the same seed, in every process.

    Raises:
        ValueError: a closed-loop stage, whose arrivals depend on completions.
    """
    seq = start_seq
    for stage in stages:
        if stage.closed:
            raise ValueError(f"stage '{stage}' is a closed loop: its arrivals depend on completions")
        for offset in offsets(stage, seed):
            yield Arrival(seq, start_s + offset, stage.name)
            seq += 1
        start_s += stage.duration_s or 0.0


def planned(stages: Iterable[Stage], seed: int) -> int | None:
    """Number of requests in the schedule; None if the duration of a closed loop decides it."""
    total = 0
    for stage in stages:
        if stage.count is None and stage.closed:
            return None
        if stage.count is not None:
            total += stage.count
        else:
            # Only the arrivals of a free stage have to be drawn to be counted.
            total += _drawn(stage, seed) if stage.free else round(stage.expected)
    return total


@cache
def _drawn(stage: Stage, seed: int) -> int:
    return sum(1 for _ in _positions(stage, seed))


def _positions(stage: Stage, seed: int) -> Iterator[float]:
    """Positions of the arrivals on the axis of expected counts, 0 … L(d), ascending."""
    total = stage.expected
    if not stage.poisson:
        yield from range(round(total))
        return
    draw = stream(seed, f"arrivals {stage.name}").random
    if stage.free:
        position = -math.log(1 - draw())
        while position < total:
            yield position
            position -= math.log(1 - draw())
        return
    # Part of the axis below the last position: the next order statistic is the minimum of the uniforms left.
    below = 0.0
    count = round(total)
    for left in range(count, 0, -1):
        below = 1 - (1 - below) * (1 - draw()) ** (1 / left)
        yield below * total


def _stage(words: list[str]) -> Stage:
    whole = " ".join(words)
    if len(words) < 2 or not _NAME.fullmatch(words[0]):
        raise ScheduleError(f"'{whole}' is not a stage: a stage is a name and its load, as in 'burst 30' or '{EXAMPLE}'")
    name, extent, *rest = words
    if not name.startswith(WORDS) and (meant := get_close_matches(name, WORDS, n=1, cutoff=ALIKE)):
        raise ScheduleError(f"stage '{whole}': did you mean '{meant[0]}'? Any other name works too, as in 'first {' '.join(words[1:])}'")
    if long := next((word for word in (extent, *rest) if len(word) > LONGEST), None):
        raise ScheduleError(
            f"'{long[:12]}…' in stage '{name}' has {len(long)} characters: write a number such as '30' or '3/s', as in '{EXAMPLE}'"
        )
    for word in words[1:]:
        if _NEGATIVE.fullmatch(word):
            raise ScheduleError(f"'{word}' in stage '{whole}' is negative: rates, counts and durations must not be, as in 'steady 60s 3/s'")
    count = int(extent) if _COUNT.fullmatch(extent) else None
    duration_s = None if count is not None else _duration(extent, whole)
    if rest[1:3] == ["at", "a"] and rest[3:4] == ["time"] and rest[0].isascii() and rest[0].isdigit() and int(rest[0]) > 0:
        _nothing_left(rest[4:], whole)
        return Stage(name, duration_s, count, concurrency=int(rest[0]))
    if rest == ["as", "recorded"]:
        raise ScheduleError(f"stage '{whole}' has no times of its recorded arrivals: replay them with locustfiles/replay.py")
    if duration_s is None:
        if rest and "/" in rest[0]:
            raise ScheduleError(f"'{extent}' in stage '{whole}' has no unit: write '{' '.join([name, f'{extent}s', *rest])}' for seconds")
        _nothing_left(rest, whole)
        return Stage(name, count=count)
    if not rest:
        raise ScheduleError(f"stage '{whole}' has a duration but no rate: add requests per second, as in 'steady 60s 3/s'")
    rate, rate_end = _rates(rest[0], whole)
    flags = rest[1:]
    if flags in (["poisson"], ["poisson", "free"], []):
        return Stage(name, duration_s, None, rate, rate_end, bool(flags), "free" in flags)
    _nothing_left(flags[1:] if flags[0] == "poisson" else flags, whole)
    raise AssertionError("unreachable")


def _nothing_left(words: list[str], whole: str) -> None:
    if words:
        raise ScheduleError(
            f"unknown word '{words[0]}' in stage '{whole}': use 'poisson' or 'poisson free' after a rate, "
            f"or 'N at a time' after a count or duration, as in '{EXAMPLE}' or 'level 60s 4 at a time'"
        )


def _duration(word: str, whole: str) -> float:
    match = _DURATION.fullmatch(word)
    if not match:
        raise ScheduleError(
            f"'{word}' in stage '{whole}' is neither a count nor a duration: write '30' or '60s' (ms, s, m, h), as in '{EXAMPLE}'"
        )
    seconds = float(match["value"]) * _SECONDS[match["unit"]]
    if not 0 < seconds < math.inf:
        raise ScheduleError(f"'{word}' in stage '{whole}' must be a duration above zero, as in '60s'")
    return seconds


def _rates(word: str, whole: str) -> tuple[float, float]:
    """The rates per second at the start and the end of ``3/s`` or ``1/s..10/s``."""
    rates = []
    for side in word.split("..", 1):
        match = _RATE.fullmatch(side)
        if not match or not math.isfinite(float(match["value"])):
            raise ScheduleError(f"'{word}' in stage '{whole}' is not a rate: write '3/s', '90/min' or '1/s..10/s', as in '{EXAMPLE}'")
        rates.append(float(match["value"]) / _PER_SECOND[match["unit"]])
    return rates[0], rates[-1]


def _plain(number: float) -> str:
    """The shortest text that parses as ``number``."""
    return repr(int(number)) if number == int(number) and abs(number) < 1e15 else repr(number)
