"""The settings that a sweep compares, and the stages that measure them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from coldburst.control.desired_state import DesiredState
from coldburst.load.stage_hooks import MEASURE
from coldburst.option import Option, OptionError, number
from coldburst.schedule.stages import ScheduleError, Stage, parse

WARM_UP = "warm-up"
OFF = ("0", "off")


@dataclass(frozen=True, slots=True)
class SweepSetting:
    """One setting: requests at a time at the whole endpoint and per worker, and the endpoint's state."""

    name: str
    concurrency: int
    per_worker: int
    wanted: DesiredState


@dataclass(frozen=True, slots=True)
class SweepStep:
    """The warm-up or measuring stage of a setting in one repeat (from 1); ``first``: the first stage of both."""

    stage: Stage
    cell: SweepSetting
    repeat: int
    phase: str
    first: bool


COMMON = (
    Option("--warm-up", "5s", "LOAD", "Load before each setting is measured: a time or a number of requests, such as 5s or 8; 0: none"),
    Option("--repeats", 1, "N", "Times each setting is measured, in turn: 1,2,3,1,2,3. Three or more show how certain the result is"),
    Option("--objective", "", "LIMITS", "Limits for each setting, such as 'p95<2s, success>95%%' (p50 p90 p95 p99 max mean success wer)"),
    Option("--worth", 0.7, "SHARE", "A higher concurrency is worth it if throughput grows by this share of the ideal"),
    Option(
        "--memory", "", "GB,GB,GB", "For the memory plan: GPU memory, memory shared by all workers, memory per worker, such as 24,3.4,3.3"
    ),
    Option("--headroom", 1.0, "SHARE", "Share of the GPU memory that may be used, such as 0.9"),
)
CONCURRENCY = (
    Option("--levels", "1,2,4,8,16,32,64", "N,N", "Requests at a time, level after level"),
    Option("--level", "20s", "LOAD", "Load of each level: a time or a number of requests, such as 20s or 200 (at least one per place)"),
    Option("--modifier", 0, "N", "concurrency_modifier of the endpoint's worker at all levels; 0: not changed"),
    Option("--most-failures", 0.05, "SHARE", "Share of failures above which a level ends and no higher one is tried; 1: try all"),
    *COMMON,
)
SCALING = (
    Option("--workers", "1,2,3", "N,N", "Numbers of endpoint workers"),
    Option("--concurrency", 4, "N", "Requests at a time per endpoint worker"),
    Option(
        "--total-concurrency",
        0,
        "N",
        "Requests at a time at the whole service, the same for every number of workers; --concurrency is then what one worker can take",
    ),
    Option("--requests", 20, "N", "Requests per endpoint worker; 50 to 100 give more certain results"),
    Option("--modifier", 0, "N", "concurrency_modifier of the workers; 0: not changed"),
    *COMMON,
)
MATRIX = (
    Option("--concurrency", "1,2,4", "N,N", "Values of concurrency_modifier and of scalerValue; the smallest is the baseline"),
    Option("--workers", 1, "N", "Endpoint workers, as minimum and maximum, in every run"),
    Option("--requests", 24, "N", "Requests in every run: the same work each time"),
    *COMMON,
)


def concurrency(options: Mapping[str, Any]) -> tuple[SweepStep, ...]:
    """Levels of load on one worker: ``c1-warm, c1, c2-warm, c2`` and so on. Raises OptionError if an option is wrong."""
    modifier = _whole("--modifier", options["modifier"], least=0) or None
    wanted = DesiredState(workers=1, concurrency=modifier)
    cells = [SweepSetting(f"c{level}", level, level, wanted) for level in _numbers("--levels", options["levels"])]
    load = _load("--level", str(options["level"]))
    return _steps(cells, options, lambda cell: _sized(load, cell, least=cell.concurrency))


def scaling(options: Mapping[str, Any]) -> tuple[SweepStep, ...]:
    """Numbers of workers, each with the same load per worker: ``w1-warm, w1, w2-warm, w2`` and so on. Raises OptionError."""
    each, requests = (_whole(f"--{name}", options[name], least=1) for name in ("concurrency", "requests"))
    modifier = _whole("--modifier", options["modifier"], least=0) or None
    numbers, total = _numbers("--workers", options["workers"]), _whole("--total-concurrency", options["total_concurrency"], least=0)
    if total and total < (needed := each * max(numbers)):
        raise OptionError(
            f"--total-concurrency {total} cannot fill {max(numbers)} workers that take {each} at a time (--concurrency): "
            f"use {needed} or more, or a smaller --concurrency"
        )
    cells = [SweepSetting(f"w{n}", total or each * n, each, DesiredState(workers=n, concurrency=modifier)) for n in numbers]
    return _steps(cells, options, lambda cell: Stage(cell.name, count=requests * (cell.wanted.workers or 1)))


