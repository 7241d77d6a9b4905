"""One option of a run: its name, default and help. Standard library only."""

from __future__ import annotations

from typing import NamedTuple


class OptionError(ValueError):
    """An option cannot be used; the message names it and a right one."""


class Option(NamedTuple):
    """One option. Its default has its type: the web UI's form casts to it."""

    name: str
    default: str | int | float
    metavar: str
    what: str
    choices: tuple[str, ...] | None = None


def attribute(option: Option) -> str:
    """The option's name as an attribute of Locust's parsed options."""
    return option.name.removeprefix("--").replace("-", "_")
