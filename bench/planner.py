"""How well plans hold: calibrated from one burst on the emulator, they predict other loads and settings; and how often ranges cover.

    python -m bench.planner              # about ten minutes
    python -m bench.planner sockets      # modelled workers behind the real emulator, over real sockets
    python -m bench.planner coverage     # simulated cases, two minutes

Sockets: one burst of 30 calibrates each kind of endpoint; then each case is run ROUNDS times and predicted for the arrivals that it had.
The errors of a case are of the mean over its rounds, since a single run differs from the next by more than the limits. Coverage: a
simulated run calibrates, and a run with other seeds is predicted, so the platform is the model's and only the calibration is uncertain.
Exits with 1 if a limit is missed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from coldburst.planner import run_directory
from coldburst.planner.measured_run import measured_run
from coldburst.planner.model.distributions import parse
from coldburst.planner.model.fit import read_attempts
from coldburst.planner.model.scenario import Scenario
from coldburst.planner.model.simulate import simulate
from coldburst.planner.predict import SEEDS as SEEDS_OF_PLAN
from coldburst.planner.predict import Figures, figures, predict
from coldburst.record import run_json
from coldburst.schedule import replay, stages
from coldburst.schedule.stages import Stage
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.policy import Policy

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("p50_s", "p95_s", "worker_s")
# Of the median over the cases of a kind: errors as shares, and the share of runs inside their ranges.
LIMITS: Mapping[str, float] = {"p50_s": 0.09, "p95_s": 0.09, "worker_s": 0.03}
LEAST_COVERED = 0.85
ROUNDS, AT_ONCE, SEEDS, CASES = 3, 4, 40, 100
SERVICE, START_S, LOAD_S, WORKERS = "uniform:0.8:1.6", 1, 3, 4
UNBILLED = ("CACHED", "THROTTLED", "STOPPED", "UNHEALTHY")
CALIBRATION = "burst 30"
# Name, schedule, settings other than those of the calibration.
LOADS: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("burst", "burst 30", {}),
    ("Poisson", "steady 60s 1/s poisson", {}),
    ("climb", "climb 60s 0.2/s..2/s", {}),
    ("two bursts", "burst 12, rest 20s 0/s, again 12", {}),
    ("two workers", "burst 20", {"workers_max": 2}),
    ("a min worker", "steady 40s 0.8/s poisson", {"workers_min": 1, "idle_timeout_s": 15}),
)
BALANCED = '''from coldburst import ArrivalUser


class Balanced(ArrivalUser):
    """Requests to a load-balancing endpoint."""

    target, path, schedule, input = "balancer", "/generate", "burst 30", {"prompt": "hello"}
'''


@dataclass(frozen=True)
class Ran:
    """A run on the emulator: its directory, its figures, its schedule as it was sent, and its seconds of workers by the emulator's bill."""

    folder: Path
    figures: Mapping[str, float]
    stages: tuple[Stage, ...]


@contextmanager
def emulator(kind: str, settings: Mapping[str, Any], seed: int) -> Iterator[tuple[str, str]]:
    """An emulator with modelled workers: the address of its endpoint, and of its own view of it."""
    options = {"workers_max": WORKERS, "workers_min": 0, "idle_timeout_s": 5, **settings}
    words = [f"--{name.replace('_', '-').removesuffix('-s')}={value:g}" for name, value in options.items()]
    words += ["--kind", kind, *(("--scaler-value", "1") if kind == "balancer" else ())]
    words += ["--worker", "modelled", "--service-time", SERVICE, "--start", str(START_S), "--load", str(LOAD_S), "--seed", str(seed)]
    command = [sys.executable, "-m", "coldburst.emulator", "--endpoint", "demo", "--until-stdin-closes", *words]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            url = process.stdout.readline().split()[-1]
            yield f"{url}/v2/demo" if kind == "queue" else f"{url}/lb/demo", f"{url}/emulator/demo"
        finally:
            process.stdin.close()


def run(kind: str, schedule: str, settings: Mapping[str, Any], seed: int, place: Path) -> Ran:
    """Sends ``schedule`` to a new emulator."""
    file = place / "balanced.py"
    file.write_text(BALANCED, encoding="utf-8")
    file = file if kind == "balancer" else ROOT / "locustfiles" / "burst.py"
    runs = Path(tempfile.mkdtemp(dir=place))
    with emulator(kind, settings, seed) as (host, inside):
        command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "--host", host, "--schedule", schedule]
        command += ["--seed", str(seed), "--runs", str(runs), "--report", "no", "--max-in-flight", "1000"]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
        bill = _bill(inside, int(settings.get("workers_min", 0)))
    folders = [path for path in runs.iterdir() if (path / "run.json").is_file()]
    if not folders:
        sys.exit(f"no run: {done.stderr[-2000:]}")
    rows = list({row.seq: row for row in read_attempts(folders[0] / "attempts.csv")}.values())
    found = figures(rows, bill["start_s"], bill["execution_s"], bill["idle_s"], 0.0, 0.0)
    return Ran(folders[0], {name: float(getattr(found, name)) for name in NAMES}, replay.recorded_arrivals(folders[0], 1.0))


def _bill(inside: str, least: int) -> dict[str, float]:
    """The emulator's own bill when the workers above the minimum have stopped."""
    while True:
        with urllib.request.urlopen(inside, timeout=10) as answer:
            said: dict[str, Any] = json.load(answer)
        if sum(worker["state"] not in UNBILLED for worker in said["workers"]) <= least:
            bill: dict[str, float] = said["bill"]
            return bill
        time.sleep(0.2)


