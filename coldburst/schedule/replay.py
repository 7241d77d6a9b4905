"""Recorded arrivals as a schedule, from an earlier run or a trace: a CSV or JSONL file of instants.

The columns of a trace can fill request bodies: ``positions`` gives the line of each request. Lines of Mooncake's traces (JSONL with
``timestamp``, ``input_length`` and ``output_length``) have their instants in milliseconds.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

from coldburst.installation import own_or_given
from coldburst.lines import one_line, whole_lines
from coldburst.option import Option
from coldburst.schedule.stages import ScheduleError, Stage

# Columns with instants; without any of them, the file's first column is used.
INSTANTS = ("scheduled_s", "timestamp", "time", "at_s")
ATTEMPTS = "attempts.csv"
STAGE = "replay"
LEAST_SPEED, MOST_SPEED = 0.001, 1000.0
LONGEST_S = 30 * 86400.0
OPTIONS = (
    Option(
        "--arrivals",
        "samples/arrivals.csv",
        "PATH",
        "A run's directory, or a CSV or JSONL file with a column of instants (seconds or ISO 8601), such as trace.jsonl",
    ),
    Option("--speed", 1.0, "FACTOR", "2 replays in half the time"),
)

JSON_LINES = (".jsonl", ".ndjson")
# Mooncake's columns, whose timestamps are milliseconds.
MOONCAKE = {"timestamp", "input_length", "output_length"}

# Instant in seconds, stage, number of the record in the file.
Recorded = tuple[float, str, int]


def stages(options: Mapping[str, Any]) -> tuple[Stage, ...]:
    """See ``recorded``."""
    return recorded_arrivals(own_or_given(options["arrivals"]), options["speed"])


def is_run(place: Path) -> bool:
    """Whether ``place`` is a run's directory or its attempts.csv, whose columns are no values to send."""
    return place.is_dir() or place.name == ATTEMPTS


def has_values(place: Path) -> bool:
    """Whether the records of a trace have more columns than their instant. Raises ScheduleError if it cannot be read."""
    return _trace(place).has_values


def positions(options: Mapping[str, Any]) -> list[int]:
    """The record in the trace of each request, from 0."""
    return [number for _, _, number in _trace(own_or_given(options["arrivals"])).records]


def recorded_arrivals(place: Path, speed: float) -> tuple[Stage, ...]:
    """The stages of the arrivals in ``place``, ``speed`` times as fast.

    Args:
        place: a run's directory, its attempts.csv, or a CSV or JSONL file with a column of instants: seconds, or dates and times in
            ISO 8601, in any order. The first one becomes second 0.
        speed: 2 = in half the time.

    Raises:
        ScheduleError: one sentence that names what cannot be read, and a remedy.
    """
    if not LEAST_SPEED <= speed <= MOST_SPEED:
        raise ScheduleError(
            f"--speed {speed:g} must be from {LEAST_SPEED:g} to {MOST_SPEED:g}: 2 replays in half the time, 0.5 in twice the time"
        )
    path = place / ATTEMPTS if place.is_dir() else place
    arrivals = _trace(path).records
    if not arrivals:
        raise ScheduleError(f"no arrivals in '{path}': it has no rows after its first line")
    begin_s, end_s = arrivals[0][0], arrivals[-1][0]
    if (lasts_s := (end_s - begin_s) / speed) > LONGEST_S:
        raise ScheduleError(
            f"the arrivals in '{path}' last {lasts_s:.3g} s at --speed {speed:g}, and a run lasts at most {LONGEST_S:.3g} s: "
            "are they in seconds? --speed 1000 replays milliseconds"
        )
    return _stages([((at_s - begin_s) / speed, stage) for at_s, stage, _ in arrivals])


def _stages(arrivals: list[tuple[float, str]]) -> tuple[Stage, ...]:
    """A stage for each stage of the recorded run, or a single one if its stages overlapped."""
    stretches = [(name, [at_s for at_s, _ in rows]) for name, rows in groupby(arrivals, key=lambda arrival: arrival[1])]
    if len({name for name, _ in stretches}) < len(stretches):
        stretches = [(STAGE, [at_s for at_s, _ in arrivals])]
    ends = [later[0] for _, later in stretches[1:]] + [stretches[-1][1][-1]]
    return tuple(
        Stage(name, duration_s=end_s - at_s[0], at=tuple(moment - at_s[0] for moment in at_s))
        for (name, at_s), end_s in zip(stretches, ends, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Trace:
    """The records of a file in order of time, and whether they have more columns than their instant."""

    records: list[Recorded]
    has_values: bool


def _trace(path: Path) -> _Trace:
    try:
        stat = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1)
def _read(path: Path, _changed: int, _size: int) -> _Trace:
    content = _content(path)
    if path.suffix.lower() in JSON_LINES:
        return _Trace(sorted(_of_json_lines(path, content)), True)
    names = next(csv.reader(io.StringIO(content.partition("\n")[0], newline="")), [])
    return _Trace(sorted(_of_csv(path, content)), 1 < len(names) == len({*names}))


def _content(path: Path) -> str:
    try:
        return whole_lines(path)[0] if path.name == ATTEMPTS else path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ScheduleError:
    return ScheduleError(f"cannot read the arrivals '{path}': {error.strerror}; name a run's directory or a CSV file of instants")


def _of_csv(path: Path, content: str) -> Iterator[Recorded]:
    rows = csv.DictReader(io.StringIO(content, newline=""))
    try:
        column = _column(list(rows.fieldnames or ()), path)
        for number, row in enumerate(rows):
            if (row.get("attempt") or "1") == "1":
                yield _cell(row[column], path, rows.line_num, column), row.get("stage") or STAGE, number
    except csv.Error as error:
        raise ScheduleError(f"'{path}' is not a CSV file with a column of instants (line {rows.line_num}: {error})") from error


def _of_json_lines(path: Path, content: str) -> Iterator[Recorded]:
    column, number, milliseconds = "", 0, False
    for line_number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ScheduleError(f"'{path}', line {line_number}: not JSON: {error}; write one object a line") from error
        if not isinstance(row, dict) or not row:
            raise ScheduleError(f"'{path}', line {line_number}: not an object, as in {{\"timestamp\": 0.5}}")
        if not column:
            column = next((name for name in INSTANTS if name in row), next(iter(row)))
            milliseconds = column == "timestamp" and row.keys() >= MOONCAKE
        at_s = _cell(str(row.get(column, "")), path, line_number, column)
        yield at_s / 1000 if milliseconds else at_s, STAGE, number
        number += 1


def _column(columns: list[str], path: Path) -> str:
    """The column of instants."""
    if not columns or _instant(columns[0]) is not None:
        shown = f", but is '{one_line(columns[0], 40)}'" if columns else ""
        raise ScheduleError(f"no arrivals in '{path}': its first line must name the columns, as in 'timestamp'{shown}")
    return next((name for name in INSTANTS if name in columns), columns[0])


def _cell(cell: str | None, path: Path, number: int, column: str) -> float:
    instant_s = _instant(cell or "")
    if instant_s is None:
        shown = one_line((cell or "").strip(), 40)
        raise ScheduleError(
            f"'{shown}' in '{path}', line {number}, column '{one_line(column, 40)}' is not an instant: "
            "write seconds (12.5) or 2026-11-21T10:00:00Z"
        )
    return instant_s


def _instant(cell: str) -> float | None:
    """Seconds, or a date and time in ISO 8601, in UTC if it has no time zone."""
    try:
        seconds = float(cell)
        return seconds if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        named = datetime.fromisoformat(cell.strip())
        return named.replace(tzinfo=named.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return None
