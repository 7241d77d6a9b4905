"""The video service's options and command line. Each worker process imports this module again, so it imports little."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from coldburst.installation import missing, program
from coldburst.service.process import CommandParser, number, whole
from coldburst.video.workers.memory import MemoryPlan

ENGINES = ("portrait", "fixed")
PROGRAM = "python -m coldburst.video"
DESCRIPTION = """\
A service that makes a talking video of a script and a portrait: POST /v1/videos, and GET /health and /metrics. Jobs run in worker
processes, each with a video model of its own; the speech model is in one process that all workers share.
Prints its address once it accepts connections; the models load meanwhile.
Environment: API_TOKEN, the token that requests must send (default: none); PORT and HEALTH_CHECK_PATH, for a worker of a RunPod load
balancer: that path answers 204 while the models load, then 200."""
EXAMPLES = """examples:
  python -m coldburst.video --workers 2
      espeak-ng speaks, Pillow draws, H.264 by FFmpeg's libraries; needs the extra 'video'
  python -m coldburst.video --engine fixed --tts 0.2 --video 1.35 --workers 2 --contention 0.15
      exact times and no work, to check a load generator: two workers give 1.74 times the throughput of one
  python -m coldburst.video --engine fixed --unsafe
      no locks and no admission: simultaneous first requests load a model each until the worker process is killed for its memory (SIGKILL);
      once the models are loaded, simultaneous requests mix their frames
