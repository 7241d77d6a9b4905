"""Reads a run: a run directory, or the CSV files of ``locust --csv PREFIX``."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from coldburst.lines import one_line
from coldburst.record import attempt, run_json
from coldburst.record.attempt import COLUMNS, OUTCOMES

from . import csv_columns, locust_csv
from .csv_cells import MOST
from .csv_columns import Numbers, Places, integers
from .disk_columns import in_order
from .locust_csv import LocustTotals

EXAMPLE = run_json.EXAMPLE
_DTYPES: Mapping[type, str] = {int: "Int64", float: "float64", bool: "boolean", str: "str"}
ATTEMPTS, EVENTS, GENERATOR, ENDPOINT, STAGES = (
    {column.name: _DTYPES[column.kind] for column in columns}
    for columns in (COLUMNS, attempt.EVENTS, attempt.GENERATOR, attempt.ENDPOINT, attempt.STAGES)
)
# Text columns with few distinct values, stored as categories.
REPEATED = ("stage", "outcome", "phase", "worker_id", "tokens_from", "generator", "error")
# Columns whose values stay far below 2³¹.
SMALL = ("attempt", "polls", "status", "platform_retries")
# Columns that no table or figure uses; without them a large run needs half the memory.
UNREAD = ("job_id", "first_s", "bytes_out", "bytes_in")
# The kinds of target whose workers RunPod starts and stops.
RUNPOD = ("queue", "balancer")


class RunError(Exception):
    """A run cannot be read or used; the message is one sentence for the user."""


@dataclass(frozen=True)
class Run:
    """One run, read from its files.

    Attributes:
        path: the run directory, or the prefix of Locust's CSV files.
        about: run.json; empty for plain Locust input.
        attempts: one row per attempt with the columns of ``coldburst.record.attempt.COLUMNS`` except UNREAD, in the order of
            ``sorting_places``; None for plain Locust input.
        events: one row per event; None if the file is missing or empty, as for the next three.
        generator: one row per second and generator.
        endpoint: one row per poll of the endpoint's state.
        stages: one row per stage of a sweep.
        settings: settings.json, what a sweep changed at the endpoint; empty if it changed nothing.
        totals: plain Locust input only.
        notes: sentences on what could not be read.
    """

    path: Path
    about: dict[str, Any]
    attempts: pd.DataFrame | None = None
    events: pd.DataFrame | None = None
    generator: pd.DataFrame | None = None
    totals: LocustTotals | None = None
    notes: list[str] = field(default_factory=list)
    endpoint: pd.DataFrame | None = None
    stages: pd.DataFrame | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The name of the run in run.json, or the last part of its path."""
        return one_line(str(self.about.get("id") or "")) or one_line(self.path.name)

    @property
    def kind(self) -> str:
        """The kind of target (queue, balancer, transcription), or "" if unknown."""
        target = self.about.get("target")
        return str(target.get("kind") or "") if isinstance(target, dict) else ""


def load(path: Path) -> Run:
    """Reads the run directory at ``path``, or the ``locust --csv`` files with that prefix, which may be a folder (``--csv results/``).

    Raises:
        RunError: there is no run, or it is damaged or written by a newer version.
    """
    path = path.absolute() if path.name == "" else path  # "." and "/" have no name
    try:
        recorded, plain = (path / "run.json").is_file(), locust_csv.has_files(path)
    except OSError as error:  # a name that is too long
        raise RunError(f"{one_line(str(path))} is not a run: {error.strerror}; name a run directory, such as {EXAMPLE}") from error
    if recorded:
        return _directory(path)
    if plain:
        return _totals(path)
    if path.is_dir():
        raise RunError(f"{path} is not a run: it has no run.json; {_name_instead(path)}")
    if path.is_file():
        raise RunError(f"{path} is a file: name the run directory, such as {EXAMPLE}, or the prefix given to locust --csv")
    raise RunError(f"no such run: neither the directory {path} nor the file {path}_stats.csv exists")


