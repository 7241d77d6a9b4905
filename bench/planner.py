"""How well plans hold: calibrated from one run on the emulator, they predict other loads and settings; and how often ranges cover.

    python -m bench.planner              # about an hour
    python -m bench.planner queue sdk    # these parts
    python -m bench.planner coverage     # simulated cases, ten minutes

Over real sockets: queue and balancer (modelled workers), ten and balancer-ten (the same, calibrated by ``plan calibrate``), sdk (real
processes of the runpod SDK), concurrency and balancer-concurrency (calibrated at 1 and 4 at a time on a worker; 2 and 4 are predicted),
refusals (requests that a balancer gives up). CALIBRATIONS runs of an endpoint calibrate, each case is then run ROUNDS times, and each
calibration predicts each run for the arrivals that it had. An error is that of the mean over them, since one burst of 30 shows the mean
service time to 4 % only, and runs differ as well.

Coverage: a simulated run calibrates, and a run with other seeds is predicted, so the platform is the model's and only the calibration is
uncertain. Each case has seeds of its own: with the same twenty for all, the range of one held in 70 of 100.

Exits with 1 if a limit is missed.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

from bench.planned_runs import MODELLED, SDK, Ran, calibrate, run
from coldburst.planner import run_directory
from coldburst.planner.measured_run import measured_run
from coldburst.planner.model.distributions import parse
from coldburst.planner.model.fit import read_attempts
from coldburst.planner.model.scenario import Scenario
from coldburst.planner.model.simulate import simulate
from coldburst.planner.predict import SEEDS, Figures, figures, predict
from coldburst.planner.processes import processes
from coldburst.record import run_json
from coldburst.record.attempt import HEADER, row_line
from coldburst.schedule import stages
from coldburst.schedule.stages import Stage
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.policy import Policy

NAMES = ("p50_s", "p95_s", "worker_s")
# Errors as shares: of the median over a part's cases, and of the worst one, whose three runs may be 8 % off by chance. Of each case,
# requests given up; of each figure, the share of ranges that hold.
LIMITS: Mapping[str, float] = {"p50_s": 0.09, "p95_s": 0.09, "worker_s": 0.03}
WORST: Mapping[str, float] = {"p50_s": 0.20, "p95_s": 0.20, "worker_s": 0.06}
MOST_APART, LEAST_COVERED = 2, 0.85
CALIBRATIONS, ROUNDS, AT_ONCE, CASES = 4, 3, 4, 100
# A single case may be lower by two standard errors of a share of so many.
BY_CHANCE = 2 * (LEAST_COVERED * (1 - LEAST_COVERED) / CASES) ** 0.5
WORKERS = 4
CALIBRATION = "burst 30"
# By ``plan calibrate``, not by a run of a schedule.
TEN = ""
SWEEP = "level 40 1 at a time, more 80 4 at a time"
CURVE = ("--worker", "modelled", "--service-curve", "1:0.8,2:0.96,4:1.4", "--start", "1", "--load", "3")
LONG = ("--worker", "modelled", "--service-time", "uniform:6:10", "--start", "1", "--load", "3")
Settings = Mapping[str, Any]
# Name, schedule, settings other than those of the calibration.
Case = tuple[str, str, Settings]
LOADS: tuple[Case, ...] = (
    ("burst", "burst 30", {}),
    ("Poisson", "steady 60s 1/s poisson", {}),
    ("climb", "climb 60s 0.2/s..2/s", {}),
    ("two bursts", "burst 12, rest 20s 0/s, again 12", {}),
    ("two workers", "burst 20", {"workers_max": 2}),
    ("a min worker", "steady 40s 0.8/s poisson", {"workers_min": 1, "idle_timeout_s": 15}),
)
SLOWER: tuple[Case, ...] = (
    ("burst", "burst 30", {}),
    ("Poisson", "steady 90s 0.5/s poisson", {}),
    ("two bursts", "burst 12, rest 60s 0/s, again 12", {}),
    ("two workers", "burst 16", {"workers_max": 2}),
)
REFUSED: tuple[Case, ...] = (
    ("burst of 30, one worker", "burst 30", {"workers_max": 1}),
    ("burst of 40, two workers", "burst 40", {"workers_max": 2}),
)


def _others(name: str) -> tuple[Case, ...]:
    two = {name: 2}
    return (
        ("2 at a time, closed loop", "level 60 2 at a time", {}),
        ("burst, 2 at a time, two workers", "burst 20", two | {"workers_max": 2}),
        ("Poisson, 2 at a time, two workers", "steady 60s 1.2/s poisson", two | {"workers_max": 2}),
        ("burst, 4 at a time, two workers", "burst 30", {"workers_max": 2}),
    )


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of endpoint with what is predicted of it.

    Attributes:
        worker: the emulator's options for its workers.
        settings: of the endpoint.
        calibration: the schedule that calibrates, or TEN.
    """

    kind: str
    worker: Sequence[str]
    settings: Settings
    cases: tuple[Case, ...]
    calibration: str = CALIBRATION

    def of(self, schedule: str, settings: Settings, place: Path, seed: int) -> Ran:
        return run(self.kind, self.worker, schedule, {**self.settings, **settings}, seed, place)

    def calibrated(self, place: Path, seed: int) -> Scenario:
        """What a run of its endpoint shows."""
        if self.calibration == TEN:
            return measured_run(calibrate(self.kind, self.worker, self.settings, seed, place)).scenario
        return measured_run(self.of(self.calibration, {}, place, seed).folder).scenario


