"""Writes the small runs beside it, which the tests of analysis/ start from: ``python tests/runs/make.py``."""

from __future__ import annotations

import json
from pathlib import Path

from rig.attempt import EVENTS, GENERATOR, HEADER, Attempt, cells, ledger, line
from rig.schedule import parse
from rig.schedule import planned as planned_by

HERE = Path(__file__).parent
HOSTILE = "<script>alert(1)</script> =cmd|' /C calc'!A0 \"quoted\" \U0001f600 [x](http://x) `tick` a|b, c"


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


def write(name: str, run: str, rows: list[Attempt], *, events: str, generator: str, tail: str = "") -> None:
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(run, encoding="utf-8")
    (folder / "attempts.csv").write_text(HEADER + "".join(line(cells(row)) for row in rows) + tail, encoding="utf-8")
    (folder / "events.csv").write_text(line(column.name for column in EVENTS) + events, encoding="utf-8")
    (folder / "generator.csv").write_text(line(column.name for column in GENERATOR) + generator, encoding="utf-8")


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
    events = "0.2,cold_start,0,burst,w0,0.8,,local\n0.2,cold_start,1,burst,w1,0.7,,local\n"
    seconds = "".join(
        f"{s}.0,local,{0.9 if s == 0 else 0.1},60000000,{max(15 - s, 0)},{max(15 - 2 * s, 0)},15,{15 + 2 * s},0.001\n" for s in range(16)
    )
    write("burst", about("burst", "burst 30", 30, rows), rows, events=events, generator=seconds)


def mixed() -> None:
    """40 planned at 2/s, cut by Ctrl-C: 20 ok, 5 failed, 3 throttled, 2 queue_timeout, 4 abandoned, 2 unfinished, 3 not_sent, 1 missing."""
    rows: list[Attempt] = []

    def add(seq: int, outcome: str, took_s: float | None, attempt: int = 1, late_s: float = 0.002, **other: object) -> None:
        due = seq / 2
        sent = None if outcome == "not_sent" else due + late_s
        done = None if took_s is None else due + took_s
        rows.append(Attempt(seq, attempt, "steady", due, outcome, None, sent, None, done, generator="local", **other))  # type: ignore[arg-type]

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
    events = "14.0,queue_timeout,28,steady,,2.0,gave up,local\n14.5,queue_timeout,29,steady,,2.0,gave up,local\n"
    events += "12.5,throttled,25,steady,,,,local\n"
    run = about("mixed", "steady 20s 2/s", 40, rows, ended_by="Ctrl-C", commit=None, dirty=None)
    write("mixed", run, rows, events=events, generator="", tail="39,1,steady,19.5,o")


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
    locust()
