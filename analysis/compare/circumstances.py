"""Whether two runs may be compared: what differs in their circumstances that matters, and what differs that need not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from coldburst.lines import one_line

from ..runs.load import Run
from ..text.number_format import plural

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
"""What must be alike, and where run.json has it."""
TOLD: Mapping[str, tuple[str, ...]] = {
    "host": ("target", "host"),
    "seed": ("seed",),
    "commit": ("commit",),
    "system": ("machine", "system"),
}
"""What may differ, and is told."""
HARMLESS = {"runs", "seed", "schedule", "max_in_flight", "when_full", "cold_after", "price", "objective", "objectives", "yes", "memory"}
HARMLESS |= {"exit_code_on_verdict", "figures", "sample"}
"""Options that change no figure, or that stand in MATTERS."""
OF_SWEEPS = ("question", "repeats", "cells", "control", "stop")
"""Keys of a sweep that decide what was measured; its objectives and its price only judge it."""
LONGEST = 80


def differences(base: Run, candidate: Run) -> list[str]:
    """What differs and matters: a part of a sentence each, with both values."""
    one, other = base.about, candidate.about
    found = [_against(label, _at(one, path), _at(other, path)) for label, path in MATTERS.items() if _at(one, path) != _at(other, path)]
    found += [
        _against(f"--{name.replace('_', '-')}", mine, its) for name, mine, its in _both(one, other, "options") if name not in HARMLESS
    ]
    found += [_against(f"the sweep's {name}", mine, its) for name, mine, its in _both(one, other, "sweep") if name in OF_SWEEPS]
    found += [_against("the endpoint's settings", *pair)] if (pair := (_policy(base), _policy(candidate)))[0] != pair[1] else []
    many = _generators(one), _generators(other)
    return found + ([_against("load generators", *many)] if many[0] != many[1] else [])


def notes(base: Run, candidate: Run) -> Iterator[str]:
    """Sentences on what differs and need not matter, and on what only one of the two has on record."""
    one, other = base.about, candidate.about
    for label, path in TOLD.items():
        if _at(one, path) != _at(other, path):
            yield f"They differ in the {_against(label, _at(one, path), _at(other, path))}."
    for name, mine, its in _both(one, other, "versions"):
        yield f"They differ in the version of {_against(one_line(str(name), LONGEST), mine, its)}."
    for who, about in (("base", one), ("candidate", other)):
        if about.get("dirty"):
            yield f"The {who} was made with files that differ from its commit."
    mine, its = _object(one, "options"), _object(other, "options")
    only = sorted(one_line(str(name), LONGEST) for name in mine.keys() ^ its.keys() if name not in HARMLESS)
    if only:
        yield f"{plural(len(only), 'option')} on record in one of the two only, and not compared: {', '.join(only)}."


def _at(about: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = about
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _object(about: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = about.get(key)
    return value if isinstance(value, dict) else {}


def _both(one: Mapping[str, Any], other: Mapping[str, Any], key: str) -> Iterator[tuple[str, Any, Any]]:
    """Names within the object ``key`` that both runs have, with values that differ."""
    mine, its = _object(one, key), _object(other, key)
    for name in mine:
        if name in its and mine[name] != its[name]:
            yield name, mine[name], its[name]


def _policy(run: Run) -> Any:
    """The endpoint's settings before a sweep changed them; None where none are on record."""
    return run.settings.get("before") or None


def _generators(about: Mapping[str, Any]) -> int:
    said = about.get("generators")
    return len(said) if isinstance(said, list) and said else 1


def _against(label: str, base: Any, candidate: Any) -> str:
    return f"{label} ({_said(base)} against {_said(candidate)})"


def _said(value: Any) -> str:
    if value is None:
        return "not on record"
    return one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), LONGEST) or "empty"
