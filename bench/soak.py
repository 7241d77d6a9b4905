"""A long distributed run: does memory grow, is a row lost, do the generators come to send later and later?

    python -m bench.soak --minutes 30 --rate 50

A master and two generators on this machine, against a target that keeps its own count (tests/counting.py). Prints a line every
ten seconds and the figures at the end; the exit code is 1 where one of them is beyond its limit. Memory is resident memory:
the median of the run's second twentieth against that of its last.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.generator import free_port
from coldburst.record.attempt import Attempt
from tests.support.attempt_rows import read

ROOT = Path(__file__).resolve().parent.parent
LOCUST = (sys.executable, "-m", "locust", "-f", "locustfiles/sustained.py", "--headless")
GENERATORS = 2
EVERY_S = 10.0
GROWTH = 0.05
DRIFT_MS = 5.0
PARTS = 20
"""Twentieths of the run: the first is left out of the memory's figures, as everything is loaded then."""
END_S = 180.0
"""For the drain and the report."""


@dataclass
class Crew:
    """The processes by name, and what was seen of their resident memory: (seconds from the first request, bytes)."""

    processes: dict[str, subprocess.Popen[bytes]]
    runs: Path
    log: Path
    memory: dict[str, list[tuple[float, int]]] = field(default_factory=dict)

    @property
    def folder(self) -> Path | None:
        """The master's run directory, once it is there."""
        return next((path for path in self.runs.iterdir() if not path.suffix), None)

    def said(self, name: str) -> str:
        """What that process has printed."""
        return (self.log.parent / name).read_text(encoding="utf-8", errors="replace")

    def sample(self, at_s: float) -> None:
        """Notes everyone's resident memory."""
        for name, process in self.processes.items():
            self.memory.setdefault(name, []).append((at_s, psutil.Process(process.pid).memory_info().rss))


@contextmanager
def running(seconds: float, rate: float, place: Path) -> Iterator[Crew]:
    """Target, master and generators; killed at the end if they still run."""
    runs, log, port = place / "runs", place / "received", str(free_port())
    with ExitStack() as stack:

        def start(*command: str, output: str) -> subprocess.Popen[bytes]:
            file = stack.enter_context((place / output).open("wb"))
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        target = str(free_port())
        start(sys.executable, "-m", "tests.support.counting", "--port", target, "--log", str(log), output="target")
        (runs / "own").mkdir(parents=True)
        (runs / "master").mkdir()
        clip = ("--clips", "samples/01-harbour.wav", "--max-wer", "off", "--exit-code-on-verdict", "no")
        load = ("--host", f"http://127.0.0.1:{target}", "--schedule", f"steady {seconds:g}s {rate:g}/s", *clip)
        bind = ("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", str(GENERATORS))
        processes = {"master": start(*LOCUST, *bind, *load, "--runs", str(runs / "master"), output="master")}
        join = ("--worker", "--master-host", "127.0.0.1", "--master-port", port, "--runs", str(runs / "own"))
        for number in range(1, GENERATORS + 1):
            processes[f"generator {number}"] = start(*LOCUST, *join, output=f"generator-{number}")
        yield Crew(processes, runs / "master", log)


class Lines:
    """Counts the lines of a file that grows."""

    def __init__(self, path: Path) -> None:
        self._path, self._at, self.number = path, 0, 0

    def count(self) -> int:
        """How many there are now."""
        with self._path.open("rb") as file:
            file.seek(self._at)
            while block := file.read(1 << 20):
                self._at += len(block)
                self.number += block.count(b"\n")
        return self.number


def watch(crew: Crew, seconds: float) -> Path:
    """Prints how it goes until the master has ended; the run's directory."""
    master = crew.processes["master"]
    while crew.folder is None or not (crew.folder / "attempts.csv").exists() or Lines(crew.folder / "attempts.csv").count() < 2:
        if master.poll() is not None:
            sys.exit(f"the master ended with code {master.poll()}:\n{crew.said('master')}")
        time.sleep(0.1)
    folder, began = crew.folder, time.monotonic()
    rows, received = Lines(folder / "attempts.csv"), Lines(crew.log)
    print(f"{'s':>7}{'rows':>10}{'received':>10}   resident memory (MB)", flush=True)
    shown_s = 0.0
    while (at_s := time.monotonic() - began) < seconds:
        if ended := [name for name, process in crew.processes.items() if process.poll() is not None]:
            sys.exit(f"{ended[0]} ended after {at_s:.0f} s of {seconds:.0f} s:\n{crew.said('master')}")
        crew.sample(at_s)
        if at_s >= shown_s:
            shown_s += EVERY_S
            memory = "   ".join(f"{name} {seen[-1][1] / 1e6:.1f}" for name, seen in crew.memory.items())
            print(f"{at_s:7.0f}{rows.count() - 1:10}{received.count() // 2:10}   {memory}", flush=True)
        time.sleep(min(1.0, seconds / PARTS / 5))
    for process in crew.processes.values():
        process.wait(END_S)
    return folder


def growth(memory: Sequence[tuple[float, int]], seconds: float) -> float:
    """Share by which the median of the last twentieth of the run is above that of the second one."""
    part_s = seconds / PARTS
    early, late = ([size for at_s, size in memory if first <= at_s / part_s < first + 1] for first in (1, PARTS - 1))
    return statistics.median(late) / statistics.median(early) - 1


def lateness_ms(rows: Sequence[Attempt]) -> float:
    """P99 (nearest rank) of sent − scheduled."""
    late = sorted(1000 * (row.sent_s - row.scheduled_s) for row in rows if row.sent_s is not None)
    return late[math.ceil(0.99 * len(late)) - 1]


def judge(crew: Crew, folder: Path, seconds: float, drift_ms: float) -> bool:
    """Prints the figures; whether each is within its limit."""
    rows, planned = read(folder / "attempts.csv"), json.loads((folder / "run.json").read_text(encoding="utf-8"))["planned"]
    sent = sorted((row for row in rows if row.sent_s is not None), key=lambda row: row.scheduled_s)
    received = sum('"received"' in line for line in crew.log.read_text(encoding="utf-8").splitlines())
    good = [("rows lost", planned - len({row.seq for row in rows}), 0, "")]
    good += [("requests without a row", received - len(sent), 0, "")]
    good += [(f"memory of {name}", 100 * growth(seen, seconds), 100 * GROWTH, " %") for name, seen in crew.memory.items()]
    tenth = len(sent) // 10
    first, last = lateness_ms(sent[:tenth]), lateness_ms(sent[-tenth:])
    good += [(f"lateness P99, {first:.2f} to {last:.2f} ms", last - first, drift_ms, " ms")]
    print(f"\n{planned} planned, {len(rows)} rows, {received} received by the target")
    for what, value, limit, unit in good:
        print(f"{what:45}{value:+9.2f}{unit:3}   at most {limit:g}{unit}   {'ok' if value <= limit else 'BROKEN'}")
    return all(value <= limit for _, value, limit, _ in good)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="length of the run (default: %(default)g)")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second (default: %(default)g)")
    parser.add_argument(
        "--drift", type=float, default=DRIFT_MS, metavar="MS", help="by how much lateness may grow (default: %(default)g ms)"
    )
    options = parser.parse_args()
    seconds = 60 * options.minutes
    with tempfile.TemporaryDirectory() as name, running(seconds, options.rate, Path(name)) as crew:
        return 0 if judge(crew, watch(crew, seconds), seconds, options.drift) else 1


if __name__ == "__main__":
    sys.exit(main())
