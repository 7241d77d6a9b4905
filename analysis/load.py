"""Reads what a run left behind: a run directory, or the files of a plain ``locust --csv PREFIX``."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rig import attempt
from rig.attempt import COLUMNS, FORMAT, OUTCOMES, complete

EXAMPLE = "runs/20261121-091502-burst"
_DTYPES: Mapping[type, str] = {int: "Int64", float: "float64", bool: "boolean", str: "str"}
ATTEMPTS, EVENTS, GENERATOR, ENDPOINT, STAGES = (
    {column.name: _DTYPES[column.kind] for column in columns}
    for columns in (COLUMNS, attempt.EVENTS, attempt.GENERATOR, attempt.ENDPOINT, attempt.STAGES)
)
_ABOUT: Mapping[str, tuple[tuple[type, ...], str]] = {
    "id": ((str,), "a text"),
    "question": ((str, type(None)), "a text"),
    "state": ((str,), "'running' or 'ended'"),
    "ended_by": ((str, type(None)), "a text or null"),
    "schedule": ((str, type(None)), "a text such as 'burst 30'"),
    "seed": ((int, type(None)), "a whole number"),
    "planned": ((int, type(None)), "a whole number or null"),
    "dispatched": ((int, type(None)), "a whole number or null"),
    "stages": ((list, type(None)), "a list of stages"),
    "elapsed_s": ((int, float, type(None)), "a number of seconds or null"),
    "cold_after_s": ((int, float, type(None)), "a number of seconds or null"),
    "ledger": ((dict, type(None)), "an object or null"),
    "sweep": ((dict, type(None)), "an object or null"),
}


class RunError(Exception):
    """Something is not a run that this program can read; the message is one sentence for a person."""


@dataclass(frozen=True)
class Totals:
    """What a plain ``locust --csv`` tells: rows by request name, history a second, failures by text."""

    stats: pd.DataFrame
    history: pd.DataFrame | None = None
    failures: pd.DataFrame | None = None


@dataclass(frozen=True)
class Run:
    """One run as its files tell it.

    Attributes:
        path: the run directory, or the prefix of Locust's CSV files.
        about: run.json; empty for plain Locust input.
        attempts: a row an attempt, the columns of ``rig.attempt.COLUMNS`` (missing ones all empty);
            None for plain Locust input.
        events: a row a hook event; None where the file is missing or empty.
        generator: a row a second and generator; None where the file is missing or empty.
        endpoint: a row each time that the endpoint was asked after itself; None where the file is missing or empty.
        stages: a row a stage of a sweep; None where the file is missing, empty or cannot be used.
        settings: settings.json, what a sweep changed at the endpoint; empty where it changed nothing.
        totals: plain Locust input only.
        notes: sentences on what could not be read.
    """

    path: Path
    about: dict[str, Any]
    attempts: pd.DataFrame | None = None
    events: pd.DataFrame | None = None
    generator: pd.DataFrame | None = None
    totals: Totals | None = None
    notes: list[str] = field(default_factory=list)
    endpoint: pd.DataFrame | None = None
    stages: pd.DataFrame | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The run's name: from run.json, otherwise the last part of its path."""
        return str(self.about.get("id") or self.path.name)

    @property
    def kind(self) -> str:
        """The kind of endpoint: queue, balancer, transcription; "" where it is not known."""
        target = self.about.get("target")
        return str(target.get("kind") or "") if isinstance(target, dict) else ""


def load(path: Path) -> Run:
    """The run at ``path``: a run directory, or the prefix of ``locust --csv`` files.

    Raises:
        RunError: no such run, not a run, damaged, or written by a newer program.
    """
    path = path.absolute() if path.name == "" else path  # "." and "/" have no name to put a file beside
    if (path / "run.json").is_file():
        return _directory(path)
    if path.with_name(f"{path.name}_stats.csv").is_file():
        return _totals(path)
    if path.is_dir():
        raise RunError(f"{path} is not a run: it has no run.json; name a run directory, as in {EXAMPLE}")
    if path.is_file():
        raise RunError(f"{path} is a file: name the run directory, as in {EXAMPLE}, or the prefix given to locust --csv")
    raise RunError(f"no such run: there is neither a directory {path} nor a file {path}_stats.csv")


def _directory(path: Path) -> Run:
    about = _about(path / "run.json")
    notes: list[str] = []
    attempts = _rows(path / "attempts.csv", ATTEMPTS, notes, ("seq", "attempt", "scheduled_s", "outcome"))
    if attempts is None:
        notes.append("attempts.csv is missing: the run was cut before its first row.")
        attempts = pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in ATTEMPTS.items()})
    _known(attempts)
    events = _rows(path / "events.csv", EVENTS, notes, ("kind",))
    generator = _rows(path / "generator.csv", GENERATOR, notes, ("at_s",))
    endpoint = _rows(path / "endpoint.csv", ENDPOINT, notes, ("at_s", "view"))
    stages = _filled(_stages(path / "stages.csv", notes))
    settings = _settings(path / "settings.json", notes)
    return Run(path, about, attempts, _filled(events), _filled(generator), None, notes, _filled(endpoint), stages, settings)


