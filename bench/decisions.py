"""How often the decision of a sweep is right, in simulated cases whose best setting is known.

    python -m bench.decisions             # 100 seeds a case, a minute or two
    python -m bench.decisions 20 slots    # fewer seeds, one case

Closed loops on a station of slots, a stage a setting, as the rows that the analysis has once it has read a run. A decision is *right* if
it picks the true setting: the smallest within 5 % of the highest true throughput that keeps the failure limit. Else it is wrong *with
reservation* if its sentence says that it is not sure (settings that cannot be told apart, failures, drift), or wrong *without*. *Shown*:
the true one is the pick or in the set beside it. Exits with 1 if a case is wrong without reservation in more than MOST of 100, or shows
less than LEAST.
"""

from __future__ import annotations

import heapq
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.sweep.decision import decide
from analysis.sweep.setting_result import SettingResult
from analysis.sweep.stage_result import OF_REQUESTS, StageResult
from analysis.sweep.sweep_result import SweepResult
from analysis.sweep.sweep_settings import sweep_settings

SEEDS, MOST, LEAST = 100, 0.02, 0.95
LEVELS = (1, 2, 4, 8, 16, 32)
NO_TIME_S = 1e-6


@dataclass(frozen=True)
class Case:
    """A case: what each setting does, and the true best one ("" = no decision is right).

    Attributes:
        slots: requests at a time that the station works on, by concurrency (or workers).
        service_s: mean seconds in a slot, by concurrency and by time since the start of the sweep and of the stage.
        network_s: seconds of each request outside the station.
        fails: share of failures, by concurrency.
        each: requests of a stage ÷ concurrency.
        day: relative standard deviation of the service time from stage to stage.
        filled: requests at a time ÷ those that the stage asks for.
    """

    best: str
    slots: Callable[[int], int]
    service_s: Callable[[int, float, float], float] = lambda c, sweep_s, stage_s: 1.0
    network_s: float = 0.0
    fails: Callable[[int], float] = lambda c: 0.0
    each: int = 10
    repeats: int = 1
    day: float = 0.0
    varies: float = 0.3
    scaling: bool = False
    filled: float = 1.0


def _usl(c: int, _: float, __: float) -> float:
    return 1 + 0.05 * (c - 1) + 0.005 * c * (c - 1)


CASES = {
    "slots": Case("c8", lambda c: 8),
    "slots, 20 each": Case("c8", lambda c: 8, each=20),
    "noise of 5 %, 1 repeat": Case("c8", lambda c: 8, day=0.05),
    "noise of 5 %, 2 repeats": Case("c8", lambda c: 8, day=0.05, repeats=2),
    "noise of 5 %, 3 repeats": Case("c8", lambda c: 8, day=0.05, repeats=3),
    "flat": Case("c1", lambda c: 1),
    "USL": Case("c16", lambda c: c, _usl),
    "USL, noise of 5 %, 3 repeats": Case("c16", lambda c: c, _usl, day=0.05, repeats=3),
    "failing": Case("c4", lambda c: 64, fails=lambda c: 0.06 if c >= 8 else 0.0),
    "unsaturated": Case("", lambda n: 4 * n, scaling=True, filled=0.5),
    "network-bound": Case("", lambda n: 4 * n, lambda n, a, b: 0.2, network_s=0.8, scaling=True),
    "drift": Case("c8", lambda c: 8, lambda c, sweep_s, stage_s: 1 + sweep_s / 200, each=20),
    "cold first 2 s": Case("c8", lambda c: 8, lambda c, sweep_s, stage_s: 0.6 if stage_s < 2 else 0.2, each=40),
}


