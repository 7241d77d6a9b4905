"""The record of one attempt, the outcomes, the columns of all tables, and the rows of CSV files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, NamedTuple

from coldburst.lines import ERROR_LENGTH, one_line

OUTCOMES: Mapping[str, str] = {
    "ok": "a response with the expected content",
    "failed": "an error of the service: a 5xx, a job FAILED, an error inside a 200",
    "wrong": "a response without the expected content",
    "queue_timeout": "the platform, or the service's own queue, gave up waiting for a worker (RunPod: 400 after about two minutes)",
    "throttled": "too many requests (429)",
    "busy": "the service reports that it has no room (503), or RunPod that the endpoint is being changed (409)",
    "refused": "any other 4xx, or an account without quota",
    "timed_out": "the platform's execution limit passed (524, 408)",
    "unreachable": "no connection, a broken one, or a 502 of the balancer",
    "abandoned": "the request's deadline passed (`--deadline`)",
    "unfinished": "in flight when the run was cut",
    "not_sent": "shed at the in-flight cap, an error before sending (its row of data, custom code), or the run ended first",
}
# Of a run directory; readers refuse a newer one.
FORMAT = 1


def _column(kind: type, unit: str, meaning: str, source: str, **default: Any) -> Any:
    return field(metadata={"kind": kind, "unit": unit, "meaning": meaning, "source": source}, **default)


# Not frozen, though nobody changes one: setting the fields of a frozen object takes four times as long, 8 µs a request.
@dataclass(slots=True, unsafe_hash=True)
class Attempt:
    """One try at one request. An empty value was not measured. Times in seconds from the run's second 0."""

    seq: int = _column(int, "", "number of the request in the schedule, from 0", "schedule")
    attempt: int = _column(int, "", "number of the try, from 1", "generator")
    stage: str = _column(str, "", "name of the stage", "schedule")
    scheduled_s: float = _column(float, "s", "when it was due (closed loop: when its turn began)", "schedule")
    outcome: str = _column(str, "", "how it ended, one of the closed set", "attempt.decide")
    phase: str = _column(
        str, "", "of a sweep's stage: warm-up, measure, or drain (sent while measuring, ended later)", "generator", default=""
    )
    held_s: float | None = _column(float, "s", "wait at the in-flight cap, or for the service's own rate limit", "generator", default=None)
    sent_s: float | None = _column(float, "s", "when it was sent: before connecting and writing", "generator", default=None)
    first_s: float | None = _column(float, "s", "when the response headers arrived", "generator", default=None)
    done_s: float | None = _column(
        float, "s", "when the last byte or the failure arrived, or the job ended by the platform's times", "generator", default=None
    )
    seen_s: float | None = _column(float, "s", "when polling saw that the job had ended (queue endpoints)", "generator", default=None)
    polls: int | None = _column(int, "", "number of polls of the job (queue endpoints)", "generator", default=None)
    status: int | None = _column(int, "", "HTTP status", "answer", default=None)
    cold: bool | None = _column(bool, "", "whether it met a cold start, if the endpoint reports it", "answer", default=None)
    queue_s: float | None = _column(float, "s", "time in the endpoint's queue", "answer (delayTime; Server-Timing: queue)", default=None)
    execution_s: float | None = _column(float, "s", "execution time", "answer (executionTime; Server-Timing: exec)", default=None)
    worker_id: str = _column(str, "", "the endpoint worker that answered", "answer (workerId; X-Runpod-Worker-Id, X-Worker-Id)", default="")
    job_id: str = _column(str, "", "the endpoint's id of the job", "answer", default="")
    platform_retries: int | None = _column(int, "", "the platform's retries", "answer", default=None)
    audio_s: float | None = _column(float, "s", "length of the audio sent, or of the speech received", "clip, or answer", default=None)
    upload_s: float | None = _column(
        float, "s", "time to upload its files, this try's and earlier ones' (--objects)", "generator", default=None
    )
    download_s: float | None = _column(float, "s", "time to download its results after the answer (--download)", "generator", default=None)
    tts_s: float | None = _column(float, "s", "time of the speech synthesis (video)", "answer", default=None)
    video_s: float | None = _column(float, "s", "time of the pictures (video)", "answer", default=None)
    bytes_out: int | None = _column(int, "bytes", "request body", "generator", default=None)
    bytes_in: int | None = _column(int, "bytes", "answer body", "generator", default=None)
    wer: float | None = _column(float, "errors/word", "word error rate against the clip's text", "jiwer", default=None)
    ttft_s: float | None = _column(
        float, "s", "time to first token, or first byte of speech, from sending (streamed answers)", "generator", default=None
    )
    itl_p50_s: float | None = _column(float, "s", "median time between chunks with text (streamed answers)", "generator", default=None)
    itl_p95_s: float | None = _column(float, "s", "P95 of the times between chunks with text (streamed answers)", "generator", default=None)
    itl_max_s: float | None = _column(float, "s", "longest time between chunks with text (streamed answers)", "generator", default=None)
    tokens_in: int | None = _column(int, "", "tokens of the prompt (chat)", "answer (usage)", default=None)
    tokens_out: int | None = _column(int, "", "tokens generated (chat)", "answer (usage), or chunks counted", default=None)
    tokens_from: str = _column(str, "", "where tokens_out comes from: usage or chunks", "generator", default="")
    units: float | None = _column(float, "", "how many of the run's unit the answer holds (--unit)", "answer", default=None)
    generator: str = _column(str, "", "the load generator that sent it", "generator", default="")
    error: str = _column(str, "", "error message, one line of at most 200 characters", "answer or generator", default="")


