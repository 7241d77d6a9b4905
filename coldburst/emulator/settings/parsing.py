"""Reads the command line and the configuration file into checked records, with the parameters of --platform.

Each error is one sentence.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from coldburst.emulator.settings import arguments
from coldburst.emulator.settings.arguments import KINDS, SCALERS
from coldburst.emulator.settings.configuration_file import read_configuration
from coldburst.emulator.settings.endpoint_specs import EmulatorOptions, EndpointSpec, WorkerSpec
from coldburst.emulator.settings.fault_notation import Fault, FaultError, parse_fault
from coldburst.serverless.errors import PolicyError
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.platform_settings import parameter_rows, platform_with
from coldburst.serverless.policy import Policy
from coldburst.serverless.simulation.token_generation import TokenRate
from coldburst.transcriber import recognisers

EMULATOR_PARAMETERS = (
    ("--poll-hold", "20", "s", "unverified", "how long a worker's poll for jobs is held", "GP18: seconds; the SDK waits for 90"),
    ("--webhook-waits", "5,15", "s", "measured", "pauses before the 2nd and 3rd try of a webhook", "live; the documents say 10"),
    ("--health-every", "1", "s", "unverified", "time between two health checks of a ready balancer worker", "not published"),
    ("--health-failures", "3", "", "unverified", "consecutive failed checks that take it out of service", "not published"),
    ("--health-timeout", "5", "s", "unverified", "time-out of a health check", "not published"),
    ("--webhook-timeout", "10", "s", "unverified", "time-out of one try of a webhook", "not published"),
    ("--too-large-status", "413", "", "unverified", "status for a body that is too large", "not published"),
    ("--grace", "3", "s", "unverified", "time from a worker's SIGTERM to its SIGKILL", "not published"),
    ("--management-per-minute", "60", "requests", "documented", "REST v2 requests per minute", "the example of its specification"),
)
"""Parameters of the platform that have options of their own."""
RESERVED = ("serverless",)
"""Paths below /v2 that are not endpoints."""


def parse(words: Sequence[str] | None = None) -> tuple[EmulatorOptions, tuple[EndpointSpec, ...]]:
    """The emulator's options and its endpoints; exits with code 2 and one sentence on stderr where they are invalid."""
    words = list(sys.argv[1:] if words is None else words)
    parser = arguments.full_parser()
    if "help" in parser.parse_args(words).platform:
        print(platform_table(), end="")
        parser.exit(0)
    try:
        own, endpoint_words = arguments.emulator_parser().parse_known_args(words)
        own, tables = read_configuration(own, words)
        endpoints = tuple(_endpoint_spec(name, [*endpoint_words, *table]) for name, table in tables)
    except ValueError as error:
        parser.error(str(error))
    options = {one.name: getattr(own, one.name) for one in dataclasses.fields(EmulatorOptions)}
    return EmulatorOptions(**options), endpoints


def _endpoint_spec(name: str, words: list[str]) -> EndpointSpec:
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii() or name in RESERVED:
        raise ValueError(f"'{name}' is not a valid endpoint name: use letters, digits, '-' and '_', as in 'demo'")
    args = arguments.endpoint_parser().parse_args(words)
    shortcuts = {"pull_s": args.pull, "start_s": args.start, "load_s": args.load}
    try:
        platform = platform_with(args.platform, {key: value for key, value in shortcuts.items() if value is not None})
        return EndpointSpec(name, _policy(args), platform, _worker_spec(args), args.price_per_s, tuple(map(_fault, args.fault)))
    except (PolicyError, FaultError) as error:
        raise ValueError(f"endpoint '{name}': {error}") from None


def _policy(args: argparse.Namespace) -> Policy:
    scaler = args.scaler or ("request-count" if args.kind == "balancer" else "queue-delay")
    return Policy(
        kind=KINDS[args.kind],
        workers_min=args.workers_min,
        workers_max=args.workers_max,
        idle_timeout_s=args.idle_timeout_s,
        scaler=SCALERS[scaler],
        scaler_value=args.scaler_value,
        execution_timeout_s=args.execution_timeout_s,
        flashboot=args.flashboot,
        gpu=args.gpu,
    )


def _worker_spec(args: argparse.Namespace) -> WorkerSpec:
    if args.health_path and not args.health_path.startswith("/"):
        raise ValueError(f"'--health-path {args.health_path}' is not a path: start it with a slash, as in '/ping'")
    if args.worker == "sdk":
        recognisers.check(args.engine, args.model)
        if args.engine == "fixed" and args.service_time.fixed_s is None:
            raise ValueError(f"engine 'fixed' takes a fixed service time: write '--service-time 0.5' instead of '{args.service_time.text}'")
    env = dict(map(_variable, args.env))
    return WorkerSpec(
        args.worker,
        _command(args.command) if args.worker == "command" else (),
        args.concurrency,
        args.engine,
        args.model,
        args.service_time,
        TokenRate(args.first_token_s, args.tokens_per_s),
        args.load or 0.0,
        args.first_extra_s,
        args.card_gb,
        args.shared_gb,
        args.job_gb,
        args.health_path or ("/health" if args.worker == "sdk" else "/ping"),
        args.service_curve,
        tuple(env),
        {name: value for name, value in env.items() if value is not None},
    )


def _variable(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    if not name.isidentifier() or "\0" in value:
        raise ValueError(f"'--env {text}' is not a variable: write NAME or NAME=VALUE, as in '--env MODE=fast'")
    return name, value if equals else None


def _command(text: str) -> tuple[str, ...]:
    """The words of a command line, files among them by their full paths: workers run in folders of their own."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"--command '{text}' cannot be parsed ({error}): write it as in --command 'python handler.py'") from None
    if not words:
        raise ValueError("'--worker command' needs the command: add --command 'python handler.py'")
    if shutil.which(words[0]) is None:
        raise ValueError(f"program '{words[0]}' not found: name one, as in --command 'python handler.py'")
    program = shutil.which(words[0]) or words[0]
    return str(Path(program).absolute()), *(str(Path(word).absolute()) if Path(word).is_file() else word for word in words[1:])


def _fault(text: str) -> Fault:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise FaultError(f"'{text}' is not a JSON object: write a fault as in '{{\"throttle\": 1}}'")
    if "kill" in content:
        raise FaultError("no worker can be killed before the start: send the fault to /emulator/NAME/fault later")
    return parse_fault(content)


def platform_table() -> str:
    """Every parameter of the platform, and the rate limits, as Markdown tables."""
    rows = parameter_rows()
    rows += [f"| `{name}` | {' | '.join(cells)} |" for name, *cells in EMULATOR_PARAMETERS]
    limits = next(field for field in dataclasses.fields(Platform) if field.name == "limits").metadata
    rows += ["", f"Rate limits ({limits['known']}: {limits['source']}):", ""]
    rows += ["| operation | per `window_s` | at a time | per `window_s` and running worker |", "|---|---|---|---|"]
    rows += [f"| /{row.operation} | {row.per_window} | {row.concurrent or 'no limit'} | {row.per_worker} |" for row in Platform().limits]
    return "\n".join(rows) + "\n"