"""


@dataclass(frozen=True, slots=True)
class GeneratorOptions:
    """How videos are made; seconds in ``_s``.

    Attributes:
        engine: one of ENGINES.
        workers: worker processes asked for; fewer run if fewer fit.
        tts_s, video_s, model_load_s, contention: of engine 'fixed'.
        queue: how many jobs may wait.
        max_wait_s: longest wait for a worker; 0: no limit.
        execution_limit_s: longest run of a job.
        rerun: a job whose worker process ended is run again, once.
        unsafe: no locks, no admission.
        lazy: models load at the first job instead of at the start.
        keep_s: how long results are kept.
    """

    engine: str = "portrait"
    workers: int = 1
    tts_s: float = 0.2
    video_s: float = 1.35
    model_load_s: float = 0.2
    contention: float = 0.0
    memory: MemoryPlan = field(default_factory=MemoryPlan)
    queue: int = 20
    max_wait_s: float = 0.0
    execution_limit_s: float = 600.0
    rerun: bool = False
    unsafe: bool = False
    lazy: bool = False
    keep_s: float = 600.0
    worker_id: str = "video"

    @property
    def slots(self) -> int:
        """Workers that run: as many as were asked for and fit. Without admission nobody checks what fits."""
        return self.workers if self.unsafe else min(self.workers, self.memory.fit)


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """The service around the generator."""

    generator: GeneratorOptions
    host: str
    port: int
    retry_after: int
    out: str
    until_stdin_closes: bool


def parse(words: Sequence[str] | None = None) -> ServiceOptions:
    """Options from the command line; exits with code 2 and one sentence on stderr where they are invalid."""
    parser = _parser()
    given = vars(parser.parse_args(words))
    plan = MemoryPlan(*(given.pop(name) for name in ("card_gb", "shared_gb", "per_worker_gb", "headroom")))
    service = {name: given.pop(name) for name in ("host", "port", "retry_after", "out", "until_stdin_closes")}
    options = GeneratorOptions(**given, memory=plan)
    if not 0 < plan.headroom <= 1:
        parser.error(f"--headroom {plan.headroom:g} must be a share above 0 and at most 1, as in 0.8")
    if plan.per_worker_gb <= 0 or plan.card_gb <= 0:
        parser.error("--memory and --per-worker must be above 0 GB, as in --memory 24 --per-worker 3.3")
    if options.execution_limit_s <= 0:
        parser.error("--execution-limit must be above 0 s, as in 600")
    if not options.slots:
        parser.error(
            f"no worker fits: {plan.usage_gb(1):g} GB are needed and {plan.card_gb * plan.headroom:g} GB may be used: raise --memory, "
            "or lower --shared and --per-worker"
        )
    if not options.worker_id.isascii() or not options.worker_id.isprintable() or not options.worker_id.strip():
        parser.error(f"--worker-id '{options.worker_id}' cannot be sent in a header: use printable ASCII, as in 'video-1'")
    if options.engine != "fixed" and (sentence := missing("video")):
        parser.error(sentence)
    return ServiceOptions(options, **service)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog=program(PROGRAM),
        description=DESCRIPTION,
        epilog=EXAMPLES.replace(PROGRAM, program(PROGRAM)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_engine(parser.add_argument_group("engine"))
    _add_memory(parser.add_argument_group("workers and memory"))
    _add_queue(parser.add_argument_group("queue"))
    _add_service(parser.add_argument_group("service"))
    return parser


def _add_engine(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--engine", choices=ENGINES, default="portrait", help="'fixed' just waits (default: %(default)s)")
    _add_number(group, "--tts", "tts_s", "S", 0.2, "time of the speech of a video, for engine 'fixed' (s)")
    _add_number(group, "--video", "video_s", "S", 1.35, "time of the pictures of a video, for engine 'fixed' (s)")
    _add_number(group, "--model-load", "model_load_s", "S", 0.2, "time to load a model, for engine 'fixed' (s)")
    _add_number(group, "--contention", "contention", "X", 0.0, "with n jobs at a time each takes 1 + X (n - 1) times as long, for 'fixed'")


def _add_memory(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--workers", type=whole(1, 64), metavar="N", default=1, help="worker processes, if as many fit (default: 1)")
    plan = MemoryPlan()
    _add_number(group, "--memory", "card_gb", "GB", plan.card_gb, "memory of the GPU (GB)")
    _add_number(group, "--shared", "shared_gb", "GB", plan.shared_gb, "memory of the models that all workers share (GB)")
    _add_number(group, "--per-worker", "per_worker_gb", "GB", plan.per_worker_gb, "memory of a worker's own models (GB)")
    _add_number(group, "--headroom", "headroom", "SHARE", plan.headroom, "share of the GPU memory that may be used")
    group.add_argument("--lazy", action="store_true", help="load the models at the first job instead of at the start")
    group.add_argument("--unsafe", action="store_true", help="no locks and no admission: every job starts at once, to show what then fails")
    group.add_argument("--rerun", action="store_true", help="run a job again, once, if its worker process ended; otherwise it fails")


def _add_queue(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--queue", type=whole(0, 10_000), metavar="N", default=20, help="jobs that may wait; 503 above (default: 20)")
    _add_number(group, "--max-wait", "max_wait_s", "S", 0.0, "longest wait for a worker; then the job ends unserved; 0: no limit (s)")
    _add_number(group, "--execution-limit", "execution_limit_s", "S", 600.0, "longest run of a job (s)")
    group.add_argument("--retry-after", type=whole(0, 86_400), metavar="S", default=1, help="Retry-After of a 503, in seconds (default: 1)")
    _add_number(group, "--keep", "keep_s", "S", 600.0, "how long the result of a job is kept (s)")


def _add_service(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    port = os.environ.get("PORT", "")
    group.add_argument(
        "--port",
        type=whole(0, 65_535),
        metavar="N",
        default=int(port) if port.isdigit() else 0,
        help="port to listen on; 0: the kernel chooses (default: PORT in the environment, or 0)",
    )
    group.add_argument("--out", metavar="DIR", default="", help="directory for videos (default: a temporary one)")
    name = os.environ.get("RUNPOD_POD_ID") or f"video-{os.getpid()}"
    group.add_argument("--worker-id", default=name, help="name in X-Worker-Id and /health (default: video-<pid>)")
    group.add_argument("--until-stdin-closes", action="store_true", help="end when standard input closes, as when the parent is killed")


def _add_number(group: argparse._ArgumentGroup, name: str, dest: str, metavar: str, default: float, what: str) -> None:
    group.add_argument(name, type=number(0), dest=dest, metavar=metavar, default=default, help=f"{what} (default: {default:g})")