class Column(NamedTuple):
    """A column of a table."""

    name: str
    kind: type
    unit: str
    meaning: str
    source: str


COLUMNS: tuple[Column, ...] = tuple(
    Column(f.name, f.metadata["kind"], f.metadata["unit"], f.metadata["meaning"], f.metadata["source"]) for f in fields(Attempt)
)
EVENTS = (
    Column("at_s", float, "s", "when, from second 0", "hook"),
    Column("kind", str, "", "name of the hook", "hook"),
    Column("seq", int, "", "number of the request", "hook"),
    Column("attempt", int, "", "number of the try", "hook"),
    Column("stage", str, "", "stage of the request", "hook"),
    Column("worker_id", str, "", "the endpoint worker", "hook"),
    Column("seconds", float, "s", "duration", "hook"),
    Column("cause", str, "", "one of the causes in coldburst/targets/cause.py", "coldburst/targets/cause.py"),
    Column("detail", str, "", "details, one line", "hook"),
    Column("generator", str, "", "the load generator that reported it", "hook"),
)
GENERATOR = (
    Column("at_s", float, "s", "when, from second 0: one row a second", "generator"),
    Column("generator", str, "", "the load generator", "generator"),
    Column("cpu", float, "cores", "its CPU since the previous row; 1 = a full core", "psutil"),
    Column("rss_bytes", float, "bytes", "its resident memory", "psutil"),
    Column("in_flight", float, "", "requests in flight", "generator"),
    Column("held", float, "", "arrivals that wait at the in-flight cap", "generator"),
    Column("connections", float, "", "connections opened so far", "generator"),
    Column("sent", float, "", "requests sent so far", "generator"),
    Column("lateness_max_s", float, "s", "largest send delay since the previous row", "generator"),
    Column("clock_s", float, "s", "offset of its clock to the master's; times are corrected for it", "clock_sync.py"),
    Column("round_trip_s", float, "s", "round trip to the master, at most twice the error of clock_s", "clock_sync.py"),
)
ENDPOINT = (
    Column("at_s", float, "s", "time of the poll, from second 0", "generator"),
    Column("view", str, "", "source: health (the scheduler's gauge) or workers (the worker list)", "generator"),
    Column("in_queue", int, "", "jobs waiting", "/health"),
    Column("in_progress", int, "", "jobs with an endpoint worker", "/health"),
    Column("completed", int, "", "jobs completed since the endpoint was created", "/health"),
    Column("failed", int, "", "jobs failed since the endpoint was created", "/health"),
    Column("retried", int, "", "jobs retried since the endpoint was created", "/health"),
    Column("idle", int, "", "endpoint workers without a job", "/health or the worker list"),
    Column("initializing", int, "", "endpoint workers that are loading", "/health or the worker list"),
    Column("ready", int, "", "endpoint workers that could take a job, including cached ones", "/health"),
    Column("running", int, "", "endpoint workers wanted or running; some have no container yet", "/health or the worker list"),
    Column("throttled", int, "", "endpoint workers that wait for a host with room", "/health or the worker list"),
    Column("unhealthy", int, "", "endpoint workers that failed", "/health or the worker list"),
    Column("cpu", float, "cores", "CPU of the service, if it reports it", "/health"),
    Column("rss_bytes", float, "bytes", "resident memory of the service, if it reports it", "/health"),
    Column("gpu_memory_bytes", float, "bytes", "GPU memory in use, if the service reports it", "/health (NVML, or modelled)"),
    Column("gpu_utilisation", float, "", "share of the time in which the GPU worked, if the service reports it", "/health (NVML)"),
    Column("error", str, "", "why the poll failed, one line", "generator"),
)
STAGES = (
    Column("stage", str, "", "name of the stage", "schedule"),
    Column("cell", str, "", "the setting that the stage measures", "sweep"),
    Column("repeat", int, "", "repeat of that setting, from 1", "sweep"),
    Column("phase", str, "", "warm-up or measure", "sweep"),
    Column("concurrency", int, "", "requests at a time, at the whole endpoint", "sweep"),
    Column("workers", int, "", "endpoint workers requested; empty: not changed", "sweep"),
    Column("per_worker", int, "", "requests at a time per endpoint worker", "sweep"),
    Column("scaler_value", int, "", "scalerValue requested; empty: not changed", "sweep"),
    Column("begin_s", float, "s", "when its preparation began, from second 0", "generator"),
    Column("ready_s", float, "s", "when the endpoint showed the setting", "generator"),
    Column("start_s", float, "s", "when sending began", "generator"),
    Column("stop_s", float, "s", "when sending ended", "generator"),
    Column("end_s", float, "s", "when the last response arrived", "generator"),
    Column("workers_seen", int, "", "endpoint workers that served, as seen by the control; empty: not known", "control"),
    Column("workers_by", str, "", "what counted them: control (its own list) or health (ids in answers of /health)", "control"),
    Column("state", str, "", "done, cut or skipped", "generator"),
    Column("why", str, "", "reason for cut or skipped, or why a level ended early", "generator"),
)
HEADER = ",".join(column.name for column in COLUMNS) + "\n"
_NEEDED = ("seq", "attempt", "scheduled_s")


