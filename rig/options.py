"""What a run can be told: the command-line options (and web UI fields), checked into a Plan."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rig.schedule import Stage, parse, planned
from rig.transcription import KEY_VARIABLE, Asking, Clip, load_clips
from rig.wire import Limits

DEFAULT_RUNS = "runs"
SPARE_FILES = 100
"""File descriptors left for everything but the requests in flight."""


class PlanError(ValueError):
    """An option cannot be used; the message names it and a right one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One run's settings, checked. Times in seconds; ``host`` is "" for the embedded endpoint."""

    host: str
    schedule: tuple[Stage, ...]
    seed: int
    planned: int | None
    max_in_flight: int
    shed: bool
    limits: Limits
    drain_s: float
    clips: list[Clip]
    asking: Asking
    runs: Path
    options: Mapping[str, Any]


_OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--seed", {"type": int, "default": 1, "help": "Seed of everything random: the same seed gives the same arrivals (default 1)"}),
    (
        "--when-full",
        {"choices": ["wait", "shed"], "default": "wait", "help": "What an arrival does at the in-flight cap: wait in line, or be shed"},
    ),
    ("--deadline", {"type": float, "default": 300.0, "help": "Seconds until a request is abandoned, from its sending (default 300)"}),
    ("--connect-timeout", {"type": float, "default": 10.0, "help": "Seconds to connect, TLS included (default 10)"}),
    ("--first-byte-timeout", {"type": float, "default": 300.0, "help": "Seconds from sending to the answer's headers (default 300)"}),
    (
        "--drain-timeout",
        {"type": float, "default": 60.0, "help": "Seconds that a stopped run waits for what is in flight (default 60; Ctrl-C again cuts)"},
    ),
    ("--clips", {"default": "samples", "help": "Audio to send: a file, or a directory of clips with transcripts.csv (default samples)"}),
    ("--model", {"default": "whisper-1", "help": "Form field 'model' (default whisper-1; many services ignore it)"}),
    ("--language", {"default": "en", "help": "Form field 'language' (default en; empty: not sent)"}),
    ("--path", {"default": "/v1/audio/transcriptions", "help": "Path of the transcription route below the host"}),
    (
        "--auth",
        {"choices": ["bearer", "x-api-key"], "default": "bearer", "help": f"How the key in {KEY_VARIABLE} travels: Bearer or X-API-Key"},
    ),
    (
        "--max-wer",
        {
            "default": "0.5",
            "help": "Word error rate above which an answer is 'wrong', where the clip's text is known, or 'off' (default 0.5)",
        },
    ),
    ("--runs", {"default": DEFAULT_RUNS, "help": "Directory for the run's results (default runs, made if missing)"}),
)


def add(parser: Any, schedule: str, max_in_flight: int) -> None:
    """Adds the options to Locust's parser; each has a typed default, because the web UI casts to the default's type."""
    group = parser.add_argument_group("coldburst", "What to send, how, and where the results go. Times in seconds.")
    example = "'warm 20s 1/s, steady 60s 3/s poisson', 'burst 30', 'level 60s 4 at a time'"
    load: tuple[tuple[str, dict[str, Any]], ...] = (
        ("--schedule", {"default": schedule, "help": f"Stages of load, as in {example} (default '{schedule}')"}),
        ("--max-in-flight", {"type": int, "default": max_in_flight, "help": f"Requests in flight at most (default {max_in_flight})"}),
    )
    for name, how in (*load, *_OPTIONS):
        action = group.add_argument(name, **how)
        # What Locust's own add_argument would note; a group's does not, and the web UI would show no field.
        action.include_in_web_ui, action.is_secret, action.is_required, action.is_multiple = True, False, False, False


def names() -> tuple[str, ...]:
    """The options' names as attributes of Locust's parsed options."""
    return ("schedule", "max_in_flight", *(name.removeprefix("--").replace("-", "_") for name, _ in _OPTIONS))


def check(options: Mapping[str, Any]) -> Plan:
    """The plan that ``options`` (by name, with ``host``) ask for.

    Raises:
        ValueError: one sentence that names what is wrong and what would be right.
    """
    stages = parse(str(options["schedule"]))
    count = planned(stages, options["seed"])
    if count == 0:
        raise PlanError(f"--schedule '{options['schedule']}' asks for no request at all: raise a rate, a count or a duration")
    for name in ("deadline", "connect_timeout", "first_byte_timeout", "drain_timeout"):
        if not options[name] > 0:
            raise PlanError(f"--{name.replace('_', '-')} {options[name]:g} is no stretch of time: give seconds above 0, as in 300")
    path = str(options["path"])
    if not path.startswith("/") or not path.isprintable() or " " in path:
        raise PlanError(f"--path '{path}' is no path: it begins with a slash, as in /v1/audio/transcriptions")
    return Plan(
        host=_host(str(options.get("host") or "")),
        schedule=stages,
        seed=options["seed"],
        planned=count,
        max_in_flight=_in_flight(options["max_in_flight"], stages),
        shed=options["when_full"] == "shed",
        limits=Limits(options["connect_timeout"], min(options["first_byte_timeout"], options["deadline"]), options["deadline"]),
        drain_s=options["drain_timeout"],
        clips=load_clips(Path(options["clips"])),
        asking=Asking(path, options["model"], options["language"], options["auth"], _max_wer(str(options["max_wer"]))),
        runs=_runs(Path(options["runs"])),
        options={name: options[name] for name in names()},
    )


def key() -> str:
    """The API key, from the environment only.

    Raises:
        PlanError: it holds what cannot stand in a header; the message does not show it.
    """
    value = os.environ.get(KEY_VARIABLE, "").strip()
    if not (value.isascii() and value.isprintable()):
        raise PlanError(f"the key in {KEY_VARIABLE} holds a character that cannot stand in a header: set it again, without line breaks")
    return value


def _host(host: str) -> str:
    if not host:
        return ""
    url = urlsplit(host)
    try:
        usable = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        usable = False
    if url.username or url.password:
        raise PlanError(f"--host holds a name or password: leave it out, the key is read from {KEY_VARIABLE}")
    if not usable or url.query or url.fragment:
        raise PlanError(f"--host '{host}' is no address: write scheme, name and port, as in http://127.0.0.1:8083 or https://example.com")
    return host.rstrip("/")


def _in_flight(cap: int, stages: tuple[Stage, ...]) -> int:
    if cap < 1:
        raise PlanError(f"--max-in-flight {cap} lets nothing out: give 1 or more, as in 15")
    most = max([cap, *(stage.concurrency or 0 for stage in stages)])
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit != resource.RLIM_INFINITY and most + SPARE_FILES > limit:
        raise PlanError(
            f"{most} requests in flight need {most + SPARE_FILES} open files, and this process may have {limit}: "
            "lower --max-in-flight or raise 'ulimit -n'"
        )
    return cap


def _max_wer(text: str) -> float | None:
    if text == "off":
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise PlanError(f"--max-wer '{text}' is no word error rate: give a number from 0 up, as in 0.5, or 'off'")
    return value


def _runs(folder: Path) -> Path:
    if str(folder) == DEFAULT_RUNS:
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise PlanError(f"cannot make the directory '{folder}' here: {error.strerror}; name another with --runs") from error
    if not folder.is_dir():
        raise PlanError(f"--runs '{folder}' is no directory: make it first (mkdir -p {folder}), or leave the option out for 'runs'")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PlanError(f"--runs '{folder}' is not writable: name a directory of yours")
    return folder
