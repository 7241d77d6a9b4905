"""The emulator's command line: its options, those of an endpoint, and --help."""

from __future__ import annotations

import argparse
from typing import Any

from coldburst.emulator.settings import fault_notation
from coldburst.emulator.settings.endpoint_specs import ServiceTime, service_time
from coldburst.installation import program
from coldburst.serverless.policy import Policy
from coldburst.serverless.simulation.service_curve import EXAMPLE, ServiceCurve, parse_curve
from coldburst.serverless.simulation.token_generation import TokenRate
from coldburst.service.process import CommandParser, number, whole
from coldburst.transcriber import recognisers

PROGRAM = "python -m coldburst.emulator"
ENGINES = (*recognisers.PROCESS_ENGINES, "fixed")
KINDS = {"queue": "QUEUE", "balancer": "LOAD_BALANCER"}
SCALERS = {"queue-delay": "QUEUE_DELAY", "request-count": "REQUEST_COUNT"}
MAX_CONCURRENCY = 1000
MAX_WORKERS = 10_000
WORKERS = ("sdk", "modelled", "command")
DESCRIPTION = """\
RunPod's serverless platform on this machine: queue and load-balancing endpoints, with real workers (the runpod SDK,
or your own command) or modelled ones. Prints 'listening on URL' first, then each endpoint's URLs.
Environment: RUNPOD_API_KEY, the key that every request must send. Without it, only changes of settings and faults need
a token: COLDBURST_EMULATOR_TOKEN, or a random one that is printed at the start."""
EXAMPLES = f"""examples:
  python -m coldburst.emulator --port 8090
      one queue endpoint, 'demo', whose workers transcribe with PocketSphinx through the runpod SDK
  python -m coldburst.emulator --port 8090 --worker command --command 'python handler.py' --workers-max 2
      your own handler file, as RunPod would run it
  python -m coldburst.emulator --worker modelled --service-time exp:0.5 --concurrency 4 --start 8 --load 20 --workers-max 10
      the load of ten workers without computation, with random service times
  python -m coldburst.emulator --port 8090 --worker modelled --first-token 0.3 --tokens-per-s 40 --concurrency 30
      a language model for OpenAI's clients at /v2/demo/openai/v1
  python -m coldburst.emulator --kind balancer --scaler-value 4 --platform hold_s=10
      a load balancer for transcription services that gives up after 10 s instead of 120
  python -m coldburst.emulator --config endpoints.toml
      several endpoints: a table [endpoints.NAME] each, with the options' names as keys
  python -m coldburst.emulator --platform help
      every parameter of the platform, its default, and how well it is known

--log FILE gets a line of JSON for each job, request and worker; GET /emulator and GET /emulator/NAME show the present queue,
workers and bill.

limits:
  times in the query are milliseconds: wait of /runsync and /status-sync, limited to its bounds; ttl of /status, which shortens
  how long an ended job's result is kept from now on. Others are ignored.
  a policy.ttl or policy.executionTimeout out of bounds is refused (400); what the platform does is not known.
  /stream cuts texts longer than chunk_bytes; other values stay whole.
  bodies with a Content-Encoding reach a balancer's workers unchanged; the other routes do not take them.
  /openai/v1 makes a job of each request; its worker gets openai_route and openai_input. Events reach the client as the worker yields
  them, objects as JSON with status 200; a job that fails before its first chunk is a 500, one that fails later ends the stream early.
  modelled workers echo inputs up to 1000 characters, and take sleep_s up to 7 days.
  batch API, REST v1 and GraphQL are missing, and workers_max does not decrease after days without requests.

{fault_notation.HELP}
"""


