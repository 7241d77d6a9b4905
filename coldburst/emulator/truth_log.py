"""The emulator's clock and its truth log: what it did, one line of JSON per event, to check a load tester's figures against."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from coldburst.serverless.actions import Changed, Forward
from coldburst.serverless.job import Job


class WallClock:
    """Seconds since the emulator's second 0; ``zero_s`` is that instant in seconds since 1970."""

    def __init__(self) -> None:
        self.zero_s = time.time()
        self._start_s = time.monotonic()

    def now(self) -> float:
        """Seconds since second 0, never decreasing."""
        return time.monotonic() - self._start_s


class TruthLog:
    """Writes and flushes lines to ``out`` (None = nowhere); ``zero_s``: second 0 of the emulator's clock, in seconds since 1970."""

    def __init__(self, out: TextIO | None, zero_s: float) -> None:
        self._out, self._zero_s = out, zero_s

    def job_ended(self, endpoint: str, job: Job) -> None:
        """A job has ended."""
        self._write(
            "job",
            endpoint,
            {"submitted": job.submitted_s, "taken": job.taken_s, "finished": job.finished_s, "worker_ready": job.worker_ready_s},
            id=job.id,
            state=job.state,
            reason=job.reason,
            worker_id=job.worker_id,
            cold=job.cold,
            retries=job.retries,
            delay_s=job.delay_s,
            execution_s=job.execution_s,
        )

    def request_ended(
        self,
        endpoint: str,
        request_id: str,
        client_name: str,
        between_s: tuple[float, float],
        forward: Forward | None,
        status: int | None,
        reason: str,
    ) -> None:
        """A request to a load balancer has ended.

        Args:
            client_name: the client's name for it.
            between_s: its arrival and its end.
            forward: the worker that got it; None = none did.
            status: of its answer; None = its client disconnected.
        """
        arrived_s, ended_s = between_s
        taken_s = arrived_s + forward.waited_s if forward else None
        self._write(
            "request",
            endpoint,
            {"submitted": arrived_s, "taken": taken_s, "finished": ended_s},
            id=request_id,
            name=client_name,
            status=status,
            reason=reason,
            worker_id=forward.worker_id if forward else "",
            cold=forward.cold if forward else False,
            delay_s=forward.waited_s if forward else None,
            execution_s=None if taken_s is None else ended_s - taken_s,
        )

    def worker_changed(self, endpoint: str, change: Changed, now: float) -> None:
        """A worker has changed its state."""
        self._write("worker", endpoint, {"at": now}, worker_id=change.worker_id, state=change.state)

    def _write(self, kind: str, endpoint: str, instants: Mapping[str, float | None], **more: Any) -> None:
        """Write a line; each instant as NAME_s and, in seconds since 1970, as NAME. Seconds are rounded to the microsecond."""
        if self._out is None:
            return
        row: dict[str, Any] = {"kind": kind, "endpoint": endpoint}
        for name, at_s in instants.items():
            row[name] = None if at_s is None else round(self._zero_s + at_s, 6)
            row[f"{name}_s"] = None if at_s is None else round(at_s, 6)
        row |= {name: round(value, 6) if isinstance(value, float) else value for name, value in more.items()}
        try:
            self._out.write(json.dumps(row) + "\n")
            self._out.flush()
        # Clients' jobs matter more than the log.
        except OSError as error:
            print(f"the truth log ends here: cannot write to it: {error.strerror}", file=sys.stderr)
            self._out = None