def stage(case: Case, name: str, size: int, repeat: int, begin_s: float, draw: np.random.Generator) -> StageResult:
    """One stage in a closed loop: each place sends again when its request was answered."""
    c = 4 * size if case.scaling else size
    flying, n, slots = max(int(c * case.filled), 1), max(case.each * c, 20), case.slots(size)
    sigma = math.sqrt(math.log(1 + case.varies**2))
    factor = math.exp(case.day * draw.standard_normal())
    places, free, rows = [begin_s] * flying, [begin_s] * slots, []
    for _ in range(n):
        sent_s = heapq.heappop(places)
        begun_s = max(heapq.heappop(free), sent_s + case.network_s / 2)
        mean_s = factor * case.service_s(size, begun_s, sent_s - begin_s)
        took_s = mean_s * math.exp(sigma * draw.standard_normal() - sigma**2 / 2)
        heapq.heappush(free, begun_s + took_s)
        done_s = begun_s + took_s + case.network_s / 2
        heapq.heappush(places, done_s + NO_TIME_S)
        failed = draw.random() < case.fails(size)
        queue_s = begun_s - sent_s - case.network_s / 2
        rows.append(("failed" if failed else "ok", sent_s, sent_s, done_s, done_s - sent_s, done_s - sent_s, queue_s, took_s))
    columns = ["outcome", "scheduled_s", "sent_s", "done_s", "response_s", "service_s", "queue_s", "execution_s"]
    made = pd.DataFrame(rows, columns=columns)
    attempts = made[["outcome", "sent_s", "done_s"]].assign(worker_id=[f"w{k % size}" for k in range(n)] if case.scaling else "")
    times = (begin_s, begin_s, begin_s, float(made["sent_s"].max()), float(made["done_s"].max()))
    told = (size if case.scaling else 1, 4 if case.scaling else size)
    label = name if repeat == 1 else f"{name}-r{repeat}"
    return StageResult(label, name, repeat, "done", "", c, *told, told[0], "control", *times, attempts, made.reindex(columns=OF_REQUESTS))


def sweep(case: Case, seed: int) -> SweepResult:
    """The result of one simulated sweep."""
    draw, at_s, stages = np.random.default_rng(seed), 0.0, list[StageResult]()
    sizes = (1, 2, 3) if case.scaling else LEVELS
    names = [f"{'w' if case.scaling else 'c'}{size}" for size in sizes]
    for repeat in range(1, case.repeats + 1):
        for name, size in zip(names, sizes, strict=True):
            stages.append(stage(case, name, size, repeat, at_s, draw))
            at_s = (stages[-1].end_s or 0.0) + 1.0
    about = {"question": "scaling" if case.scaling else "concurrency", "repeats": case.repeats, "cells": names, "objectives": []}
    settings = sweep_settings({"sweep": about})
    assert settings is not None
    cells = tuple(SettingResult(name, tuple(one for one in stages if one.cell == name), None, case.scaling) for name in names)
    return SweepResult(settings, tuple(stages), cells)


def judge(case: Case, of: SweepResult) -> tuple[str, bool]:
    """Right, with or without, and whether the true setting is shown."""
    found = decide(of)
    main = found.main
    if not case.best:
        refused = all(to.efficiency.value is None for to in of.relative.values())
        return ("right" if refused else "without"), refused
    picked = main.cell.name if main.cell else ""
    shown = {picked, *(cell.name for cell in main.rivals), *of.perhaps_failing, *found.safer}
    if picked == case.best:
        return "right", True
    return ("with" if main.which or found.reservation or not picked else "without"), case.best in shown


def counted(name: str, seeds: int) -> tuple[dict[str, int], int]:
    """How many of ``seeds`` sweeps of a case are right, wrong with and without reservation; and how many show the true one."""
    counts, shown = {"right": 0, "with": 0, "without": 0}, 0
    for seed in range(seeds):
        verdict, seen = judge(CASES[name], sweep(CASES[name], seed))
        counts[verdict] += 1
        shown += seen
    return counts, shown


def main(words: list[str]) -> int:
    seeds = int(words[0]) if words else SEEDS
    names = [name for name in CASES if not words[1:] or name.startswith(words[1])]
    print(f"{'case':30}  true  right  with reservation  without  true one shown")
    return 0 if all(list(_lines(names, seeds))) else 1


def _lines(names: list[str], seeds: int) -> Iterator[bool]:
    for name in names:
        counts, shown = counted(name, seeds)
        said = f"{counts['right']:5}  {counts['with']:16}  {counts['without']:7}  {shown:14}"
        print(f"{name:30}  {CASES[name].best or 'none':4}  {said}", flush=True)
        yield counts["without"] <= MOST * seeds and shown >= LEAST * seeds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
