"""The settings that a sweep compares, and the stages that measure each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from coldburst.control.desired_state import DesiredState
from coldburst.load.stage_hooks import MEASURE
from coldburst.option import Option, OptionError
from coldburst.schedule.stages import ScheduleError, Stage, parse

WARM_UP = "warm-up"
OFF = ("0", "off")


@dataclass(frozen=True, slots=True)
class SweepSetting:
    """One setting: its name, requests at a time (at the whole endpoint, and for each endpoint worker), what the endpoint is set to."""

    name: str
    concurrency: int
    per_worker: int
    wanted: DesiredState


@dataclass(frozen=True, slots=True)
class SweepStep:
    """A stage of a sweep: the warm-up or the measuring of a cell, in a repeat (from 1); ``first``: of that cell and repeat."""

    stage: Stage
    cell: SweepSetting
    repeat: int
    phase: str
    first: bool


COMMON = (
    Option("--warm-up", "5s", "LOAD", "Before each setting is measured: a time or a number of requests, as in 5s or 8; 0: none"),
    Option(
        "--repeats",
        1,
        "N",
        "How often each setting is measured, in turn: 1,2,3,1,2,3. Three or more show how certain the result is",
    ),
    Option("--objective", "", "LIMITS", "What must hold, as in 'p95<2s, success>95%%' (p50 p90 p95 p99 max mean success wer)"),
    Option("--worth", 0.7, "SHARE", "A higher concurrency is worth it when the throughput grows by this share of the ideal"),
    Option("--memory", "", "GB,GB,GB", "For the memory plan: GPU memory, shared by all workers, taken by each worker, as in 24,3.4,3.3"),
    Option("--headroom", 1.0, "SHARE", "Part of the card's memory that may be used, as in 0.9"),
    Option("--yes", "no", "", "Change the settings of an endpoint that is not on this machine", ("no", "yes")),
)
CONCURRENCY = (
    Option("--levels", "1,2,4,8,16,32,64", "N,N", "Requests at a time, level after level"),
    Option(
        "--level", "20s", "LOAD", "What each level sends: a time or a number of requests, as in 20s or 200 (never fewer than go at a time)"
    ),
    Option("--modifier", 0, "N", "concurrency_modifier that the endpoint's worker is set to for all levels; 0: left as it is"),
    Option("--most-failures", 0.05, "SHARE", "Failures above which no higher level is tried; 1: try all"),
    *COMMON,
)
SCALING = (
    Option("--workers", "1,2,3", "N,N", "Numbers of endpoint workers"),
    Option("--concurrency", 4, "N", "Requests at a time for each endpoint worker"),
    Option("--requests", 20, "N", "Requests for each endpoint worker; 50 to 100 tell more"),
    Option("--modifier", 0, "N", "concurrency_modifier that the workers are set to; 0: left as it is"),
    *COMMON,
)
MATRIX = (
    Option("--concurrency", "1,2,4", "N,N", "Values of concurrency_modifier; the smallest is the baseline. scalerValue is set to the same"),
    Option("--workers", 1, "N", "Endpoint workers, as minimum and maximum, in every run"),
    Option("--requests", 24, "N", "Requests in every run: the same work each time"),
    *COMMON,
)


def concurrency(options: Mapping[str, Any]) -> tuple[SweepStep, ...]:
    """Levels against one worker: ``c1-warm, c1, c2-warm, c2`` and so on.

    Raises:
        OptionError: one sentence that names the option and a right value.
    """
    modifier = _whole("--modifier", options["modifier"], least=0) or None
    wanted = DesiredState(workers=1, concurrency=modifier)
    cells = [SweepSetting(f"c{level}", level, level, wanted) for level in _numbers("--levels", options["levels"])]
    load = _load("--level", str(options["level"]))
    return _steps(cells, options, lambda cell: _sized(load, cell, least=cell.concurrency))


def scaling(options: Mapping[str, Any]) -> tuple[SweepStep, ...]:
    """Numbers of workers, each with the same load a worker: ``w1-warm, w1, w2-warm, w2`` and so on.

    Raises:
        OptionError: one sentence that names the option and a right value.
    """
    each, requests = (_whole(f"--{name}", options[name], least=1) for name in ("concurrency", "requests"))
    modifier = _whole("--modifier", options["modifier"], least=0) or None
    numbers = _numbers("--workers", options["workers"])
    cells = [SweepSetting(f"w{n}", each * n, each, DesiredState(workers=n, concurrency=modifier)) for n in numbers]
    return _steps(cells, options, lambda cell: Stage(cell.name, count=requests * (cell.concurrency // each)))


def matrix(options: Mapping[str, Any]) -> tuple[SweepStep, ...]:
    """Values of concurrency_modifier with the scaler's value beside them, the same work each: ``c1-warm, c1, c2-warm, c2`` and so on.

    Raises:
        OptionError: one sentence that names the option and a right value.
    """
    workers, requests = (_whole(f"--{name}", options[name], least=1) for name in ("workers", "requests"))
    numbers = _numbers("--concurrency", options["concurrency"])
    cells = [SweepSetting(f"c{c}", c * workers, c, DesiredState(workers, c, c)) for c in numbers]
    if requests < (most := max(numbers) * workers):
        raise OptionError(f"--requests {requests} cannot fill {workers} × {max(numbers)} places: give {most} or more, as in {5 * most}")
    return _steps(cells, options, lambda cell: Stage(cell.name, count=requests))


def memory(options: Mapping[str, Any]) -> dict[str, float] | None:
    """The card of the memory plan in GB, as run.json has it; None where none was named.

    Raises:
        OptionError: not three numbers, or no memory at all.
    """
    said = str(options["memory"])
    if not said:
        return None
    try:
        vram, shared, each = (float(word) for word in said.split(","))
    except ValueError:
        raise OptionError(f"--memory '{said}' is not three numbers of GB: give card, shared, per worker, as in 24,3.4,3.3") from None
    headroom = float(options["headroom"])
    if not (0 < vram < 1e5 and 0 <= shared < 1e5 and 0 < each < 1e5 and 0 < headroom <= 1):
        raise OptionError(f"--memory '{said}' with --headroom {headroom:g} describes no card: give GB above 0, as in 24,3.4,3.3 and 0.9")
    return {"vram_gb": vram, "shared_gb": shared, "per_worker_gb": each, "headroom": headroom}


def _steps(cells: Sequence[SweepSetting], options: Mapping[str, Any], measure: Callable[[SweepSetting], Stage]) -> tuple[SweepStep, ...]:
    repeats = _whole("--repeats", options["repeats"], least=1)
    said = str(options["warm_up"])
    warm = None if said in OFF else _load("--warm-up", said)
    return tuple(_each(cells, repeats, warm, measure))


def _each(cells: Sequence[SweepSetting], repeats: int, warm: Stage | None, measure: Callable[[SweepSetting], Stage]) -> Iterator[SweepStep]:
    for repeat in range(1, repeats + 1):
        for cell in cells:
            name = cell.name if repeat == 1 else f"{cell.name}-r{repeat}"
            if warm:
                yield SweepStep(replace(_sized(warm, cell), name=f"{name}-warm"), cell, repeat, WARM_UP, first=True)
            yield SweepStep(replace(measure(cell), name=name, concurrency=cell.concurrency), cell, repeat, MEASURE, first=warm is None)


def _sized(load: Stage, cell: SweepSetting, least: int = 1) -> Stage:
    count = None if load.count is None else max(load.count, least)
    return replace(load, name=cell.name, count=count, concurrency=cell.concurrency)


def _load(option: str, said: str) -> Stage:
    """A closed stage that sends for a time, or a number of requests."""
    try:
        (stage,) = parse(f"load {said} 1 at a time")
    except (ScheduleError, ValueError):
        raise OptionError(f"{option} '{said}' is neither a time nor a number of requests: write it as in 20s or 200") from None
    if stage.count == 0:
        raise OptionError(f"{option} '{said}' sends nothing: write it as in 20s or 200")
    return stage


def _numbers(option: str, said: object) -> list[int]:
    """Whole numbers from 1, each once, in the order that they were said."""
    words = [word.strip() for word in str(said).split(",")]
    if not all(word.isascii() and word.isdigit() and 0 < int(word) <= 100_000 for word in words):
        raise OptionError(f"{option} '{said}' is no list of numbers from 1: give them with commas, as in 1,2,4")
    numbers = [int(word) for word in words]
    if len(set(numbers)) < len(numbers):
        raise OptionError(f"{option} '{said}' names a number twice: give each once, as in 1,2,4, and --repeats to measure again")
    return numbers


def _whole(option: str, value: object, least: int) -> int:
    if not isinstance(value, int) or value < least:
        raise OptionError(f"{option} {value} is too small: give a whole number from {least}, as in {max(least, 4)}")
    return value


def stages(steps: Iterable[SweepStep]) -> tuple[Stage, ...]:
    """The schedule that the steps make."""
    return tuple(step.stage for step in steps)
