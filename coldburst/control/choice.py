"""Chooses the way in which an endpoint is changed between the stages of a sweep, and makes it.

rest      RunPod's REST v2, or the emulator's: settings by PATCH, workers by the worker list
replicas  transcription workers of this project on this machine, behind an nginx of their own
compose   docker compose --scale of a service behind nginx
hand      says what to change, and waits until it shows or the file 'continue' appears in the run's directory
none      changes nothing and sees nothing
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from coldburst.control.compose import ComposeControl
from coldburst.control.desired_state import Control, ControlError, DesiredState, ObservedState
from coldburst.control.manual import ManualControl
from coldburst.control.replicas import ReplicaControl
from coldburst.control.rest import RestControl
from coldburst.option import Option
from coldburst.targets.address import EndpointAddress

__all__ = ["OPTIONS", "WAYS", "Control", "ControlError", "DesiredState", "NoControl", "ObservedState", "choose", "make", "wait_shown"]

WAYS = ("rest", "replicas", "compose", "hand", "none")
OPTIONS = (
    Option(
        "--control",
        "auto",
        "",
        "Who changes the endpoint between stages: RunPod's REST v2, workers started here, docker compose, you",
        ("auto", *WAYS),
    ),
    Option(
        "--concurrency-env", "CONCURRENCY", "NAME", "RunPod: variable from which the endpoint's workers read their concurrency_modifier"
    ),
    Option(
        "--replica-args", "", "ARGS", "Workers started here: options of coldburst.transcriber, as in '--engine fixed --service-time 0.1'"
    ),
    Option("--compose-file", "docker-compose.yml", "FILE", "docker compose: the file"),
    Option("--compose-service", "transcriber", "NAME", "docker compose: the service that is scaled; nginx stands before it"),
    Option("--settle-timeout", 600.0, "SECONDS", "How long a change may take to show itself before its stage is skipped"),
)


class NoControl:
    """The way 'none': the endpoint stays as it is, and nobody looks."""

    way: ClassVar[str] = "none"
    where = "the endpoint stays as it is"
    url = ""
    by_hand = False
    harmless = True
    every_s = 0.0

    def begin(self, folder: Path, pause: Callable[[float], bool]) -> None:
        """See Control."""

    def settings(self) -> dict[str, Any]:
        """See Control."""
        return {}

    def describe(self, wanted: Sequence[DesiredState]) -> str:
        """See Control."""
        return "Nothing is changed at the endpoint: what it is set to, and that it stays so, is yours to know."

    def change(self, wanted: DesiredState) -> None:
        """See Control."""

    def observe(self, wanted: DesiredState) -> ObservedState:
        """See Control."""
        return ObservedState(None, True, "nothing is changed, and nothing is looked at")

    def restore(self, before: Mapping[str, Any]) -> str:
        """See Control."""
        return "nothing was changed"

    def close(self) -> None:
        """See Control."""


def choose(way: str, address: EndpointAddress) -> str:
    """The way of control, one of WAYS: ``way`` itself, or for "auto" what the endpoint allows. Nothing is started.

    Args:
        way: "auto" or one of WAYS.
        address: the endpoint; without a url it is one that is to be started here.

    Raises:
        ControlError: there is no such way, or it cannot be used for this endpoint.
    """
    if way == "auto":
        return "rest" if address.management else "replicas" if address.kind == "transcription" and not address.url else "hand"
    if way not in WAYS:
        raise ControlError(f"--control '{way}' is no way to change an endpoint: give one of {', '.join(WAYS)}, or auto")
    if way == "replicas" and address.url:
        raise ControlError(f"--control replicas starts its own service: leave out --host '{address.url}', or give --control hand")
    return way


def make(way: str, address: EndpointAddress, key: str, options: Mapping[str, Any]) -> Control:
    """The control that ``choose`` named.

    Args:
        key: RunPod's API key, or "".
        options: values of OPTIONS by their attributes' names.

    Raises:
        ControlError: it cannot be used with these options, or not on this machine.
    """
    match way:
        case "rest":
            return RestControl(address, key, options["concurrency_env"])
        case "replicas":
            return ReplicaControl(options["replica_args"])
        case "compose":
            return ComposeControl(Path(options["compose_file"]), options["compose_service"])
        case "hand":
            return ManualControl(address, key, options["concurrency_env"])
    return NoControl()


def wait_shown(
    control: Control, wanted: DesiredState, *, timeout_s: float, rest: Callable[[float], bool], say: Callable[[str], None]
) -> ObservedState:
    """Looks until the endpoint shows what is wanted; what it showed last, not ready where the time or the run was over first.

    Args:
        timeout_s: seconds to wait at most.
        rest: pauses for so many seconds; False when the run is being stopped.
        say: told each sentence that differs from the one before.

    Raises:
        ControlError: the endpoint cannot be asked, or can never show it.
    """
    ends_s, said = time.monotonic() + timeout_s, ""
    while True:
        seen = control.observe(wanted)
        if seen.text != said:
            say(seen.text)
            said = seen.text
        left_s = ends_s - time.monotonic()
        if seen.ready or left_s <= 0 or not rest(min(control.every_s, left_s)):
            return seen
