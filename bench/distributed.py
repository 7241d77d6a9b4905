"""What a distributed run costs, and what a second generator brings, each in one go.

    python -m bench.distributed          # about four minutes; needs nginx (apt-get install nginx-light) and two idle cores

First the master alone: stand-ins for four generators (bench/standin.py) ship 10,000 rows/s to a real one, whose CPU and memory
are its own between two instants. Then one generator process and two, turn by turn, as fast as they can with 32 requests in flight
each, against nginx answering at once with what was said in the clip: its word error rate is worked out, as it is by default.
What a second generator brings is judged on four cores or more, because target, master and generators need one each. The CPU of a request
beside another generator is judged anywhere, and so is what the master spends per request beside what its generators spend: a master whose
share grows with the generators would bound them.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psutil

from bench.generator import NGINX, clip, free_port
from bench.rows import Row, main
from tests.support.attempt_rows import read

ROOT = Path(__file__).resolve().parent.parent
STAND_INS = 4
ROWS_PER_S = 10_000
WARM_S, SPAN_S = 5.0, 20.0
"""Until the master's CPU and memory are measured first, and how long then."""
CPU_LIMIT = 0.1
GROWTH_LIMIT = 0.05
TURNS = 3
STAGE_S = 12
IN_FLIGHT = 32
RATIO_LIMIT = 1.8
DEARER_LIMIT, MASTER_LIMIT = 1.2, 0.5
SAID = "The train to the city was twenty minutes late this morning."
CORES = 4
"""From so many on, two generators, target and master have one each."""


class Share(NamedTuple):
    """What a turn came to: requests a second, and CPU seconds a request of generators, target and master."""

    rate: float
    generators: float
    target: float
    master: float


def cpu_s(processes: Sequence[psutil.Process]) -> float:
    """CPU seconds so far, their children's too."""
    everyone = [one for process in processes for one in (process, *process.children(recursive=True))]
    return sum(sum(one.cpu_times()[:2]) for one in everyone)


def start(stack: ExitStack, *command: str) -> psutil.Process:
    """Starts a process that is killed with ``stack``."""
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return psutil.Process(process.pid)


def locust(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "locust", "-f", "locustfiles/sustained.py", "--headless", *words)


def master(stack: ExitStack, port: int, runs: Path, generators: int, *load: str) -> psutil.Process:
    bind = ("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", str(port), "--expect-workers", str(generators))
    return start(stack, *locust(*bind, *load, "--runs", str(runs)))


def clips(place: Path) -> Path:
    """A directory with one short clip and what is said in it."""
    folder = place / "clips"
    folder.mkdir(exist_ok=True)
    (folder / "transcripts.csv").write_text(f"file,text\n{clip(folder, 0.04).name},{SAID}\n", encoding="utf-8")
    return folder


def attempts(runs: Path, least: int) -> Path:
    """The master's table, once it has so many lines."""
    while not (found := [path for path in runs.glob("*/attempts.csv") if lines(path) >= least]):
        time.sleep(0.05)
    return found[0]


def lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def take_rows(place: Path, rate: float, span: float) -> Iterator[Row]:
    """Ships ``rate`` rows/s to a master for ``span`` seconds: its CPU and memory."""
    runs, port = place / f"rows-{rate:g}", free_port()
    runs.mkdir()
    with ExitStack() as stack:
        load = ("--host", "http://127.0.0.1:9", "--schedule", f"steady 10m {max(rate, 1):g}/s")
        leader = master(stack, port, runs, STAND_INS, *load, "--clips", str(clip(place, 0.04)), "--max-wer", "off")
        for _ in range(STAND_INS):
            start(stack, sys.executable, "-m", "bench.standin", str(port), str(rate / STAND_INS))
        path = attempts(runs, 2 if rate else 1)
        time.sleep(WARM_S)
        before = time.perf_counter(), cpu_s([leader]), lines(path), leader.memory_info().rss
        time.sleep(span)
        after = time.perf_counter(), cpu_s([leader]), lines(path), leader.memory_info().rss
    span_s, used_s, rows, more = (late - early for early, late in zip(before, after, strict=True))
    yield Row(f"the master at {rate:,g} rows/s: its CPU", (used_s / span_s,), "cores", CPU_LIMIT)
    yield Row(f"the master at {rate:,g} rows/s: growth of its memory", (more / before[3],), "of it", GROWTH_LIMIT)
    if rate:
        yield Row("rows that arrived meanwhile", (rows / span_s / rate,), "of those sent", 0.95, at_least=True)


