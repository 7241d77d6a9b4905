"""Dispatches arrivals when they are due (open loop), or N at a time (closed loop).

There is one dispatcher per process and one greenlet per request in flight, which in a closed loop sends one request after the other.
The dispatcher never waits for a response:
at the in-flight cap, arrivals wait in line or are shed. Their wait is recorded, so that a late send does not look fast.
"""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import gevent
from gevent.event import Event

from coldburst.load.alarm import Alarm
from coldburst.load.stage_hooks import StageGate
from coldburst.schedule.stages import Arrival, Stage, arrivals

# How often a pause of a closed loop checks whether its stage has ended early.
PAUSE_TURN_S = 0.25
# Rows of requests that are not sent, written per turn of the event loop.
REFUSE_BATCH = 500


class Dispatcher:
    """Runs a schedule once.

    Args:
        stages, seed: the load.
        send: called with each arrival and its wait at the in-flight cap, in a greenlet that has no other request meanwhile; returns
            when the request has ended, and must record the outcome even if the greenlet is killed.
        refuse: called for each arrival that is not sent.
        cap: maximum of requests in flight in an open loop; a closed loop has its own.
        shed: refuse arrivals at the cap instead of letting them wait.
        gate: called before and after each stage. Without one, stages follow each other by the clock.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        seed: int,
        send: Callable[[Arrival, float], float | None],
        refuse: Callable[[Arrival], None],
        *,
        cap: int,
        shed: bool = False,
        gate: StageGate | None = None,
    ) -> None:
        self._stages, self._seed = stages, seed
        self._send, self._refuse = send, refuse
        self._cap, self._shed, self._gate = cap, shed, gate
        self._zero = time.perf_counter()
        self._waiting: deque[tuple[Arrival, float]] = deque()
        self._sending: set[gevent.Greenlet] = set()
        self._alarm = Alarm()
        self._stopping, self._idle = Event(), Event()
        self._idle.set()
        self._refused = 0
        self._stop_s = math.inf
        self.stage = self._ended_early = ""
        self.skipped: list[Stage] = []
        self.dispatched = 0
        self._dealt = False
        self.last_sent, self.finished = Event(), Event()

    @property
    def zero(self) -> float:
        """Second 0 by ``time.perf_counter``."""
        return self._zero

    @property
    def begun_s(self) -> float:
        """Start of the schedule in seconds from second 0."""
        return 0.0

    @property
    def stopping(self) -> bool:
        """Whether stop() was called."""
        return bool(self._stopping.is_set())

    @property
    def in_flight(self) -> int:
        """Requests that were sent and have not ended."""
        return len(self._sending)

    @property
    def held(self) -> int:
        """Arrivals that wait at the in-flight cap."""
        return len(self._waiting)

    @property
    def cap(self) -> int:
        """Maximum of requests in flight in an open loop."""
        return self._cap

    @property
    def draining(self) -> bool:
        """Whether the present stage only waits for its last responses."""
        return self.now() > self._stop_s

    def now(self) -> float:
        """Seconds since second 0."""
        return time.perf_counter() - self._zero

    def run(self) -> None:
        """Sends the whole schedule; returns when every request has ended, with their number in ``dispatched``."""
        try:
            self._run()
        finally:
            self._alarm.close()
            self.last_sent.set()
            self.finished.set()

    def _run(self) -> None:
        self._zero = time.perf_counter()
        seq, start_s = 0, 0.0
        for stage in self._stages:
            self.stage, self._stop_s = stage.name, math.inf
            if self._gate:
                self._idle.wait()
                if not self.stopping and not self._gate.before(stage) and not self.stopping:
                    self.skipped.append(stage)
                    continue
                start_s = self.now()
            if stage.closed:
                self._wait_until(start_s)  # a rest before it has no arrivals
                self._idle.wait()
                seq, begun_s = self._closed(stage, seq), start_s
                start_s = self.now()
            else:
                seq, begun_s = self._open(stage, seq, start_s), start_s
                start_s += stage.duration_s or 0.0
            self._stop_s = min(self._stop_s, self.now())
            self._note_last_sent(stage)
            if self._gate:
                self._idle.wait()
                self._gate.after(stage, begun_s, self._stop_s)
        self._idle.wait()
        self.dispatched = seq

    def _note_last_sent(self, stage: Stage) -> None:
        """Sets ``last_sent`` if the last stage has no more arrivals and none waits at the cap."""
        self._dealt = self._dealt or stage is self._stages[-1]
        if self._dealt and not self._waiting:
            self.last_sent.set()

    def rest(self, seconds: float) -> bool:
        """Waits, at most until stop(); returns whether the run goes on."""
        return not self._stopping.wait(seconds)

    def stop(self) -> None:
        """Refuses every arrival that is not sent yet; requests in flight continue."""
        self._stop_s = min(self._stop_s, self.now())
        self._stopping.set()
        self._alarm.ring()
        while self._waiting:
            self._refuse(self._waiting.popleft()[0])

    def end_stage(self, name: str) -> None:
        """Ends that closed loop early, if it is the present stage: it sends no further request."""
        if name == self.stage:
            self._stop_s = min(self._stop_s, self.now())
            self._ended_early = name

    def cut(self) -> None:
        """Ends requests in flight at once."""
        self.stop()
        gevent.sleep(0)  # a greenlet killed before its first turn would leave no row
        gevent.killall(list(self._sending), block=True)

    def _open(self, stage: Stage, seq: int, start_s: float) -> int:
        for arrival in arrivals([stage], self._seed, seq, start_s):
            seq = arrival.seq + 1
            if not self._mine(arrival):
                continue
            self._wait_until(arrival.scheduled_s)
            if self.stopping:
                self._drop(arrival)
            elif self.in_flight < self.cap and not self._waiting:
                self._launch(arrival, 0.0)
            elif self._shed:
                self._drop(arrival)
            else:
                self._waiting.append((arrival, self.now()))
        return seq

    def _mine(self, arrival: Arrival) -> bool:
        """Whether this process sends the arrival; subclasses share arrivals among processes."""
        return True

    def _wait_until(self, due_s: float) -> None:
        if self.stopping:
            return
        if due_s > self.now():
            self._alarm.wait(self._zero + due_s)
        else:
            gevent.sleep(0)  # already late: handle responses before the next send

    def _launch(self, arrival: Arrival, held_s: float) -> None:
        self._idle.clear()
        greenlet = gevent.Greenlet(self._send_one, arrival, held_s)
        self._sending.add(greenlet)
        greenlet.start()

    def _send_next(self, arrival: Arrival) -> None:
        """Sends in the present greenlet, which belongs to a place of a closed loop."""
        self._idle.clear()
        self._sending.add(gevent.getcurrent())
        pause_s = 0.0
        try:
            pause_s = self._send_one(arrival, 0.0) or 0.0
        except gevent.GreenletExit:
            # It was cut, and with it the run.
            return
        except Exception:
            # The place goes on with the next request. As for a greenlet that fails, the error is printed.
            gevent.get_hub().handle_error(gevent.getcurrent(), *sys.exc_info())
        # Others get a turn even if requests end without a wait. Nobody may cut the greenlet here, between two requests.
        if pause_s > 0:
            until_s = self.now() + pause_s
            while not self.stopping and (left_s := min(until_s, self._stop_s) - self.now()) > 0:
                self._stopping.wait(min(left_s, PAUSE_TURN_S))
        elif not self.stopping:
            gevent.sleep(0)

    def _send_one(self, arrival: Arrival, held_s: float) -> float | None:
        try:
            return self._send(arrival, held_s)
        finally:
            self._sending.discard(gevent.getcurrent())
            if self._waiting and self.in_flight < self.cap:
                waiting, since_s = self._waiting.popleft()
                if self._dealt and not self._waiting:
                    self.last_sent.set()
                self._launch(waiting, self.now() - since_s)
            elif not self._sending and not self._waiting:
                self._idle.set()

    def _closed(self, stage: Stage, first_seq: int) -> int:
        """Keeps ``concurrency`` requests in flight; returns the first unused sequence number."""
        end_s = self.now() + stage.duration_s if stage.duration_s is not None else math.inf
        numbers = itertools.count(first_seq) if stage.count is None else self._until_last(range(first_seq, first_seq + stage.count))
        self._stop_s = end_s
        lanes = [gevent.spawn(self._lane, stage, numbers, end_s) for _ in range(stage.concurrency or 0)]
        last = max(int(lane.get()) for lane in lanes)
        if stage.count is not None and self._ended_early == stage.name:
            # As for a skipped stage, the rest is no longer planned.
            if left := sum(1 for _ in numbers):
                self.skipped.append(replace(stage, count=left))
        elif stage.count is not None:
            for seq in numbers:
                last = seq
                self._drop(Arrival(seq, self.now(), stage.name))
        return max(last + 1, first_seq)

    def _until_last(self, numbers: Sequence[int]) -> Iterator[int]:
        """Yields ``numbers``; the stage stops sending with the last one."""
        for seq in numbers:
            if seq == numbers[-1]:
                self._stop_s = min(self._stop_s, self.now())
            yield seq

    def _lane(self, stage: Stage, numbers: Iterator[int], end_s: float) -> int:
        """One place of a closed loop; returns the last number that it used, or -1."""
        last = -1
        while not self.stopping and self.now() < end_s and self._ended_early != stage.name:
            seq = next(numbers, None)
            if seq is None:
                break
            last = seq
            self._send_next(Arrival(seq, self.now(), stage.name))
        self._note_last_sent(stage)
        return last

    def _drop(self, arrival: Arrival) -> None:
        self._refuse(arrival)
        self._refused += 1
        if self._refused % REFUSE_BATCH == 0:
            gevent.sleep(0)
