"""The options of a run, on the command line, in the environment and in the web UI. Times are in seconds."""

from __future__ import annotations

import argparse
import os
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from textwrap import indent
from typing import Any
from urllib.parse import urlsplit

from coldburst.installation import analysis_program
from coldburst.keys import RUNPOD_KEY, TRANSCRIPTION_KEY, read_key
from coldburst.load.retries import Retries
from coldburst.option import Option, OptionError, attribute
from coldburst.record import objectives, prices
from coldburst.schedule import stages as schedule_module
from coldburst.schedule.stages import Stage, parse, planned, text
from coldburst.targets import factory
from coldburst.targets.address import KINDS, infer
from coldburst.targets.factory import TargetFactory
from coldburst.targets.http import Timeouts

DEFAULT_RUNS = "runs"
HELP = "--help-coldburst"
BESIDES = f"""\
Name the endpoint with Locust's --host: https://api.runpod.ai/v2/ID (a queue endpoint),
https://ID.api.runpod.ai (a load balancer), or any other service, such as https://example.com:8083.
Its type is detected from the URL; override it with --target. Without a host, an endpoint of that type
(by default a queue) is started on this machine, with workers of its own, and stopped afterwards.
Keys are read from {RUNPOD_KEY} and {TRANSCRIPTION_KEY} in the environment, and from nowhere else.
Each option can be set in the environment too (COLDBURST_SEED=2 for --seed 2), and as an attribute of
the test class (seed = 2).

OBJECTIVES, a file such as

{indent(objectives.FILE_EXAMPLE, "    ")}
{objectives.HELP}"""
EMBEDDED = "embedded"
"""The host that stands for the endpoint that a run starts for itself; no host at all means the same."""
MOST_REQUESTS = 10_000_000
MAY_BE_0 = ("--drain-timeout", "--execution-timeout", "--ttl", "--sample", "--hold-from")
SPARE_FILES = 100
"""File descriptors left for everything but the requests in flight."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One run's settings, checked. Times in seconds; ``host`` is "" for the embedded endpoint of that ``kind``."""

    host: str
    kind: str
    make_target: TargetFactory
    schedule: tuple[Stage, ...]
    seed: int
    planned: int | None
    max_in_flight: int
    shed: bool
    limits: Timeouts
    drain_s: float
    retries: Retries
    sample_s: float
    cold_after_s: float
    runs: Path
    options: Mapping[str, Any]