def _name_instead(folder: Path) -> str:
    try:
        prefixes = locust_csv.other_prefixes(folder)
    except OSError:  # a folder that may not be listed
        prefixes = ""
    return f"name the prefix, such as {prefixes}" if prefixes else f"name a run directory, such as {EXAMPLE}"


def _directory(path: Path) -> Run:
    try:
        about = run_json.read(path)
    except run_json.RunJsonError as error:
        raise RunError(str(error)) from error
    notes: list[str] = []
    attempts = _attempts(path / "attempts.csv", notes)
    events = _rows(path / "events.csv", EVENTS, notes, ("kind",))
    generator = _rows(path / "generator.csv", GENERATOR, notes, ("at_s",))
    endpoint = _rows(path / "endpoint.csv", ENDPOINT, notes, ("at_s", "view"))
    stages = _filled(_stages(path / "stages.csv", notes))
    settings = _settings(path / "settings.json", notes)
    return Run(path, about, attempts, _filled(events), _filled(generator), None, notes, _filled(endpoint), stages, settings)


def _attempts(path: Path, notes: list[str]) -> pd.DataFrame:
    kinds = dict.fromkeys(REPEATED, "category") | dict.fromkeys(SMALL, "Int32")
    dtypes = {name: kinds.get(name, dtype) for name, dtype in ATTEMPTS.items() if name not in UNREAD}
    columns = _columns(path, dtypes, notes, ("seq", "attempt", "scheduled_s", "outcome"), sort=True)
    if columns is None:
        what = "is empty" if path.is_file() else "is missing"
        notes.append(f"attempts.csv {what}: the run was killed before its first row.")
        return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in dtypes.items()})
    strange = sorted(set(columns["outcome"].categories) - set(OUTCOMES))
    if strange:
        name = one_line(strange[0], 80)
        raise RunError(f"attempts.csv has the unknown outcome {name!r}: a newer version may have written it; update coldburst")
    columns["outcome"] = columns["outcome"].set_categories(list(OUTCOMES))
    return pd.DataFrame(columns, copy=False)


def _stages(path: Path, notes: list[str]) -> pd.DataFrame | None:
    """stages.csv; an unusable file is only noted, because attempts name their stages too."""
    try:
        return _rows(path, STAGES, notes, ("stage", "cell", "phase", "state"))
    except RunError as error:
        notes.append(f"{error}; stages are read from the attempts instead.")
        return None


def _settings(path: Path, notes: list[str]) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        said = run_json.cleaned(json.loads(path.read_text(encoding="utf-8-sig")))
    except (OSError, ValueError, RecursionError) as error:
        notes.append(f"{path.name} cannot be read ({error}): check whether the endpoint's settings were restored.")
        return {}
    return said if isinstance(said, dict) else {}


def _filled(table: pd.DataFrame | None) -> pd.DataFrame | None:
    return None if table is None or table.empty else table


def _rows(path: Path, dtypes: Mapping[str, str], notes: list[str], needed: tuple[str, ...]) -> pd.DataFrame | None:
    columns = _columns(path, dtypes, notes, needed)
    return None if columns is None else pd.DataFrame(columns, copy=False)


def _columns(
    path: Path, dtypes: Mapping[str, str], notes: list[str], needed: tuple[str, ...], *, sort: bool = False
) -> dict[str, Any] | None:
    """The columns, those of many rows on disk; with ``sort`` in the order of ``sorting_places``."""
    if not path.is_file():
        return None
    try:
        end, told = csv_columns.whole_lines(path)
        there = csv_columns.column_names(path, end)
        notes += [f"{told}."] if told else []
        if not there:
            return None
        lost = [name for name in needed if name not in there]
        if lost:
            raise RunError(f"{path} has no column {lost[0]!r}: its first line should begin with '{','.join(list(dtypes)[:4])}'")
        read = _checked(path, end, {name: dtype for name, dtype in dtypes.items() if name in there}, needed, sort=sort)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, ArithmeticError) as error:
        raise RunError(f"{path} cannot be read: {_why(path, dtypes, error)}") from error
    n = len(read[needed[0]])
    return {name: read[name] if name in read else _empty_column(n, dtype) for name, dtype in dtypes.items()}


