"""The option --platform: parameters set by NAME=VALUE, and the table of all parameters."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from coldburst.emulator.settings.arguments import text_of
from coldburst.serverless.platform_parameters import Platform

EMULATOR_PARAMETERS = (
    ("--poll-hold", "20", "s", "unverified", "how long a worker's poll for jobs is held", "not published; below the SDK's own 90"),
    ("--webhook-waits", "5,15", "s", "measured", "pauses before the 2nd and 3rd try of a webhook", "live; the documents say 10"),
    ("--health-every", "1", "s", "unverified", "time between two health checks of a ready balancer worker", "not published"),
    ("--health-failures", "3", "", "unverified", "consecutive failed checks that take it out of service", "not published"),
    ("--health-timeout", "5", "s", "unverified", "time-out of a health check", "not published"),
    ("--webhook-timeout", "10", "s", "unverified", "time-out of one try of a webhook", "not published"),
    ("--too-large-status", "413", "", "unverified", "status for a body that is too large", "not published"),
    ("--grace", "3", "s", "unverified", "time from a worker's SIGTERM to its SIGKILL", "not published"),
    ("--management-per-minute", "60", "requests", "documented", "REST v2 requests per minute", "the example of its specification"),
)
"""Parameters of the platform that have options of their own."""


def parse_platform(settings: Sequence[str], shortcuts: Mapping[str, float]) -> Platform:
    """The platform with ``NAME=VALUE`` settings, which take precedence over shortcuts; ValueError."""
    chosen: dict[str, Any] = dict(shortcuts)
    for setting in settings:
        name, _, text = setting.partition("=")
        chosen[name] = _value(name, text)
    return dataclasses.replace(Platform(), **chosen)


def _parameters() -> dict[str, dataclasses.Field[Any]]:
    """The platform's parameters that have a single value."""
    scalar = (bool, int, float, str, type(None))
    return {field.name: field for field in dataclasses.fields(Platform) if isinstance(getattr(Platform(), field.name), scalar)}


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


def platform_table() -> str:
    """Every parameter of the platform, and the rate limits, as Markdown tables."""
    rows = ["| parameter | default | unit | known | meaning | source |", "|---|---|---|---|---|---|"]
    for name, field in _parameters().items():
        metadata = field.metadata
        default = getattr(Platform(), name)
        default = f"{default:g}" if isinstance(default, float) else text_of(default)
        rows.append(f"| `{name}` | {default} | {metadata['unit']} | {metadata['known']} | {metadata['meaning']} | {metadata['source']} |")
    rows += [f"| `{name}` | {' | '.join(cells)} |" for name, *cells in EMULATOR_PARAMETERS]
    limits = next(field for field in dataclasses.fields(Platform) if field.name == "limits").metadata
    rows += ["", f"Rate limits ({limits['known']}: {limits['source']}):", ""]
    rows += ["| operation | per `window_s` | at a time | per `window_s` and running worker |", "|---|---|---|---|"]
    rows += [f"| /{row.operation} | {row.per_window} | {row.concurrent or 'no limit'} | {row.per_worker} |" for row in Platform().limits]
    return "\n".join(rows) + "\n"
