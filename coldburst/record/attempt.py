"""The record of one attempt, the outcomes, the columns of all tables, and how rows are read and written as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from coldburst.lines import ERROR_LENGTH, one_line, whole_lines

OUTCOMES: Mapping[str, str] = {
    "ok": "answered, and with what was asked for",
    "failed": "an error of the service: a 5xx, a job FAILED, an error inside a 200",
    "wrong": "answered, but not with what was asked for",
    "queue_timeout": "the platform gave up waiting for an endpoint worker (RunPod's 400 after about two minutes)",
    "throttled": "too many requests (429)",
    "busy": "no room at the service, in its own word (503)",
    "refused": "not accepted (any other 4xx)",
    "timed_out": "the platform's own limit on execution (524)",
    "unreachable": "no connection, a broken one, or a 502 of the balancer",
    "abandoned": "our own deadline passed",
    "unfinished": "in flight when the run was cut",
    "not_sent": "never left: shed at the in-flight cap, or the run ended before its turn",
}
FORMAT = 1
"""Of a run directory; a reader refuses a newer one."""


def _column(kind: type, unit: str, meaning: str, source: str, **default: Any) -> Any:
    return field(metadata={"kind": kind, "unit": unit, "meaning": meaning, "source": source}, **default)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one request. Flat; empty = not measured; nothing derived; seconds from the run's second 0."""

    seq: int = _column(int, "", "place of the request in the schedule, from 0", "schedule")
    attempt: int = _column(int, "", "which try at the request, from 1", "generator")
    stage: str = _column(str, "", "name of the stage", "schedule")
    scheduled_s: float = _column(float, "s", "when it was due (closed loop: when its turn came)", "schedule")
    outcome: str = _column(str, "", "how it ended, one of the closed set", "attempt.decide")
    phase: str = _column(
        str, "", "of a sweep's stage: warm-up, measure, or drain (sent while measuring, ended later)", "generator", default=""
    )
    held_s: float | None = _column(float, "s", "how long the in-flight cap held it back", "generator", default=None)
    sent_s: float | None = _column(float, "s", "when it left: before connecting and writing", "generator", default=None)
    first_s: float | None = _column(float, "s", "when the answer's headers were there", "generator", default=None)
    done_s: float | None = _column(
        float, "s", "when the last byte was there, the failure, or the job's end by the platform's own times", "generator", default=None
    )
    seen_s: float | None = _column(float, "s", "when polling saw that the job had ended (queue endpoints)", "generator", default=None)
    polls: int | None = _column(int, "", "how often the job was asked after (queue endpoints)", "generator", default=None)
    status: int | None = _column(int, "", "HTTP status", "answer", default=None)
    cold: bool | None = _column(bool, "", "whether it met a cold start, where the endpoint says so itself", "answer", default=None)
    queue_s: float | None = _column(float, "s", "time in the endpoint's queue", "answer (delayTime; Server-Timing: queue)", default=None)
    execution_s: float | None = _column(float, "s", "time in execution", "answer (executionTime; Server-Timing: exec)", default=None)
    worker_id: str = _column(str, "", "the endpoint worker that answered", "answer (workerId; X-Runpod-Worker-Id, X-Worker-Id)", default="")
    job_id: str = _column(str, "", "the endpoint's name for the job", "answer", default="")
    platform_retries: int | None = _column(int, "", "the platform's own re-dispatches", "answer", default=None)
    audio_s: float | None = _column(float, "s", "length of the audio sent", "clip", default=None)
    bytes_out: int | None = _column(int, "bytes", "request body", "generator", default=None)
    bytes_in: int | None = _column(int, "bytes", "answer body", "generator", default=None)
    wer: float | None = _column(float, "errors/word", "word error rate against the clip's text", "jiwer", default=None)
    generator: str = _column(str, "", "the load generator that sent it", "generator", default="")
    error: str = _column(str, "", "what went wrong, one line of at most 200 characters", "answer or generator", default="")


class Column(NamedTuple):
    """What a column of attempts.csv holds."""

    name: str
    kind: type
    unit: str
    meaning: str
    source: str


