"""The options of a run, for the command line, the environment and the web UI. Times are in seconds."""

from __future__ import annotations

import argparse
import os
import resource
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from textwrap import indent
from typing import Any
from urllib.parse import urlsplit

from coldburst.data.data_set import DataSet
from coldburst.installation import analysis_program, own_or_given
from coldburst.keys import CHAT_KEY, RUNPOD_KEY, TRANSCRIPTION_KEY, read_key
from coldburst.option import Option, OptionError, attribute, parser
from coldburst.record import objectives, prices
from coldburst.schedule import replay
from coldburst.schedule import stages as schedule_module
from coldburst.schedule.retries import Retries
from coldburst.schedule.stages import Stage, parse, planned, text
from coldburst.targets import factory
from coldburst.targets.address import KINDS, infer
from coldburst.targets.factory import TargetFactory
from coldburst.targets.http import Timeouts
from coldburst.targets.queue_options import POLL_MODES
from coldburst.targets.row_payload import Rows
from coldburst.targets.transcript_shapes import SHAPES

DEFAULT_RUNS = "runs"
HELP, HELP_ALL = "--help-coldburst", "--help-all"
# The options that a user needs first: --help-coldburst shows these, --help-all shows all.
MAIN = (
    *("--schedule", "--max-in-flight", "--times", "--warm", "--arrivals", "--speed", "--levels", "--level", "--workers", "--concurrency"),
    *("--requests", "--objective", "--target", "--clips", "--input", "--deadline", "--retries", "--objectives", "--price"),
)
HOST_HELP = f"""\
Name the endpoint with --host: https://api.runpod.ai/v2/ID (RunPod queue), https://ID.api.runpod.ai (RunPod
load balancer), or any other service, such as https://example.com:8083. Without --host, an endpoint is started
on this machine. Keys are read from {RUNPOD_KEY}, {TRANSCRIPTION_KEY} and {CHAT_KEY} in the environment."""
SHORT_HELP = """\
A schedule is a list of stages:

    burst 30                  30 requests at once
    steady 60s 3/s poisson    3 requests a second for a minute, at random instants
    climb 2m 1/s..10/s        the rate grows in a straight line

Schedules: docs/reference/schedule.md. Objectives: docs/guides/ci.md.
All options: --help-all, or docs/reference/options.md."""
LONG_HELP = f"""\
Every option can also be set in the environment (COLDBURST_SEED=2 for --seed 2) and as an attribute of the
test class (seed = 2).

STAGES

{schedule_module.__doc__}
OBJECTIVES, a file such as

{indent(objectives.FILE_EXAMPLE, "    ")}
{objectives.HELP}"""
# The host of the endpoint that a run starts for itself; the same as no host.
EMBEDDED = "embedded"
DEMOS = ("real", "modelled")
MOST_REQUESTS = 10_000_000
# Of a stage whose number is random: each of its arrivals is drawn before the run, in 1.5 µs.
MOST_FREE = 1_000_000
MAY_BE_0 = ("--drain-timeout", "--execution-timeout", "--ttl", "--sample", "--hold-from")
# The options that a master sends to its generators contain the fingerprint of its data set under this name.
DATA_ID = "data_id"
# File descriptors kept free for everything except requests in flight.
SPARE_FILES = 100
# The choices of an option that may be given without a value, which then is "yes".
FLAG = ("no", "yes")


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The checked settings of one run. Times in seconds; ``host`` is "" for an embedded endpoint of that ``kind``.

    Attributes:
        data: its rows; None if nothing that is sent comes from any.
        own: whether the test's own ``request`` makes the requests.
    """

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
    data: DataSet | None = None
    own: bool = False


LOAD = (
    Option("--seed", 1, "N", "Random seed, such as 7: the same seed gives the same arrivals"),
    Option("--when-full", "wait", "", "At the in-flight limit, arrivals wait in line or are dropped", ("wait", "shed")),
    Option("--deadline", 300.0, "SECONDS", "Abandon a request, and cancel its job, this long after it was sent, such as 120"),
    Option("--connect-timeout", 10.0, "SECONDS", "Time limit to connect, TLS included, such as 5"),
    Option("--no-preflight", "no", "", "Send the load without checking first that the endpoint is there and accepts the key", FLAG),
    Option("--drain-timeout", 0.0, "SECONDS", "How long a stopped run waits for requests in flight, such as 30; 0: as long as --deadline"),
    Option("--retries", 0, "N", "Further attempts of a request that was throttled, rejected as busy or not connected, such as 3"),
    Option("--backoff", 1.0, "SECONDS", "Mean pause before the first retry; it doubles each time, and Retry-After is honoured"),
)
EXPECT = "'length(output.images) >= 2'"
SENT = (
    Option("--clips", "samples", "PATH", "Audio to send: a file, or a directory of clips with transcripts.csv"),
    Option("--expect", "auto", "EXPRESSIONS", f"Each must hold, or an answer is 'wrong', such as {EXPECT}; auto: not empty", repeats=True),
    Option("--error-at", "auto", "EXPRESSIONS", "Where answers hold errors, such as output.detail; auto: in common places", repeats=True),
    Option(
        "--unit", "", "NAME=EXPRESSION", "What to count in answers, such as images='length(output.images)'; its rate and price are reported"
    ),
    Option("--max-wer", "", "RATE", "A transcript with more errors per word is 'wrong', such as 0.3; empty: any; 'off': not compared"),
    Option(
        "--input", "", "FILE", "JSON body to send instead of clips, or its file; {{seq}}, {{audio_base64}}, columns of --data are filled"
    ),
    Option("--data", "", "PATH", "Rows that fill the template: JSONL, CSV, Parquet, or a directory of files, such as prompts.jsonl"),
    Option("--data-order", "rows", "", "Rows one after the other, or shuffled by --seed; over and over either way", ("rows", "shuffle")),
    Option(
        "--path",
        "",
        "ROUTE",
        "Route below the host; empty: /v1/audio/transcriptions, /v1/chat/completions or /v1/audio/speech, by the type",
    ),
    Option("--model", "", "NAME", "Model name to send; empty: whisper-1 for audio, tts-1 for speech, none for chat"),
    Option("--language", "en", "CODE", "Language to send, such as de; empty: not sent"),
    Option("--format", "json", "", "Shape of a transcript; stream: events, with the time to the first text", SHAPES),
    Option("--auth", "bearer", "", f"Header for the key in {TRANSCRIPTION_KEY}: Authorization or X-API-Key", ("bearer", "x-api-key")),
)
OBJECTS = (
    Option("--objects", "", "S3URL", "Upload each request's file there first; {{url}}, or {{bucket}} and {{key}}, in --input name it"),
    Option("--download", "", "EXPRESSION", "Fetch the objects of that store that an answer names, such as output.video_url"),
    Option("--objects-pool", 0, "N", "Connections that boto3 keeps, such as its default 10; 0: as many as are needed"),
    Option("--keep-objects", "no", "", "Leave the run's objects in the store", FLAG),
)
RUNPOD = (
    Option("--target", "auto", "", "Type of endpoint; auto detects it from --host", ("auto", *KINDS)),
    Option("--demo", "real", "", "Queue, without --host: workers on the SDK that recognise speech, or modelled ones (15 s)", DEMOS),
    Option("--poll", "auto", "", "Queue, video: poll /status, /status-sync (one long request) or /stream; auto: what suits", POLL_MODES),
    Option("--poll-share", 0.8, "SHARE", "Queue: part of the platform's poll limit (200/s for an endpoint) to use, such as 0.5"),
    Option("--execution-timeout", 0.0, "SECONDS", "Queue: executionTimeout of each job, such as 600; 0: the endpoint's setting"),
    Option("--ttl", 0.0, "SECONDS", "Queue: ttl of each job, from submission, such as 3600; 0: the platform's 24 hours"),
    Option("--cancel", "yes", "", "Queue and video: cancel jobs that the run abandons, because they would cost money", ("yes", "no")),
    Option("--hold-from", 110.0, "SECONDS", "Load balancer: a 400 after this long is the platform's time-out, an earlier one is 'refused'"),
    Option("--hold-to", 135.0, "SECONDS", "Load balancer: a 400 after more than this is 'refused' too"),
    Option("--sample", 2.0, "SECONDS", "Interval at which /health and the worker list are polled, such as 5; 0: never"),
    Option("--cold-after", 2.0, "SECONDS", "A worker's first answer counts as a cold start from this queue delay, such as 5"),
    Option(
        "--max-spend",
        0.0,
        "USD",
        "End the run when its workers have cost this much, such as 2.00: purge the queue, stop the workers; 0: no limit",
    ),
    Option(
        "--price",
        "",
        "GPU|USD",
        "Cost of an endpoint worker: a GPU, such as 4090 (RunPod's flex price), or USD per second, such as 0.00031",
    ),
    Option("--yes", "no", "", "Agree to what a run costs, and to a sweep's changes of an endpoint, without being asked", FLAG),
)
RESULTS = (
    Option("--runs", DEFAULT_RUNS, "DIR", "Directory for results; it must exist, unless it is the default"),
    Option("--objectives", "", "FILE", "Objectives, such as objectives.toml; they decide the exit code and may end the run early"),
    Option("--figures", "yes", "", f"Draw figures in the report (2 s); {analysis_program()} report can draw them later", ("yes", "no")),
    Option("--report", "yes", "", "Make the report when a headless run ends; no: keep the rows, and make it later", ("yes", "no")),
    Option("--exit-code-on-verdict", "yes", "", "Exit with 4 for a degraded and 5 for an invalid verdict", ("yes", "no")),
)
GROUPS: Mapping[str, tuple[Option, ...]] = {
    "load and limits": LOAD,
    "requests": SENT,
    "object storage": OBJECTS,
    "RunPod endpoints": RUNPOD,
    "results": RESULTS,
}
OPTIONS = tuple(option for group in GROUPS.values() for option in group)


def add(parser: Any, groups: Mapping[str, Sequence[Option]], main: Sequence[str] = MAIN) -> None:
    """Adds options to an argparse parser, such as Locust's, in groups by title.

    Args:
        main: the options that the short help shows.
    """
    _add_groups(parser, groups)
    section = parser.add_argument_group("coldburst, help")
    for flag, names, what in ((HELP, main, "Show the main options of coldburst"), (HELP_ALL, (), "Show all options of coldburst")):
        section.add_argument(flag, action=_Explain, groups=groups, names=names, nargs=0, dest=argparse.SUPPRESS, help=what)


def _add_groups(parser: Any, groups: Mapping[str, Sequence[Option]]) -> None:
    for title, group in groups.items():
        section = parser.add_argument_group(f"coldburst, {title}")
        for option in group:
            _add(section, option)


def _add(section: Any, option: Option) -> None:
    values: dict[str, Any] = {"choices": option.choices} if option.choices else {"metavar": option.metavar}
    default = f" (default {option.default})" if option.default != "" else ""
    if option.choices == FLAG:
        values |= {"nargs": "?", "const": "yes"}
    if option.repeats:
        values["action"] = _Joined
    action = section.add_argument(option.name, type=parser(option), default=option.default, help=f"{option.what}{default}", **values)
    # Locust's own add_argument sets these, a group's does not: without them the web UI shows no field.
    action.include_in_web_ui, action.is_secret, action.is_required, action.is_multiple = True, False, False, False
    action.env_var = f"COLDBURST_{attribute(option).upper()}"


class _Joined(argparse.Action):
    """Keeps the values of an option that is given several times as one text; the first replaces the default."""

    _given_in: argparse.Namespace | None = None

    def __call__(self, _parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        before = f"{getattr(namespace, self.dest)}; " if self._given_in is namespace else ""
        self._given_in = namespace
        setattr(namespace, self.dest, before + values)


class _Explain(argparse.Action):
    """Prints the help of the options with these names (none: of all), because Locust prints --help before it reads a locustfile."""

    def __init__(self, groups: Mapping[str, Sequence[Option]], names: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._groups, self._names = groups, names

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        groups = self._groups
        if self._names:
            groups = {"main options": [option for group in groups.values() for option in group if option.name in self._names]}
        alone = argparse.ArgumentParser(
            usage="locust -f LOCUSTFILE [--headless] [--host URL] [options]",
            description=HOST_HELP,
            epilog=SHORT_HELP if self._names else LONG_HELP,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=False,
        )
        _add_groups(alone, groups)
        alone.print_help()
        parser.exit()


def check(
    options: Mapping[str, Any],
    stages: tuple[Stage, ...] | None = None,
    *,
    confined: bool = False,
    own: Callable[[Any], object] | None = None,
) -> RunPlan:
    """The plan for ``options`` (by name, with ``host``); ``stages`` replace --schedule.

    Args:
        confined: whether rows of --data may name only files beside it.
        own: the test's own ``request``, if it has one.

    Raises:
        ValueError: an option is wrong.
    """
    stages = stages or parse(str(options["schedule"]))
    count = _count(stages, options["seed"])
    for option in OPTIONS:
        value = options[attribute(option)]
        if option.choices and value not in option.choices:
            raise OptionError(f"{option.name} '{value}' is not one of {', '.join(option.choices)}")
        if option.metavar == "SECONDS" and not (0 < value < float("inf") or (value == 0 and option.name in MAY_BE_0)):
            raise OptionError(f"{option.name} {value:g} must be a positive duration, as in {option.default or 300:g}")
    if options["retries"] < 0:
        raise OptionError(f"--retries {options['retries']} must be 0 or more, as in --retries 3")
    if options["price"]:
        prices.read(options["price"], date.today())
    host = _host(str(options.get("host") or ""))
    kind = factory.kind(host, options["target"])
    if options["demo"] != DEMOS[0] and (host or kind != "queue"):
        other = "--host" if host else "--target"
        raise OptionError(f"--demo {options['demo']} starts a queue endpoint of its own: leave out {other}, or --demo")
    rows = _rows(options, count, confined)
    return RunPlan(
        host=host,
        kind=kind,
        schedule=stages,
        seed=options["seed"],
        planned=count,
        max_in_flight=_in_flight(options["max_in_flight"], stages),
        shed=options["when_full"] == "shed",
        limits=Timeouts(options["connect_timeout"], options["deadline"], options["deadline"]),
        drain_s=options["drain_timeout"] or options["deadline"],
        retries=Retries(options["retries"], options["backoff"]),
        sample_s=options["sample"],
        cold_after_s=options["cold_after"],
        make_target=factory.prepare(kind, options, rows, own),
        runs=_runs(Path(options["runs"])),
        options=dict(options) | ({DATA_ID: rows.data.fingerprint()} if rows else {}),
        data=rows.data if rows and rows.used else None,
        own=own is not None,
    )


def _rows(options: Mapping[str, Any], planned: int | None, confined: bool) -> Rows | None:
    """The data set of --data, or the rows of a trace of arrivals; None without.

    Raises:
        ValueError: it cannot be used, or a generator's is not the master's.
    """
    chosen, arrivals = str(options["data"]), str(options.get("arrivals", ""))
    if chosen:
        data = DataSet(own_or_given(chosen), order=options["data_order"], seed=options["seed"], confined=confined)
    elif arrivals and not replay.is_run(place := own_or_given(arrivals)) and replay.has_values(place):
        data = DataSet(place, confined=confined, positions=replay.positions(options))
    else:
        return None
    if options.get(DATA_ID, data.fingerprint()) != data.fingerprint():
        raise OptionError(f"'{data.path}' is not the same file as on the master: copy the master's here")
    return Rows(data, planned, bool(chosen))


def _count(stages: tuple[Stage, ...], seed: int) -> int | None:
    if (expected := sum(stage.expected for stage in stages)) > MOST_REQUESTS:
        raise OptionError(f"--schedule '{text(stages)}' plans {expected:.3g} requests; a run sends at most {MOST_REQUESTS:,}")
    free = next((stage for stage in stages if stage.free and stage.expected > MOST_FREE), None)
    if free:
        raise OptionError(
            f"stage '{free}' draws {free.expected:.3g} requests at random, at most {MOST_FREE:,} are possible: leave out 'free'"
        )
    count = planned(stages, seed)
    if count == 0:
        raise OptionError(f"--schedule '{text(stages)}' plans no requests: raise a rate, a count or a duration")
    return count


def key(plan: RunPlan) -> str:
    """The API key for the endpoint of ``plan``, from the environment. Raises OptionError if it does not fit in a header."""
    return read_key(key_variable(plan))


def key_variable(plan: RunPlan) -> str:
    """The environment variable with the key for the endpoint of ``plan``."""
    return factory.key_variable(infer(plan.host, plan.kind))


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
        raise OptionError(
            f"--host contains a user name or password: leave it out; the key is read from {RUNPOD_KEY} or {TRANSCRIPTION_KEY}"
        )
    if not usable or url.query or url.fragment or any(map(str.isspace, host)):
        form = "scheme, name and port, as in http://127.0.0.1:8083 or https://example.com"
        if host.isascii() and host.isalnum() and any(map(str.isdigit, host)):
            form = f"https://api.runpod.ai/v2/{host}, if it is the id of a RunPod endpoint"
        raise OptionError(f"--host '{host}' is not an address: write {form}")
    return host.rstrip("/")


def _in_flight(cap: int, stages: tuple[Stage, ...]) -> int:
    if cap < 1:
        raise OptionError(f"--max-in-flight {cap} sends nothing: use 1 or more, as in 15")
    most = max([cap, *(stage.concurrency or 0 for stage in stages)])
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit != resource.RLIM_INFINITY and most + SPARE_FILES > limit:
        raise OptionError(
            f"{most} requests in flight need {most + SPARE_FILES} open files, but this process may open {limit}: "
            "lower --max-in-flight or raise 'ulimit -n'"
        )
    return cap


def _runs(folder: Path) -> Path:
    if str(folder) == DEFAULT_RUNS:
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise OptionError(f"could not create the directory '{folder}': {error.strerror}; name another with --runs") from error
    if not folder.is_dir():
        raise OptionError(f"--runs '{folder}' is not a directory: create it (mkdir -p {folder}), or leave the option out for 'runs'")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OptionError(f"--runs '{folder}' is not writable: name a directory that you may write to")
    return folder
