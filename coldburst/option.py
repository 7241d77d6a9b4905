"""One option of a run: its name, default and help. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple


class OptionError(ValueError):
    """An option cannot be used; the message names it and a right one."""


class Option(NamedTuple):
    """One option. Its default has its type: the web UI's form casts to it.

    One that ``repeats`` may be given several times on the command line. Its value is one text everywhere, with ``; `` between the parts.
    """

    name: str
    default: str | int | float
    metavar: str
    what: str
    choices: tuple[str, ...] | None = None
    repeats: bool = False


def attribute(option: Option) -> str:
    """The option's name as an attribute of Locust's parsed options."""
    return option.name.removeprefix("--").replace("-", "_")


def parser(option: Option) -> Callable[[Any], str | int | float]:
    """Converts a text to the type of the option's default; raises ValueError, also for nan and inf."""
    return number if isinstance(option.default, float) else type(option.default)


def number(text: object) -> float:
    """``text`` as a finite number.

    Raises:
        ValueError: it is not a number, or is nan, infinite or too large for a float.
    """
    value = float(str(text))
    if not math.isfinite(value):
        raise ValueError(f"'{text}' is not a finite number")
    return value