QUEUE: Settings = {"workers_max": WORKERS, "workers_min": 0, "idle_timeout_s": 5}
BALANCER: Settings = {**QUEUE, "scaler_value": 1}
SOCKETS: Mapping[str, Part] = {
    "queue": Part("queue", MODELLED, QUEUE, LOADS),
    "balancer": Part("balancer", MODELLED, BALANCER, LOADS),
    "ten": Part("queue", MODELLED, QUEUE, LOADS, TEN),
    "balancer-ten": Part("balancer", MODELLED, BALANCER, LOADS, TEN),
    "sdk": Part("queue", SDK, QUEUE, SLOWER),
    "concurrency": Part("queue", CURVE, {**QUEUE, "concurrency": 4, "workers_max": 1}, _others("concurrency"), SWEEP),
    "balancer-concurrency": Part("balancer", CURVE, {**BALANCER, "scaler_value": 4, "workers_max": 1}, _others("scaler_value"), SWEEP),
    "refusals": Part("balancer", LONG, BALANCER, REFUSED),
}


def sockets(part: Part) -> bool:
    """Prints the errors of each case over real sockets; whether the limits hold."""
    print(f"{'':36}" + "".join(f"{name:>26}" for name in NAMES) + f"{'given up':>26}   inside")
    errors: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        place = Path(folder)
        known = list(pool.map(partial(part.calibrated, place), range(1, 1 + CALIBRATIONS)))
        asked = [(case, pool.submit(part.of, case[1], case[2], place, 10 + seed)) for case in part.cases for seed in range(ROUNDS)]
        held = True
        for at, case in enumerate(part.cases):
            made = [run.result() for _, run in asked[at * ROUNDS : (at + 1) * ROUNDS]]
            held &= _case(case, known, made, errors)
    for name in NAMES:
        off = [abs(error) for error in errors[name]]
        held &= median(off) <= LIMITS[name] and max(off) <= WORST[name]
        print(f"  {name} is off by {median(off):.1%} in the median of the cases (limit {LIMITS[name]:.0%}), ", end="")
        print(f"{max(off):.1%} in the worst ({WORST[name]:.0%})", flush=True)
    return held


def _case(case: Case, known: Sequence[Scenario], made: Sequence[Ran], errors: dict[str, list[float]]) -> bool:
    """Prints one case and adds its errors; where a minimum stays, the bill has no end, and worker-seconds are left out."""
    name, _, settings = case
    pairs = [(ran, predict(one.with_settings(**settings), ran.stages)) for one in known for ran in made]
    cells, inside = [], []
    for figure in (*NAMES, "queue_timeouts"):
        if figure == "worker_s" and settings.get("workers_min"):
            cells.append("–")
            continue
        truth, said = mean(getattr(ran.figures, figure) for ran in made), mean(one[figure].median for _, one in pairs)
        inside += [one[figure].low <= getattr(ran.figures, figure) <= one[figure].high for ran, one in pairs]
        if figure in NAMES:
            errors[figure].append(said / truth - 1)
            cells.append(f"{truth:.2f} → {said:6.2f} {said / truth - 1:+6.1%}")
    cells.append(f"{truth:.1f} → {said:4.1f}")
    print(f"{name:36}" + "".join(f"{cell:>26}" for cell in cells) + f"   {sum(inside)} of {len(inside)}", flush=True)
    return abs(said - truth) <= MOST_APART


