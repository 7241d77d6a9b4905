"""When each endpoint worker had a container, from the polls of RunPod's worker list: what a bill counts.

A worker is billed from its container's start to its stop. The list has the start (``startedAt``, null without a container, as of a worker
that FlashBoot keeps); a stop lies between two polls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from coldburst.redact import redact

SERVING = ("RUNNING", "IDLE")
# startedAt and uptimeSeconds, which is in whole seconds, differ by less than this if the clocks agree.
CLOCKS_AGREE_S = 2.0
# Workers that run.json lists.
MOST = 2000


@dataclass(slots=True)
class WorkerSpan:
    """The life of one container; times in seconds from second 0 of the run.

    Attributes:
        worker_id: the worker; it gets another span where it is resumed.
        gpu, gpus: type and number of its GPUs, "" and 1 if the list has none.
        start_s: start of the container, below 0 if that was before the run.
        seen_s: last poll that showed it.
        ready_s: first poll that showed it ready; None if none did.
        busy_s: last poll that showed it with a job; None if none did.
        gone_s: first poll that did not show it any more; None if it was there to the end.
    """

    worker_id: str
    gpu: str
    gpus: int
    start_s: float
    seen_s: float
    ready_s: float | None = None
    busy_s: float | None = None
    gone_s: float | None = None


class WorkerSpans:
    """The spans of all workers so far; ``clock``: seconds since 1970.

    Attributes:
        seen_s: when the worker list was last read, in seconds from second 0; None before the first time.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.seen_s: float | None = None
        self._open: dict[tuple[str, str], WorkerSpan] = {}
        self._ended: list[WorkerSpan] = []

    def see(self, workers: Iterable[Mapping[str, Any]], now_s: float) -> None:
        """Adds an answer of the worker list, received at ``now_s``."""
        here = set()
        self.seen_s = now_s
        for worker in workers:
            if worker.get("startedAt") is None or worker["status"] == "THROTTLED":
                continue
            key = (redact(str(worker["id"])), str(worker["startedAt"]))
            here.add(key)
            span = self._open.get(key)
            if span is None:
                span = self._open[key] = _began(key[0], worker, now_s, self._clock())
            span.seen_s = now_s
            if worker["status"] in SERVING and span.ready_s is None:
                span.ready_s = now_s
            if worker["status"] == "RUNNING":
                span.busy_s = now_s
        for key in self._open.keys() - here:
            span = self._open.pop(key)
            span.gone_s = now_s
            self._ended.append(span)

    @property
    def present(self) -> int:
        """Containers in the last answer."""
        return len(self._open)

    def all(self) -> list[WorkerSpan]:
        """All spans by their starts."""
        return sorted([*self._ended, *self._open.values()], key=lambda span: span.start_s)

    def rows(self) -> list[dict[str, Any]]:
        """All spans by their starts, for run.json."""
        return [
            {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(span).items()}
            for span in self.all()[:MOST]
        ]


def _began(worker_id: str, worker: Mapping[str, Any], now_s: float, clock_s: float) -> WorkerSpan:
    gpus = worker.get("gpuCount")
    count = gpus if isinstance(gpus, int) and 0 < gpus < 100 else 1
    return WorkerSpan(worker_id, str(worker.get("gpuTypeId") or "")[:100], count, _start_s(worker, now_s, clock_s), now_s)


def _start_s(worker: Mapping[str, Any], now_s: float, clock_s: float) -> float:
    """The start by the platform's clock, or by its uptime where the clocks disagree."""
    up_s = worker.get("uptimeSeconds")
    # Half a second for what whole seconds leave out.
    by_uptime_s = now_s - up_s - 0.5 if isinstance(up_s, int | float) and 0 <= up_s < 1e9 else now_s
    try:
        started = datetime.fromisoformat(str(worker["startedAt"])).timestamp()
    except (ValueError, OverflowError, OSError):
        return by_uptime_s
    by_clock_s = now_s - (clock_s - started)
    return min(by_clock_s, now_s) if abs(by_clock_s - by_uptime_s) < CLOCKS_AGREE_S else by_uptime_s
