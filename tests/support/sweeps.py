"""Sweeps known by construction: run directories whose every figure follows from the arguments."""

import json
import math
from dataclasses import dataclass, replace
from itertools import count

from coldburst.record.attempt import STAGES, line

HEAD = ("seq", "attempt", "stage", "phase", "scheduled_s", "outcome", "sent_s", "done_s", "status")
HEAD += ("queue_s", "execution_s", "worker_id", "audio_s", "wer")
PRICE = {"name": "4090 PRO 24 GB", "usd_per_s": 0.00031, "source": "runpod.io/pricing", "date": "2026-11-01"}
GAP_S = 2.0


@dataclass(frozen=True)
class Measure:
    """A measure stage: ``n`` requests, ``at_once`` of them in flight, within exactly ``wall_s`` seconds.

    The k-th is done at (k + 1) ÷ n of the wall, and sent when the one ``at_once`` places before it was done. With ``tail_s`` a
    tenth of them take exactly that long (so it is the P95 and the P99), and the others as much less that the mean stays.
    """

    cell: str
    n: int
    at_once: int
    wall_s: float
    repeat: int = 1
    workers: int | None = None
    per_worker: int | None = None
    ids: int = 0
    tail_s: float | None = None
    failed: int = 0
    wrong_words: float | None = None
    queue: bool = False
    state: str = "done"
    why: str = ""
    told: bool = True
    asked: int | None = None
    seen: int | None = None
    by: str = ""
    warm: int = 2

    @property
    def stage(self):
        return self.cell if self.repeat == 1 else f"{self.cell}-r{self.repeat}"


def rows(of, start_s, seqs):
    """The attempts of a stage that begins to send at ``start_s``: the failed ones come first, each as long as the others."""
    step_s = of.wall_s / of.n
    each_s = of.at_once * step_s
    tails = set(range(of.n - 1, -1, -10)) if of.tail_s else set()
    less_s = (each_s - len(tails) / of.n * (of.tail_s or 0.0)) / (1 - len(tails) / of.n)
    for k in range(of.n):
        done_s = (k + 1) * step_s
        took_s = of.tail_s if k in tails else less_s
        took_s = min(took_s, done_s) if k < of.at_once or k == 0 else took_s
        yield {
            "seq": next(seqs),
            "attempt": 1,
            "stage": of.stage,
            "phase": "drain" if k >= of.n - of.at_once + 1 else "measure",
            "scheduled_s": start_s + (0.0 if k == 0 else max(done_s - took_s, 0.0)),
            "sent_s": start_s + (0.0 if k == 0 else max(done_s - took_s, 0.0)),
            "done_s": start_s + done_s,
            "outcome": "failed" if k < of.failed else "ok",
            "status": 500 if k < of.failed else 200,
            "worker_id": f"worker-{k % of.ids}" if of.ids else "",
            "queue_s": took_s * 0.25 if of.queue else "",
            "execution_s": took_s * 0.7 if of.queue else "",
            "audio_s": 5.5,
            "wer": "" if of.wrong_words is None else of.wrong_words,
        }


def warm_up(of, start_s, seqs):
    """What a warm-up leaves: slow failures, which must show nowhere."""
    for _ in range(of.warm):
        yield {
            "seq": next(seqs), "attempt": 1, "stage": f"{of.stage}-warm", "phase": "warm-up", "scheduled_s": start_s, "sent_s": start_s,
            "done_s": start_s + 1.0, "outcome": "failed", "status": 500, "worker_id": "worker-0" if of.ids else "",
        }  # fmt: skip


def told(of, phase, start_s, stop_s, end_s):
    """A row of stages.csv."""
    stage = of.stage if phase == "measure" else f"{of.stage}-warm"
    state = of.state if phase == "measure" else "done"
    sent = {} if state == "skipped" else {"start_s": start_s, "stop_s": stop_s, "end_s": end_s}
    seen = of.seen if of.seen is not None else of.ids or None
    return {
        "stage": stage, "cell": of.cell, "repeat": of.repeat, "phase": phase, "concurrency": of.at_once if of.asked is None else of.asked,
        "workers": of.workers, "per_worker": of.per_worker, "begin_s": start_s - 0.5, "ready_s": start_s - 0.1, **sent,
        "workers_seen": seen, "workers_by": of.by, "state": state, "why": of.why if phase == "measure" else "",
    }  # fmt: skip