def coverage() -> bool:
    """Prints how often the ranges hold in simulated cases; whether that is often enough for each figure."""
    held = True
    for kind, spread in (("QUEUE", 0.0), ("QUEUE", 0.15), ("LOAD_BALANCER", 0.0)):
        true = endpoint(kind, spread)
        with processes(CASES) as pool:
            work = partial(_covered, true)
            found = pool(work, list(range(CASES))) if pool else [work(seed) for seed in range(CASES)]
        print(f"\n{kind}, workers that differ by ±{spread:.0%}: share of runs inside their range, of {CASES}, and its median width")
        shares: dict[str, list[float]] = defaultdict(list)
        for at, (name, *_) in enumerate(LOADS):
            cells = []
            for which, figure in enumerate(NAMES):
                inside, widths = zip(*(one[at][which] for one in found), strict=True)
                shares[figure].append(mean(inside))
                cells.append(f"  {figure} {mean(inside):6.1%}, ±{median(widths) / 2:4.0%}")
            print(f"  {name:14}" + "".join(cells), flush=True)
        held &= all(mean(of) >= LEAST_COVERED and min(of) >= LEAST_COVERED - BY_CHANCE for of in shares.values())
    return held


def _covered(true: Scenario, seed: int) -> list[list[tuple[bool, float]]]:
    """Of one calibration, for each load and figure: whether a run ended in its range, and the range's width as a share of its median."""
    known = calibrated(true, seed)
    found = []
    for _, text, settings in LOADS:
        asked = stages.parse(text)
        said = predict(known.with_settings(**settings), asked, first=1 + seed * SEEDS)
        one = simulated(true.with_settings(**settings), asked, 1_000_000 + seed)
        ranges = [(said[figure], getattr(one, figure)) for figure in NAMES]
        found.append([(of.low <= value <= of.high, (of.high - of.low) / of.median) for of, value in ranges])
    return found


def endpoint(kind: str, spread: float) -> Scenario:
    """An endpoint of the model."""
    scaler = {} if kind == "QUEUE" else {"scaler": "REQUEST_COUNT", "scaler_value": 1}
    policy = Policy(kind, workers_max=WORKERS, **scaler)  # type: ignore[arg-type]
    return Scenario(policy, Platform(), parse("lognormal:2:0.25"), parse("uniform:3:5"), parse("uniform:1:2"), spread=spread)


def calibrated(true: Scenario, seed: int) -> Scenario:
    """What a simulated run of CALIBRATION shows of the endpoint, with settings and times as a real run has them."""
    with tempfile.TemporaryDirectory() as place:
        folder = run_directory.write(Path(place), true, stages.parse(CALIBRATION), 2_000_000 + seed)
        about = run_json.read(folder)
        names = ("workers_min", "workers_max", "idle_timeout_s", "scaler", "scaler_value", "flashboot")
        run_json.write(folder, about | {"platform": {"settings": {name: getattr(true.policy, name) for name in names}}})
        if true.policy.kind != "QUEUE":  # whose answers tell no times
            rows = [replace(row, queue_s=None, execution_s=None) for row in read_attempts(folder / "attempts.csv")]
            (folder / "attempts.csv").write_text(HEADER + "".join(map(row_line, rows)), encoding="utf-8")
        return measured_run(folder, true.usd_per_s).scenario


def simulated(scenario: Scenario, asked: Sequence[Stage], seed: int) -> Figures:
    """The figures of one run of the endpoint itself."""
    found = simulate(scenario, asked, seed, keep_rows=False)
    return figures(found.totals, found.bill.start_s, found.bill.execution_s, found.bill.idle_s, scenario.usd_per_s, found.end_s)


def main() -> int:
    """Runs the parts that are named, or all."""
    parts = {name: partial(sockets, part) for name, part in SOCKETS.items()} | {"coverage": coverage}
    asked = sys.argv[1:] or list(parts)
    if unknown := [name for name in asked if name not in parts]:
        sys.exit(f"'{unknown[0]}' is no part: use {', '.join(parts)}")
    held = []
    for name in asked:
        print(f"\n{name}", flush=True)
        held.append(parts[name]())
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