def _checked(path: Path, end: int, dtypes: Mapping[str, str], needed: tuple[str, ...], *, sort: bool) -> dict[str, Any]:
    read, places = dict[str, Any](), None
    for name, column in csv_columns.read_columns(path, end, dtypes):
        if name in needed and pd.isna(column).any():
            raise RunError(f"{path} has a row without {name!r}, which every row needs")
        if dtypes[name] in ("float64", "Int64"):
            _bounded(path, name, column)
        read[name] = in_order(column, places)
        if sort and name == "attempt":  # which follows seq
            places = sorting_places(read["seq"], read["attempt"])
            read = {key: in_order(column, places) for key, column in read.items()}
    return read


def _why(path: Path, dtypes: Mapping[str, str], error: Exception) -> str:
    try:
        return csv_columns.first_odd_cell(path, dtypes) or one_line(str(error))
    except (OSError, csv.Error):
        return one_line(str(error))


def _bounded(path: Path, name: str, column: Any) -> None:
    values = np.asarray(column) if isinstance(column, np.ndarray) else column.to_numpy(np.int64, na_value=0)
    ends = [ufunc.reduce(values) for ufunc in (np.fmin, np.fmax) if len(values)]
    far = [float(end) for end in ends if abs(end) > MOST]
    if any(math.isinf(end) for end in far):
        raise RunError(f"{path} has an infinite {name!r}; values must be finite numbers or empty")
    if far:
        raise RunError(f"{path} has a {name!r} of {far[0]:.3g}; values must be between -{MOST:g} and {MOST:g}, or empty")


def _empty_column(n: int, dtype: str) -> Any:
    if dtype == "category":
        return pd.Categorical.from_codes(np.zeros(n, dtype=np.int8), dtype=pd.CategoricalDtype([""]))
    return pd.Series("" if dtype == "str" else None, range(n), dtype).array


def _totals(prefix: Path) -> Run:
    try:
        found, notes = locust_csv.read_totals(prefix)
    except OSError as error:
        raise RunError(f"{error.filename} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise RunError(str(error)) from error
    return Run(prefix, {}, totals=found, notes=notes)


def sorting_places(seq: Any, number: Any) -> Places | None:
    """The places that sort attempts with these seqs and numbers; None if they are in order.

    Attempts that were retried come first, then the last attempt of each request, so that a run's requests are a slice of
    its attempts and need no copy. Each part is in order of seq and number; of equal ones the later row is the later attempt.
    """
    seqs, numbers = integers(seq), integers(number)
    if _in_order(seqs, numbers):
        return None
    order = np.argsort(seqs, kind="stable")
    ordered = seqs[order]
    same = ordered[1:] == ordered[:-1]
    del ordered  # a column of millions of rows
    again = np.flatnonzero(same)
    if (numbers[order[again + 1]] < numbers[order[again]]).any():
        order = np.lexsort((numbers, seqs))
    return np.concatenate([order[:-1][same], order[np.append(~same, True)]])


def _in_order(seqs: Numbers, numbers: Numbers) -> bool:
    begin = begin_of_last(seqs)
    tried, places = seqs[:begin], np.searchsorted(seqs[begin:], seqs[:begin])
    if begin and places.max() == len(seqs) - begin:
        return False
    followed = (seqs[begin:][places] == tried) & (numbers[:begin] <= numbers[begin:][places])
    step = np.diff(tried)
    ascend = (step > 0) | ((step == 0) & (np.diff(numbers[:begin]) >= 0))
    return bool(followed.all() and ascend.all())


def begin_of_last(seqs: Numbers) -> int:
    """The place from which on each seq is above the one before."""
    steps = np.flatnonzero(seqs[1:] <= seqs[:-1])
    return int(steps[-1]) + 1 if len(steps) else 0
