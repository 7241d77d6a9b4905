"""Starts the stages of a distributed run one after the other, and waits for the generators between them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Protocol

from gevent.event import Event

from coldburst.distributed.messages import BEAT_S
from coldburst.distributed.shared_dispatcher import LEFT_OUT
from coldburst.load.stage_hooks import StageGate
from coldburst.schedule.stages import Stage

# From the announcement of a stage to its start: longer than a message takes.
LEAD_S = 0.3


class GeneratorStatus(Protocol):
    """The generators' reports; ``changed`` is set when there may be a new one."""

    changed: Event

    def reported(self, name: str) -> list[Any]:
        """A value of each generator's last report."""

    def has_ended(self, place: int) -> bool:
        """Whether every live generator has all answers up to that stage."""

    def has_closed(self) -> bool:
        """Whether every live generator has ended its part."""


class StageSequencer:
    """The progress of a distributed run through its schedule; a Dispatcher is the same in one process."""

    def __init__(self, run: GeneratorStatus, stages: tuple[Stage, ...], gate: StageGate | None) -> None:
        self._run, self._stages, self._gate = run, stages, gate
        self.zero = time.perf_counter()
        self.starts: list[float] = []
        self._prepared = ""
        self.skipped: list[Stage] = []
        # The last stage that was ended early, by its place, and when.
        self.ended_early, self._ended_early_s = -1, math.inf
        self.last_sent = self.finished = Event()
        self._stopping, self._stopped_s = Event(), math.inf
        self.is_cut = False

    def now(self) -> float:
        """Seconds since second 0."""
        return time.perf_counter() - self.zero

    @property
    def stage(self) -> str:
        """The present stage by the clock, or the one that hooks prepare the endpoint for; "" before the first."""
        at_s = min(self.now(), self._stopped_s)
        begun = [stage.name for stage, start_s in zip(self._stages, self.starts, strict=False) if start_s <= at_s]
        return self._prepared or (begun[-1] if begun else "")

    @property
    def begun_s(self) -> float:
        """When the first stage begins, in seconds from second 0; before it is announced, the earliest possible start."""
        return self.starts[0] if self.starts else self.now() + LEAD_S

    @property
    def stopping(self) -> bool:
        """Whether stop() was called."""
        return bool(self._stopping.is_set())

    @property
    def in_flight(self) -> int:
        """Requests in flight, by the generators' last reports."""
        return sum(self._run.reported("in_flight"))

    @property
    def held(self) -> int:
        """Arrivals held back by the in-flight cap."""
        return sum(self._run.reported("held"))

    @property
    def dispatched(self) -> int:
        """Requests dispatched, by the last reports of all generators, the lost ones included."""
        return sum(self._run.reported("dispatched"))

    def rest(self, seconds: float) -> bool:
        """Waits until the time has passed or the run is stopped; whether it goes on."""
        return not self._stopping.wait(seconds)

    def stop(self) -> None:
        """Stops sending: the next beat tells the generators."""
        self._stopped_s = min(self._stopped_s, self.now())
        self._stopping.set()

    def cut(self) -> None:
        """Cancels what is in flight."""
        self.is_cut = True
        self.stop()

    def end_stage(self, name: str) -> None:
        """Ends that closed loop early, if it is the present stage: the next beat tells the generators."""
        if name == self._prepared and self.ended_early < len(self.starts) - 1:
            self.ended_early, self._ended_early_s = len(self.starts) - 1, self.now()

    def run(self) -> None:
        """Starts stage after stage; returns when every live generator has ended its part."""
        try:
            start_s = self.now() + LEAD_S
            for place, stage in enumerate(self._stages):
                start_s = self._begin(place, stage, start_s)
            self._wait(self._run.has_closed)
        finally:
            self.finished.set()

    def _begin(self, place: int, stage: Stage, start_s: float) -> float:
        """Starts a stage as soon as it may start; returns the earliest start of the next."""
        self._prepared = stage.name if self._gate else ""
        before = self._stages[place - 1] if place else None
        if self._gate or stage.closed or (before and before.closed):
            self._ended(place - 1)
            if self._gate and not self.stopping and not self._gate.before(stage) and not self.stopping:
                self.skipped.append(stage)
                self.starts.append(LEFT_OUT)
                return start_s
            start_s = self.now() + LEAD_S
        if self.stopping:
            if self._gate:
                self._gate.after(stage, self.now(), self.now())
            return start_s
        self.starts.append(start_s)
        if not self._gate:
            return start_s + (stage.duration_s or 0.0)
        self._ended(place)
        stop_s = self.now() if stage.duration_s is None else min(start_s + stage.duration_s, self.now())
        stop_s = min(stop_s, self._ended_early_s) if self.ended_early == place else stop_s
        self._gate.after(stage, start_s, stop_s)
        return self.now()

    def _ended(self, place: int) -> None:
        """Waits until every generator has all answers up to that stage, and the master has their rows."""
        if place >= 0:
            self._wait(lambda: self._run.has_ended(place))

    def _wait(self, done: Callable[[], bool]) -> None:
        while not (done() or self.is_cut):
            self._run.changed.clear()
            self._run.changed.wait(BEAT_S)