def full_parser() -> argparse.ArgumentParser:
    """The whole command line, with --help."""
    return CommandParser(
        prog=program(PROGRAM),
        usage="%(prog)s [options]",
        description=DESCRIPTION,
        epilog=EXAMPLES.replace(PROGRAM, program(PROGRAM)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[emulator_parser(), endpoint_parser()],
        allow_abbrev=False,
    )


def emulator_parser() -> argparse.ArgumentParser:
    """The emulator's own options."""
    parser = CommandParser(prog=program(PROGRAM), add_help=False, allow_abbrev=False)
    add = parser.add_argument_group("emulator").add_argument
    add("--host", type=_address, default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--allow-host", type=_names, default=(), metavar="NAME,…", help="further hosts that requests may name in Host and Origin")
    add("--port", type=whole(0, 65_535), default=0, metavar="N", help="port to listen on; 0: the kernel chooses (default: 0)")
    add("--endpoint", default="demo", metavar="NAME", help="name of the endpoint without --config (default: %(default)s)")
    add("--config", default="", metavar="FILE", help="TOML: the emulator's options, and a table [endpoints.NAME] for each endpoint")
    add("--https", action="store_true", help="use TLS with a certificate made at the start; its CA file is printed")
    add("--log", default="", metavar="FILE", help="truth log, one line of JSON per event; '-': stdout (default: none)")
    add("--seed", type=whole(0, 2**63), default=0, metavar="N", help="seed of all random values (default: 0)")
    add("--ready", action="store_true", help="print 'listening on' once every endpoint's minimum of workers is ready")
    add("--until-stdin-closes", action="store_true", help="end when standard input closes, as when the parent is killed")
    _add_time(add, "--poll-hold", 20.0, "how long a worker's poll for jobs is held", least=0.05)
    _add_time(add, "--grace", 3.0, "time from a worker's SIGTERM to its SIGKILL")
    _add_time(add, "--health-every", 1.0, "time between two health checks of a ready balancer worker", least=0.01)
    add(
        "--health-failures",
        type=whole(1, 1000),
        default=3,
        metavar="N",
        help="consecutive failed checks that take it out of service (default: 3)",
    )
    _add_time(add, "--health-timeout", 5.0, "time-out of a health check", least=0.01)
    add("--too-large-status", type=whole(400, 499), default=413, metavar="N", help="status for a body that is too large (default: 413)")
    add(
        "--webhook-waits",
        dest="webhook_waits_s",
        type=_times,
        default=(5.0, 15.0),
        metavar="S,S",
        help="pauses before the 2nd and 3rd try of a webhook (s, default: 5,15)",
    )
    _add_time(add, "--webhook-timeout", 10.0, "time-out of one try of a webhook", least=0.01)
    add("--webhook-hosts", type=_names, default=(), metavar="NAME,…", help="hosts that webhooks may go to besides this machine; '*': any")
    add(
        "--management-per-minute",
        type=whole(1, 10**6),
        default=60,
        metavar="N",
        help="REST v2 requests per minute, 429 above (default: 60)",
    )
    return parser


def endpoint_parser() -> argparse.ArgumentParser:
    """The options of an endpoint; on the command line they are the defaults of every endpoint's table."""
    parser = CommandParser(prog=program(PROGRAM), add_help=False, allow_abbrev=False)
    _add_policy(parser.add_argument_group("endpoint, as its operator sets it").add_argument)
    _add_workers(parser.add_argument_group("workers").add_argument)
    _add_platform(parser.add_argument_group("platform").add_argument)
    return parser


def _add_policy(add: Any) -> None:
    add("--kind", choices=KINDS, default="queue", help="queue of jobs, or load balancer for HTTP servers (default: %(default)s)")
    add("--workers-min", type=whole(0, MAX_WORKERS), default=0, metavar="N", help="minimum number of workers (default: 0)")
    add("--workers-max", type=whole(0, MAX_WORKERS), default=3, metavar="N", help="maximum number of workers (default: 3)")
    _add_time(add, "--idle-timeout", 5.0, "time after which an idle worker stops; 1 to 3600")
    add("--scaler", choices=SCALERS, help="what adds workers (default: queue-delay; request-count for a balancer)")
    add("--scaler-value", type=number(0), default=4.0, metavar="X", help="seconds in the queue, or requests per worker (default: 4)")
    _add_time(add, "--execution-timeout", 600.0, "limit of a running job; 0: none")
    add(
        "--flashboot",
        action="store_true",
        help="cache stopped workers for a while; they resume fast (off as in REST v2, on in the console)",
    )
    add("--gpu", default=Policy().gpu, metavar="NAME", help="name of the card (default: %(default)s)")
    add(
        "--price",
        dest="price_per_s",
        type=number(0),
        default=0.0,
        metavar="USD",
        help="price of a worker-second, for the bill (default: 0)",
    )


def _add_workers(add: Any) -> None:
    add(
        "--worker",
        choices=WORKERS,
        default="sdk",
        help="sdk: coldburst/emulator/workers/sdk_worker.py, for a balancer coldburst/transcriber; modelled: in this process, "
        "without computation; command: your own (default: %(default)s)",
    )
    add("--command", default="", metavar="WORDS", help="the worker's command line; a balancer's worker must listen on 127.0.0.1:$PORT")
    add(
        "--concurrency",
        type=whole(1, MAX_CONCURRENCY),
        default=1,
        metavar="N",
        help="jobs at a time of an sdk or modelled worker (default: 1)",
    )
    add("--engine", choices=ENGINES, default="pocketsphinx", help="recogniser of sdk workers; 'fixed' just waits (default: %(default)s)")
    add("--model", default="", metavar="DIR", help="folder of the model, for engine 'whisper'")
    add(
        "--service-time",
        type=_service_time,
        default="0.5",
        metavar="TEXT",
        help="service time of modelled workers and engine 'fixed': seconds, exp:MEAN or uniform:LOW:HIGH (default: 0.5)",
    )
    add(
        "--service-curve",
        type=_service_curve,
        metavar="TEXT",
        help=f"service time of modelled workers by jobs at a time, instead of --service-time: JOBS:SECONDS,… as in {EXAMPLE}",
    )
    _add_time(add, "--first-token", TokenRate().first_s, "time to the first token of modelled workers, for jobs that ask for tokens")
    add(
        "--tokens-per-s",
        type=number(0.001),
        default=TokenRate().per_s,
        metavar="X",
        help="tokens per second and answer of modelled workers, after the first (default: %(default)g)",
    )
    _add_time(add, "--first-extra", 0.0, "added to the first job of a worker")
    add(
        "--health-path",
        default="",
        metavar="PATH",
        help="a balancer's worker is ready when this path answers 200 (default: /ping; /health for sdk)",
    )
    add("--env", action="append", default=[], metavar="NAME[=VALUE]", help="a variable of the workers, which REST v2 may change")
    add("--card-gb", type=number(0), default=0.0, metavar="GB", help="memory of the card; a job that does not fit fails; 0: no limit")
    add("--shared-gb", type=number(0), default=0.0, metavar="GB", help="memory of the model")
    add("--job-gb", type=number(0), default=0.0, metavar="GB", help="memory of each running job")
    add("--fault", action="append", default=[], metavar="JSON", help="a fault to inject at the start; see below")


def _add_platform(add: Any) -> None:
    add("--pull", type=number(0), metavar="SECONDS", help="image pull (s); short for --platform pull_s=SECONDS")
    add("--start", type=number(0), metavar="SECONDS", help="container start (s); short for --platform start_s=SECONDS")
    add(
        "--load",
        type=number(0),
        metavar="SECONDS",
        help="model load (s) of modelled workers (default: 6); for sdk workers added to their own (default: 0)",
    )
    add("--platform", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the platform; '--platform help' lists all")


def _add_time(add: Any, name: str, default: float, what: str, least: float = 0.0) -> None:
    dest = f"{name.removeprefix('--').replace('-', '_')}_s"
    add(name, dest=dest, type=number(least), default=default, metavar="SECONDS", help=f"{what} (s, default: {default:g})")


def _address(text: str) -> str:
    if text:
        return text
    raise argparse.ArgumentTypeError("'' is not an address: use one such as 127.0.0.1, or 0.0.0.0 for all of this machine")


def _times(text: str) -> tuple[float, ...]:
    return tuple(map(number(0), text.split(","))) if text else ()


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(",") if (name := part.strip().lower()))


def _service_time(text: str) -> ServiceTime:
    try:
        return service_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _service_curve(text: str) -> ServiceCurve:
    try:
        return parse_curve(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def text_of(value: Any) -> str:
    """A value in the form of a command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)
