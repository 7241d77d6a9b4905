"""The transcriber's command line. Each slot process imports this module again, so it imports little."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass

from coldburst.installation import program
from coldburst.service.process import CommandParser, number, whole
from coldburst.transcriber import recognisers

ENGINES = (*recognisers.PROCESS_ENGINES, "fixed")
MEGABYTE = 1 << 20
PROGRAM = "python -m coldburst.transcriber"
DESCRIPTION = """\
A transcription service: POST /v1/audio/transcriptions and GET /health.
Prints its address once it accepts connections; the recogniser loads meanwhile.
Environment: API_TOKEN, the token that requests must send (default: none); HEALTH_CHECK_PATH, for a worker of a RunPod load
balancer: that path answers 204 while the recogniser loads, then 200."""
EXAMPLES = """examples:
  python -m coldburst.transcriber --port 8000
      two slots of PocketSphinx and a queue of ten
  python -m coldburst.transcriber --engine fixed --service-time 0.5 --max-concurrent 4 --queue 100
      no recogniser: every answer takes half a second, to check a load generator
  python -m coldburst.transcriber --engine fixed --stall 2 --stall-every 10
      as above, with a stall in the first two of every ten seconds
  API_TOKEN=secret python -m coldburst.transcriber --fail-fast
      requests need a token (X-API-Key or Bearer), and get a 503 when both slots are busy
"""


@dataclass(frozen=True, slots=True)
class TranscriberOptions:
    """Options; seconds in ``_s``."""

    host: str
    port: int
    engine: str
    model: str
    service_time_s: float
    max_concurrent: int
    queue: int
    fail_fast: bool
    retry_after: int
    max_megabytes: int
    stall_s: float
    stall_every_s: float
    worker_id: str
    access_log: str
    until_stdin_closes: bool

    @property
    def max_bytes(self) -> int:
        """The largest request body in bytes."""
        return self.max_megabytes * MEGABYTE


def parse(words: Sequence[str] | None = None) -> TranscriberOptions:
    """Options from the command line; exits with code 2 and one sentence on stderr where they are invalid."""
    parser = _parser()
    options = TranscriberOptions(**vars(parser.parse_args(words)))
    if options.stall_s and options.stall_s >= options.stall_every_s:
        parser.error(
            f"--stall {options.stall_s:g} must be shorter than --stall-every {options.stall_every_s:g}: otherwise the service always stalls"
        )
    if not options.worker_id.isascii() or not options.worker_id.isprintable() or not options.worker_id.strip():
        parser.error(f"--worker-id '{options.worker_id}' cannot be sent in a header: use printable ASCII, as in 'transcriber-1'")
    try:
        recognisers.check(options.engine, options.model)
    except ValueError as error:
        parser.error(str(error))
    return options


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog=program(PROGRAM),
        description=DESCRIPTION,
        epilog=EXAMPLES.replace(PROGRAM, program(PROGRAM)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_recogniser(parser.add_argument_group("recogniser"))
    _add_admission(parser.add_argument_group("admission"))
    _add_service(parser.add_argument_group("service"))
    return parser


def _add_recogniser(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--engine", choices=ENGINES, default="pocketsphinx", help="recogniser; 'fixed' just waits (default: %(default)s)")
    group.add_argument("--model", metavar="DIR", default="", help="folder of the model, for engine 'whisper' (faster-whisper's format)")
    _add_time(group, "--service-time", "service_time_s", 0.5, "service time of engine 'fixed'")


def _add_admission(group: argparse._ArgumentGroup) -> None:
    _add_count(group, "--max-concurrent", 2, "requests at a time; each has a slot, a process of its own", least=1)
    _add_count(group, "--queue", 50, "requests that may wait for a slot")
    group.add_argument("--fail-fast", action="store_true", help="answer 503 at once when no slot is free")
    _add_count(group, "--retry-after", 1, "Retry-After of a 503, in seconds")
    _add_count(group, "--max-megabytes", 50, "largest request body in MiB; 413 above", least=1)
    _add_time(group, "--stall", "stall_s", 0.0, "stall at the start of each --stall-every; requests that arrive in it wait for its end")
    _add_time(group, "--stall-every", "stall_every_s", 10.0, "time between the starts of two stalls, counted from the start of the service")


def _add_service(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    _add_count(group, "--port", 0, "port to listen on; 0: the kernel chooses", most=65_535)
    group.add_argument(
        "--worker-id", default=f"transcriber-{os.getpid()}", help="name in X-Worker-Id and /health (default: transcriber-<pid>)"
    )
    group.add_argument(
        "--access-log", metavar="FILE", default="", help="one line of JSON per transcription request; '-': stdout (default: none)"
    )
    group.add_argument("--until-stdin-closes", action="store_true", help="end when standard input closes, as when the parent is killed")


def _add_time(group: argparse._ArgumentGroup, name: str, dest: str, default: float, what: str) -> None:
    group.add_argument(name, type=number(0), dest=dest, metavar="SECONDS", default=default, help=f"{what} (s, default: %(default)s)")


def _add_count(group: argparse._ArgumentGroup, name: str, default: int, what: str, least: int = 0, most: int = 1_000_000) -> None:
    group.add_argument(name, type=whole(least, most), metavar="N", default=default, help=f"{what} (default: %(default)s)")