PLENTY = (
    Option("--seed", 1, "N", "Random seed: the same seed gives the same arrivals"),
    Option("--when-full", "wait", "", "What happens to arrivals at the in-flight limit: they wait in line, or are shed", ("wait", "shed")),
    Option("--deadline", 300.0, "SECONDS", "Time from sending until a request is abandoned, and its job cancelled"),
    Option("--connect-timeout", 10.0, "SECONDS", "Time to connect, TLS included"),
    Option("--first-byte-timeout", 300.0, "SECONDS", "Time from sending to the headers of the response"),
    Option("--drain-timeout", 0.0, "SECONDS", "How long a stopped run waits for what is in flight; 0: as --deadline; Ctrl-C again cuts it"),
    Option("--retries", 0, "N", "Further tries of a request that was throttled, found no room or no connection; each is a row of its own"),
    Option("--backoff", 1.0, "SECONDS", "Mean pause before the second try; it doubles from try to try, and Retry-After is honoured"),
)
SENT = (
    Option("--clips", "samples", "PATH", "Audio to send: a file, or a directory of clips with transcripts.csv"),
    Option("--max-wer", "0.5", "RATE", "Word error rate above which an answer is 'wrong', where the clip's text is known, or 'off'"),
    Option("--input", "", "FILE", "JSON to send instead of the clips; it may hold {{seq}}, {{name}}, {{audio_base64}} (README)"),
    Option("--path", "/v1/audio/transcriptions", "ROUTE", "Route below the host (transcription services, load balancers)"),
    Option("--method", "POST", "VERB", "Verb of a load balancer's route"),
    Option("--model", "whisper-1", "NAME", "Form field 'model' of a transcription; many services ignore it"),
    Option("--language", "en", "CODE", "Form field 'language' of a transcription; empty: not sent"),
    Option("--auth", "bearer", "", f"How the key in {TRANSCRIPTION_KEY} travels: Bearer or X-API-Key", ("bearer", "x-api-key")),
)
RUNPOD = (
    Option("--target", "auto", "", "Type of endpoint; auto detects it from the host", ("auto", *KINDS)),
    Option("--submit", "run", "", "Queue: submit by /run and poll, or by /runsync", ("run", "runsync")),
    Option("--poll", "auto", "", "Queue: long polls (/status-sync) where they have room, or one kind", ("auto", "status", "status-sync")),
    Option("--poll-interval", 1.0, "SECONDS", "Queue: shortest interval between two polls of a job; all jobs share the platform's limit"),
    Option("--poll-share", 0.8, "SHARE", "Queue: part of the platform's limit on polls (200/s an endpoint) that the run uses"),
    Option("--execution-timeout", 0.0, "SECONDS", "Queue: the job's policy.executionTimeout; 0: the endpoint's own"),
    Option("--ttl", 0.0, "SECONDS", "Queue: the job's policy.ttl, from submission; 0: the platform's day"),
    Option("--error-at", "error,output.error", "PATHS", "Fields of a JSON response in which an error makes the request 'failed'"),
    Option(
        "--cancel", "yes", "", "Queue: cancel jobs that the run abandoned or left behind (they would go on costing money)", ("yes", "no")
    ),
    Option("--affinity", "", "WORKER", "Load balancer: the endpoint worker to send to: ID, 'strict ID' or 'strict-resume ID'"),
    Option("--hold-from", 110.0, "SECONDS", "Load balancer: a 400 after this long is the platform's time-out, a faster one 'refused'"),
    Option("--hold-to", 135.0, "SECONDS", "Load balancer: … up to this long"),
    Option("--sample", 2.0, "SECONDS", "How often /health and the worker list are polled for endpoint.csv; 0: never"),
    Option("--cold-after", 2.0, "SECONDS", "Wait from which an endpoint worker's first answer counts as a cold start"),
    Option("--price", "", "GPU|USD", "What a worker costs: a GPU, as in 4090 (RunPod's flex price), or USD a second, as in 0.00031"),
)
RESULTS = (
    Option("--runs", DEFAULT_RUNS, "DIR", "Where the run's directory is made; only the default is made if missing"),
    Option("--objectives", "", "FILE", "What the run must achieve, as TOML (below); decides the exit code, and may end the run early"),
    Option(
        "--figures",
        "yes",
        "",
        f"Whether the report draws its figures (2 s); {analysis_program()} report can draw them later",
        ("yes", "no"),
    ),
    Option("--exit-code-on-verdict", "yes", "", "Whether a degraded verdict ends with code 4, an invalid one with 5", ("yes", "no")),
)
GROUPS: Mapping[str, tuple[Option, ...]] = {
    "the load, and its limits": PLENTY,
    "what is sent": SENT,
    "RunPod endpoints": RUNPOD,
    "results": RESULTS,
}
OPTIONS = tuple(option for group in GROUPS.values() for option in group)


def add(parser: Any, groups: Mapping[str, Sequence[Option]]) -> None:
    """Adds options, by the title of their group, to Locust's parser (or another of argparse)."""
    for title, group in groups.items():
        section = parser.add_argument_group(f"coldburst, {title}")
        for option in group:
            _add(section, option)
    section.add_argument(HELP, action=_Explain, groups=groups, nargs=0, dest=argparse.SUPPRESS, help="Show these options alone, and exit")


def _add(section: Any, option: Option) -> None:
    values: dict[str, Any] = {"choices": option.choices} if option.choices else {"metavar": option.metavar}
    default = f" (default {option.default})" if option.default != "" else ""
    action = section.add_argument(option.name, type=type(option.default), default=option.default, help=f"{option.what}{default}", **values)
    # What Locust's own add_argument would note; a group's does not, and the web UI would show no field.
    action.include_in_web_ui, action.is_secret, action.is_required, action.is_multiple = True, False, False, False
    action.env_var = f"COLDBURST_{attribute(option).upper()}"


