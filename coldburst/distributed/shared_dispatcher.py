"""Dispatches one generator's share of the load: what the master assigns to it, within its lease."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gevent
from gevent.event import Event

from coldburst.distributed.assignment import SLOTS, Assignment, Assignments, LeasedNumbers, bases
from coldburst.load.dispatcher import Dispatcher
from coldburst.schedule.stages import Arrival, Stage, planned

LATE_S = 1.0
"""An arrival that was let go only so long after it was due is not sent any more."""
LEFT_OUT = -1.0
"""A stage's start in the master's word, where the stage is left out."""
NOBODY = ""
"""The owner of all arrivals until the master has assigned them."""
TURN = 5000
"""Arrivals of others that are passed over between two turns of the event loop."""
TURN_S = 0.05
"""How often a place of a closed loop that may not send looks again."""
AHEAD = 2
"""Numbers for each place of a closed loop that are asked for ahead, at first; twice as many whenever they do not last."""


class MasterInstructions:
    """The master's latest instructions for the load.

    Attributes:
        lease_s: what is due before this (seconds from second 0) may be sent.
        assignments: who sends what.
        starts: when each stage begins; LEFT_OUT, or missing where it is not known yet.
        numbers: of a closed loop bounded by a count.
        changed: set by each new word, cleared by whoever waits for it.
    """

    def __init__(self) -> None:
        self.lease_s = -math.inf
        self.assignments = Assignments([Assignment(0.0, (NOBODY,))])
        self.starts: list[float] = []
        self.numbers = LeasedNumbers()
        self.changed = Event()

    def take(self, word: Mapping[str, Any]) -> None:
        """A beat of the master's; older ones than the last are of no consequence, as a lease only grows."""
        self.lease_s = max(self.lease_s, float(word["lease_s"]))
        self.assignments = Assignments.read(word["assignments"])
        self.starts = [float(start_s) for start_s in word["starts"]]
        self.numbers.hear(*word["numbers"])
        self.changed.set()

    def wait(self) -> None:
        """Waits for the next word."""
        self.changed.clear()
        self.changed.wait()


