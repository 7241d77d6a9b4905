"""One HTTP request and what came of it: the record, its time limits, and how it can break."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

OnBody = Callable[[bytes, float], None]


class ConnectFailedError(OSError):
    """No connection: the name is unknown, nobody listens, or TLS does not verify."""


class DeadlinePassedError(Exception):
    """A time limit passed."""


class BrokenError(Exception):
    """The connection broke, or what came is not HTTP."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time limits of a request, in seconds: to connect, to the answer's headers, to its last byte."""

    connect_s: float = 10.0
    first_byte_s: float = 300.0
    total_s: float = 300.0


@dataclass(slots=True)
class Exchange:
    """One request and what came of it so far.

    Attributes:
        sent, first, done: instants by ``time.perf_counter``: before connecting and writing; headers
            there; last byte there, or the failure. A queue endpoint's job has its own end, see targets.queue.
        body: the first KEEP_BYTES of it; ``received`` is its whole length in bytes.
        fault: "connect", "reset" or "deadline" (outcome.FAULTS), "" where a whole answer came.
        error: the fault in words.
        seen: when polling saw the end (queue endpoints).
        known: columns of the attempt known so far, so that one that is cut in flight still tells its job.
        reconnects: 1 where an idle connection turned out to be closed and the request went out on a fresh one.
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
    reconnects: int = 0
