"""An HTTP request and its result so far, its time limits, and how it can fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

OnBody = Callable[[bytes, float], None]


class ConnectFailedError(OSError):
    """No connection: unknown host name, nothing listening, or a certificate that cannot be verified."""


class DeadlinePassedError(Exception):
    """A time limit passed."""


class BrokenError(Exception):
    """The connection broke, or the answer is not HTTP."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time limits of a request, in seconds: to connect, to the answer's headers, to its last byte."""

    connect_s: float = 10.0
    first_byte_s: float = 300.0
    total_s: float = 300.0


@dataclass(slots=True)
class Exchange:
    """One request and its result so far.

    Attributes:
        sent, first, done: instants by ``time.perf_counter``: before connecting and writing; when the headers were there; when the last
            byte was there, or the failure. A job's end has rules of its own, see targets.queue.
        body: empty until it is complete, and if it is too long (see targets.http).
        received: length of the whole body in bytes.
        fault: "connect", "reset", "deadline" or "upload" (outcome.FAULTS), "" if a complete answer came.
        error: the fault in words.
        seen: when polling saw the job's end (queue endpoints).
        known: columns of the attempt known so far, for attempts that are cut in flight.
        answer: the JSON of a complete answer (queue endpoints: the job), None for any other.
        events: of coldburst.load.events, with details, that happened besides how the attempt ended.
        reconnects: 1 if an idle connection was found closed and the request was sent on a new one.
        held_s: how long it waited for the service's own rate limit before it was sent.
    """

    sent: float | None = None
    first: float | None = None
    done: float | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    received: int = 0
    fault: str = ""
    error: str = ""
    seen: float | None = None
    known: dict[str, Any] = field(default_factory=dict)
    answer: Any = None
    events: tuple[tuple[str, str], ...] = ()
    reconnects: int = 0
    held_s: float = 0.0
