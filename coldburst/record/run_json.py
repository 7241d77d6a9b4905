"""run.json, which runs write and the analysis reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import Meta

from coldburst.lines import one_line
from coldburst.record.attempt import FORMAT

NAME = "run.json"
EXAMPLE = "runs/20261121-091502-burst"
# Largest number in it.
MOST = 10**15
# Deepest nesting.
DEEPEST = 40

_Text = Annotated[str | None, Meta(description="a text or null")]
_Count = Annotated[Annotated[int, Meta(ge=0, le=MOST)] | None, Meta(description=f"a whole number from 0 to {MOST:g}, or null")]
_Seconds = Annotated[Annotated[float, Meta(ge=0, le=MOST)] | None, Meta(description=f"a number of seconds from 0 to {MOST:g}, or null")]
_Object = Annotated[dict[str, Any] | None, Meta(description="an object or null")]


class RunJsonError(ValueError):
    """run.json cannot be used; the message names the file, the value and a right one."""


class _RunJson(msgspec.Struct):
    """The keys on whose types readers rely. There may be more."""

    id: Annotated[str, Meta(description="a text")] = ""
    state: Annotated[str, Meta(description="'running' or 'ended'")] = ""
    question: _Text = None
    ended_by: _Text = None
    schedule: Annotated[str | None, Meta(description="a text such as 'burst 30'")] = None
    seed: Annotated[int | None, Meta(description="a whole number")] = None
    planned: _Count = None
    dispatched: _Count = None
    stages: Annotated[list[Any] | None, Meta(description="a list of stages")] = None
    elapsed_s: _Seconds = None
    cold_after_s: _Seconds = None
    ledger: _Object = None
    sweep: _Object = None


_EXPECTED = {name: hint.__metadata__[0].description for name, hint in get_type_hints(_RunJson, include_extras=True).items()}


def write(folder: Path, about: Mapping[str, Any]) -> None:
    """Writes run.json atomically. Lone surrogates, which no file can hold, become JSON escapes."""
    new = folder / f"{NAME}.new"
    new.write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", errors="backslashreplace")
    new.replace(folder / NAME)


def read(folder: Path) -> dict[str, Any]:
    """The checked content of run.json, with each text in one line. Raises RunJsonError."""
    path = folder / NAME
    try:
        about = cleaned(json.loads(path.read_text(encoding="utf-8-sig")))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunJsonError(f"{folder} is not a run: it has no {NAME}; name a run directory, such as {EXAMPLE}") from error
    except OSError as error:
        raise RunJsonError(f"{path} could not be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RunJsonError(f"{path} is not complete JSON ({error}): the rows alone do not describe a run") from error
    version = about.get("format") if isinstance(about, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise RunJsonError(f'{path} does not describe a run: it should be an object with "format": {FORMAT}')
    if version > FORMAT:
        raise RunJsonError(f"{path} has format {version}, newer than this program, which reads {FORMAT}: update coldburst")
    try:
        msgspec.convert(about, _RunJson)
    except msgspec.ValidationError as error:
        key = str(error).rpartition("$.")[2].rstrip("`").partition("[")[0].partition(".")[0]
        raise RunJsonError(f"{path}: {key!r} is {one_line(repr(about[key]), 80)}, but should be {_EXPECTED[key]}") from error
    return dict(about)


def cleaned(value: Any, depth: int = 0) -> Any:
    """``value`` with each text in one line and without lone surrogates. Raises ValueError if it is nested too deeply."""
    if depth > DEEPEST:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        return {cleaned(key): cleaned(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [cleaned(inner, depth + 1) for inner in value]
    return one_line(value, len(value)) if isinstance(value, str) and not value.isprintable() else value
