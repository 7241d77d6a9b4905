"""What a form of the web UI may name, fixed when the process starts: endpoints that get the key, files that a run reads or writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from coldburst.installation import beside, own_or_given
from coldburst.option import Option, OptionError, attribute
from coldburst.targets.address import RUNPOD
from coldburst.targets.payload import is_json

# Options that name files or directories, and those whose value is fixed at the start.
FILES = ("FILE", "PATH", "DIR")
FIXED = {"ARGS": "holds arguments of a program", "S3URL": "names a bucket, which this machine's credentials open"}
PORTS = {"http": 80, "https": 443}


class Permitted:
    """Endpoints and directories that were named at the start: on the command line, in the environment or in the locustfile.

    Args:
        hosts: the endpoints; "" for none.
        given: options with the values that they had at the start.
    """

    def __init__(self, hosts: Iterable[str], given: Iterable[tuple[Option, Any]]) -> None:
        self._origins = {_origin(host) for host in hosts if host}
        given = [(option, str(value)) for option, value in given if value != ""]
        self._fixed = {(option.name, value) for option, value in given if option.metavar in FIXED}
        paths = [path for option, value in given if option.metavar in FILES and (path := _resolved(value))]
        self._directories = {Path.cwd(), beside("samples"), *(path if path.is_dir() else path.parent for path in paths)}

    def check_files(self, options: Iterable[Option], values: Mapping[str, Any]) -> None:
        """Raises OptionError for an option that leads out of the directories; the message does not say whether the file exists."""
        for option in options:
            value = str(values[attribute(option)])
            itself = option.name == "--input" and is_json(value)
            if option.metavar in FILES and value and not itself and not self._contains(value):
                raise OptionError(
                    f"{option.name} '{value}' is outside the working directory and the directories named at the start: "
                    f"start with {option.name} to use it"
                )
            if option.metavar in FIXED and value and (option.name, value) not in self._fixed:
                raise OptionError(f"{option.name} '{value}' {FIXED[option.metavar]}: set it on the command line, not in the form")

    def check_key(self, host: str, variable: str) -> None:
        """Raises OptionError where the key in ``variable`` is set and must not go to ``host``."""
        url = urlsplit(host)
        name = url.hostname or ""
        of_runpod = url.scheme == "https" and name.endswith(f".{RUNPOD}")
        if host and not (of_runpod or _is_loopback(name) or _origin(host) in self._origins):
            raise OptionError(f"the key in {variable} is not sent to '{host}', which only the form names: start with --host {host} instead")

    def _contains(self, value: str) -> bool:
        path = _resolved(value)
        return path is not None and any(path.is_relative_to(directory) for directory in self._directories)


def _resolved(value: str) -> Path | None:
    """The file that ``value`` names, links followed; None for a name that no file can have, or a loop of links."""
    try:
        return own_or_given(value).resolve()
    except (OSError, ValueError, RuntimeError):
        return None


def _origin(host: str) -> tuple[str, str, int | None]:
    """Scheme, name and port, which decide who gets the key; empty where ``host`` is not an address."""
    try:
        url = urlsplit(host)
        return url.scheme, url.hostname or "", url.port or PORTS.get(url.scheme)
    except ValueError:
        return "", "", None


def _is_loopback(name: str) -> bool:
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
