"""Chooses how an endpoint is changed between the stages of a sweep.

rest      RunPod's REST v2, or the emulator's: settings by PATCH, workers from the worker list
replicas  transcription workers of this project on this machine, behind their own nginx
restart   the video service of this project on this machine, restarted with the number of workers
compose   docker compose: a service scaled, or services started and stopped one by one, behind nginx
hand      prints what to change, then waits until it shows or the file 'continue' appears in the run directory
none      endpoint settings are not changed or checked
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
from coldburst.control.restart import RestartControl
from coldburst.option import Option
from coldburst.targets.address import EndpointAddress

WAYS = ("rest", "replicas", "restart", "compose", "hand", "none")
OPTIONS = (
    Option(
        "--control",
        "auto",
        "",
        "How the endpoint is changed between stages: by RunPod's REST v2, local workers, docker compose, or you (hand)",
        ("auto", *WAYS),
    ),
    Option("--concurrency-env", "CONCURRENCY", "NAME", "RunPod: environment variable from which the workers read their concurrency"),
    Option("--replica-args", "", "ARGS", "Local workers: options of coldburst.transcriber or coldburst.video, such as '--engine fixed'"),
    Option("--compose-file", "docker-compose.yml", "FILE", "docker compose: the compose file"),
    Option(
        "--compose-service",
        "transcriber",
        "NAME,NAME",
        "docker compose: the service to scale; or the services that are one worker each, such as worker-1,worker-2",
    ),
    Option("--compose-proxy", "", "NAME", "docker compose: the nginx in front, reloaded after each change, such as lb; default: nginx"),
    Option("--settle-timeout", 600.0, "SECONDS", "Time until a change must show; after it, the stage is skipped"),
)


class NoControl(Control):
    """The way 'none'."""

    way: ClassVar[str] = "none"
    where = "the endpoint, unchanged"

    def describe(self, wanted: Sequence[DesiredState]) -> str:
        return "--control none: endpoint settings are not changed or checked."

    def observe(self, wanted: DesiredState) -> ObservedState:
        return ObservedState(None, True, "")

    def restore(self, before: Mapping[str, Any]) -> str:
        return "nothing was changed"


def choose(way: str, address: EndpointAddress) -> str:
    """``way``, one of WAYS, or for "auto" the one that suits the endpoint. Raises ControlError if ``way`` does not suit it."""
    if way == "auto":
        own = {"transcription": "replicas", "video": "restart"}.get(address.kind, "")
        return "rest" if address.management else own if own and not address.url else "hand"
    if way not in WAYS:
        raise ControlError(f"--control '{way}' does not exist: use one of {', '.join(WAYS)}, or auto")
    if way in ("replicas", "restart") and address.url:
        raise ControlError(f"--control {way} starts its own service: leave out --host '{address.url}', or use --control hand")
    return way


def make(way: str, address: EndpointAddress, key: str, options: Mapping[str, Any]) -> Control:
    """The control of a way, from the values of OPTIONS by attribute name. Raises ControlError if it does not work with them."""
    match way:
        case "rest":
            return RestControl(address, key, options["concurrency_env"])
        case "replicas":
            return ReplicaControl(options["replica_args"])
        case "restart":
            return RestartControl(options["replica_args"])
        case "compose":
            return ComposeControl(Path(options["compose_file"]), options["compose_service"], options["compose_proxy"])
        case "hand":
            return ManualControl(address, key, options["concurrency_env"])
    return NoControl()


def wait_shown(
    control: Control, wanted: DesiredState, *, timeout_s: float, rest: Callable[[float], bool], say: Callable[[str], None]
) -> ObservedState:
    """Polls until the endpoint shows the wanted state, and returns the last state seen; not ready after a timeout or a stop.

    Args:
        timeout_s: longest wait in seconds.
        rest: pauses for a number of seconds; returns False when the run is being stopped.
        say: called with each new status sentence.

    Raises:
        ControlError: the endpoint cannot be polled, or can never reach the state.
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
