"""What the generator costs in an open loop, and the highest rate that it sends on time, beside another commit of this repository.

    python -m bench.peak --base 926ffa8            # about five minutes, and as long to install that commit's requirements if they differ

The commit is checked out in a temporary directory, with an environment of its own if its requirements differ. Both take turns: the
generator on the first core, a server that answers at once on the last one.

- CPU of a request while more are due than can be sent, from /proc. Its inverse is the rate that a core of its own can reach at most;
- the highest rate at which a run is valid: all requests sent and answered, P99 of the send delay at most LATE_S. It is missed only where
  a bare process that sleeps is woken in time (bench/wakes.py).
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from bench.generator import ROOT, Size, clips_of, last_core, percentile
from bench.rows import Row, printed
from bench.wakes import judged, wakes_ms

GAIN = 1.6
ROUNDS, SECONDS, WARM_S = 5, 6, 2.0
# More than any generator in Python can send from one process.
TOO_MANY = 20_000
LATE_S = 0.010
# The search begins at this share of the rate that the CPU of a request allows.
BEGIN, STEP = 0.6, 1.15
# Seconds after the last arrival within which a run must have its rows.
PATIENCE_S = 10.0


class Side(NamedTuple):
    """A checked-out commit and the Python that runs it."""

    folder: Path
    python: str


@contextmanager
def checked_out(commit: str, place: Path) -> Iterator[Side]:
    """A worktree of the commit, and an environment with its requirements."""
    folder = place / "base"
    subprocess.run(["git", "worktree", "add", "--detach", "--quiet", str(folder), commit], cwd=ROOT, check=True)
    try:
        yield Side(folder, environment(folder, place / "venv"))
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(folder)], cwd=ROOT, check=True)


def environment(folder: Path, own: Path) -> str:
    """This Python if the commit's requirements are those of today, else one with the commit's."""
    needed = folder / "requirements.txt"
    if needed.read_text(encoding="utf-8") == (ROOT / "requirements.txt").read_text(encoding="utf-8"):
        return sys.executable
    print("installing the commit's requirements", flush=True)
    venv.create(own, with_pip=True)
    python = str(own / "bin" / "python")
    if subprocess.run([python, "-m", "pip", "install", "-qq", "-r", str(needed)], check=False).returncode:
        sys.exit("the commit's requirements cannot be installed today: see above")
    return python


@contextmanager
def running(*command: str, cwd: Path = ROOT, **how: int) -> Iterator[subprocess.Popen[str]]:
    """A process that is ended with its children; none makes a report."""
    env = {**os.environ, "COLDBURST_REPORT": "no"}
    with subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **how) as process:
        try:
            yield process
        finally:
            children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.kill()
            for child in children:
                child.kill()


@contextmanager
def sending(side: Side, place: Path, rate: int) -> Iterator[tuple[psutil.Process, Path]]:
    """A generator that sends at that rate for SECONDS, and its attempts.csv, which has a row. It is ended before it reports."""
    runs = Path(tempfile.mkdtemp(dir=place))
    with running("taskset", "-c", last_core(), sys.executable, "-m", "bench.arrival_log", os.devnull) as server:
        assert server.stdout is not None
        host = f"http://127.0.0.1:{int(server.stdout.readline())}"
        load = ["--host", host, "--schedule", f"steady {SECONDS}s {rate}/s", "--clips", str(place / "clips"), "--runs", str(runs)]
        command = ("taskset", "-c", "0", side.python, "-m", "locust", "-f", "locustfiles/sustained.py", "--headless", *load)
        with running(*command, "--max-in-flight", "5000", cwd=side.folder, stderr=subprocess.STDOUT) as generator:
            while not (found := [path for path in runs.glob("*/attempts.csv") if lines(path)]):
                if generator.poll() is not None:
                    sys.exit(f"the generator ended with {generator.returncode}:\n{generator.stdout and generator.stdout.read()}")
                time.sleep(0.02)
            yield psutil.Process(generator.pid), found[0]


def cpu_of_request_s(side: Side, place: Path) -> float:
    """CPU seconds of a request while TOO_MANY a second are due."""
    with sending(side, place, TOO_MANY) as (process, path):
        time.sleep(WARM_S)
        used, done = cpu_s(process), lines(path)
        time.sleep(SECONDS - WARM_S)
        return (cpu_s(process) - used) / (lines(path) - done)


def holds(side: Side, place: Path, rate: int) -> bool:
    """Whether all requests of a run at that rate were sent on time, and answered."""
    planned, last_s = rate * SECONDS, time.monotonic() + SECONDS + PATIENCE_S
    with sending(side, place, rate) as (process, path):
        while lines(path) < planned and process.is_running() and time.monotonic() < last_s:
            time.sleep(0.05)
        return valid(path, planned)


def cpu_s(process: psutil.Process) -> float:
    return float(sum(process.cpu_times()[:2]))


def lines(path: Path) -> int:
    """Rows of a table."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b"")) - 1


def valid(path: Path, planned: int) -> bool:
    """Whether everything was sent on time and answered."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["outcome"] == "ok"]
    late = sorted(float(row["sent_s"]) - float(row["scheduled_s"]) for row in rows)
    return len(rows) == planned and percentile(late, 0.99) <= LATE_S


def peak(side: Side, place: Path, begin: float) -> float:
    """The highest valid rate, in steps of STEP, or 0.0 below a quarter of ``begin``; each rate has two tries."""

    def good(rate: float) -> bool:
        return any(holds(side, place, round(rate)) for _ in range(2))

    rate = begin
    if good(rate):
        while good(rate * STEP):
            rate *= STEP
        return rate
    while rate > begin / 4:
        rate /= STEP
        if good(rate):
            return rate
    return 0.0


def measured(base: Side, place: Path) -> Iterator[Row]:
    """CPU, then peaks, of both."""
    sides = {"base": base, "ours": Side(ROOT, sys.executable)}
    turns = [{name: cpu_of_request_s(side, place) for name, side in sides.items()} for _ in range(ROUNDS)]
    yield Row("base: CPU of a request, open loop", tuple(1e6 * turn["base"] for turn in turns), "µs")
    yield Row("CPU of a request, open loop", tuple(turn["ours"] / turn["base"] for turn in turns), "× base", 1 / GAIN)
    wakes = [wakes_ms()]
    peaks = {name: peak(side, place, BEGIN / statistics.median(turn[name] for turn in turns)) for name, side in sides.items()}
    yield Row("base: highest valid rate", (peaks["base"],), "requests/s")
    wakes.append(wakes_ms())
    gain = (peaks["ours"] / peaks["base"],) if peaks["base"] else ()
    row = Row("highest valid rate", gain, "× base", GAIN, at_least=True, not_judged="" if gain else "no rate of base is valid")
    yield judged(row, wakes)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.peak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, metavar="COMMIT", help="the commit to compare with, as 926ffa8")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        clips_of(place, Size(0.04, "", 1.0)).rename(place / "clips")
        with checked_out(parser.parse_args().base, place) as base:
            found = list(printed(measured(base, place)))
            return int(any(row.missed for row in found))


if __name__ == "__main__":
    sys.exit(main())
