"""What a run can be told: options on the command line, fields in the web UI. Times in seconds."""

from __future__ import annotations

import argparse
import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from rig import schedule as schedule_module
from rig.schedule import Stage, parse, planned
from rig.transcription import KEY_VARIABLE, Asking, Clip, load_clips
from rig.wire import Limits

DEFAULT_RUNS = "runs"
HELP = "--help-coldburst"
BESIDES = f"""\
The endpoint is named by Locust's own --host, as in --host https://example.com:8083; without it, a
transcription service of this project's own is started on this machine and stopped again.
The key of a closed service is read from {KEY_VARIABLE} in the environment, and from nowhere else."""
EMBEDDED = "embedded"
"""The host that stands for the endpoint that a run starts for itself; no host at all means the same."""
MOST_REQUESTS = 10_000_000
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


class Option(NamedTuple):
    """One option. Its default has its type: the web UI's form casts to it."""

    name: str
    default: str | int | float
    metavar: str
    what: str
    choices: tuple[str, ...] | None = None


OPTIONS = (
    Option("--seed", 1, "N", "Seed of everything random: the same seed gives the same arrivals"),
    Option("--when-full", "wait", "", "What an arrival does at the in-flight cap: wait in line, or be shed", ("wait", "shed")),
    Option("--deadline", 300.0, "SECONDS", "From sending until a request is abandoned"),
    Option("--connect-timeout", 10.0, "SECONDS", "To connect, TLS included"),
    Option("--first-byte-timeout", 300.0, "SECONDS", "From sending to the answer's headers"),
    Option("--drain-timeout", 60.0, "SECONDS", "How long a stopped run waits for what is in flight; Ctrl-C again cuts it"),
    Option("--clips", "samples", "PATH", "Audio to send: a file, or a directory of clips with transcripts.csv"),
    Option("--model", "whisper-1", "NAME", "Form field 'model'; many services ignore it"),
    Option("--language", "en", "CODE", "Form field 'language'; empty: not sent"),
    Option("--path", "/v1/audio/transcriptions", "PATH", "Transcription route below the host"),
    Option("--auth", "bearer", "", f"How the key in {KEY_VARIABLE} travels: Bearer or X-API-Key", ("bearer", "x-api-key")),
    Option("--max-wer", "0.5", "RATE", "Word error rate above which an answer is 'wrong', where the clip's text is known, or 'off'"),
    Option("--runs", DEFAULT_RUNS, "DIR", "Where the run's directory is made; only the default is made if missing"),
)


def add(parser: Any, question: str, schedule: str, max_in_flight: int) -> None:
    """Adds the options to Locust's parser (or another of argparse)."""
    group = parser.add_argument_group("coldburst", "What to send, how, and where the results go.")
    load = (
        Option("--schedule", schedule, "STAGES", "Load, stage by stage"),
        Option("--max-in-flight", max_in_flight, "N", "Requests in flight at most (open loop; a closed loop has its own number)"),
    )
    for option in (*load, *OPTIONS):
        values: dict[str, Any] = {"choices": option.choices} if option.choices else {"metavar": option.metavar}
        action = group.add_argument(
            option.name, type=type(option.default), default=option.default, help=f"{option.what} (default {option.default})", **values
        )
        # What Locust's own add_argument would note; a group's does not, and the web UI would show no field.
        action.include_in_web_ui, action.is_secret, action.is_required, action.is_multiple = True, False, False, False
    explain = {"question": question, "schedule": schedule, "max_in_flight": max_in_flight}
    group.add_argument(HELP, action=_Explain, explain=explain, nargs=0, dest=argparse.SUPPRESS, help="Show these options alone, and exit")


class _Explain(argparse.Action):
    """Prints the help of these options: Locust's own --help is printed before it reads a locustfile."""

    def __init__(self, explain: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._explain = explain

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        alone = argparse.ArgumentParser(
            prog=f"locust -f locustfiles/{self._explain['question']}.py",
            usage="%(prog)s [--headless] [--host URL] [options]",
            description=__doc__,
            epilog=f"STAGES\n\n{schedule_module.__doc__}\n{BESIDES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=False,
        )
        add(alone, **self._explain)
        alone.print_help()
        parser.exit()


def names() -> tuple[str, ...]:
    """The options' names as attributes of Locust's parsed options."""
    return ("schedule", "max_in_flight", *(option.name.removeprefix("--").replace("-", "_") for option in OPTIONS))


def check(options: Mapping[str, Any]) -> Plan:
    """The plan that ``options`` (by name, with ``host``) ask for.

    Raises:
        ValueError: one sentence that names what is wrong and what would be right.
    """
    stages = parse(str(options["schedule"]))
    if (expected := sum(stage.expected for stage in stages)) > MOST_REQUESTS:
        raise PlanError(f"--schedule '{options['schedule']}' asks for {expected:.3g} requests: one run sends at most {MOST_REQUESTS:,}")
    count = planned(stages, options["seed"])
    if count == 0:
        raise PlanError(f"--schedule '{options['schedule']}' asks for no request at all: raise a rate, a count or a duration")
    for option in OPTIONS:
        value = options[option.name.removeprefix("--").replace("-", "_")]
        if option.choices and value not in option.choices:
            raise PlanError(f"{option.name} '{value}' is not one of {', '.join(option.choices)}")
    for name in ("deadline", "connect_timeout", "first_byte_timeout", "drain_timeout"):
        if not 0 < options[name] < float("inf"):
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
    if host in ("", EMBEDDED):
        return ""
    try:
        url = urlsplit(host)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
        (url.hostname or "").encode("idna")
    except ValueError:
        url, usable = urlsplit(""), False
    if url.username or url.password:
        raise PlanError(f"--host holds a name or password: leave it out, the key is read from {KEY_VARIABLE}")
    if not usable or url.query or url.fragment or any(map(str.isspace, host)):
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
