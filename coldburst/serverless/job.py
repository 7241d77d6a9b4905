"""One job: its record, the request that opens it, and its views for clients and workers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TERMINAL_STATES = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")
TO_WORKER = ("webhook", "policy", "s3Config")
"""Keys next to ``input`` that reach the handler; other keys are dropped."""


# Without slots, so that what a job has later, or never, is not set at its start: that took half the time of making one.
@dataclass(eq=False)
class Job:
    """One job, written by the model alone. Times in seconds of the model's clock.

    Attributes:
        input: the request's whole body.
        submitted_s: its first submission; ttl and delayTime count from here, also after retries.
        queued_s: its last entry into the queue; the scaler's waiting time counts from here.
        taken_s, worker_ready_s: when a worker took it last, and when that worker became ready.
        retries: re-dispatches by the platform since a client opened it.
        opened: 1, and one more for each /retry.
        execute_until_s: end of the time that its worker has for it; infinity = none.
        cold: submitted before its worker was ready, and in that worker's first delivery since its start or resume.
        stream: chunks not drained yet; None without any.
        timer: of its next deadline; see timers.py.
    """

    id: str
    sync: bool
    input: Mapping[str, Any]
    state: str
    submitted_s: float
    queued_s: float
    ttl_s: float
    low_priority: bool = False
    own_execution_timeout_s: float | None = None
    execute_until_s: float = field(init=False, default=math.inf)
    taken_s: float | None = field(init=False, default=None)
    finished_s: float | None = field(init=False, default=None)
    worker_id: str = field(init=False, default="")
    retries: int = field(init=False, default=0)
    opened: int = field(init=False, default=1)
    output: Any = field(init=False, default=None)
    error: str | None = field(init=False, default=None)
    has_output: bool = field(init=False, default=False)
    cold: bool = field(init=False, default=False)
    worker_ready_s: float | None = field(init=False, default=None)
    stream: list[Any] | None = field(init=False, default=None)
    reason: str = field(init=False, default="")
    lease_until_s: float = field(init=False, default=0.0)
    timer: list[Any] | None = field(init=False, default=None)

    @property
    def delay_s(self) -> float | None:
        """Seconds from submission to the last take."""
        return None if self.taken_s is None else self.taken_s - self.submitted_s

    @property
    def execution_s(self) -> float | None:
        """Seconds from the last take to the end."""
        return None if self.taken_s is None or self.finished_s is None else self.finished_s - self.taken_s

    def view(self) -> dict[str, Any]:
        """RunPod's job object: milliseconds, and only the keys that have a value."""
        view: dict[str, Any] = {"id": self.id, "status": self.state}
        for name, seconds in (("delayTime", self.delay_s), ("executionTime", self.execution_s)):
            if seconds is not None:
                view[name] = round(seconds * 1000)
        if self.worker_id:
            view["workerId"] = self.worker_id
        if self.has_output:
            view["output"] = self.output
        if self.error is not None:
            view["error"] = self.error
        if self.retries:
            view["retries"] = self.retries
        return view

    def drop_input(self) -> None:
        """Free the input, which may be large; the job cannot be redispatched."""
        self.input = {"input": None}

    def payload(self) -> dict[str, Any]:
        """The worker's view. Production leaves an empty input out, and the SDK then never acknowledges the job."""
        given: dict[str, Any] = {"id": self.id}
        if self.input["input"]:
            given["input"] = self.input["input"]
        given.update((key, self.input[key]) for key in TO_WORKER if key in self.input)
        return given


def split_chunk(chunk: Any, most_bytes: float) -> list[Any]:
    """A stream's chunk in parts: a text longer than ``most_bytes`` in UTF-8 is cut between characters, other values stay whole."""
    text = chunk.encode("utf-8", "surrogatepass") if isinstance(chunk, str) else b""
    if len(text) <= most_bytes:
        return [chunk]
    cut, found = 0, []
    while cut < len(text):
        end = min(cut + int(most_bytes), len(text))
        while end < len(text) and text[end] & 0xC0 == 0x80:  # within a character
            end -= 1
        found.append(text[cut:end].decode("utf-8", "surrogatepass"))
        cut = end
    return found
