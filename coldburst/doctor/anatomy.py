"""One request, and where its time went: queue, start of a worker, execution, transfer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from coldburst.doctor.diagnosis import Diagnosis
from coldburst.targets.http import Exchange
from coldburst.targets.outcome import Evidence, decide
from coldburst.targets.survey import Survey, survey
from coldburst.targets.worker_spans import WorkerSpans

# A container that started this long before the request, in seconds, may still have started for it: clocks differ.
BEFORE_S = 1.0


@dataclass(frozen=True, slots=True)
class Anatomy:
    """One request. Times in seconds; None where nothing tells them.

    Attributes:
        outcome: one of attempt.OUTCOMES; ``error`` says why, if it is not ok.
        total_s: from sending to the answer's last byte, or to the job's end.
        queue_s: in the platform's queue, without the start of a worker.
        start_s: of the container that served it, from its start to taking the request; 0 if it ran before.
        cold: whether its container started for it.
        execution_s: on the worker.
        transfer_s: the rest: network, the platform's hand-over, and reading the answer.
    """

    outcome: str
    error: str
    total_s: float
    queue_s: float | None
    start_s: float | None
    execution_s: float | None
    transfer_s: float | None
    worker_id: str
    cold: bool | None

    @property
    def text(self) -> str:
        """In words."""
        parts = ", ".join([*(f"{name} {seconds:.2f} s" for name, seconds in self._parts()), *self._unmeasured()])
        return f"{self.outcome} after {self.total_s:.2f} s" + (f": {parts}" if parts else "")

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(self).items()}

    def _parts(self) -> Iterator[tuple[str, float]]:
        names = {"queue": self.queue_s, "start of a worker": self.start_s, "execution": self.execution_s, "transfer": self.transfer_s}
        return ((name, seconds) for name, seconds in names.items() if seconds is not None)

    def _unmeasured(self) -> Iterator[str]:
        if self.cold and self.start_s is None:
            yield "a worker started for it"


def one_request(of: Diagnosis) -> tuple[Anatomy, Survey]:
    """Sends one request, as a run does, and looks again. A job that has not ended when the deadline passes is cancelled."""
    target, exchange = of.plan.make_target(of.address, of.plan.limits, of.key), Exchange()
    try:
        evidence = target.send(0, "doctor-0-1", exchange)
        # At once, before the worker idles out.
        after = survey(of.address, of.key) if of.address.management else of.found
        return dissect(exchange, evidence, after.workers, time.perf_counter()), after
    finally:
        target.close()


def dissect(exchange: Exchange, evidence: Evidence, listed: tuple[Mapping[str, Any], ...], now: float) -> Anatomy:
    """Where the time went; ``listed``: the workers at ``now``, by ``time.perf_counter``."""
    measured = {**exchange.known, **evidence.measured}
    sent = exchange.sent if exchange.sent is not None else now
    done = exchange.done if exchange.done is not None else now
    outcome = decide(sent=True, fault=exchange.fault, status=exchange.status, says=evidence.says)
    waited_s, execution_s, worker_id = measured.get("queue_s"), measured.get("execution_s"), str(measured.get("worker_id") or "")
    begun_s = _begun_s(listed, worker_id, now - sent)
    cold = None if begun_s is None else begun_s > -BEFORE_S
    start_s = None
    if waited_s is not None and begun_s is not None:
        start_s = min(max(waited_s - begun_s, 0.0), waited_s) if cold else 0.0
    return Anatomy(
        outcome,
        error="" if outcome == "ok" else str(measured.get("error") or exchange.error),
        total_s=done - sent,
        queue_s=None if waited_s is None else max(waited_s - (start_s or 0.0), 0.0),
        start_s=start_s,
        execution_s=execution_s,
        transfer_s=_transfer_s(exchange, done - sent, waited_s, execution_s),
        worker_id=worker_id,
        cold=cold,
    )


def _transfer_s(exchange: Exchange, total_s: float, waited_s: float | None, execution_s: float | None) -> float | None:
    """The rest besides queue and execution; where neither is known, the time to read the answer."""
    if waited_s is not None or execution_s is not None:
        return max(total_s - (waited_s or 0.0) - (execution_s or 0.0), 0.0)
    if exchange.first is None or exchange.done is None or exchange.first >= exchange.done:
        return None
    return exchange.done - exchange.first


def _begun_s(listed: tuple[Mapping[str, Any], ...], worker_id: str, now_s: float) -> float | None:
    """When the worker's container started, in seconds from the sending of the request; None where the list does not tell."""
    spans = WorkerSpans()
    try:
        spans.see(listed, now_s)
    except (KeyError, TypeError):
        return None
    # A worker that is resumed has had several containers: the last one served.
    begun = [row["start_s"] for row in spans.rows() if row["worker_id"] == worker_id]
    return float(begun[-1]) if begun else None