def _stages(path: Path, notes: list[str]) -> pd.DataFrame | None:
    """stages.csv; where it cannot be used this is a note, because the rows of the attempts name their stages too."""
    try:
        return _rows(path, STAGES, notes, ("stage", "cell", "phase", "state"))
    except RunError as error:
        notes.append(f"{error}; the stages are taken from the attempts alone.")
        return None


def _settings(path: Path, notes: list[str]) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        notes.append(f"{path.name} cannot be read ({error}): whether the endpoint's settings were put back is not known.")
        return {}
    return said if isinstance(said, dict) else {}


def _about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise RunError(f"{path} is not whole JSON ({error}): the run cannot be told from its rows alone") from error
    version = about.get("format") if isinstance(about, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise RunError(f'{path} is not a run\'s record: it should be an object with "format": {FORMAT}')
    if version > FORMAT:
        raise RunError(f"{path} has format {version}, newer than this program, which reads {FORMAT}: update coldburst")
    for key, (kinds, right) in _ABOUT.items():
        if key in about and (not isinstance(about[key], kinds) or isinstance(about[key], bool)):
            raise RunError(f"{path}: {key!r} is {about[key]!r}, but should be {right}")
    if (about.get("planned") or 0) < 0:
        raise RunError(f"{path}: 'planned' is {about['planned']}, but no run plans less than nothing")
    return dict(about)


def _known(attempts: pd.DataFrame) -> None:
    strange = sorted(set(attempts["outcome"].unique()) - set(OUTCOMES))
    if strange:
        raise RunError(f"attempts.csv has the outcome {strange[0]!r}, which this program does not know: it may be newer; update coldburst")


def _filled(table: pd.DataFrame | None) -> pd.DataFrame | None:
    return None if table is None or table.empty else table


def _rows(path: Path, dtypes: Mapping[str, str], notes: list[str], needed: tuple[str, ...]) -> pd.DataFrame | None:
    """A CSV file's whole lines with the columns of ``dtypes``; a torn last line is told in ``notes``."""
    if not path.is_file():
        return None
    content, told = _content(path)
    if told:
        notes.append(f"{told}.")
    if not content.strip():
        return None
    there = content[: content.find("\n")].strip().split(",")
    lost = [name for name in needed if name not in there]
    if lost:
        raise RunError(f"{path} has no column {lost[0]!r}: its first line should begin with '{','.join(list(dtypes)[:4])}'")
    table = _parse(path, content, {name: dtype for name, dtype in dtypes.items() if name in there})
    holes = [name for name in needed if table[name].isna().any()]
    if holes:
        raise RunError(f"{path} has a row without {holes[0]!r}: each row needs one")
    endless = [name for name, dtype in dtypes.items() if dtype == "float64" and name in table and np.isinf(table[name]).any()]
    if endless:
        raise RunError(f"{path} has an infinite {endless[0]!r}: each should be a plain number or empty")
    unsaid = {n: pd.Series("" if dtypes[n] == "str" else None, table.index, dtypes[n]) for n in dtypes if n not in there}
    return table.assign(**unsaid)[list(dtypes)]


def _content(path: Path) -> tuple[str, str]:
    try:
        return complete(path)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error


def _parse(path: Path, content: str, dtypes: dict[str, str]) -> pd.DataFrame:
    empty = {name: [""] for name, dtype in dtypes.items() if dtype != "str"}
    try:
        return pd.read_csv(
            io.StringIO(content),
            dtype=dtypes,
            usecols=list(dtypes),
            keep_default_na=False,
            na_values=empty,
        )
    except (ValueError, TypeError) as error:
        raise RunError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _totals(prefix: Path) -> Run:
    """Plain Locust input. Its columns are Locust's own; percentiles of empty rows read "N/A"."""
    frames, notes = {}, []
    for part in ("stats", "stats_history", "failures"):
        frames[part], told = _locust_csv(prefix.with_name(f"{prefix.name}_{part}.csv"))
        notes += [told] if told else []
    stats = frames["stats"]
    if stats is None or not {"Type", "Name", "Request Count", "Failure Count", "95%"} <= set(stats.columns):
        raise RunError(f"{prefix}_stats.csv is not a Locust statistics file: its first line should begin with 'Type,Name,Request Count'")
    return Run(prefix, {}, totals=Totals(stats, frames["stats_history"], frames["failures"]), notes=notes)


def _locust_csv(path: Path) -> tuple[pd.DataFrame | None, str]:
    if not path.is_file():
        return None, f"{path.name} is missing."
    content, told = _content(path)
    try:
        table = pd.read_csv(io.StringIO(content), keep_default_na=False, na_values=["N/A", ""], dtype={"Name": "str", "Type": "str"})
    except ValueError as error:
        raise RunError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    return table, f"{told}." if told else ""
