"""Writes the small runs beside it, which the tests of analysis/ start from: ``python -m tests.runs.make``."""

from __future__ import annotations

import json
import math
from pathlib import Path

from coldburst.lines import one_line
from coldburst.record.attempt import COLUMNS, ENDPOINT, EVENTS, GENERATOR, Attempt, Column, line
from coldburst.schedule.stages import parse
from coldburst.schedule.stages import planned as planned_by
from tests.support.attempt_rows import ledger

HERE = Path(__file__).parent
FORMER = {"seen_s", "polls"}
LATER = {
    "phase",
    "tts_s",
    "video_s",
    "upload_s",
    "download_s",
    "ttft_s",
    "itl_p50_s",
    "itl_p95_s",
    "itl_max_s",
    "tokens_in",
    "tokens_out",
    "tokens_from",
    "units",
}
RESOURCES = {"cpu", "rss_bytes", "gpu_memory_bytes", "gpu_utilisation"}
FORMER_EVENTS = {"attempt", "cause"}
"""Columns that runs of version 0.1.0 did not have; ``burst`` and ``mixed`` are such runs. None has the columns of sweeps, chat,
objects, video."""
HOSTILE = "<script>alert(1)</script> =cmd|' /C calc'!A0 \"quoted\" \U0001f600 [x](http://x) `tick` a|b, c"


