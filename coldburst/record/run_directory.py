"""Writes the run directory: a row for each attempt and event, run.json, and Locust's own tables."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import gevent
from locust import stats

from coldburst.lines import one_line
from coldburst.record import attempt
from coldburst.record.attempt import Attempt, Column
from coldburst.record.batches import Batch, Outbox
from coldburst.record.ledger import Ledger
from coldburst.record.row_batch import RowBatch, read_events

LOCAL = "local"
"""The name of the one load generator where there is only one."""
TABLES: Mapping[str, tuple[Column, ...]] = {
    "attempts": attempt.COLUMNS,
    "events": attempt.EVENTS,
    "generator": attempt.GENERATOR,
    "endpoint": attempt.ENDPOINT,
    "stages": attempt.STAGES,
}
RESERVE_BYTES = 8192
"""Room kept until the end, so that a disk which has filled up can still be told how the run ended."""


Changes = Mapping[str, Mapping[str, int]]
"""What a row changes in the counts: of requests by outcome, of attempts by outcome, of events by kind."""


class RecordError(OSError):
    """The run directory cannot be written; the message is a sentence."""


class Table:
    """A CSV file that is written line by line: each row is with the kernel when ``write`` returns."""

    def __init__(self, path: Path, columns: Iterable[Column]) -> None:
        self._file: TextIO = path.open("w", encoding="utf-8", newline="", buffering=1)
        self.lines(attempt.line(column.name for column in columns))

    def lines(self, lines: str) -> None:
        """Appends whole lines."""
        self._file.write(lines)

    def close(self) -> None:
        """Ends the file, on the disk."""
        with self._file:
            self._file.flush()
            os.fsync(self._file.fileno())


class Recorder:
    """Writes one run.

    Args:
        runs: directory of runs; the run gets a new one in it.
        about: run.json's first content: what was asked for, and the circumstances.
        generator: the load generator's name, in each row that does not say it.
        name: of the run's directory; "" = made of time and question.
        outbox: gets each line that is written, to be shipped.

    Attributes:
        attempt_listeners: called with rows of attempts.csv once they are written and counted: with each of this process's own, and
            with those of another generator as they come. The latter are parsed when a listener looks at them.
        event_listeners: the same with each row of events.csv, by the names of its columns, "" where a cell is empty; of another
            generator's rows without those of the kind "queued".

    Raises:
        CannotRecord: the directory cannot be written.
    """

    def __init__(
        self, runs: Path, about: Mapping[str, Any], *, generator: str = LOCAL, name: str = "", outbox: Outbox | None = None
    ) -> None:
        started = datetime.now(UTC)
        self.folder = _new_folder(runs, name or f"{started:%Y%m%d-%H%M%S}-{about['question']}")
        self.generator_name, self._outbox = generator, outbox
        self.fault = ""
        self.attempt_listeners: list[Callable[[Sequence[Attempt]], object]] = []
        self.event_listeners: list[Callable[[Mapping[str, Any]], object]] = []
        self.counts: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self._started: set[str] = set()
        self._tallies = {"requests": self.counts, "attempts": self.rows, "events": self.events}
        self._about: dict[str, Any] = {
            "format": attempt.FORMAT,
            "id": self.folder.name,
            "state": "running",
            "started": started.isoformat(timespec="milliseconds"),
            "ended": None,
            "ended_by": None,
            "elapsed_s": None,
            "ledger": None,
            **about,
        }
        self._reserve = self.folder / ".reserve"
        try:
            self._write_about()
            self._reserve.write_bytes(bytes(RESERVE_BYTES))
            columns = {name: of for name, of in TABLES.items() if name != "stages" or "sweep" in about}
            self._tables = {name: Table(self.folder / f"{name}.csv", of) for name, of in columns.items()}
        except OSError as error:
            raise RecordError(_sentence(self.folder, error)) from error

    @property
    def id(self) -> str:
        """The run's name, which is its directory's."""
        return self.folder.name

    @property
    def run_id(self) -> str:
        """The name of the whole run, where this is a generator's part of it."""
        return str(self._about.get("part_of") or self.id)

    @property
    def question(self) -> str:
        """The question that the run asks."""
        return str(self._about["question"])

    def attempt(self, row: Attempt, instead: str = "") -> None:
        """Writes a row of attempts.csv; ``instead``: the outcome of the try before it, which is no longer its request's."""
        changes = Counter({row.outcome: 1})
        if instead:
            changes[instead] -= 1
        self._write("attempts", attempt.cells(row), {"requests": changes, "attempts": {row.outcome: 1}})
        for listener in self.attempt_listeners:
            listener((row,))

    def event(self, kind: str, about: Mapping[str, Any]) -> None:
        """Writes a row of events.csv; ``about`` are the hook's keyword arguments."""
        values = {"generator": self.generator_name, **about, "kind": kind}
        row = {column.name: _plain(values.get(column.name)) for column in attempt.EVENTS}
        self._write("events", row.values(), {"events": {kind: 1}})
        for listener in self.event_listeners:
            listener(row)

    def generator(self, values: Mapping[str, Any]) -> None:
        """Writes a row of generator.csv."""
        self._row("generator", {"generator": self.generator_name, **values})

    def endpoint(self, values: Mapping[str, Any]) -> None:
        """Writes a row of endpoint.csv."""
        self._row("endpoint", values)

    def stage(self, values: Mapping[str, Any]) -> None:
        """Writes a row of stages.csv, which a sweep has."""
        if "stages" in self._tables:
            self._row("stages", values)

    def append(self, batch: Batch) -> None:
        """Writes the lines that another generator has written, and counts them."""
        lines = {name: batch.lines(name) for name in batch.tables if name in self._tables}
        for name, text in lines.items() if not self.fault else ():
            try:
                self._tables[name].lines(text)
            except OSError as error:
                self.failed(error)
                return
        self._count(batch.counts)
        if attempts := lines.get("attempts"):
            rows = RowBatch(attempts)
            for listener in self.attempt_listeners:
                listener(rows)
        self._append_events(batch.counts.get("events", {}), lines.get("events", ""))

    def _append_events(self, counts: Mapping[str, int], lines: str) -> None:
        """Calls the listeners with the events of another generator; parses them only where somebody needs them."""
        if not counts.get("cold_start") and not self.event_listeners:
            return
        rows = list(read_events(lines))
        self.events["cold_start"] -= self._reported_again(rows)
        for listener in self.event_listeners:
            for row in rows:
                listener(row)

    def _reported_again(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Cold starts of endpoint workers that another generator has reported: each reports the first answer that it has seen."""
        workers = [row["worker_id"] for row in rows if row["kind"] == "cold_start"]
        fresh = set(workers) - self._started
        self._started |= fresh
        return len(workers) - len(fresh)

    def note(self, key: str, value: Any) -> None:
        """What run.json is to tell too, at the end."""
        self._about[key] = value

    def discard(self) -> None:
        """Leaves nothing of a run that was not begun."""
        for table in self._tables.values():
            table.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self, ended_by: str, second_0: float, elapsed_s: float, planned: int | None, dispatched: int) -> Ledger:
        """Ends the run's files and says how it ended; the ledger of the rows on disk.

        Where no number was ``planned`` (a closed loop bounded by time) the ledger is held against the
        number ``dispatched``.
        ``second_0`` is that instant in seconds since 1970, for those who join the rows with other logs.
        A disk that is full keeps the rows it has: ``fault`` tells.
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
        for end in (*(table.close for table in self._tables.values()), self._reserve.unlink, self._write_about):
            try:
                end()
            except OSError as error:
                self.failed(error)
        return ledger

    def failed(self, error: OSError) -> None:
        """Notes the first thing that could not be written, as a sentence in ``fault``."""
        self.fault = self.fault or _sentence(self.folder, error)

    def _row(self, table: str, values: Mapping[str, Any]) -> None:
        self._write(table, [_plain(values.get(column.name)) for column in TABLES[table]])

    def _count(self, changes: Changes) -> None:
        for name, change in changes.items():
            self._tallies[name].update(change)

    def _write(self, table: str, cells: Iterable[object], changes: Changes | None = None) -> None:
        """Writes a row and counts it. After the first failure nothing more is written: a row must not follow a torn one."""
        if self.fault:
            return
        line = attempt.line(cells)
        try:
            self._tables[table].lines(line)
        except OSError as error:
            self.failed(error)
            return
        self._count(changes or {})
        if self._outbox:
            self._outbox.add(table, line, changes)

    def _write_about(self) -> None:
        new = self.folder / "run.json.new"
        new.write_text(json.dumps(self._about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        new.replace(self.folder / "run.json")


class LocustCsv:
    """Locust's own CSV files, kept up while the run goes, and complete to the last request when it ends."""

    def __init__(self, environment: Any, recorder: Recorder) -> None:
        self._environment, self._recorder, self._prefix = environment, recorder, recorder.folder / "locust"
        self._writer = stats.StatsCSVFileWriter(environment, stats.PERCENTILES_TO_REPORT, str(self._prefix), full_history=True)
        self._greenlet = gevent.spawn(self._keep_up)

    def close(self) -> None:
        """Writes the tables once more, from the final statistics: Locust itself leaves out its last seconds."""
        self._greenlet.kill()
        try:
            self._finish()
        except OSError as error:
            self._recorder.failed(error)

    def _keep_up(self) -> None:
        try:
            self._writer.stats_writer()
        except OSError as error:
            self._recorder.failed(error)

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
            folder.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise RecordError(_sentence(folder, error)) from error
        return folder
    raise RecordError(f"cannot find a name for a new run in '{runs}': a thousand began within this second")


def _sentence(folder: Path, error: OSError) -> str:
    return f"cannot write to '{folder}' ({error.strerror or error}): free some space or name another directory with --runs"


def _plain(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, float):
        return round(value, 6)
    return one_line(value) if isinstance(value, str) else value
