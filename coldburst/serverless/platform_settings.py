"""The platform's parameters as text: ``NAME=VALUE`` of --platform, and the table of all of them."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.quantiles import Quantiles, parse_quantiles


def platform_with(settings: Sequence[str], shortcuts: Mapping[str, float] = {}) -> Platform:
    """The platform with ``NAME=VALUE`` settings, which take precedence over shortcuts; ValueError."""
    chosen: dict[str, Any] = dict(shortcuts)
    for setting in settings:
        name, _, text = setting.partition("=")
        chosen[name] = _value(name, text)
    return dataclasses.replace(Platform(), **chosen)


def changed(platform: Platform) -> dict[str, str]:
    """The parameters that differ from their defaults, as text."""
    default = Platform()
    return {name: _text(value) for name in _parameters() if (value := getattr(platform, name)) != getattr(default, name)}


def parameter_rows() -> list[str]:
    """Every parameter, its default, and how well it is known, as the lines of a Markdown table."""
    rows = ["| parameter | default | unit | known | meaning | source |", "|---|---|---|---|---|---|"]
    for name, field in _parameters().items():
        cells = [_text(getattr(Platform(), name)), *(field.metadata[column] for column in ("unit", "known", "meaning", "source"))]
        rows.append(f"| `{name}` | {' | '.join(cells)} |")
    return rows


def _parameters() -> dict[str, dataclasses.Field[Any]]:
    """The parameters that have a single value."""
    scalar = (bool, int, float, str, Quantiles, type(None))
    return {field.name: field for field in dataclasses.fields(Platform) if isinstance(getattr(Platform(), field.name), scalar)}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _value(name: str, text: str) -> Any:
    fields = _parameters()
    if name not in fields:
        similar = difflib.get_close_matches(name, fields, 1, 0.4)
        raise ValueError(
            f"unknown platform parameter '{name}'{f': did you mean {similar[0]}?' if similar else ''} ('--platform help' lists all)"
        )
    kind, default = str(fields[name].type), getattr(Platform(), name)
    if "None" in kind and text.lower() == "none":
        return None
    if "Quantiles" in kind and "@" in text:
        return parse_quantiles(text)
    if isinstance(default, bool) or kind == "bool":
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ValueError(f"'--platform {name}={text}' is neither true nor false: use {name}=true")
    with contextlib.suppress(ValueError):
        if isinstance(default, str):
            return text
        number = float(text)
        if math.isfinite(number) and ("float" in kind or number == int(number)):
            return number if "float" in kind else int(number)
    raise ValueError(f"'--platform {name}={text}' is not valid: the default is {default}")
