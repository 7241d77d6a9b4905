"""What a report costs by the number of rows, beside a bare scan of the same attempts.csv by DuckDB.

    python -m bench.analysis                     # a report of 0.2, 1 and 10 million rows: about ten minutes, 2.5 GB of disk
    python -m bench.analysis --quick             # 0.2 and 1 million rows, about a minute
    python -m bench.analysis --rows 100000000    # one report of so many rows: hours, 22 GB of disk and as much again below TMPDIR

Each size is a run directory made here: jobs of a queue endpoint with every column filled, twenty endpoint workers that start
now and then, four stages, six outcomes, one row in a hundred a try again, in the order of their ends. ``python -m analysis report``,
which makes the Parquet copy, the same again, which reads it, and the bare scan, the largest value of each column by DuckDB on all cores,
take turns, each a process of its own. A report begins with libraries and drawings, which no row costs:
so a further row is compared with a further row of the scan. ``write`` is what the tests make their runs with.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from bench.rows import Row, main, printed
from coldburst.record import attempt

ROOT = Path(__file__).resolve().parent.parent
SIZES = (200_000, 1_000_000, 10_000_000)
# Limits: CPU of a further row, beside the scan: of the first report, which also writes the copy, and of the next; its memory in bytes.
CPU_LIMIT, AGAIN_LIMIT, MEMORY_LIMIT = 6.0, 6.0, 200.0
RATE_PER_S, WORKERS, GENERATORS = 1000, 20, 4
STAGES = {"ramp": 0.1, "steady": 0.5, "peak": 0.3, "after": 0.1}
"""Share of the requests in each stage."""
INSTANTS = ("scheduled_s", "sent_s", "first_s", "done_s", "seen_s")
NAMES = np.array([f"worker{k:08x}" for k in range(WORKERS)], dtype=object)
BEGIN_S, AWAY_S = 30.0, 10.0
ROUND_S = BEGIN_S * WORKERS
"""A worker is away for AWAY_S and then ready again, a worker each BEGIN_S."""
AGAIN = 100
"""One row in so many is a try again."""
ENDS = {"ok": 0.97, "failed": 0.01, "queue_timeout": 0.005, "throttled": 0.01, "abandoned": 0.004, "unfinished": 0.001}
STATUS = {"ok": 200, "failed": 500, "queue_timeout": 200, "throttled": 429}
CAUSE = {"failed": "service_error", "queue_timeout": "no_capacity", "throttled": "rate_limit", "abandoned": "own_deadline"}
ERRORS = {
    "failed": ("HTTP 500: CUDA out of memory", "HTTP 500: model not loaded", 'FAILED, "exit code 1"'),
    "queue_timeout": ("TIMED_OUT in the queue",),
    "throttled": ("HTTP 429: too many requests",),
    "abandoned": ("deadline of 60 s passed",),
}
EVENT = 50
"""One answer in so many is an event ``queued`` beside the failures, which all are one."""
BLOCK = 500_000
PART = 2_000_000
"""Rows that are made at a time, so that a run of any size can be made."""
WHOLE = {column.name for column in (*attempt.COLUMNS, *attempt.EVENTS, *attempt.ENDPOINT) if column.kind is int}
SCAN = """
import sys, duckdb
names = ", ".join(f'max("{name}")' for name in duckdb.read_csv(sys.argv[1]).columns)
duckdb.execute(f"SELECT {names} FROM read_csv($1)", [sys.argv[1]]).fetchall()
"""


def write(folder: Path, rows: int) -> None:
    """Makes a run directory of so many rows; the same number gives the same files."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(rows)
    n, first = sum(_requests(part) for part in _parts(rows)), 0
    for part in _parts(rows):
        columns = _attempts(rng, _requests(part), part // AGAIN)
        columns["stage"] = np.array(list(STAGES), dtype=object)[
            np.searchsorted(np.cumsum(_counts(n)), columns["seq"] + first, side="right")
        ]
        order = np.argsort(np.nan_to_num(columns["done_s"], nan=np.inf), kind="stable")
        columns = {name: values[order] for name, values in columns.items()}
        tables = {
            "attempts": (attempt.COLUMNS, columns),
            "events": (attempt.EVENTS, _events(rng, columns)),
            "generator": (attempt.GENERATOR, _generator(rng, _requests(part))),
            "endpoint": (attempt.ENDPOINT, _endpoint(rng, _requests(part))),
        }
        for name, (kept, values) in tables.items():
            _save(folder / f"{name}.csv", kept, _moved(values, first))
        first += _requests(part)
    (folder / "run.json").write_text(json.dumps(_about(n), indent=2) + "\n", encoding="utf-8")


def _parts(rows: int) -> list[int]:
    return [min(PART, rows - start) for start in range(0, rows, PART)]


def _requests(rows: int) -> int:
    return rows - rows // AGAIN


def _moved(columns: dict[str, np.ndarray], first: int) -> dict[str, np.ndarray]:
    """The rows as those of a run that has sent ``first`` requests before."""
    by = {"seq": first, "job_id": first} | dict.fromkeys((*INSTANTS, "at_s"), first / RATE_PER_S)
    return {name: values + by[name] if name in by else values for name, values in columns.items()}


def _attempts(rng: np.random.Generator, n: int, again: int) -> dict[str, np.ndarray]:
    """``n`` requests by seq, then ``again`` more rows: second tries of some that were throttled at first."""
    seq = np.concatenate([np.arange(n), np.linspace(0, n - 1, again).astype(np.int64)])
    first = np.arange(len(seq)) < n
    names = np.array(list(ENDS), dtype=object)
    outcome = names[rng.choice(len(ENDS), len(seq), p=list(ENDS.values()))]
    outcome[seq[n:]] = "throttled"
    scheduled = seq / RATE_PER_S
    held = np.where(rng.random(len(seq)) < 0.01, rng.exponential(0.05, len(seq)), 0.0)
    sent = scheduled + held + rng.exponential(0.0005, len(seq)) + np.where(first, 0.0, 1.5)
    queue = rng.exponential(0.04, len(seq)) + np.where(rng.random(len(seq)) < 0.01, 6.0, 0.0)
    worker = seq % WORKERS
    worker = np.where((sent + queue - BEGIN_S * worker) % ROUND_S > ROUND_S - AWAY_S, (worker + 1) % WORKERS, worker)
    for number, ready_s in enumerate(_ready(n), start=1):
        waits = np.arange(3) + int((ready_s - 4.0) * RATE_PER_S)
        worker[waits], queue[waits] = number % WORKERS, ready_s + 0.05 - sent[waits]
    execution = rng.lognormal(0.2, 0.4, len(seq))
    ended, ok = outcome != "unfinished", outcome == "ok"
    worked = ok | (outcome == "failed")
    done = np.select([worked, outcome == "throttled"], [sent + queue + execution, sent + 0.02], sent + 60.0)
    seen = worked | (outcome == "queue_timeout")
    columns = {
        "seq": seq,
        "attempt": np.where(first, 1, 2),
        "scheduled_s": scheduled,
        "outcome": outcome,
        "phase": np.full(len(seq), "", dtype=object),
        "held_s": held,
        "sent_s": sent,
        "first_s": sent + 0.01,
        "done_s": np.where(ended, done, np.nan),
        "seen_s": np.where(seen, done + rng.random(len(seq)), np.nan),
        "polls": np.where(seen, rng.integers(1, 20, len(seq)), np.nan),
        "status": np.select([outcome == name for name in STATUS], list(STATUS.values()), np.nan),
        "cold": np.full(len(seq), "", dtype=object),
        "queue_s": np.where(worked, queue, np.nan),
        "execution_s": np.where(worked, execution, np.nan),
        "worker_id": np.where(worked, NAMES[worker], ""),
        "job_id": np.arange(len(seq)),
        "platform_retries": np.where(rng.random(len(seq)) < 0.001, 1, np.nan),
        "audio_s": np.where(ended, 5.952, np.nan),
        "bytes_out": np.full(len(seq), 190_742),
        "bytes_in": np.where(ended, rng.integers(40, 4000, len(seq)), np.nan),
        "wer": np.where(ok, rng.integers(0, 40, len(seq)) / 100, np.nan),
        "ttft_s": np.where(ok, 0.2 + execution / 10, np.nan),
        "itl_p50_s": np.where(ok, 0.02, np.nan),
        "itl_max_s": np.where(ok, 0.2, np.nan),
        "tokens_in": np.where(ok, 50, np.nan),
        "tokens_out": np.where(ok, np.rint(execution / 0.02), np.nan),
        "tokens_from": np.where(ok, "usage", ""),
        "generator": np.array([f"g{k}" for k in range(1, GENERATORS + 1)], dtype=object)[seq % GENERATORS],
        "error": np.full(len(seq), "", dtype=object),
    }
    for name, texts in ERRORS.items():
        at = np.flatnonzero(outcome == name)
        columns["error"][at] = np.array(texts, dtype=object)[at % len(texts)]
    return columns


def _counts(n: int) -> list[int]:
    edges = np.rint(np.cumsum([0.0, *STAGES.values()]) * n).astype(int)
    return list(np.diff(edges))


def _ready(n: int) -> np.ndarray:
    """When workers become ready: the first at BEGIN_S, then in turns, each of them every ROUND_S."""
    return np.arange(BEGIN_S, n / RATE_PER_S, BEGIN_S)


def _events(rng: np.random.Generator, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Each failure and one answer in EVENT; and a start of a worker every ten minutes, before which it was away."""
    told = np.isin(rows["outcome"], list(CAUSE)) | (rng.random(len(rows["seq"])) < 1 / EVENT) & (rows["outcome"] == "ok")
    outcome, ready = rows["outcome"][told], _ready(len(rows["seq"]))
    late = rows["done_s"][told] - rows["sent_s"][told]
    none, blank = np.full(len(ready), np.nan), np.full(len(ready), "", dtype=object)
    parts = {
        "at_s": (rows["done_s"][told], ready),
        "kind": (np.where(outcome == "ok", "queued", outcome), np.full(len(ready), "worker_ready", dtype=object)),
        "seq": (rows["seq"][told].astype(np.float64), none),
        "attempt": (rows["attempt"][told].astype(np.float64), none),
        "stage": (rows["stage"][told], blank),
        "worker_id": (rows["worker_id"][told], NAMES[np.arange(1, len(ready) + 1) % WORKERS]),
        "seconds": (np.where(outcome == "ok", rows["queue_s"][told], late), rng.uniform(5.0, 9.0, len(ready))),
        "cause": (np.array([CAUSE.get(name, "") for name in outcome], dtype=object), blank),
        "detail": (rows["error"][told], blank),
        "generator": (rows["generator"][told], np.full(len(ready), "g1", dtype=object)),
    }
    order = np.argsort(np.concatenate(parts["at_s"]), kind="stable")
    return {name: np.concatenate(both)[order] for name, both in parts.items()}


def _generator(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """A row a second and generator."""
    at_s = np.repeat(np.arange(n // RATE_PER_S + 1, dtype=np.float64), GENERATORS)
    share = RATE_PER_S / GENERATORS
    return {
        "at_s": at_s,
        "generator": np.tile(np.array([f"g{k}" for k in range(1, GENERATORS + 1)], dtype=object), len(at_s) // GENERATORS),
        "cpu": rng.uniform(0.3, 0.5, len(at_s)),
        "rss_bytes": np.full(len(at_s), 8e7),
        "in_flight": rng.poisson(share * 1.4, len(at_s)),
        "held": rng.poisson(0.5, len(at_s)),
        "connections": np.full(len(at_s), 400),
        "sent": at_s * share,
        "lateness_max_s": rng.uniform(0.001, 0.005, len(at_s)),
        "clock_s": np.full(len(at_s), 0.0003),
        "round_trip_s": np.full(len(at_s), 0.001),
    }


def _endpoint(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """A look at /health and at the list of workers every two seconds."""
    at_s = np.repeat(np.arange(0.0, n / RATE_PER_S + 1, 2.0), 2)
    health = np.arange(len(at_s)) % 2 == 0
    gauges = {"in_queue": 40, "in_progress": 1400, "completed": 0, "failed": 0, "retried": 0, "ready": 20}
    both = {"idle": 1, "initializing": 1, "running": 20, "throttled": 1, "unhealthy": 0}
    return {
        "at_s": at_s,
        "view": np.where(health, "health", "workers").astype(object),
        **{name: np.where(health, rng.poisson(mean, len(at_s)), np.nan) for name, mean in gauges.items()},
        **{name: rng.poisson(mean, len(at_s)) for name, mean in both.items()},
        "error": np.full(len(at_s), "", dtype=object),
    }


def _about(n: int) -> dict[str, object]:
    counts = dict(zip(STAGES, map(int, _counts(n)), strict=True))
    stages = [{"name": name, "planned": count, "duration_s": count / RATE_PER_S, "closed": False} for name, count in counts.items()]
    return {
        "format": attempt.FORMAT,
        "id": f"made-{n}",
        "question": "sustained",
        "state": "ended",
        "ended_by": "schedule",
        "elapsed_s": n / RATE_PER_S + 60.0,
        "target": {"kind": "queue", "host": "http://127.0.0.1:40123/v2/demo"},
        "schedule": ", ".join(f"{name} {count / RATE_PER_S:g}s {RATE_PER_S}/s" for name, count in counts.items()),
        "stages": stages,
        "seed": 1,
        "planned": n,
    }


def _save(path: Path, columns: tuple[attempt.Column, ...], values: dict[str, np.ndarray]) -> None:
    """The columns as CSV, a block of rows at a time; empty where there are no values."""
    names = [column.name for column in columns]
    unknown = np.full(len(values[names[0]]), np.nan)
    for start in range(0, max(len(values[names[0]]), 1), BLOCK):
        block = pd.DataFrame({name: _column(name, values.get(name, unknown)[start : start + BLOCK]) for name in names})
        block.to_csv(path, mode="a", header=not path.exists(), index=False, lineterminator="\n")


def _column(name: str, values: np.ndarray) -> object:
    if name == "job_id":
        return _ids(values)
    if values.dtype != np.float64:
        return values
    return pd.array(values, dtype="Int64") if name in WHOLE else np.round(values, 6)


def _ids(numbers: np.ndarray) -> np.ndarray:
    """Names as the platform gives them: 32 digits in five groups, and -u1."""
    digits = np.frombuffer(np.random.default_rng(numbers[0]).bytes(16 * len(numbers)).hex().encode(), dtype="S1").reshape(-1, 32)
    names = np.full((len(numbers), 39), b"-", dtype="S1")
    for place, (start, stop) in zip((0, 9, 14, 19, 24), ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32)), strict=True):
        names[:, place : place + stop - start] = digits[:, start:stop]
    names[:, 36:] = np.frombuffer(b"-u1", dtype="S1")
    return names.view("S39")[:, 0].astype("U39").astype(object)


# A small process measures: the memory that the system reports of a child includes that of the process which forked it.
MEASURE = """
import os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen([sys.executable, *sys.argv[1:]], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
process.returncode = os.waitstatus_to_exitcode(status)
print(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
sys.exit(process.returncode)
"""


def cost(*command: str) -> tuple[float, float, float]:
    """Wall and CPU seconds, and the largest resident memory in bytes, of a Python process of its own; ends the bench where that fails."""
    measured = subprocess.run([sys.executable, "-c", MEASURE, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if measured.returncode:
        sys.exit(f"{' '.join(command[:4])} ended with {measured.returncode}: see above")
    wall_s, cpu_s, memory = map(float, measured.stdout.split())
    return wall_s, cpu_s, memory


def rounds(folder: Path, size: int, times: int) -> list[tuple[tuple[float, float, float], ...]]:
    """What a report, the same again, and the scan cost, in turns."""
    run = folder / f"rows-{size}"
    write(run, size)
    found = []
    for _ in range(times):
        for copy in run.glob("*.parquet"):
            copy.unlink()
        reports = [cost("-m", "analysis", "report", str(run), "--quiet") for _ in range(2)]
        found.append((*reports, cost("-c", SCAN, str(run / "attempts.csv"))))
    return found


def of_size(size: int, found: list[tuple[tuple[float, float, float], ...]]) -> Iterator[Row]:
    """The rows of the page for one size."""
    for k, name in enumerate(("report", "report again")):
        yield Row(f"{size:,} rows: {name}", tuple(each[k][0] / each[2][0] for each in found), "× scan")
        yield Row(f"{size:,} rows: {name}, CPU", tuple(each[k][1] / each[2][1] for each in found), "× scan")
        yield Row(f"{size:,} rows: {name}, seconds", tuple(each[k][0] for each in found), "s")
    yield Row(f"{size:,} rows: memory", tuple(max(each[k][2] for k in (0, 1)) / 1e6 for each in found), "MB")


def rows(quick: bool) -> Iterator[Row]:
    """Reports of each size in turns with the scan, then what a further row costs."""
    sizes, times = (SIZES[:2], 1) if quick else (SIZES, 3)
    found = {}
    with tempfile.TemporaryDirectory() as name:
        for size in sizes:
            found[size] = rounds(Path(name), size, times)
            yield from of_size(size, found[size])
    few, many = found[sizes[0]], found[sizes[-1]]
    for k, name in enumerate(("CPU of a further row", "CPU of a further row, again")):
        further = tuple((late[k][1] - early[k][1]) / (late[2][1] - early[2][1]) for late, early in zip(many, few, strict=True))
        yield Row(name, further, "× scan", CPU_LIMIT if k == 0 else AGAIN_LIMIT)
    memory = tuple((late[0][2] - early[0][2]) / (sizes[-1] - sizes[0]) for late, early in zip(many, few, strict=True))
    yield Row("memory of a further row", memory, "bytes", MEMORY_LIMIT)


def once(size: int) -> int:
    """Prints what one report of so many rows costs."""
    with tempfile.TemporaryDirectory() as name:
        list(printed(of_size(size, rounds(Path(name), size, 1))))
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rows"]:
        sys.exit(once(int(sys.argv[2])))
    sys.exit(main(rows, __doc__))