class SharedDispatcher(Dispatcher):
    """Sends the share of one generator.

    Args:
        name, slot: of this generator, unique in the run; ``slot`` from 0.
        instructions: the master's.
        more: as of Dispatcher.

    Attributes:
        ended: the last stage of which it has all answers.
        asks: set where the master is to be told at once what it wants.
    """

    def __init__(
        self, stages: Sequence[Stage], seed: int, *args: Any, name: str, slot: int, instructions: MasterInstructions, **more: Any
    ) -> None:
        super().__init__(stages, seed, *args, **more)
        self._name, self._slot, self._instructions = name, slot, instructions
        self._bases = bases(stages, [planned([stage], seed) for stage in stages])
        self._passed = 0
        self._start_s = 0.0
        self._leaves = self._alone = False
        self._at = self._short_at = -1
        self._ahead = AHEAD
        self.asks = Event()
        self.ended = -1
        self.dispatched = 0

    def set_zero(self, zero: float) -> None:
        """Second 0 by ``time.perf_counter``, as the clocks' comparison has it."""
        self._zero = zero

    @property
    def cap(self) -> int:
        """The generator's part of the requests in flight."""
        return max(len(self._instructions.assignments.places(self._name, self.now(), self._cap)), 1)

    def stop(self) -> None:
        """See Dispatcher; whoever waits for the master's word goes on."""
        super().stop()
        self._instructions.changed.set()

    def leave(self, alone: bool) -> None:
        """Sends nothing more while the run goes on: what is not let go yet is for others to send; ``alone``: no master answers."""
        self._leaves, self._alone = True, alone
        self.stop()

    def _run(self) -> None:
        for place, stage in enumerate(self._stages):
            self._at, self._short_at = place, -1
            start_s = self._start_s = self._start(place)
            if start_s == LEFT_OUT:
                self.skipped.append(stage)
                self.ended = place
                continue
            self.stage, self._stop_s = stage.name, math.inf
            self._wait_until(start_s)
            if stage.closed:
                self._closed(stage, self._bases[place])
            else:
                self._open(stage, self._bases[place], start_s)
            self._stop_s = min(self._stop_s, self.now())
            if len(self._instructions.starts) <= place + 1:  # the next stage waits for this one's answers
                self._idle.wait()
            self.ended = place if self._idle.is_set() else self.ended
        self._idle.wait()
        self.ended = len(self._stages) - 1

    def _start(self, place: int) -> float:
        """When the stage begins, once the master has said so; at once where the run was stopped before."""
        while len(self._instructions.starts) <= place and not self.stopping:
            self._instructions.wait()
        starts = self._instructions.starts
        return starts[place] if len(starts) > place else max(self.now(), self._instructions.assignments.last.from_s)  # the same for all

    def _mine(self, arrival: Arrival) -> bool:
        waited = False
        while arrival.scheduled_s >= self._instructions.lease_s and not self.stopping:
            waited = True
            self._instructions.wait()
        left = self._leaves and arrival.scheduled_s >= self._instructions.lease_s
        if left or self._instructions.assignments.owner(arrival.seq, arrival.scheduled_s) != self._name:
            self._passed += 1
            if self._passed % TURN == 0:
                gevent.sleep(0)
            return False
        self.dispatched += 1
        if waited and not self.stopping and self.now() > arrival.scheduled_s + LATE_S:
            self._drop(arrival)
            return False
        return True

    def _closed(self, stage: Stage, first_seq: int) -> int:
        """The generator's places of the loop; where another generator is lost, this one takes over its part of them."""
        if stage.count is None:
            numbers, end_s = itertools.count(first_seq + self._slot, SLOTS), self._start_s + (stage.duration_s or 0.0)
            self._stop_s = end_s
            self._keep_up(stage, lambda: next(numbers), lambda: self.now() >= end_s)
        elif self._at < len(self._instructions.starts):
            self._keep_up(stage, lambda: self._next(stage), lambda: self._used_up)
            self._give_up_rest(stage)
        elif not self._leaves:  # the run was stopped before: everybody tells of a part
            for seq in range(first_seq, first_seq + stage.count):
                if self._instructions.assignments.owner(seq, self._start_s) == self._name:
                    self._not_sent(seq, stage)
        return first_seq

    def _keep_up(self, stage: Stage, number: Callable[[], int | None], over: Callable[[], bool]) -> None:
        """Keeps as many requests in flight as are this generator's places."""
        lanes: list[gevent.Greenlet] = []
        while not self.stopping and not over():
            more = range(len(lanes), self._present(stage))
            lanes += [gevent.spawn(self._place, stage, number, place, over) for place in more]
            self._stopping.wait(TURN_S)
        self._stop_s = min(self._stop_s, self.now())
        gevent.joinall(lanes)

    def _present(self, stage: Stage) -> int:
        """Places that are this generator's now."""
        return len(self._instructions.assignments.places(self._name, self.now(), stage.concurrency or 0))

    def _place(self, stage: Stage, number: Callable[[], int | None], place: int, over: Callable[[], bool]) -> None:
        """One place of the closed loop, as long as it is this generator's."""
        while not self.stopping and not over():
            if self.now() >= self._instructions.lease_s or place >= self._present(stage):
                self._stopping.wait(TURN_S)
            elif (seq := number()) is None:
                self._instructions.wait()
            else:
                self.dispatched += 1
                self._launch(Arrival(seq, self.now(), stage.name), 0.0).join()

    @property
    def wants(self) -> tuple[int, int, int]:
        """Which stage's numbers, how many in all since its beginning, and how many of them are here."""
        numbers, stage = self._instructions.numbers, self._stages[max(self._at, 0)]
        heard = self._instructions.lease_s > -math.inf
        if stage.count is None or not stage.closed or numbers.stage > self._at or not heard:
            return self._at, 0, 0
        taken, got = (numbers.taken, numbers.got) if numbers.stage == self._at else (0, 0)
        return self._at, taken + self._ahead * self._present(stage), got

    @property
    def _used_up(self) -> bool:
        """Whether every number of the present stage is given out, and this generator's own are taken."""
        return self._instructions.numbers.dry(self._at) and not self._instructions.numbers.left(self._at)

    def _next(self, stage: Stage) -> int | None:
        """The next number of a loop bounded by a count; None where none is here yet. Asks for more in time."""
        numbers = self._instructions.numbers
        seq = numbers.take(self._at)
        if self._used_up:
            self._stop_s = min(self._stop_s, self.now())
        elif not numbers.dry(self._at) and 2 * numbers.left(self._at) <= self._ahead * self._present(stage):
            self.asks.set()
            if seq is None and numbers.got > self._short_at:  # what was asked for did not last until the answer
                self._short_at = numbers.got
                self._ahead *= 2
        return seq

    def _give_up_rest(self, stage: Stage) -> None:
        """Where sending was stopped: numbers that were given to it are told as not sent; at the run's end it may be all that are left."""
        numbers = self._instructions.numbers
        while True:
            while (seq := numbers.take(self._at)) is not None:
                self._not_sent(seq, stage)
            if self._alone or numbers.dry(self._at):
                return
            self._instructions.wait()

    def _not_sent(self, seq: int, stage: Stage) -> None:
        self.dispatched += 1
        self._drop(Arrival(seq, self.now(), stage.name))


def shared_dispatcher(name: str, slot: int, instructions: MasterInstructions) -> Callable[..., SharedDispatcher]:
    """Makes the dispatcher of a Run on a generator."""
    return lambda *args, **more: SharedDispatcher(*args, name=name, slot=slot, instructions=instructions, **more)
