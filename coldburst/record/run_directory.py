"""Writes the run directory: a row for each attempt and event, run.json, and Locust's own tables."""

from __future__ import annotations

import csv
import errno
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gevent
from locust import stats

from coldburst.lines import one_line
from coldburst.record import attempt, run_json
from coldburst.record.attempt import Attempt, Column
from coldburst.record.batches import Batch, Outbox, RowBatch, read_events
from coldburst.record.ledger import Ledger

# The load generator's name if there is only one.
LOCAL = "local"
TABLES: Mapping[str, tuple[Column, ...]] = {
    "attempts": attempt.COLUMNS,
    "events": attempt.EVENTS,
    "generator": attempt.GENERATOR,
    "endpoint": attempt.ENDPOINT,
    "stages": attempt.STAGES,
}
# Space kept free until the end, so that run.json can be completed on a full disk.
RESERVE_BYTES = 8192

# What a row adds to the counts: of requests by outcome, of attempts by outcome, of events by kind.
Changes = Mapping[str, Mapping[str, int]]


class RecordError(OSError):
    """The run directory cannot be written; the message is a sentence."""


class Table:
    """A CSV file written line by line: when ``write`` returns, the kernel has the row."""

    def __init__(self, path: Path, columns: Iterable[Column]) -> None:
        self._file = path.open("wb", buffering=0)
        self.write(attempt.line(column.name for column in columns))

    def write(self, lines: str) -> None:
        """Appends whole lines."""
        data = lines.encode()
        written = self._file.write(data)
        # On a full disk, the next write says why.
        while written < len(data):
            data = data[written:]
            written = self._file.write(data)

    @property
    def removed(self) -> bool:
        """Whether the file was removed, so that its rows are lost."""
        return os.fstat(self._file.fileno()).st_nlink == 0

    def close(self) -> None:
        """Writes the file to the disk and closes it."""
        with self._file:
            os.fsync(self._file.fileno())


class Recorder:
    """Writes one run.

    Args:
        runs: parent of the new run directory.
        about: first content of run.json: the options and the circumstances.
        generator: name of the load generator.
        name: of the run directory; "" for a name from time and question.
        outbox: gets each written line, to send it to the master.

    Attributes:
        run_id: id of the whole run, also for a generator's part of it.
        attempt_listeners: called with rows of attempts.csv after they are written and counted. Rows of other generators
            come in batches and are parsed only if a listener reads them.
        event_listeners: called with each row of events.csv by column, "" for an empty cell; of other generators without
            the kind "queued".

    Raises:
        RecordError: the directory cannot be written.
    """

    def __init__(
        self, runs: Path, about: Mapping[str, Any], *, generator: str = LOCAL, name: str = "", outbox: Outbox | None = None
    ) -> None:
        started = datetime.now(UTC)
        self.folder = _new_folder(runs, name or f"{started:%Y%m%d-%H%M%S}-{about['question']}")
        self.run_id = str(about.get("part_of") or self.folder.name)
        self.generator_name, self._outbox = generator, outbox
        self.fault = ""
        self.attempt_listeners: list[Callable[[Sequence[Attempt]], object]] = []
        self.event_listeners: list[Callable[[Mapping[str, Any]], object]] = []
        self.counts: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self._cold_workers: set[str] = set()
        self._tallies = {"requests": self.counts, "attempts": self.rows, "events": self.events}
        self._about: dict[str, Any] = {
            "format": attempt.FORMAT,
            "id": self.folder.name,
            "state": "running",
            "started": started.isoformat(timespec="milliseconds"),
            **dict.fromkeys(("ended", "ended_by", "elapsed_s", "ledger")),
            **about,
        }
        self._reserve = self.folder / ".reserve"
        try:
            run_json.write(self.folder, self._about)
            self._reserve.write_bytes(bytes(RESERVE_BYTES))
            columns = {name: of for name, of in TABLES.items() if name != "stages" or "sweep" in about}
            self._tables = {name: Table(self.folder / f"{name}.csv", of) for name, of in columns.items()}
        except OSError as error:
            raise RecordError(_sentence(self.folder, error)) from error

    @property
    def id(self) -> str:
        """The run's id: the name of its directory."""
        return self.folder.name

    @property
    def question(self) -> str:
        """The name of the test."""
        return str(self._about["question"])

    def attempt(self, row: Attempt, instead: str = "") -> None:
        """Writes a row of attempts.csv. ``instead``: outcome of the earlier try, which the row replaces as its request's outcome."""
        line = attempt.row_line(row)
        if self._append("attempts", line):
            self.rows[row.outcome] += 1
            self.counts[row.outcome] += 1
            if instead:
                self.counts[instead] -= 1
            if self._outbox:
                changes = Counter({row.outcome: 1})
                if instead:
                    changes[instead] -= 1
                self._outbox.add("attempts", line, {"requests": changes, "attempts": {row.outcome: 1}})
        for listener in self.attempt_listeners:
            listener((row,))

    def event(self, kind: str, about: Mapping[str, Any]) -> None:
        """Writes a row of events.csv from the hook's keyword arguments."""
        values = {"generator": self.generator_name, **about, "kind": kind}
        row = {column.name: _plain(values.get(column.name)) for column in attempt.EVENTS}
        self._write("events", row.values(), {"events": {kind: 1}})
        for listener in self.event_listeners:
            listener(row)

    def generator(self, values: Mapping[str, Any]) -> None:
        """Writes a row of generator.csv, and checks that the run directory still exists: it is called each second."""
        self.guarded(self._check_directory)
        self._row("generator", {"generator": self.generator_name, **values})

    def endpoint(self, values: Mapping[str, Any]) -> None:
        """Writes a row of endpoint.csv."""
        self._row("endpoint", values)

    def stage(self, values: Mapping[str, Any]) -> None:
        """Writes a row of stages.csv, if the run is a sweep."""
        if "stages" in self._tables:
            self._row("stages", values)

    def append(self, batch: Batch) -> None:
        """Writes and counts the lines of another generator."""
        lines = {name: batch.lines(name) for name in batch.tables if name in self._tables}
        for name, text in lines.items():
            if not self._append(name, text):
                return
        self._count(batch.counts)
        if attempts := lines.get("attempts"):
            rows = RowBatch(attempts)
            for listener in self.attempt_listeners:
                listener(rows)
        # Parsed only if needed.
        if self.event_listeners or batch.counts.get("events", {}).get("cold_start"):
            self._pass_events(lines.get("events", ""))

    def _pass_events(self, lines: str) -> None:
        """Calls the listeners with events of another generator, and counts each worker's cold start once.

        Each generator reports the first response that it saw itself.
        """
        rows = list(read_events(lines))
        workers = [row["worker_id"] for row in rows if row["kind"] == "cold_start"]
        fresh = set(workers) - self._cold_workers
        self._cold_workers |= fresh
        self.events["cold_start"] -= len(workers) - len(fresh)
        for listener in self.event_listeners:
            for row in rows:
                listener(row)

    def note(self, key: str, value: Any) -> None:
        """Adds an entry to run.json, which is written at the end."""
        self._about[key] = value

    def discard(self) -> None:
        """Removes the directory of a run that did not begin."""
        for table in self._tables.values():
            table.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self, ended_by: str, second_0: float, elapsed_s: float, planned: int | None, dispatched: int) -> Ledger:
        """Completes the files; the ledger of the written rows. If a write fails, the rows stay and ``fault`` says why.

        Args:
            second_0: in seconds since 1970, so that rows can be joined with other logs.
            planned: None in a closed loop bounded by time, whose ledger then uses ``dispatched``.
        """
        ledger = Ledger(dispatched if planned is None else planned, {name: count for name, count in self.counts.items() if count})
        self._about |= {
            "state": "ended",
            "ended": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "ended_by": ended_by,
            "second_0": round(second_0, 3),
            "elapsed_s": round(elapsed_s, 3),
            "dispatched": dispatched,
            "planned": planned,
            "ledger": {"planned": ledger.planned, "counts": ledger.counts, "missing": ledger.missing},
        }
        self.guarded(self._check_directory)
        for table in self._tables.values():
            self.guarded(table.close)
        self.guarded(self._reserve.unlink)
        self.guarded(run_json.write, self.folder, self._about)
        return ledger

    def guarded(self, write: Callable[..., object], *arguments: object) -> None:
        """Calls ``write`` with ``arguments``, and keeps the first write error in ``fault``, as a sentence."""
        try:
            write(*arguments)
        except OSError as error:
            self.fault = self.fault or _sentence(self.folder, error)

    def _check_directory(self) -> None:
        if any(table.removed for table in self._tables.values()):
            raise FileNotFoundError(errno.ENOENT, "it was removed during the run")

    def _row(self, table: str, values: Mapping[str, Any]) -> None:
        self._write(table, [_plain(values.get(column.name)) for column in TABLES[table]])

    def _count(self, changes: Changes) -> None:
        for name, change in changes.items():
            self._tallies[name].update(change)

    def _write(self, table: str, cells: Iterable[object], changes: Changes | None = None) -> None:
        line = attempt.line(cells)
        if self._append(table, line):
            self._count(changes or {})
            if self._outbox:
                self._outbox.add(table, line, changes)

    def _append(self, table: str, lines: str) -> bool:
        """Whether the lines were written. Nothing is written after the first failure: a row must not follow a torn one."""
        if not self.fault:
            self.guarded(self._tables[table].write, lines)
        return not self.fault


