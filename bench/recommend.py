"""Whether recommended settings do what they were recommended for: in simulated cases, and on the real emulator.

    python -m bench.recommend              # both, ten minutes
    python -m bench.recommend simulated    # ten calibrations of each case
    python -m bench.recommend sockets      # one calibration of each case by a run on the emulator

A case is an endpoint, a load and an objective. A run of the endpoint calibrates, and the search of ``plan recommend`` names the cheapest
setting. Simulated: the endpoint itself, whose parameters only this study knows, has every setting TRUTH times; that shows how often the
recommended setting meets the objective, whether the next cheaper one does, and what the cheapest one costs that does. Sockets: the emulator
runs the recommended setting, and the same with a worker less. Exits with 1 if a limit is missed.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from bench.planned_runs import MODELLED, run
from bench.planner import BALANCER, CALIBRATION, QUEUE, calibrated, endpoint
from coldburst.planner.measured_run import measured_run
from coldburst.planner.model.scenario import Scenario
from coldburst.planner.predict import SEEDS, Pool, predict_all
from coldburst.planner.processes import processes
from coldburst.planner.search import grid, rate, read_objectives, recommend, value_of
from coldburst.schedule import stages

Settings = Mapping[str, Any]
CALIBRATIONS, TRUTH = 10, 40
# Of ten recommended settings: how many meet the objective in one run, and how many next cheaper ones may; and how much dearer than the
# cheapest they may be, in the median.
LEAST_MET, MOST_CHEAPER, MOST_DEARER = 9, 1, 0.05
# A setting counts as cheaper from this share on: the median cost over TRUTH runs is known to about 1 %.
CHEAPER = 0.02
AXES: Mapping[str, Sequence[float]] = {"workers_min": (0, 1, 2, 4), "workers_max": range(1, 9), "idle_timeout_s": (5.0, 30.0)}
# Kind, load, objective.
CASES = (
    ("QUEUE", "steady 3m 0.8/s poisson", "p95<15s"),
    ("QUEUE", "burst 40", "p95<30s"),
    ("LOAD_BALANCER", "steady 3m 0.8/s poisson", "p95<8s"),
    ("LOAD_BALANCER", "burst 40", "p95<24s"),
)
SOCKETS = (
    ("queue", QUEUE, "burst 40", "p95<20s"),
    ("balancer", BALANCER, "burst 40", "p95<16s"),
)


class Found(NamedTuple):
    """One recommendation, by the endpoint itself: met in the run of its number, in what share of all; whether the next cheaper setting
    holds; and the cost relative to that of the cheapest that does."""

    settings: str
    met: bool
    share: float
    cheaper_holds: bool
    cost: float


def simulated() -> bool:
    """Prints how recommended settings fare in each case; whether the limits hold."""
    held = True
    for kind, load, objective in CASES:
        with processes(1000) as pool:
            found = _case(endpoint(kind, 0.0), load, objective, pool)
        met, cheaper = sum(one.met for one in found), sum(one.cheaper_holds for one in found)
        dearer = median(one.cost for one in found) - 1
        held &= met >= LEAST_MET and cheaper <= MOST_CHEAPER and dearer <= MOST_DEARER
        often = ", ".join(f"{settings} ({count}×)" for settings, count in Counter(one.settings for one in found).most_common())
        print(f"\n{kind}, {load}, {objective}: {often}")
        least = min(one.share for one in found)
        print(f"  met in the next run by {met} of {len(found)} (limit {LEAST_MET}), in {least:.0%} of runs at least")
        print(f"  the next cheaper setting holds in {cheaper} of {len(found)} (limit {MOST_CHEAPER})")
        worst = max(one.cost for one in found) - 1
        print(
            f"  cost against the cheapest that holds: {dearer:+.1%}, at most {worst:+.1%} (limit {MOST_DEARER:.0%})",
            flush=True,
        )
    return held


def _case(true: Scenario, load: str, objective: str, pool: Pool | None) -> list[Found]:
    objectives, asked = read_objectives(objective), stages.parse(load)
    everything = [rate(one, objectives) for one in predict_all(grid(true, AXES), asked, seeds=TRUTH, pool=pool)]
    cheapest = min(one.cost for one in everything if one.holds)
    found = []
    for seed in range(CALIBRATIONS):
        best = recommend(calibrated(true, seed), asked, objectives, AXES, seeds=SEEDS, pool=pool).best
        if best is None:
            sys.exit(f"no setting was found for {objective}, but one holds")
        settings = best.prediction.scenario.settings
        real = next(one for one in everything if one.prediction.scenario.settings == settings)
        met = all(one.met(value_of(real.prediction.runs[seed], one)) for one in objectives)
        below = [one for one in everything if one.cost < real.cost * (1 - CHEAPER)]
        cheaper = bool(below) and max(below, key=lambda one: one.cost).holds
        found.append(Found(_text(settings), met, real.met, cheaper, real.cost / cheapest))
    return found


def _text(settings: Settings) -> str:
    return f"{settings['workers_min']}–{settings['workers_max']} workers, idle {settings['idle_timeout_s']:g} s"


def sockets() -> bool:
    """Prints whether recommended settings meet their objectives on the emulator, and whether those with a worker less do."""
    held = True
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        for kind, usual, load, objective in SOCKETS:
            objectives, place = read_objectives(objective), Path(folder)
            send = partial(run, kind, MODELLED)
            known = measured_run(send(CALIBRATION, usual, 1, place).folder).scenario
            best = recommend(known, stages.parse(load), objectives, AXES, seeds=SEEDS).best
            if best is None:
                sys.exit(f"no setting was found for {objective}")
            asked = {name: best.prediction.scenario.settings[name] for name in AXES}
            most = asked["workers_max"] - 1
            less = asked | {"workers_max": most, "workers_min": min(asked["workers_min"], most)}
            made = list(pool.map(lambda settings: send(load, {**usual, **settings}, 2, place), (asked, less)))  # noqa: B023
            met = [all(one.met(value_of(ran.figures, one)) for one in objectives) for ran in made]
            held &= met == [True, False]
            p95 = [f"P95 {ran.figures.p95_s:.1f} s, {'met' if one else 'missed'}" for ran, one in zip(made, met, strict=True)]
            print(f"{kind}, {load}, {objective}: {_text(asked)}: {p95[0]}; a worker less: {p95[1]}", flush=True)
    return held


PARTS = {"simulated": simulated, "sockets": sockets}


def main() -> int:
    """Runs the parts that are named, or both."""
    asked = sys.argv[1:] or list(PARTS)
    if unknown := [name for name in asked if name not in PARTS]:
        sys.exit(f"'{unknown[0]}' is no part: use {' or '.join(PARTS)}")
    held = [PARTS[name]() for name in asked]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