def write(folder, measures, question="concurrency", about=None, **asked):
    """Writes the run of ``measures``, one after the other, into ``folder`` and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    seqs, at_s, attempts, stages, done = count(), 1.0, [], [], []
    for of in measures:
        if of.state != "skipped":
            attempts += warm_up(of, at_s, seqs)
            stages.append(told(of, "warm-up", at_s, at_s + 1.0, at_s + 1.0))
            at_s += 1.5
            done = list(rows(of, at_s, seqs))
            attempts += done
        if of.told:
            stop_s = max((row["sent_s"] for row in done), default=at_s)
            stages.append(told(of, "measure", at_s, stop_s, at_s + of.wall_s))
        at_s += of.wall_s + GAP_S
    sweep = {
        "question": question,
        "repeats": max(of.repeat for of in measures),
        "cells": list(dict.fromkeys(of.cell for of in measures)),
        "objectives": [],
        "worth": 0.7,
        "stop": {"failures": 0.05, "gain": 0.05, "levels": 2},
        "control": "rest",
        "price": None,
        "card": None,
    } | asked
    record = {
        "format": 1, "id": folder.name, "question": question, "state": "ended", "started": "2026-11-21T09:15:02.123+00:00",
        "ended_by": "schedule", "elapsed_s": at_s, "target": {"kind": "transcription", "host": "http://127.0.0.1:40123", "embedded": True},
        "schedule": f"sweep of {question}", "stages": [], "seed": 1, "planned": len(attempts), "sweep": sweep,
    } | (about or {})  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    _table(folder / "attempts.csv", HEAD, attempts)
    _table(folder / "stages.csv", [column.name for column in STAGES], stages)
    return folder


def _table(path, names, content):
    cells = [[_cell(row.get(name)) for name in names] for row in content]
    path.write_text(line(names) + "".join(map(line, cells)), encoding="utf-8")


def _cell(value):
    return "" if value is None else round(value, 6) if isinstance(value, float) and math.isfinite(value) else value


# --- the sweeps that tests/runs keeps ---------------------------------------------------------------------------------------------------

WHISPER = {  # c: ok per s, P95 in s, word error rate. One GPU, SeedTTS EN (sgl-project/sglang-omni, issue 1888)
    1: (9.74, 0.124, 0.0137), 2: (15.76, 0.161, 0.0137), 4: (23.0, 0.233, 0.0137), 8: (31.3, 0.346, 0.0138),
    16: (40.4, 0.532, 0.0138), 32: (47.7, 0.923, 0.0138), 64: (47.2, 1.626, 0.0138),
}  # fmt: skip
P95 = {"metric": "p95", "op": "<=", "value": 0.35, "text": "p95<=350ms"}


def whisper():
    """The published Whisper curve: one worker, seven levels, one repeat."""
    for c, (per_s, tail_s, wrong) in WHISPER.items():
        n = max(20, 10 * c)
        yield Measure(f"c{c}", n, c, n / per_s, workers=1, per_worker=c, tail_s=tail_s, wrong_words=wrong)


def methodology():
    """The concurrency method's example: the same 200 requests on five workers in 102.4, 61.2 and 38.7 s."""
    for c, wall_s in ((1, 102.4), (2, 61.2), (4, 38.7)):
        yield Measure(f"c{c}", 200, 5 * c, wall_s, workers=5, per_worker=c, ids=5, queue=True)


def guide(ids=(1, 2, 3)):
    """The load-testing guide's rates, 10.5, 20.1 and 29.8 per s, with enough requests at a time; three repeats, 1 % apart."""
    for repeat, apart in ((1, 1.0), (2, 0.99), (3, 1.01)):
        for n, per_s, of_ids in zip((1, 2, 3), (10.5, 20.1, 29.8), ids, strict=True):
            yield Measure(f"w{n}", 40 * n, 4 * n, 40 * n / (per_s * apart), repeat, workers=n, per_worker=4, ids=of_ids)


def cut(tell=True):
    """Cut in stage 2 of 3: w1 whole, w2 with rows and without an end, w3 never begun."""
    whole = Measure("w1", 40, 4, 4.0, workers=1, per_worker=4, ids=1)
    half = Measure("w2", 20, 8, 1.0, workers=2, per_worker=4, ids=2, state="cut", why="Ctrl-C", told=tell)
    return [whole, half, Measure("w3", 0, 12, 0.0, workers=3, per_worker=4, state="skipped", why="the run was ended", told=tell)]


def batches():
    """20 requests of 60 s each at 5 and at 20 workers that take one at a time."""
    for n in (5, 20):
        yield Measure(f"w{n}", 20, n, 1200.0 / n, workers=n, per_worker=1, ids=n)


def repeated(measures, times):
    """The same measures, ``times`` over."""
    return [replace(of, repeat=repeat) for repeat in range(1, times + 1) for of in measures]
