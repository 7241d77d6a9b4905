"""The emulator's configuration file. Its tables are read as words of a command line: same names, same checks."""

from __future__ import annotations

import argparse
import difflib
import json
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coldburst.emulator.settings.arguments import emulator_parser, endpoint_parser, text_of


def read_configuration(own: argparse.Namespace, words: list[str]) -> tuple[argparse.Namespace, list[tuple[str, list[str]]]]:
    """The emulator's options, and each endpoint's name and words; ValueError for an invalid file.

    Args:
        own: the options on the command line, which take precedence.
        words: that command line.
    """
    if not own.config:
        return own, [(own.endpoint, [])]
    try:
        file = tomllib.loads(Path(own.config).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot read '--config {own.config}': {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"'--config {own.config}' is not valid TOML: {error}") from None
    tables = file.pop("endpoints", None)
    if not isinstance(tables, dict) or not tables or not all(isinstance(table, dict) for table in tables.values()):
        raise ValueError(f"'{own.config}' has no endpoint: write a table for each, as in [endpoints.demo]")
    own, _ = emulator_parser().parse_known_args([*_words(file, emulator_parser(), own.config), *words])
    return own, [(name, _words(table, endpoint_parser(), f"{own.config}, [endpoints.{name}]")) for name, table in tables.items()]


def _words(table: Mapping[str, Any], parser: argparse.ArgumentParser, place: str) -> list[str]:
    """A table as words of a command line."""
    known = {option.removeprefix("--") for action in parser._actions for option in action.option_strings} - {"config", "endpoint"}
    words = []
    for key, value in table.items():
        name = {"faults": "fault"}.get(key, key.replace("_", "-"))
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.5)
            hint = f": did you mean '{near[0]}'?" if near else f"; use one of {', '.join(sorted(known))}"
            raise ValueError(f"{place}: unknown setting '{key}'{hint}")
        words += _option(name, value)
    return words


def _option(name: str, value: Any) -> list[str]:
    if name == "platform" and isinstance(value, dict):
        return [word for parameter, entry in value.items() for word in ("--platform", f"{parameter}={text_of(entry)}")]
    if name == "env" and isinstance(value, list):
        return [f"--env={text_of(entry)}" for entry in value]
    if name == "fault":
        return [word for fault in (value if isinstance(value, list) else [value]) for word in ("--fault", json.dumps(fault, default=str))]
    if name == "command" and isinstance(value, list):
        return [f"--command={shlex.join(map(text_of, value))}"]
    if isinstance(value, bool):
        return [f"--{name}"] if value else []
    if isinstance(value, list):
        return [f"--{name}={','.join(map(text_of, value))}"]
    return [f"--{name}={text_of(value)}"]
