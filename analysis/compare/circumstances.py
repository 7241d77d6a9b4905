"""Whether two runs can be compared: differences that matter, and differences that are only noted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from coldburst.lines import one_line

from ..runs.load import Run
from ..text.number_format import plural

# What must be equal, and where it is in run.json.
MATTERS: Mapping[str, tuple[str, ...]] = {
    "question": ("question",),
    "schedule": ("schedule",),
    "kind of endpoint": ("target", "kind"),
    "embedded endpoint": ("target", "embedded"),
    "--max-in-flight": ("max_in_flight",),
    "--when-full": ("when_full",),
    "--cold-after": ("cold_after_s",),
    "cores of the generator": ("machine", "cpus"),
    "processor of the generator": ("machine", "cpu_model"),
    "format of the run": ("format",),
}
# What may differ, and is noted.
NOTED: Mapping[str, tuple[str, ...]] = {
    "host": ("target", "host"),
    "seed": ("seed",),
    "release of the endpoint": ("platform", "release", "version"),
    "image of the endpoint": ("platform", "release", "image"),
    "commit": ("commit",),
    "system": ("machine", "system"),
}
# Options that change no figure, or that are in MATTERS.
HARMLESS = {"runs", "seed", "schedule", "max_in_flight", "when_full", "cold_after", "price", "objective", "objectives", "yes", "memory"}
HARMLESS |= {"exit_code_on_verdict", "figures", "sample"}
# Keys of a sweep that decide what is measured; its objectives and its price only judge it.
OF_SWEEPS = ("question", "repeats", "cells", "control", "stop")
LONGEST = 80


def differences(base: Run, candidate: Run) -> list[str]:
    """The differences that matter, each with both values."""
    one, other = base.about, candidate.about
    found = [_versus(label, _at(one, path), _at(other, path)) for label, path in MATTERS.items() if _at(one, path) != _at(other, path)]
    found += [_versus(f"--{name.replace('_', '-')}", *pair) for name, *pair in _differing(one, other, "options") if name not in HARMLESS]
    found += [_versus(f"the sweep's {name}", *pair) for name, *pair in _differing(one, other, "sweep") if name in OF_SWEEPS]
    settings = [run.settings.get("before") or None for run in (base, candidate)]
    found += [_versus("the endpoint's settings", *settings)] if settings[0] != settings[1] else []
    generators = [len(said) if isinstance(said := about.get("generators"), list) and said else 1 for about in (one, other)]
    return found + ([_versus("load generators", *generators)] if generators[0] != generators[1] else [])


def notes(base: Run, candidate: Run) -> Iterator[str]:
    """Sentences on differences that do not matter, and on options recorded in only one run."""
    one, other = base.about, candidate.about
    for label, path in NOTED.items():
        if _at(one, path) != _at(other, path):
            yield f"The runs differ in the {_versus(label, _at(one, path), _at(other, path))}."
    for name, mine, its in _differing(one, other, "versions"):
        yield f"The runs differ in the version of {_versus(one_line(str(name), LONGEST), mine, its)}."
    for who, about in (("base", one), ("candidate", other)):
        if about.get("dirty"):
            yield f"The {who} ran with uncommitted changes."
    mine, its = _object(one, "options"), _object(other, "options")
    only = sorted(one_line(str(name), LONGEST) for name in mine.keys() ^ its.keys() if name not in HARMLESS)
    if only:
        yield f"{plural(len(only), 'option')} recorded in one run only, and not compared: {', '.join(only)}."


def _at(about: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = about
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _object(about: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = about.get(key)
    return value if isinstance(value, dict) else {}


def _differing(one: Mapping[str, Any], other: Mapping[str, Any], key: str) -> Iterator[tuple[str, Any, Any]]:
    """Names in the object ``key`` that both runs have with different values."""
    mine, its = _object(one, key), _object(other, key)
    yield from ((name, mine[name], its[name]) for name in mine if name in its and mine[name] != its[name])


def _versus(label: str, base: Any, candidate: Any) -> str:
    return f"{label} ({_shown(base)} vs. {_shown(candidate)})"


def _shown(value: Any) -> str:
    if value is None:
        return "not recorded"
    return one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), LONGEST) or "empty"