def response_s(row: Attempt) -> float | None:
    """Response time of a request that ended with ``row``, from when it was due and its files were uploaded; None if it was not sent."""
    return None if row.done_s is None or row.sent_s is None else row.done_s - row.scheduled_s - (row.upload_s or 0.0)


def line(row: Iterable[object]) -> str:
    """Cells as one line of CSV, with line end."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(row)
    return out.getvalue()


def read_rows(lines: str) -> Iterator[Attempt]:
    """The rows in whole lines of attempts.csv with all columns, without its first line. Raises ValueError if a row cannot be read."""
    for number, row in enumerate(csv.DictReader(io.StringIO(HEADER + lines, newline="")), start=2):
        try:
            yield Attempt(**{column.name: value(column, row[column.name]) for column in COLUMNS})
        except (TypeError, ValueError) as error:
            raise ValueError(f"attempts.csv, line {number}: {error}") from error


def value(column: Column, cell: str) -> Any:
    """The content of a cell; None for an empty one, unless it is text."""
    if column.kind is str:
        return cell
    if cell == "":
        if column.name in _NEEDED:
            raise ValueError(f"'{column.name}' is empty")
        return None
    if column.kind is bool:
        return cell == "true"
    return column.kind(cell)


@lru_cache(maxsize=4096)
def _text(value: str) -> str:
    """A text as a cell: in one line, quoted where needed."""
    if not (value.isprintable() and len(value) <= ERROR_LENGTH):
        value = one_line(value)
    return '"' + value.replace('"', '""') + '"' if "," in value or '"' in value else value


def _cell(value: object) -> str:
    """A value of any type as a cell; numbers that are not finite are left empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(round(value, 6)) if math.isfinite(value) else ""
    return _text(str(value))


def _row_formatter() -> Callable[[Attempt], str]:
    """Generates ``row_line`` from COLUMNS: an expression per cell, with a quick way for values of the column's own type."""
    quick = {
        int: "'' if (v := row.{0}) is None else v if type(v) is int else cell(v)",
        float: "'' if (v := row.{0}) is None else '%.6f' % v if type(v) is float and -1e15 < v < 1e15 else cell(v)",
        str: "'' if not (v := row.{0}) else text(v) if type(v) is str else cell(v)",
        bool: "cell(row.{0})",
    }
    cells = ["{" + quick[column.kind].format(column.name) + "}" for column in COLUMNS]
    # Longer f-strings are slower: Python collects their parts in a list.
    tens = [",".join(cells[at : at + 10]) for at in range(0, len(cells), 10)]
    code = " + ',' + ".join(f'f"{ten}"' for ten in tens)
    format_row: Callable[[Attempt], str] = eval(f"lambda row: {code} + '\\n'", {"text": _text, "cell": _cell})
    return format_row


# The row as a line of attempts.csv: rounded to microseconds, texts in one line, only finite numbers.
row_line = _row_formatter()
