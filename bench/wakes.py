"""How late this machine wakes a process that sleeps: the control of what the bench says about exact times.

    python -m bench.wakes     # P99 in ms, on the core that it runs on

Nothing of coldburst runs in it. Where it is more than TRUSTED_MS late, other processes (or guests of the same host) take turns with the
bench, and a limit on time that is missed says nothing. One that is met holds on a quiet machine too.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.rows import Row

ROOT = Path(__file__).resolve().parent.parent
TRUSTED_MS = 0.5
SLEEPS, EVERY_S = 250, 0.004
CORES = 2


def wakes_ms() -> float:
    """The later P99 of the first and the last core, measured together."""
    cores = ("0", str((os.cpu_count() or 1) - 1))
    commands = [["taskset", "-c", core, sys.executable, "-m", "bench.wakes"] for core in cores]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for command in commands]
    return max(float(process.communicate()[0]) for process in processes)


def judged(row: Row, wakes: Sequence[float]) -> Row:
    """The row, not judged if it misses its limit on a machine that wakes nobody in time: ``wakes`` of wakes_ms(), between the rounds."""
    if not row.missed:
        return row
    late = statistics.median(wakes)
    if (os.cpu_count() or 1) < CORES:
        return replace(row, not_judged=f"it needs {CORES} cores")
    if late > TRUSTED_MS:
        return replace(row, not_judged=f"the machine is busy: a bare process that sleeps wakes {late:.2g} ms late (P99)")
    return row


def measure() -> float:
    """P99 in ms of how late sleeps end."""
    zero, late = time.perf_counter(), []
    for turn in range(1, SLEEPS + 1):
        due = zero + turn * EVERY_S
        time.sleep(max(0.0, due - time.perf_counter()))
        late.append(1000 * (time.perf_counter() - due))
    return sorted(late)[math.ceil(0.99 * SLEEPS) - 1]


if __name__ == "__main__":
    print(measure())