def _cell(value: object) -> object:
    """As runs of that time have it: numbers without zeros at their ends."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return round(value, 6) if isinstance(value, float) and math.isfinite(value) else one_line(value) if isinstance(value, str) else value


def about(name: str, schedule: str, planned: int | None, rows: list[Attempt], **other: object) -> str:
    counts = dict(ledger(planned or 0, rows).counts)
    record = {
        "format": 1,
        "id": name,
        "question": schedule.split(maxsplit=1)[0],
        "state": "ended",
        "started": "2026-11-21T09:15:02.123+00:00",
        "ended": "2026-11-21T09:15:33.323+00:00",
        "ended_by": "schedule",
        "elapsed_s": 31.2,
        "target": {"kind": "transcription", "host": "http://127.0.0.1:40123", "embedded": True},
        "schedule": schedule,
        "stages": [
            {"name": s.name, "planned": planned_by([s], 1), "duration_s": s.duration_s, "closed": s.closed} for s in parse(schedule)
        ],
        "seed": 1,
        "planned": planned,
        "max_in_flight": 15,
        "when_full": "wait",
        "options": {"clip": "clip.wav", "deadline": 60},
        "versions": {"coldburst": "0.1.0", "python": "3.11.7", "locust": "2.47.0"},
        "commit": "0f1e2d3c4b5a69788796a5b4c3d2e1f001234567",
        "dirty": False,
        "machine": {"system": "Linux 6.1", "cpus": 2, "cpu_model": "generic", "memory_bytes": 8_000_000_000},
        "ledger": {"planned": planned, "counts": counts},
        "of the future": {"unknown": "keys are ignored"},
    }
    return json.dumps(record | other, indent=2, ensure_ascii=False) + "\n"


Rows = list[dict[str, object]]


def table(columns: tuple[Column, ...], rows: Rows) -> str:
    """CSV of ``rows``, empty where a row does not say."""
    names = [column.name for column in columns]
    return line(names) + "".join(line(row.get(name, "") for name in names) for row in rows)


def write(
    name: str,
    run: str,
    rows: list[Attempt],
    *,
    events: Rows,
    generator: str,
    endpoint: Rows | None = None,
    former: bool = False,
    tail: str = "",
) -> None:
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    shown = [place for place, column in enumerate(COLUMNS) if column.name not in (LATER | FORMER if former else LATER)]
    lines = [
        line(COLUMNS[place].name for place in shown),
        *(line(_cell(getattr(row, COLUMNS[place].name)) for place in shown) for row in rows),
    ]
    of_events = tuple(c for c in EVENTS if not (former and c.name in FORMER_EVENTS))
    (folder / "run.json").write_text(run, encoding="utf-8")
    (folder / "attempts.csv").write_text("".join(lines) + tail, encoding="utf-8")
    (folder / "events.csv").write_text(table(of_events, events), encoding="utf-8")
    (folder / "generator.csv").write_text(line(column.name for column in GENERATOR) + generator, encoding="utf-8")
    if endpoint:
        (folder / "endpoint.csv").write_text(
            table([column for column in ENDPOINT if column.name not in RESOURCES], endpoint), encoding="utf-8"
        )


def burst() -> None:
    """30 at once to two slots of one second each: request k is done at k // 2 + 1 s; the first two are cold."""
    rows = [
        Attempt(
            seq=k,
            attempt=1,
            stage="burst",
            scheduled_s=0.0,
            outcome="ok",
            held_s=0.0 if k < 15 else (k - 15) // 2 + 1.0,
            sent_s=0.001 + (0.0 if k < 15 else (k - 15) // 2 + 1.0),
            first_s=k // 2 + 0.9,
            done_s=k // 2 + 1.0,
            status=200,
            cold=k < 2,
            queue_s=k // 2 - (0.0 if k < 15 else (k - 15) // 2 + 1.0),
            execution_s=1.0,
            worker_id=f"w{k % 2}",
            audio_s=5.952,
            bytes_out=190_742,
            bytes_in=60,
            wer=0.0 if k % 3 else 0.3,
            generator="local",
        )
        for k in range(30)
    ]
    events: Rows = [
        {"at_s": 0.2, "kind": "cold_start", "seq": k, "stage": "burst", "worker_id": f"w{k}", "seconds": took, "generator": "local"}
        for k, took in enumerate((0.8, 0.7))
    ]
    seconds = "".join(
        f"{s}.0,local,{0.9 if s == 0 else 0.1},60000000,{max(15 - s, 0)},{max(15 - 2 * s, 0)},15,{15 + 2 * s},0.001\n" for s in range(16)
    )
    write("burst", about("burst", "burst 30", 30, rows), rows, events=events, generator=seconds, former=True)


def mixed() -> None:
    """40 planned at 2/s, cut by Ctrl-C: 20 ok, 5 failed, 3 throttled, 2 queue_timeout, 4 abandoned, 2 unfinished, 3 not_sent, 1 missing."""
    rows: list[Attempt] = []

    def add(seq: int, outcome: str, took_s: float | None, attempt: int = 1, late_s: float = 0.002, **other: object) -> None:
        due = seq / 2
        sent = None if outcome == "not_sent" else due + late_s
        done = None if took_s is None else due + took_s
        rows.append(Attempt(seq, attempt, "steady", due, outcome, sent_s=sent, done_s=done, generator="local", **other))  # type: ignore[arg-type]

    for seq in range(18):
        add(seq, "ok", 1.0 + seq / 10, status=200)
    for seq in (18, 19):  # a busy service, and ok at the second try
        add(seq, "busy", 0.1, status=503, error="all slots taken")
        add(seq, "ok", 3.0, attempt=2, late_s=1.1, status=200)
    for seq in range(20, 25):
        add(seq, "failed", 0.05, status=500, error=HOSTILE if seq < 23 else "CUDA out of memory")
    for seq in range(25, 28):
        add(seq, "throttled", 0.01, status=429, error="NA")
    for seq in (28, 29):
        add(seq, "queue_timeout", 2.0, status=400, queue_s=2.0, error="gave up")
    for seq in range(30, 34):
        add(seq, "abandoned", 5.0, error="no answer in 5 s")
    for seq in (34, 35):
        add(seq, "unfinished", None)
    for seq in range(36, 39):
        add(seq, "not_sent", None)
    seen = {"stage": "steady", "generator": "local"}
    gave_up = {"kind": "queue_timeout", "seconds": 2.0, "detail": "gave up", **seen}
    events: Rows = [{"at_s": seq / 2, "seq": seq, **gave_up} for seq in (28, 29)]
    events += [{"at_s": 12.5, "kind": "throttled", "seq": 25, **seen}]
    run = about("mixed", "steady 20s 2/s", 40, rows, ended_by="Ctrl-C", commit=None, dirty=None)
    write("mixed", run, rows, events=events, generator="", former=True, tail="39,1,steady,19.5,o")


QUEUE_STATES = ("idle", "initializing", "running", "throttled")
WORKERS = {  # from when to when, in seconds
    "workerA": {"initializing": (0.9, 9.0), "gone": 1e9},
    "workerB": {"initializing": (1.9, 9.5), "gone": 156.0},
    "workerC": {"throttled": (2.0, 7.0), "initializing": (7.0, 17.0), "gone": 150.0},
}


def queue() -> None:
    """30 at once and 6 later, of 12 s each, to three workers that start from nothing and take one job at a time.

    Ready (with the first job 0.1 s later): A at 9.0, B at 9.5, C at 17.0 s; started at 0.9, 1.9 and 7.0 s.
    Then a job every 13 s each: 9 + 9 + 8 before 120 s, when the other four time out in the queue. The six later ones,
    20 s apart from 140 s on, find A warm. The list of workers is asked every 2 s, so the starts are seen at 10.03,
    10.03 and 18.03 s. Polling sees the end 0.5 s late (odd seq 1 s), having asked once for each 10 s begun.
    """
    starts = [(9.1 + 13 * k, "workerA") for k in range(9)] + [(9.6 + 13 * k, "workerB") for k in range(9)]
    starts = sorted(starts + [(17.1 + 13 * k, "workerC") for k in range(8)])
    starts += [(140.06 + 20 * k, "workerA") for k in range(6)]
    rows = []
    for place, (start_s, worker) in enumerate(starts):
        seq, due = (place, 0.0) if place < 26 else (place + 4, 140.0 + 20 * (place - 26))
        rows.append(job(seq, due, start_s + 12.0, "ok", queue_s=start_s - due - 0.001, execution_s=12.0, worker_id=worker))
    rows += [job(seq, 0.0, 120.0, "queue_timeout", error="TIMED_OUT in the queue") for seq in range(26, 30)]
    rows.reverse()  # the rule on cold starts goes by starts, not by rows
    looks = (("workerA", 10.03, 9.13), ("workerB", 10.03, 8.13), ("workerC", 18.03, 11.03))
    events: Rows = [
        {"at_s": at_s, "kind": "worker_ready", "worker_id": worker, "seconds": up_s, "generator": "local"} for worker, at_s, up_s in looks
    ]
    events += [
        {"at_s": 120.0, "kind": "queue_timeout", "seq": seq, "attempt": 1, "stage": "burst", "seconds": 119.999, "cause": "no_capacity",
         "detail": "TIMED_OUT in the queue", "generator": "local"}
        for seq in range(26, 30)
    ]  # fmt: skip
    run = about("queue", "burst 30, rest 140s 0/s, calm 120s 0.05/s", 36, rows, target=RUNPOD, cold_after_s=2.0)
    flying = "".join(
        f"{s}.0,local,0.05,60000000,{sum(r.sent_s <= s < r.done_s for r in rows)},0,8,{sum(r.sent_s <= s for r in rows)},0.001\n"
        for s in range(253)
    )  # type: ignore[operator]
    write("queue", run, rows, events=events, generator=flying, endpoint=words(rows))


RUNPOD = {"kind": "queue", "host": "http://127.0.0.1:40123/v2/demo", "embedded": True}


def job(seq: int, due: float, done_s: float, outcome: str, **other: object) -> Attempt:
    retried = 1 if seq == 10 else None
    polled = {"seen_s": done_s + (1.0 if seq % 2 else 0.5), "polls": int((done_s - due) // 10) + 1}
    stage = "burst" if due == 0 else "calm"
    known = {"status": 200, "job_id": f"job-{seq}", "platform_retries": retried, "generator": "local", "first_s": due + 0.01}
    return Attempt(seq, 1, stage, due, outcome, held_s=0.0, sent_s=due + 0.001, done_s=done_s, **known, **polled, **other)  # type: ignore[arg-type]


def words(rows: list[Attempt]) -> Rows:
    """What the endpoint says every 2 s: /health, then the list of workers, whose answer was lost at 60 s."""
    said: Rows = []
    for at_s in range(0, 254, 2):
        taken = {row.worker_id for row in rows if row.worker_id and row.done_s - row.execution_s <= at_s < row.done_s}  # type: ignore[operator]
        waiting = sum(row.sent_s <= at_s < row.done_s - (row.execution_s or 0.0) for row in rows)  # type: ignore[operator]
        ended = [row.outcome for row in rows if row.done_s <= at_s]  # type: ignore[operator]
        states = [state(worker, at_s, worker in taken) for worker in WORKERS]
        workers = {name: states.count(name) for name in QUEUE_STATES} | {"unhealthy": 0}
        jobs = {"in_queue": waiting, "in_progress": len(taken), "completed": ended.count("ok"), "failed": 0, "retried": 0}
        said.append({"at_s": at_s, "view": "health", **jobs, **workers, "ready": workers["idle"]})
        said.append({"at_s": at_s, "view": "workers"} | ({"error": "connect: timed out"} if at_s == 60 else workers))
    return said


def state(worker: str, at_s: float, busy: bool) -> str:
    life = WORKERS[worker]
    for name in ("throttled", "initializing"):
        first, last = life.get(name, (0.0, 0.0))  # type: ignore[misc]
        if first <= at_s < last:
            return name
    began = life["initializing"][0]  # type: ignore[index]
    return "" if not began <= at_s < life["gone"] else "running" if busy else "idle"  # type: ignore[operator]


def retries() -> None:
    """12 at 1/s through a load balancer with up to three tries: 18 attempts, 7 ok at the first, 1 at the second, 1 at the third."""
    ends = {
        7: "busy ok",
        8: "throttled throttled ok",
        9: "queue_timeout queue_timeout",
        10: "busy busy busy",
        11: "refused",
    }
    took = {"ok": 0.8, "queue_timeout": 120.0}
    status = {"ok": 200, "queue_timeout": 400, "throttled": 429, "busy": 503, "refused": 422}
    cause = {"queue_timeout": "no_capacity", "throttled": "rate_limit", "refused": "bad_request"}
    rows, events = [], []
    for seq in range(12):
        sent_s = seq + 0.001
        for number, outcome in enumerate(ends.get(seq, "ok").split(), start=1):
            done_s = sent_s + took.get(outcome, 0.05)
            answer = {"status": status[outcome], "worker_id": "lb-worker" if outcome in ("ok", "busy", "refused") else ""}
            held = 0.0 if number == 1 else None
            rows.append(
                Attempt(seq, number, "steady", float(seq), outcome, held_s=held, sent_s=sent_s, done_s=done_s, generator="local", **answer)
            )  # type: ignore[arg-type]
            if outcome in cause:
                about_it = {"at_s": done_s, "kind": outcome, "seq": seq, "attempt": number, "stage": "steady", "generator": "local"}
                events.append({**about_it, "seconds": done_s - sent_s, "cause": cause[outcome]})
            sent_s = done_s + number  # a pause of 1 s, then of 2 s
    target = {"kind": "balancer", "host": "http://127.0.0.1:40123/lb/demo", "embedded": False}
    run = about("retries", "steady 12s 1/s", 12, rows, target=target)
    write("retries", run, rows, events=events, generator="0.0,local,0.1,60000000,1,0,1,1,0.001\n1.0,local,0.1,60000000,1,0,1,2,0.001\n")


def locust() -> None:
    """The files of a plain ``locust --csv``, as version 2.47 writes them: CRLF, "N/A" before the first answer."""
    ends = "50%,66%,75%,80%,90%,95%,98%,99%,99.9%,99.99%,100%"
    stats = (
        "Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,Min Response Time,Max Response Time,"
        f"Average Content Size,Requests/s,Failures/s,{ends}\n"
        "POST,/v1/transcribe,100,7,320.0,402.5,5.1,5023.0,61.0,9.8,0.7,320,400,450,500,700,1000,2000,5000,5000,5000,5000\n"
        ",Aggregated,100,7,320.0,402.5,5.1,5023.0,61.0,9.8,0.7,320,400,450,500,700,1000,2000,5000,5000,5000,5000\n"
    )
    totals = "Total Request Count,Total Failure Count,Total Median Response Time,Total Average Response Time,Total Min Response Time,"
    history = f"Timestamp,User Count,Type,Name,Requests/s,Failures/s,{ends},{totals}Total Max Response Time,Total Average Content Size\n"
    for second in range(10):
        cells = ",".join(["N/A" if second == 0 else "320"] * 11)
        history += (
            f"{1795252502 + second},8,,Aggregated,{second:.6f},{second / 10:.6f},{cells},{10 * second},{second},320,402.5,5.1,5023.0,61\n"
        )
    failures = (
        "Method,Name,Error,Occurrences,First Seen,Last Seen\n"
        "POST,/v1/transcribe,\"HTTPError('<script>alert(1)</script>')\",7,2026-11-21T09:15:03Z,2026-11-21T09:15:11Z\n"
    )
    folder = HERE / "locust"
    folder.mkdir(exist_ok=True)
    for part, text in (("stats", stats), ("stats_history", history), ("failures", failures)):
        (folder / f"plain_{part}.csv").write_text(text, encoding="utf-8", newline="\r\n")


if __name__ == "__main__":
    burst()
    mixed()
    queue()
    retries()
    locust()