def matrix(options: Mapping[str, Any]) -> tuple[SweepStep, ...]:
    """Values of concurrency_modifier and scalerValue, each with the same work: ``c1-warm, c1`` and so on. Raises OptionError."""
    workers, requests = (_whole(f"--{name}", options[name], least=1) for name in ("workers", "requests"))
    numbers = _numbers("--concurrency", options["concurrency"])
    cells = [SweepSetting(f"c{c}", c * workers, c, DesiredState(workers, c, c)) for c in numbers]
    if requests < (most := max(numbers) * workers):
        raise OptionError(f"--requests {requests} cannot fill {workers} × {max(numbers)} places: use {most} or more, as in {5 * most}")
    return _steps(cells, options, lambda cell: Stage(cell.name, count=requests))


def memory(options: Mapping[str, Any]) -> dict[str, float] | None:
    """The GPU of the memory plan, in GB, for run.json; None without --memory. Raises OptionError if it is not three positive numbers."""
    said = str(options["memory"])
    if not said:
        return None
    try:
        vram, shared, each = (number(word) for word in said.split(","))
    except ValueError:
        raise OptionError(f"--memory '{said}' is not three numbers of GB: give GPU, shared, per worker, as in 24,3.4,3.3") from None
    headroom = float(options["headroom"])
    if not (0 < vram < 1e5 and 0 <= shared < 1e5 and 0 < each < 1e5 and 0 < headroom <= 1):
        raise OptionError(f"--memory '{said}' with --headroom {headroom:g} is out of range: use positive GB, as in 24,3.4,3.3 and 0.9")
    return {"vram_gb": vram, "shared_gb": shared, "per_worker_gb": each, "headroom": headroom}


def _steps(cells: Sequence[SweepSetting], options: Mapping[str, Any], measure: Callable[[SweepSetting], Stage]) -> tuple[SweepStep, ...]:
    said, found = str(options["warm_up"]), list[SweepStep]()
    warm = None if said in OFF else _load("--warm-up", said)
    for repeat in range(1, _whole("--repeats", options["repeats"], least=1) + 1):
        for cell in cells:
            name = cell.name if repeat == 1 else f"{cell.name}-r{repeat}"
            if warm:
                found.append(SweepStep(replace(_sized(warm, cell), name=f"{name}-warm"), cell, repeat, WARM_UP, first=True))
            stage = replace(measure(cell), name=name, concurrency=cell.concurrency)
            found.append(SweepStep(stage, cell, repeat, MEASURE, first=warm is None))
    return tuple(found)


def _sized(load: Stage, cell: SweepSetting, least: int = 1) -> Stage:
    count = None if load.count is None else max(load.count, least)
    return replace(load, name=cell.name, count=count, concurrency=cell.concurrency)


def _load(option: str, said: str) -> Stage:
    """A closed stage bounded by a time or a number of requests."""
    try:
        (stage,) = parse(f"load {said} 1 at a time")
    except (ScheduleError, ValueError):
        raise OptionError(f"{option} '{said}' is neither a time nor a number of requests: write it as in 20s or 200") from None
    if stage.count == 0:
        raise OptionError(f"{option} '{said}' sends no request: write it as in 20s or 200")
    return stage


def _numbers(option: str, said: object) -> list[int]:
    """Distinct whole numbers from 1, in the given order."""
    words = [word.strip() for word in str(said).split(",")]
    if not all(word.isascii() and word.isdigit() and len(word) < 9 and 0 < int(word) <= 100_000 for word in words):
        raise OptionError(f"{option} '{said}' is not a list of numbers from 1 to 100000: separate them with commas, as in 1,2,4")
    numbers = [int(word) for word in words]
    if len(set(numbers)) < len(numbers):
        raise OptionError(f"{option} '{said}' has a number twice: give each once, as in 1,2,4, and use --repeats to measure again")
    return numbers


def _whole(option: str, value: object, least: int) -> int:
    if not isinstance(value, int) or value < least:
        raise OptionError(f"{option} {value} is too small: use a whole number from {least}, as in {max(least, 4)}")
    return value