def sockets() -> bool:
    """Prints the errors of each case over real sockets; whether the limits hold."""
    print(f"{'':24}" + "".join(f"{name:>26}" for name in NAMES) + "   inside")
    held = True
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        place = Path(folder)
        for kind in ("queue", "balancer"):
            base = run(kind, CALIBRATION, {}, 1, place)
            known = measured_run(base.folder).scenario
            asked = [(name, text, settings, seed) for name, text, settings in LOADS for seed in range(2, 2 + ROUNDS)]
            made = list(pool.map(lambda one: run(kind, one[1], one[2], one[3], place), asked))  # noqa: B023
            errors: dict[str, list[float]] = defaultdict(list)
            for at, (name, _, settings) in enumerate(LOADS):
                _case(f"{kind}, {name}", known.with_settings(**settings), made[at * ROUNDS : (at + 1) * ROUNDS], errors, settings)
            for name in NAMES:
                worst = median(map(abs, errors[name]))
                held &= worst <= LIMITS[name]
                print(f"{kind}: {name} is off by {worst:.1%} in the median of its cases (limit {LIMITS[name]:.0%})", flush=True)
    return held


def _case(name: str, scenario: Scenario, made: Sequence[Ran], errors: dict[str, list[float]], settings: Mapping[str, Any]) -> None:
    """Prints one case and adds its errors; where a minimum stays, the bill has no end, and worker-seconds are left out."""
    predicted = [predict(scenario, ran.stages, seeds=SEEDS) for ran in made]
    cells, inside, of = [], 0, 0
    for figure in NAMES:
        if figure == "worker_s" and settings.get("workers_min"):
            cells.append(f"{'–':>26}")
            continue
        truth, said = mean(ran.figures[figure] for ran in made), mean(one[figure].median for one in predicted)
        errors[figure].append(said / truth - 1)
        inside += sum(one[figure].low <= ran.figures[figure] <= one[figure].high for one, ran in zip(predicted, made, strict=True))
        of += len(made)
        cells.append(f"{truth:>10.2f} → {said:6.2f} {said / truth - 1:+6.1%}")
    print(f"{name:24}" + "".join(f"{cell:>26}" for cell in cells) + f"   {inside} of {of}", flush=True)


def coverage() -> bool:
    """Prints how often the ranges hold in simulated cases; whether that is often enough for each figure."""
    held = True
    for kind, spread in (("QUEUE", 0.0), ("QUEUE", 0.15), ("LOAD_BALANCER", 0.0)):
        true = _endpoint(kind, spread)
        hits: dict[tuple[str, str], list[bool]] = defaultdict(list)
        for seed in range(CASES):
            known = calibrated(true, seed)
            for name, text, settings in LOADS:
                asked = stages.parse(text)
                found = predict(known.with_settings(**settings), asked, first=1 + seed * SEEDS_OF_PLAN)
                one = _simulated(true.with_settings(**settings), asked, 10_000 + seed)
                for figure in NAMES:
                    hits[name, figure].append(found[figure].low <= getattr(one, figure) <= found[figure].high)
        print(f"\n{kind}, workers that differ by ±{spread:.0%}: runs inside their range, of {CASES}")
        for name, *_ in LOADS:
            print(f"  {name:14}" + "".join(f"  {figure} {sum(hits[name, figure]):3}" for figure in NAMES), flush=True)
        for figure in NAMES:
            share = mean(hit for (_, which), all_hits in hits.items() if which == figure for hit in all_hits)
            held &= share >= LEAST_COVERED
            print(f"  {figure}: {share:.1%} (limit {LEAST_COVERED:.0%})")
    return held


def _endpoint(kind: str, spread: float) -> Scenario:
    scaler = {} if kind == "QUEUE" else {"scaler": "REQUEST_COUNT", "scaler_value": 1}
    policy = Policy(kind, workers_max=WORKERS, **scaler)  # type: ignore[arg-type]
    return Scenario(policy, Platform(), parse("lognormal:2:0.25"), parse("uniform:3:5"), parse("uniform:1:2"), spread=spread)


def calibrated(true: Scenario, seed: int) -> Scenario:
    """What a simulated run of CALIBRATION shows of the endpoint, with its settings as a real run has them."""
    with tempfile.TemporaryDirectory() as place:
        folder = run_directory.write(Path(place), true, stages.parse(CALIBRATION), seed + 1)
        about = run_json.read(folder)
        names = ("workers_min", "workers_max", "idle_timeout_s", "scaler", "scaler_value", "flashboot")
        run_json.write(folder, about | {"platform": {"settings": {name: getattr(true.policy, name) for name in names}}})
        return measured_run(folder).scenario


def _simulated(scenario: Scenario, asked: Sequence[Stage], seed: int) -> Figures:
    found = simulate(scenario, asked, seed)
    rows = list({row.seq: row for row in found.rows}.values())
    return figures(rows, found.bill.start_s, found.bill.execution_s, found.bill.idle_s, 0.0, found.end_s)


PARTS = {"sockets": sockets, "coverage": coverage}


def main() -> int:
    """Runs the parts that are named, or both."""
    asked = sys.argv[1:] or list(PARTS)
    if unknown := [name for name in asked if name not in PARTS]:
        sys.exit(f"'{unknown[0]}' is no part: use {' or '.join(PARTS)}")
    held = [PARTS[name]() for name in asked]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
