"""Actions: what the model asks its driver to do, or reports.

Those of every job are not frozen, though nobody changes one: setting the fields of a frozen object takes four times as long.
"""

from __future__ import annotations

from dataclasses import dataclass

from coldburst.serverless.job import Job


@dataclass(frozen=True, slots=True)
class Launch:
    """Start the worker's process, or its modelled load: image pull and container start are over."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class Resume:
    """A worker cached by FlashBoot is back and may get jobs again."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End the worker, which gets no more work, then call ``gone``."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End the unhealthy worker at once, then call ``gone``."""

    worker_id: str


@dataclass(slots=True, unsafe_hash=True)
class Deliver:
    """Answer the worker's open poll."""

    worker_id: str
    jobs: tuple[Job, ...]


@dataclass(frozen=True, slots=True)
class StopJob:
    """Tell the worker by job-stop to stop one job. Its result will be ignored."""

    worker_id: str
    job_id: str


@dataclass(slots=True, unsafe_hash=True)
class Ended:
    """A job has reached a terminal state."""

    job: Job


@dataclass(frozen=True, slots=True)
class Streamed:
    """A job has a new chunk of output."""

    job: Job


@dataclass(slots=True, unsafe_hash=True)
class Forward:
    """Pass the request, held for ``waited_s``, to the worker; ``cold``: it waited for this worker to start or resume."""

    request_id: str
    worker_id: str
    cold: bool = False
    waited_s: float = 0.0


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Answer the request with ``status``: it has no worker, or its worker ended (502)."""

    request_id: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Cut:
    """Take the request from its worker and answer it with 524."""

    request_id: str
    worker_id: str


@dataclass(slots=True, unsafe_hash=True)
class Changed:
    """A worker has changed its state."""

    worker_id: str
    state: str


Action = Launch | Resume | Stop | Kill | Deliver | StopJob | Ended | Streamed | Forward | GiveUp | Cut | Changed
