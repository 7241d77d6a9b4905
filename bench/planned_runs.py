"""Runs on the real emulator that plans are compared with: sent by Locust over real sockets, billed by the emulator."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coldburst.planner.model.fit import read_attempts
from coldburst.planner.predict import Figures, figures, totals_of
from coldburst.schedule import replay, stages
from coldburst.schedule.stages import Stage

ROOT = Path(__file__).resolve().parent.parent
MODELLED = ("--worker", "modelled", "--service-time", "uniform:0.8:1.6", "--start", "1", "--load", "3")
# Real processes of the runpod SDK, whose jobs sleep for the time that their input says; long times, since each start costs a busy machine
# a second or two.
SDK = ("--worker", "sdk", "--engine", "fixed", "--start", "1", "--load", "10")
SLEEP_S, ROWS = (3.0, 6.0), 200
UNBILLED = ("CACHED", "THROTTLED", "STOPPED", "UNHEALTHY")
LOCUSTFILE = '''from coldburst import ArrivalUser


class Planned(ArrivalUser):
    """Requests to an endpoint of the emulator."""

    target, path, schedule, input = KIND, "/generate", "burst 30", INPUT
'''
INPUT: Mapping[str, Any] = {"input": {"prompt": "hello"}}
SLEPT: Mapping[str, Any] = {"input": {"sleep_s": "{{json:sleep_s}}"}}


@dataclass(frozen=True, slots=True)
class Ran:
    """A run on the emulator: its directory, its figures by the emulator's bill, and its schedule as it was sent."""

    folder: Path
    figures: Figures
    stages: tuple[Stage, ...]


@contextmanager
def emulator(kind: str, worker: Sequence[str], settings: Mapping[str, Any], seed: int) -> Iterator[tuple[str, str]]:
    """An emulator: the address of its endpoint, and of its own view of it."""
    words = [f"--{name.replace('_', '-').removesuffix('-s')}={value:g}" for name, value in settings.items()]
    command = [sys.executable, "-m", "coldburst.emulator", "--endpoint", "demo", "--until-stdin-closes", "--kind", kind]
    command += [*worker, *words, "--seed", str(seed)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            url = process.stdout.readline().split()[-1]
            yield f"{url}/v2/demo" if kind == "queue" else f"{url}/lb/demo", f"{url}/emulator/demo"
        finally:
            process.stdin.close()


def run(kind: str, worker: Sequence[str], schedule: str, settings: Mapping[str, Any], seed: int, place: Path) -> Ran:
    """Sends ``schedule`` to a new emulator."""
    runs = Path(tempfile.mkdtemp(dir=place))
    file, rows = runs / "planned.py", runs / "rows.csv"
    sent = SLEPT if worker == SDK else INPUT
    file.write_text(LOCUSTFILE.replace("KIND", repr(kind)).replace("INPUT", repr(sent)), encoding="utf-8")
    draw = random.Random(seed)
    rows.write_text("sleep_s\n" + "".join(f"{draw.uniform(*SLEEP_S):.3f}\n" for _ in range(ROWS)), encoding="utf-8")
    with emulator(kind, worker, settings, seed) as (host, inside):
        # A plan begins at rest: the minimum is up.
        least = int(settings.get("workers_min", 0))
        _view(inside, lambda states: states.count("READY") >= least)
        command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "--host", host, "--schedule", schedule]
        command += ["--seed", str(seed), "--runs", str(runs), "--report", "no", "--max-in-flight", "1000"]
        command += ["--data", str(rows)] if sent is SLEPT else []
        done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
        # The bill is whole when the workers above the minimum have stopped.
        bill = _view(inside, lambda states: sum(state not in UNBILLED for state in states) <= least)["bill"]
    folders = [path for path in runs.iterdir() if (path / "run.json").is_file()]
    if not folders:
        sys.exit(f"no run: {done.stderr[-2000:]}")
    totals = totals_of(read_attempts(folders[0] / "attempts.csv"))
    found = figures(totals, bill["start_s"], bill["execution_s"], bill["idle_s"], 0.0, 0.0)
    asked = stages.parse(schedule)
    return Ran(folders[0], found, asked if asked[0].closed else replay.recorded_arrivals(folders[0], 1.0))


def calibrate(kind: str, worker: Sequence[str], settings: Mapping[str, Any], seed: int, place: Path) -> Path:
    """The directory of a run of ``plan calibrate`` against a new emulator."""
    runs = Path(tempfile.mkdtemp(dir=place))
    with emulator(kind, worker, settings, seed) as (host, _):
        command = [sys.executable, "-m", "coldburst", "plan", "calibrate", host, "--yes", "--runs", str(runs)]
        command += ["--input", json.dumps(INPUT["input"]), *(("--path", "/generate") if kind == "balancer" else ())]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    folders = [path for path in runs.iterdir() if (path / "run.json").is_file()]
    if not folders:
        sys.exit(f"no run: {done.stderr[-2000:]}")
    return folders[0]


def _view(inside: str, true: Callable[[list[str]], bool]) -> dict[str, Any]:
    """The emulator's own view of the endpoint, as soon as the states of its workers are as awaited."""
    while True:
        with urllib.request.urlopen(inside, timeout=10) as answer:
            said: dict[str, Any] = json.load(answer)
        if true([worker["state"] for worker in said["workers"]]):
            return said
        time.sleep(0.2)