class _Explain(argparse.Action):
    """Prints the help of these options: Locust's own --help is printed before it reads a locustfile."""

    def __init__(self, groups: Mapping[str, Sequence[Option]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._groups = groups

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        alone = argparse.ArgumentParser(
            usage="locust -f LOCUSTFILE [--headless] [--host URL] [options]",
            description=__doc__,
            epilog=f"STAGES\n\n{schedule_module.__doc__}\n{BESIDES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=False,
        )
        add(alone, self._groups)
        alone.print_help()
        parser.exit()


def check(options: Mapping[str, Any], stages: tuple[Stage, ...] | None = None) -> RunPlan:
    """The plan that ``options`` (by name, with ``host``) ask for; ``stages`` in the place of a text's where the test makes them.

    Raises:
        ValueError: one sentence that names what is wrong and what would be right.
    """
    stages = stages or parse(str(options["schedule"]))
    count = _count(stages, options["seed"])
    for option in OPTIONS:
        value = options[attribute(option)]
        if option.choices and value not in option.choices:
            raise OptionError(f"{option.name} '{value}' is not one of {', '.join(option.choices)}")
        if option.metavar == "SECONDS" and not (0 < value < float("inf") or (value == 0 and option.name in MAY_BE_0)):
            raise OptionError(f"{option.name} {value:g} is no stretch of time: give seconds above 0, as in {option.default or 300:g}")
    if options["retries"] < 0:
        raise OptionError(f"--retries {options['retries']} is no number of tries: give 0 or more, as in 3")
    if options["price"]:
        prices.read(options["price"], date.today())
    host = _host(str(options.get("host") or ""))
    kind = factory.kind(host, options["target"])
    return RunPlan(
        host=host,
        kind=kind,
        schedule=stages,
        seed=options["seed"],
        planned=count,
        max_in_flight=_in_flight(options["max_in_flight"], stages),
        shed=options["when_full"] == "shed",
        limits=Timeouts(options["connect_timeout"], min(options["first_byte_timeout"], options["deadline"]), options["deadline"]),
        drain_s=options["drain_timeout"] or options["deadline"],
        retries=Retries(options["retries"], options["backoff"]),
        sample_s=options["sample"],
        cold_after_s=options["cold_after"],
        make_target=factory.prepare(kind, options),
        runs=_runs(Path(options["runs"])),
        options=dict(options),
    )


def _count(stages: tuple[Stage, ...], seed: int) -> int | None:
    if (expected := sum(stage.expected for stage in stages)) > MOST_REQUESTS:
        raise OptionError(f"--schedule '{text(stages)}' asks for {expected:.3g} requests: one run sends at most {MOST_REQUESTS:,}")
    count = planned(stages, seed)
    if count == 0:
        raise OptionError(f"--schedule '{text(stages)}' asks for no request at all: raise a rate, a count or a duration")
    return count


def key(plan: RunPlan) -> str:
    """The API key for the endpoint of ``plan``, from the environment only.

    Raises:
        OptionError: it holds what cannot stand in a header; the message does not show it.
    """
    return read_key(key_variable(plan))


def key_variable(plan: RunPlan) -> str:
    """The environment variable that holds the key for the endpoint of ``plan``."""
    of_runpod = plan.kind != "transcription" or (plan.host and infer(plan.host, plan.kind).endpoint_id)
    return RUNPOD_KEY if of_runpod else TRANSCRIPTION_KEY


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
        raise OptionError(f"--host holds a name or password: leave it out, the key is read from {RUNPOD_KEY} or {TRANSCRIPTION_KEY}")
    if not usable or url.query or url.fragment or any(map(str.isspace, host)):
        raise OptionError(f"--host '{host}' is no address: write scheme, name and port, as in http://127.0.0.1:8083 or https://example.com")
    return host.rstrip("/")


def _in_flight(cap: int, stages: tuple[Stage, ...]) -> int:
    if cap < 1:
        raise OptionError(f"--max-in-flight {cap} lets nothing out: give 1 or more, as in 15")
    most = max([cap, *(stage.concurrency or 0 for stage in stages)])
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit != resource.RLIM_INFINITY and most + SPARE_FILES > limit:
        raise OptionError(
            f"{most} requests in flight need {most + SPARE_FILES} open files, and this process may have {limit}: "
            "lower --max-in-flight or raise 'ulimit -n'"
        )
    return cap


def _runs(folder: Path) -> Path:
    if str(folder) == DEFAULT_RUNS:
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OptionError(f"cannot make the directory '{folder}' here: {error.strerror}; name another with --runs") from error
    if not folder.is_dir():
        raise OptionError(f"--runs '{folder}' is no directory: make it first (mkdir -p {folder}), or leave the option out for 'runs'")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OptionError(f"--runs '{folder}' is not writable: name a directory of yours")
    return folder
