"""What the model wants its driver to do, or reports to have happened."""

from __future__ import annotations

from dataclasses import dataclass

from coldburst.serverless.job import Job


@dataclass(frozen=True, slots=True)
class Launch:
    """The container starts now (pull and container start are waited out): start the process, or the modelled load."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class Resume:
    """A worker whose state FlashBoot kept is back; it may be given jobs again."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The worker is given nothing more: end it, then call ``gone``."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class Kill:
    """The worker is beyond hope: end it at once, then call ``gone``."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class Deliver:
    """The answer to the worker's standing poll."""

    worker_id: str
    jobs: tuple[Job, ...]


@dataclass(frozen=True, slots=True)
class StopJob:
    """Tell the worker through job-stop to stop one job; it will not be heard of again."""

    worker_id: str
    job_id: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A job has reached a terminal state."""

    job: Job


@dataclass(frozen=True, slots=True)
class Forward:
    """Pass the request on to the worker.

    Attributes:
        cold: the truth: first handed over since the worker's start or resume, and here before it was ready.
        waited_s: how long it was held.
    """

    request_id: str
    worker_id: str
    cold: bool = False
    waited_s: float = 0.0


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Answer the request with ``status``; it has no worker, or has lost it (502)."""

    request_id: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Cut:
    """Cut the request off its worker and answer it with 524."""

    request_id: str
    worker_id: str


@dataclass(frozen=True, slots=True)
class Changed:
    """A worker is in another state."""

    worker_id: str
    state: str


Action = Launch | Resume | Stop | Kill | Deliver | StopJob | Ended | Forward | GiveUp | Cut | Changed
