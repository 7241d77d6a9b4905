"""A generator's part of the load: what the master lets it send, in the stages that the master begins."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gevent
from gevent.event import Event

from rig.dispatch import Dispatcher
from rig.schedule import Arrival, Stage, planned
from rig.shares import SLOTS, Deals, bases

LATE_S = 1.0
"""An arrival that was let go only so long after it was due is not sent any more."""
LEFT_OUT = -1.0
"""A stage's start in the master's word, where the stage is left out."""
TURN = 5000
"""Arrivals of others that are passed over between two turns of the event loop."""
TURN_S = 0.05
"""How often a place of a closed loop that may not send looks again."""


class Orders:
    """The master's latest word, as far as it concerns the load.

    Attributes:
        lease_s: what is due before this (seconds from second 0) may be sent.
        deals: who sends what.
        starts: when each stage begins; LEFT_OUT, or missing where it is not known yet.
        changed: set by each new word, cleared by whoever waits for it.
    """

    def __init__(self) -> None:
        self.lease_s = -math.inf
        self.deals = Deals()
        self.starts: list[float] = []
        self.changed = Event()

    def take(self, word: Mapping[str, Any]) -> None:
        """A beat of the master's; older ones than the last are of no consequence, as a lease only grows."""
        self.lease_s = max(self.lease_s, float(word["lease_s"]))
        self.deals = Deals.read(word["deals"])
        self.starts = [float(start_s) for start_s in word["starts"]]
        self.changed.set()

    def wait(self) -> None:
        """Waits for the next word."""
        self.changed.clear()
        self.changed.wait()


class SharedDispatcher(Dispatcher):
    """Sends the share of one generator.

    Args:
        name, slot: of this generator, unique in the run; ``slot`` from 0.
        orders: the master's word.
        more: as of Dispatcher.
    """

    def __init__(self, stages: Sequence[Stage], seed: int, *args: Any, name: str, slot: int, orders: Orders, **more: Any) -> None:
        super().__init__(stages, seed, *args, **more)
        self._name, self._slot, self._orders = name, slot, orders
        self._bases = bases(stages, [planned([stage], seed) for stage in stages])
        self._passed = 0
        self._start_s = 0.0
        self._leaves = False
        self.ended = -1
        self.dispatched = 0

    def set_zero(self, zero: float) -> None:
        """Second 0 by ``time.perf_counter``, as the clocks' comparison has it."""
        self._zero = zero

    @property
    def cap(self) -> int:
        """The generator's part of the requests in flight."""
        return max(len(self._orders.deals.places(self._name, self.now(), self._cap)), 1)

    def stop(self) -> None:
        """See Dispatcher; whoever waits for the master's word goes on."""
        super().stop()
        self._orders.changed.set()

    def leave(self) -> None:
        """Sends nothing more while the run goes on: what is not let go yet is for others to send."""
        self._leaves = True
        self.stop()

    def _run(self) -> None:
        for place, stage in enumerate(self._stages):
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
            if len(self._orders.starts) <= place + 1:  # the next stage waits for this one's answers
                self._quiet.wait()
            self.ended = place if self._quiet.is_set() else self.ended
        self._quiet.wait()
        self.ended = len(self._stages) - 1

    def _start(self, place: int) -> float:
        """When the stage begins, once the master has said so; at once where the run was stopped before."""
        while len(self._orders.starts) <= place and not self.stopping:
            self._orders.wait()
        starts = self._orders.starts
        return starts[place] if len(starts) > place else max(self.now(), self._orders.deals.last.from_s)  # the same deal for all

    def _mine(self, arrival: Arrival) -> bool:
        waited = False
        while arrival.scheduled_s >= self._orders.lease_s and not self.stopping:
            waited = True
            self._orders.wait()
        left = self._leaves and arrival.scheduled_s >= self._orders.lease_s
        if left or self._orders.deals.owner(arrival.seq, arrival.scheduled_s) != self._name:
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
        """The generator's places of the loop."""
        if stage.count is not None:
            self._counted(stage, stage.count, first_seq)
        else:
            self._timed(stage, self._start_s + (stage.duration_s or 0.0), itertools.count(first_seq + self._slot, SLOTS))
        return first_seq

    def _counted(self, stage: Stage, count: int, first: int) -> None:
        """So many requests: each place has numbers of its own, so that none is dealt again, and none sent twice."""
        whole = stage.concurrency or 1
        mine = self._orders.deals.places(self._name, self._start_s, whole)
        numbers = self._until_last([first + number for number in range(count) if number % whole in mine])
        gevent.joinall([gevent.spawn(self._place, stage, numbers, place, math.inf) for place in range(len(mine))])
        for seq in numbers:
            self.dispatched += 1
            self._drop(Arrival(seq, self.now(), stage.name))

    def _timed(self, stage: Stage, end_s: float, numbers: Iterator[int]) -> None:
        """As many as go until ``end_s``; where another generator is lost, this one takes over its part of the places."""
        self._stop_s = end_s
        lanes: list[gevent.Greenlet] = []
        while not self.stopping and self.now() < end_s:
            more = range(len(lanes), self._present(stage))
            lanes += [gevent.spawn(self._place, stage, numbers, place, end_s) for place in more]
            self._stopping.wait(min(TURN_S, max(end_s - self.now(), 0.0)))
        gevent.joinall(lanes)

    def _present(self, stage: Stage) -> int:
        """Places that are this generator's now."""
        return len(self._orders.deals.places(self._name, self.now(), stage.concurrency or 0))

    def _place(self, stage: Stage, numbers: Iterator[int], place: int, end_s: float) -> None:
        """One place of the closed loop; of a loop bounded by time, as long as it is this generator's."""
        while not self.stopping and self.now() < end_s:
            if self.now() >= self._orders.lease_s or (stage.count is None and place >= self._present(stage)):
                self._stopping.wait(TURN_S)
                continue
            seq = next(numbers, None)
            if seq is None:
                return
            self.dispatched += 1
            self._launch(Arrival(seq, self.now(), stage.name), 0.0).join()


def shared(name: str, slot: int, orders: Orders) -> Callable[..., SharedDispatcher]:
    """Makes the dispatcher of a Run on a generator."""
    return lambda *args, **more: SharedDispatcher(*args, name=name, slot=slot, orders=orders, **more)