def send(place: Path, turn: int, generators: int, host: str, nginx: psutil.Process) -> Share:
    """As fast as so many generators can, for a stage."""
    runs, port = place / f"turn-{turn}-{generators}", free_port()
    for folder in (runs / "master", runs / "own"):
        folder.mkdir(parents=True)
    with ExitStack() as stack:
        schedule = f"level {STAGE_S}s {IN_FLIGHT * generators} at a time"
        load = ("--host", host, "--schedule", schedule, "--clips", str(clips(place)))
        leader = master(stack, port, runs / "master", generators, *load)
        join = ("--worker", "--master-host", "127.0.0.1", "--master-port", str(port), "--runs", str(runs / "own"))
        crew = [start(stack, *locust(*join)) for _ in range(generators)]
        path = attempts(runs / "master", 2)
        begun = time.perf_counter()
        time.sleep(1)
        before = [cpu_s(group) for group in ([*crew], [nginx], [leader])], time.perf_counter() - begun
        time.sleep(STAGE_S - 3)
        after = [cpu_s(group) for group in ([*crew], [nginx], [leader])], time.perf_counter() - begun
        leader.wait()
    rows = [row for row in read(path) if row.done_s is not None]
    ended = sorted(row.done_s or 0.0 for row in rows)
    middle = [done_s for done_s in ended if ended[0] + 2 <= done_s < ended[0] + STAGE_S - 1]
    if {row.outcome for row in rows} != {"ok"}:
        sys.exit(f"not every request was ok: see {path}")
    rate = len(middle) / (STAGE_S - 3)
    sent = rate * (after[1] - before[1])
    return Share(rate, *((late - early) / sent for early, late in zip(before[0], after[0], strict=True)))


def compare(place: Path, rounds: int) -> Iterator[Row]:
    """One generator and two, turn by turn."""
    port = free_port()
    conf = place / "nginx.conf"
    conf.write_text(NGINX.format(place=place, port=port, text=SAID))
    with ExitStack() as stack:
        nginx = start(stack, "nginx", "-c", str(conf), "-p", str(place))
        stack.callback(nginx.wait)
        stack.callback(nginx.terminate)  # asked to, it ends its own worker too
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.05)
        turns: dict[int, list[Share]] = {1: [], 2: []}
        for turn in range(rounds):
            for generators, shares in turns.items():
                shares.append(send(place, turn, generators, f"http://127.0.0.1:{port}", nginx))
    pairs = list(zip(*turns.values(), strict=True))
    few = "" if (os.cpu_count() or 1) >= CORES else f"it needs {CORES} cores"
    yield Row("requests/s of one generator", tuple(one.rate for one, _ in pairs), "requests/s")
    yield Row("requests/s of two", tuple(two.rate / one.rate for one, two in pairs), "× one", RATIO_LIMIT, at_least=True, not_judged=few)
    yield Row("CPU of a request with two", tuple(two.generators / one.generators for one, two in pairs), "× with one", DEARER_LIMIT)
    yield Row("the master's CPU of a request", tuple(two.master / two.generators for _, two in pairs), "× a generator's", MASTER_LIMIT)


def rows(quick: bool) -> Iterator[Row]:
    """The master alone, then generators."""
    if not shutil.which("nginx"):
        sys.exit("nginx is not installed: apt-get install nginx-light")
    with tempfile.TemporaryDirectory() as name:
        for rate in (0, ROWS_PER_S):
            yield from take_rows(Path(name), rate, SPAN_S / 4 if quick else SPAN_S)
        yield from compare(Path(name), 1 if quick else TURNS)


if __name__ == "__main__":
    sys.exit(main(rows, __doc__))
