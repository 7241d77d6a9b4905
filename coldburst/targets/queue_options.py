"""How jobs of a queue endpoint are submitted and polled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from coldburst.targets.checks import ANY, Checks
from coldburst.targets.word_error_rate import ANY_WER

POLL_MODES = ("auto", "status", "status-sync", "stream")
MILLISECONDS = 1000


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """How jobs are submitted and polled.

    Attributes:
        poll: "status"; "status-sync", long polls; "stream", which reads the chunks of the output; or "auto": as "stream" if the job's input
            asks for a stream, else long polls while they take fewer than half of the places and the service has that route, else /status.
        poll_s: shortest interval between two polls of a job.
        execution_timeout_s, ttl_s: the job's policy; None = the endpoint's own.
        checks: what makes a job's output an error or wrong; the job's own ``error`` always is one.
        max_wer: a transcript of a clip with a known text is ``wrong`` above this word error rate; infinity = only compared, None = not.
        lost_s: a job is given up after nothing but failed polls for this long. A 429 is not a failure: it only slows polling down.
        share: part of the platform's limit on polls that this process uses.
        cancel: whether ``close`` cancels the jobs that have not ended; ``cancel_s``: how long it may take, because the platform limits
            cancels to ten a second.

    Raises:
        ValueError: a value out of the platform's bounds.
    """

    poll: str = "auto"
    poll_s: float = 1.0
    execution_timeout_s: float | None = None
    ttl_s: float | None = None
    checks: Checks = ANY
    max_wer: float | None = ANY_WER
    lost_s: float = 30.0
    share: float = 0.8
    cancel: bool = True
    cancel_s: float = 5.0

    def __post_init__(self) -> None:
        week_s = 7 * 86400
        for name, least in (("execution_timeout_s", 5), ("ttl_s", 10)):
            value = getattr(self, name)
            if value is not None and not least <= value <= week_s:
                option = f"--{name.removesuffix('_s').replace('_', '-')}"
                raise ValueError(f"{option} {value:g} s is outside RunPod's bounds: give {least} to {week_s} s")
        if self.poll not in POLL_MODES:
            raise ValueError(f"--poll '{self.poll}' does not exist: give one of {', '.join(POLL_MODES)}")

    @property
    def policy(self) -> dict[str, Any]:
        """The job's ``policy``, in milliseconds."""
        times = {"executionTimeout": self.execution_timeout_s, "ttl": self.ttl_s}
        return {name: round(value * MILLISECONDS) for name, value in times.items() if value is not None}
