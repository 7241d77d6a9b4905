"""The record of one job, what a client is shown of it and what a worker is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TERMINAL_STATES = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")
TO_WORKER = ("webhook", "policy", "s3Config")
"""Keys beside ``input`` that reach the handler; the rest of a body is dropped."""


@dataclass(slots=True, eq=False)
class Job:
    """One job; only the model writes it. Seconds by the model's clock.

    Attributes:
        input: the body as given, with ``input`` and its siblings.
        submitted_s: when it came, the same through all retries; its ttl and delayTime count from here.
        queued_s: when it entered the queue last; the scaler's waiting time counts from here.
        taken_s, finished_s: its last take by a worker; its end.
        retries: the platform's own re-dispatches, since the client opened it.
        opened: how often a client opened it: 1, and one more for each /retry.
        ttl_s, execution_timeout_s: its own or the platform's; the latter None until it is taken, 0 = none.
        cold: the truth: in the first hand-over of a worker since its start or resume, and submitted before that worker was ready.
        worker_ready_s: when the worker that took it became ready.
        stream: chunks that were not drained yet.
        reason: why it ended.
    """

    id: str
    sync: bool
    input: Mapping[str, Any]
    state: str
    submitted_s: float
    queued_s: float
    ttl_s: float
    low_priority: bool = False
    execution_timeout_s: float | None = None
    taken_s: float | None = None
    finished_s: float | None = None
    worker_id: str = ""
    retries: int = 0
    opened: int = 1
    output: Any = None
    error: str | None = None
    has_output: bool = False
    cold: bool = False
    worker_ready_s: float | None = None
    stream: list[Any] = field(default_factory=list)
    reason: str = ""
    lease_until_s: float = 0.0
    own_execution_timeout_s: float | None = None

    @property
    def delay_s(self) -> float | None:
        """Submission to the last take."""
        return None if self.taken_s is None else self.taken_s - self.submitted_s

    @property
    def execution_s(self) -> float | None:
        """Last take to the end."""
        return None if self.taken_s is None or self.finished_s is None else self.finished_s - self.taken_s

    def view(self) -> dict[str, Any]:
        """RunPod's job object, milliseconds, with only the keys that are present."""
        view: dict[str, Any] = {"id": self.id, "status": self.state}
        if self.taken_s is not None:
            view["delayTime"] = round((self.taken_s - self.submitted_s) * 1000)
            if self.finished_s is not None:
                view["executionTime"] = round((self.finished_s - self.taken_s) * 1000)
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
        """Free the input, which may be large, once no worker can be given it again."""
        self.input = {"input": None}

    def payload(self) -> dict[str, Any]:
        """What a worker is given. An empty input is left out, as in production, and the SDK then never acknowledges the job."""
        given: dict[str, Any] = {"id": self.id}
        if self.input["input"]:
            given["input"] = self.input["input"]
        given.update((key, self.input[key]) for key in TO_WORKER if key in self.input)
        return given


def split_chunk(chunk: Any, most_bytes: float) -> list[Any]:
    """The parts of a stream's chunk: a text longer than ``most_bytes`` in UTF-8 is cut between characters, other values stay whole."""
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
