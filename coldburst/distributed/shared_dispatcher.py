"""Dispatches one generator's share of the load."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gevent
from gevent.event import Event

from coldburst.distributed.assignment import SLOTS, Assignment, Assignments, LeasedNumbers, bases
from coldburst.distributed.messages import BEAT_S
from coldburst.load.dispatcher import Dispatcher
from coldburst.schedule.stages import Arrival, Stage, planned

# An arrival that the lease holds back for longer than this is not sent.
LATE_S = 1.0
# The start of a stage that the master skips.
LEFT_OUT = -1.0
# Owns all arrivals until the master has assigned them.
NOBODY = ""
# Arrivals of other generators that are skipped between two turns of the event loop.
TURN = 5000
# How often a place of a closed loop that may not send checks again.
TURN_S = 0.05
# Limit on the wait of a generator that leaves until the master has assigned its arrivals to others.
HAND_OVER_S = 3.0
# Numbers requested ahead for each place of a closed loop; doubled whenever they run out.
AHEAD = 2


class MasterInstructions:
    """The master's latest instructions for the load.

    Attributes:
        lease_s: arrivals due before this (seconds from second 0) may be sent.
        assignments: which generator sends what.
        starts: when each stage begins; LEFT_OUT if it is skipped, absent if it is not known yet.
        numbers: of a closed loop with a count.
        ended_early: the last stage that was ended early.
        handed_over: whether the master knows that this generator leaves, and has assigned its arrivals to others.
        changed: set by each beat.
    """

    def __init__(self) -> None:
        self.lease_s = -math.inf
        self.assignments = Assignments([Assignment(0.0, (NOBODY,))])
        self.starts: list[float] = []
        self.ended_early = -1
        self.numbers = LeasedNumbers()
        self.handed_over = False
        self.changed = Event()

    def update(self, beat: Mapping[str, Any]) -> None:
        """Takes over the master's beat."""
        self.lease_s = max(self.lease_s, float(beat["lease_s"]))
        self.assignments = Assignments.read(beat["assignments"])
        self.starts = [float(start_s) for start_s in beat["starts"]]
        self.numbers.receive(*beat["numbers"])
        self.ended_early = int(beat["ended_early"])
        self.handed_over = bool(beat["handed_over"])
        self.changed.set()

    def wait(self) -> None:
        """Waits for the next beat."""
        self.changed.clear()
        self.changed.wait()


