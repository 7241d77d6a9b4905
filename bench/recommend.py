"""Whether recommended settings do what they were recommended for: in simulated cases, and on the real emulator.

    python -m bench.recommend              # both, fifteen minutes
    python -m bench.recommend simulated    # ten calibrations of each case
    python -m bench.recommend sockets      # one calibration of each case by a run on the emulator

A case is an endpoint, a load and an objective. A run of the endpoint calibrates, and the search of ``plan recommend`` names the cheapest
setting. Simulated: the endpoint itself, whose parameters only this study knows, has every setting TRUTH times; that shows how often the
recommended setting meets the objective, whether the next cheaper one does, and what the cheapest one costs that does. Sockets: the emulator
runs the recommended setting with ten seeds, and the same with a worker less. Exits with 1 if a limit is missed.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

from bench.planned_runs import MODELLED, run
from bench.planner import AT_ONCE, BALANCER, CALIBRATION, QUEUE, calibrated, endpoint
from coldburst.planner.measured_run import measured_run
from coldburst.planner.model.scenario import Scenario
from coldburst.planner.predict import SEEDS, Pool, predict_all
from coldburst.planner.processes import processes
from coldburst.planner.search import grid, rate, read_objectives, recommend, value_of
from coldburst.schedule import stages

Settings = Mapping[str, Any]
CALIBRATIONS, TRUTH = 10, 40
# Of ten recommended settings: how many meet the objective in one run, how many next cheaper ones may, and how many cost at most MOST_DEARER
# more than the cheapest that holds. The others have a worker more: a burst of 30 shows the mean service time to 4 % only.
LEAST_MET, MOST_CHEAPER, LEAST_CLOSE, MOST_DEARER = 9, 1, 8, 0.05
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
        costs = [one.cost - 1 for one in found]
        close = sum(cost <= MOST_DEARER for cost in costs)
        held &= met >= LEAST_MET and cheaper <= MOST_CHEAPER and close >= LEAST_CLOSE and mean(costs) <= MOST_DEARER
        often = ", ".join(f"{settings} ({count}×)" for settings, count in Counter(one.settings for one in found).most_common())
        print(f"\n{kind}, {load}, {objective}: {often}")
        least = min(one.share for one in found)
        print(f"  met in the next run by {met} of {len(found)} (limit {LEAST_MET}), in {least:.0%} of runs at least")
        print(f"  the next cheaper setting holds in {cheaper} of {len(found)} (limit {MOST_CHEAPER})")
        print(
            f"  cost against the cheapest that holds: {mean(costs):+.1%} in the mean, at most {max(costs):+.1%}; "
            f"{close} of {len(found)} within {MOST_DEARER:.0%} (limit {LEAST_CLOSE})",
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
    """Prints how often settings meet their objectives on the emulator: recommended ones, and those with a worker less."""
    held = True
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
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
            print(f"{kind}, {load}, {objective}: {_text(asked)}")
            for settings, says in ((asked, "recommended"), (less, "a worker less")):
                runs = [pool.submit(send, load, {**usual, **settings}, 2 + seed, place) for seed in range(CALIBRATIONS)]
                found = [one.result().figures for one in runs]
                met = sum(all(one.met(value_of(figures, one)) for one in objectives) for figures in found)
                held &= met >= LEAST_MET if settings is asked else met <= MOST_CHEAPER
                print(f"  {says}: met in {met} of {len(found)}, P95 {median(one.p95_s for one in found):.1f} s in the median", flush=True)
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