class LocustCsv:
    """Locust's own CSV files, updated during the run and complete at its end."""

    def __init__(self, environment: Any, recorder: Recorder) -> None:
        self._environment, self._recorder, self._prefix = environment, recorder, recorder.folder / "locust"
        self._writer = stats.StatsCSVFileWriter(environment, stats.PERCENTILES_TO_REPORT, str(self._prefix), full_history=True)
        self._greenlet = gevent.spawn(recorder.guarded, self._writer.stats_writer)

    def close(self) -> None:
        """Writes the tables once more from the final statistics: Locust itself leaves out the last seconds."""
        self._greenlet.kill()
        self._recorder.guarded(self._finish)

    def _finish(self) -> None:
        self._writer._stats_history_data_rows(self._writer.stats_history_csv_writer, datetime.now(UTC).timestamp())
        self._writer.close_files()
        final = stats.StatsCSV(self._environment, stats.PERCENTILES_TO_REPORT)
        for name, write in (("stats", final.requests_csv), ("failures", final.failures_csv), ("exceptions", final.exceptions_csv)):
            with Path(f"{self._prefix}_{name}.csv").open("w", encoding="utf-8", newline="") as file:
                write(csv.writer(file))


def _new_folder(runs: Path, name: str) -> Path:
    for number in range(1, 1000):
        folder = runs / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        except OSError as error:
            raise RecordError(_sentence(folder, error)) from error
        return folder
    raise RecordError(f"could not find a free name for a new run in '{runs}': a thousand runs began in this second")


def _sentence(folder: Path, error: OSError) -> str:
    remedies = {errno.ENOENT: "leave it in place until the run has ended", errno.EMFILE: "raise 'ulimit -n'"}
    remedy = remedies.get(error.errno or 0, "free some space")
    return f"cannot write to '{folder}' ({error.strerror or error}): {remedy}, or name another directory with --runs"


def _plain(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, float):
        return round(value, 6)
    return one_line(value) if isinstance(value, str) else value