class SharedDispatcher(Dispatcher):
    """Sends the share of one generator.

    Args:
        name, slot: of this generator, unique in the run; ``slot`` from 0.
        instructions: the master's.
        more: see Dispatcher.

    Attributes:
        ended: the last stage with all answers.
        asks: set when the next beat is due at once, because it requests numbers.
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
        self._leaves_by_s = math.inf
        self._at = self._short_at = -1
        self._ahead = AHEAD
        self.asks = Event()
        self.ended = -1
        self.dispatched = 0

    def set_zero(self, zero: float) -> None:
        """Sets second 0, by ``time.perf_counter``."""
        self._zero = zero

    @property
    def cap(self) -> int:
        """The generator's share of the in-flight cap."""
        return max(len(self._instructions.assignments.places(self._name, self.now(), self._cap)), 1)

    def stop(self) -> None:
        """See Dispatcher; also ends the wait for a beat."""
        super().stop()
        self._instructions.changed.set()

    def leave(self, alone: bool) -> None:
        """Stops sending while the run goes on; others send the rest. ``alone``: the master does not answer."""
        self._leaves, self._alone = True, alone
        self._leaves_by_s = self.now() + HAND_OVER_S
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
            # The next stage waits for this one's answers.
            if len(self._instructions.starts) <= place + 1:
                self._idle.wait()
            self.ended = place if self._idle.is_set() else self.ended
        self._idle.wait()
        self.ended = len(self._stages) - 1

    def _start(self, place: int) -> float:
        """Waits until the master has set the stage's start; now, if the run was stopped before."""
        while len(self._instructions.starts) <= place and not self.stopping:
            self._instructions.wait()
        starts = self._instructions.starts
        # Not before the last assignment, so that all generators use the same one.
        return starts[place] if len(starts) > place else max(self.now(), self._instructions.assignments.last.from_s)

    def _mine(self, arrival: Arrival) -> bool:
        waited = False
        while arrival.scheduled_s >= self._instructions.lease_s and not self.stopping:
            waited = True
            self._instructions.wait()
        left = self._leaves and not self._is_handed_over() and arrival.scheduled_s >= self._instructions.lease_s
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

    def _is_handed_over(self) -> bool:
        """Waits until the master has assigned the rest to others; whether it has. What is due before that is reported as not sent.

        Only the master knows: a generator that was lost for a moment may be given a share again while it leaves.
        """
        instructions = self._instructions
        while not (self._alone or instructions.handed_over) and self.now() < self._leaves_by_s:
            instructions.changed.clear()
            instructions.changed.wait(BEAT_S)
        return instructions.handed_over

    def _closed(self, stage: Stage, first_seq: int) -> int:
        """Sends from the generator's places of the loop, and from its share of a lost generator's places."""
        if stage.count is None:
            numbers, end_s = itertools.count(first_seq + self._slot, SLOTS), self._start_s + (stage.duration_s or 0.0)
            self._stop_s = end_s
            self._keep_up(stage, lambda: next(numbers), lambda: self.now() >= end_s or self._instructions.ended_early >= self._at)
        elif self._at < len(self._instructions.starts):
            self._keep_up(stage, lambda: self._next(stage), lambda: self._used_up)
            self._give_up_rest(stage)
        # The run was stopped before the stage: each generator reports its share as not sent.
        elif not self._leaves:
            for seq in range(first_seq, first_seq + stage.count):
                if self._instructions.assignments.owner(seq, self._start_s) == self._name:
                    self._not_sent(seq, stage)
        return first_seq

    def _keep_up(self, stage: Stage, number: Callable[[], int | None], over: Callable[[], bool]) -> None:
        """Keeps one request in flight at each of this generator's places."""
        lanes: list[gevent.Greenlet] = []
        while not self.stopping and not over():
            more = range(len(lanes), self._present(stage))
            lanes += [gevent.spawn(self._place, stage, number, place, over) for place in more]
            self._stopping.wait(TURN_S)
        self._stop_s = min(self._stop_s, self.now())
        gevent.joinall(lanes)

    def _present(self, stage: Stage) -> int:
        """Number of places that this generator has now."""
        return len(self._instructions.assignments.places(self._name, self.now(), stage.concurrency or 0))

    def _place(self, stage: Stage, number: Callable[[], int | None], place: int, over: Callable[[], bool]) -> None:
        """Sends from one place of the closed loop, while it is this generator's."""
        while not self.stopping and not over():
            if self.now() >= self._instructions.lease_s or place >= self._present(stage):
                self._stopping.wait(TURN_S)
            elif (seq := number()) is None:
                self._instructions.wait()
            else:
                self.dispatched += 1
                self._send_next(Arrival(seq, self.now(), stage.name))

    @property
    def wants(self) -> tuple[int, int, int]:
        """Numbers to request: the stage, how many in total since its start, and how many of them have arrived."""
        numbers, stage = self._instructions.numbers, self._stages[max(self._at, 0)]
        heard = self._instructions.lease_s > -math.inf
        if stage.count is None or not stage.closed or numbers.stage > self._at or not heard:
            return self._at, 0, 0
        taken, got = (numbers.taken, numbers.got) if numbers.stage == self._at else (0, 0)
        return self._at, taken + self._ahead * self._present(stage), got

    @property
    def _used_up(self) -> bool:
        """Whether all numbers of the present stage are given out, and this generator's own are taken."""
        return self._instructions.numbers.dry(self._at) and not self._instructions.numbers.left(self._at)

    def _next(self, stage: Stage) -> int | None:
        """The next number of a loop with a count; None if none has arrived yet. Requests more in time."""
        numbers = self._instructions.numbers
        seq = numbers.take(self._at)
        if self._used_up:
            self._stop_s = min(self._stop_s, self.now())
        elif not numbers.dry(self._at) and 2 * numbers.left(self._at) <= self._ahead * self._present(stage):
            self.asks.set()
            # The numbers ran out before the answer came.
            if seq is None and numbers.got > self._short_at:
                self._short_at = numbers.got
                self._ahead *= 2
        return seq

    def _give_up_rest(self, stage: Stage) -> None:
        """Reports the numbers that it was given and did not send as not sent; at the run's end those may be all that are left."""
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