COLUMNS: tuple[Column, ...] = tuple(
    Column(f.name, f.metadata["kind"], f.metadata["unit"], f.metadata["meaning"], f.metadata["source"]) for f in fields(Attempt)
)
_values = attrgetter(*(column.name for column in COLUMNS))
EVENTS = (
    Column("at_s", float, "s", "when, from second 0", "hook"),
    Column("kind", str, "", "which hook was fired", "hook"),
    Column("seq", int, "", "the request that it happened to", "hook"),
    Column("attempt", int, "", "which try at that request", "hook"),
    Column("stage", str, "", "that request's stage", "hook"),
    Column("worker_id", str, "", "the endpoint worker", "hook"),
    Column("seconds", float, "s", "how long it took", "hook"),
    Column("cause", str, "", "why, one of the closed set of coldburst/targets/cause.py", "coldburst/targets/cause.py"),
    Column("detail", str, "", "what more is known, one line", "hook"),
    Column("generator", str, "", "the load generator that saw it", "hook"),
)
GENERATOR = (
    Column("at_s", float, "s", "when, from second 0: one row a second", "generator"),
    Column("generator", str, "", "the load generator", "generator"),
    Column("cpu", float, "cores", "its CPU since the row before; 1 = a full core", "psutil"),
    Column("rss_bytes", float, "bytes", "its resident memory", "psutil"),
    Column("in_flight", float, "", "requests in flight", "generator"),
    Column("held", float, "", "arrivals that wait at the in-flight cap", "generator"),
    Column("connections", float, "", "connections opened so far", "generator"),
    Column("sent", float, "", "requests sent so far", "generator"),
    Column("lateness_max_s", float, "s", "largest lateness of the requests that ended since the row before", "generator"),
    Column(
        "clock_s",
        float,
        "s",
        "its clock ahead of the master's (distributed runs); times are corrected for it",
        "coldburst/distributed/clock_sync.py",
    ),
    Column(
        "round_trip_s",
        float,
        "s",
        "to the master and back when the clocks were compared; the error is at most half",
        "coldburst/distributed/clock_sync.py",
    ),
)
ENDPOINT = (
    Column("at_s", float, "s", "when it was asked, from second 0", "generator"),
    Column("view", str, "", "who says so: health (the scheduler's gauge) or workers (the records)", "generator"),
    Column("in_queue", int, "", "jobs waiting", "/health"),
    Column("in_progress", int, "", "jobs with an endpoint worker", "/health"),
    Column("completed", int, "", "jobs completed since the endpoint exists", "/health"),
    Column("failed", int, "", "jobs failed since the endpoint exists", "/health"),
    Column("retried", int, "", "jobs dispatched again since the endpoint exists", "/health"),
    Column("idle", int, "", "endpoint workers without a job", "/health or the worker list"),
    Column("initializing", int, "", "endpoint workers that load", "/health or the worker list"),
    Column("ready", int, "", "endpoint workers that could take a job, cached ones included", "/health"),
    Column("running", int, "", "endpoint workers wanted and running, some without a container yet", "/health or the worker list"),
    Column("throttled", int, "", "endpoint workers wanted without a host that has room", "/health or the worker list"),
    Column("unhealthy", int, "", "endpoint workers that failed", "/health or the worker list"),
    Column("error", str, "", "why there is no answer, one line", "generator"),
)
STAGES = (
    Column("stage", str, "", "name of the stage", "schedule"),
    Column("cell", str, "", "the setting that it measures", "sweep"),
    Column("repeat", int, "", "which repeat of that setting, from 1", "sweep"),
    Column("phase", str, "", "warm-up or measure", "sweep"),
    Column("concurrency", int, "", "requests at a time, at the whole endpoint", "sweep"),
    Column("workers", int, "", "endpoint workers asked for; empty: left as they were", "sweep"),
    Column("per_worker", int, "", "requests at a time for each endpoint worker", "sweep"),
    Column("scaler_value", int, "", "scalerValue set; empty: left as it was", "sweep"),
    Column("begin_s", float, "s", "when the run turned to it, from second 0", "generator"),
    Column("ready_s", float, "s", "when the endpoint showed what was asked for", "generator"),
    Column("start_s", float, "s", "when sending began", "generator"),
    Column("stop_s", float, "s", "when nothing more was sent", "generator"),
    Column("end_s", float, "s", "when the last answer was there", "generator"),
    Column("workers_seen", int, "", "endpoint workers that served, as the control saw them; empty: it cannot tell", "control"),
    Column("state", str, "", "done, cut or skipped", "generator"),
    Column("why", str, "", "why it was cut or skipped", "generator"),
)
HEADER = ",".join(column.name for column in COLUMNS) + "\n"
_NEEDED = {f.name for f in fields(Attempt)} & {"seq", "attempt", "scheduled_s"}


def line(row: Iterable[object]) -> str:
    """Cells as one line of CSV with its line end."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(row)
    return out.getvalue()


def cells(row: Attempt) -> list[object]:
    """``row`` in the order of COLUMNS, ready for a csv writer: microseconds, one line a text, nothing that is not finite."""
    return [_cell(value) for value in _values(row)]


def read(path: Path) -> tuple[list[Attempt], list[str]]:
    """The rows of an attempts file, and a sentence for each thing that had to be skipped.

    Raises:
        ValueError: the file is not an attempts file, or a whole row cannot be read.
    """
    content, told = whole_lines(path)
    if not content and HEADER.encode().startswith(path.read_bytes()):
        return [], [f"{path.name} has no row yet: not even its first line was written"]
    rows = csv.DictReader(io.StringIO(content, newline=""))
    if not {"seq", "attempt", "outcome"} <= set(rows.fieldnames or ()):
        raise ValueError(f"{path} is no attempts file: its first line should be '{HEADER.strip()}'")
    return list(_rows(rows, path)), [told] if told else []


def read_rows(lines: str) -> Iterator[Attempt]:
    """The rows of whole lines of an attempts file, without its first line; all columns, in their order."""
    return _rows(csv.DictReader(io.StringIO(HEADER + lines, newline="")), Path("attempts.csv"))


def _rows(rows: csv.DictReader[str], path: Path) -> Iterator[Attempt]:
    for number, cells in enumerate(rows, start=2):
        try:
            yield Attempt(**{column.name: value(column, cells[column.name]) for column in COLUMNS if column.name in cells})
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path.name}, line {number}: {error}") from error


def value(column: Column, cell: str) -> Any:
    """The content of a cell of that column; None where it is empty and no text."""
    if column.kind is str:
        return cell
    if cell == "":
        if column.name in _NEEDED:
            raise ValueError(f"'{column.name}' is empty")
        return None
    if column.kind is bool:
        return cell == "true"
    return column.kind(cell)


def _cell(value: object) -> object:
    if value is None:
        return ""
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else ""
    if isinstance(value, str) and not (value.isprintable() and len(value) <= ERROR_LENGTH):
        return one_line(value)
    return value
