"""The master of a distributed run: starts the stages, assigns arrivals to the live generators, and writes their rows."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import gevent
from gevent.event import Event
from gevent.lock import RLock

from coldburst.distributed.assignment import LEASE_S, Assignment, Assignments, SequencePool, bases
from coldburst.distributed.generator_registry import GeneratorRegistry, GeneratorState
from coldburst.distributed.messages import BEAT, BEAT_S, PLAN, STALL_S, loopback
from coldburst.distributed.shared_dispatcher import LEFT_OUT
from coldburst.distributed.stage_sequencer import StageSequencer
from coldburst.distributed.validation import RowChecker
from coldburst.load.run_options import RunPlan
from coldburst.load.spend_limit import Spending
from coldburst.load.stage_hooks import EndRunError, StageContext, StageGate, StageHooks
from coldburst.option import OptionError
from coldburst.record.batches import Batch, Inbox
from coldburst.record.ledger import Ledger
from coldburst.record.run_directory import LocustCsv, Recorder
from coldburst.record.wall_clock import WallClock
from coldburst.schedule.stages import planned
from coldburst.targets.address import EndpointAddress
from coldburst.targets.status_sampler import EndpointSamples, StatusSampler

logger = logging.getLogger("coldburst")
# Limits on the wait for a first generator, and for the answers to the plan.
FIRST_S, READY_S = 30.0, 30.0
# Limit on the wait for the last rows, after the drain.
FLUSH_S = 10.0
# The run ends when all generators have been silent for this long: longer than a standstill, or the restart of a link.
GONE_S = 30.0


class DistributedRun:
    """One distributed run; LoadRun is the same in a single process.

    Args:
        environment: Locust's.
        master: receives the generators' messages.
        address, key, hooks: see LoadRun.
        question: name of the test; the generators' locustfile has it too.
        host: the endpoint's address for the generators.
    """

    def __init__(
        self,
        environment: Any,
        plan: RunPlan,
        recorder: Recorder,
        *,
        master: GeneratorRegistry,
        address: EndpointAddress,
        host: str,
        question: str,
        key: str = "",
        hooks: StageHooks | None = None,
    ) -> None:
        self.plan, self.recorder, self.hooks = plan, recorder, hooks
        self._environment, self._master, self._address, self._key = environment, master, address, key
        self._host, self._question = host, question
        self._wall_clock = WallClock()
        self.ended_by = self.failed = ""
        self._sent = 0
        self.ledger: Ledger | None = None
        self.spending: Spending | None = None
        self._sampler: StatusSampler | None = None
        self.samples = EndpointSamples()
        self.changed = Event()
        self.assignments = Assignments()
        self.load = StageSequencer(self, plan.schedule, StageGate(hooks, self._end_early) if hooks else None)
        self.id = recorder.id
        self._rows = RowChecker(plan.schedule, plan.seed)
        self._over = False
        self._locust = LocustCsv(environment, recorder)
        self._ending = RLock()
        self._peers: dict[str, GeneratorState] = {}
        self._pools: dict[int, SequencePool] = {}
        self._beats: gevent.Greenlet | None = None
        if hooks:
            recorder.attempt_listeners.append(hooks.attempts)
            hooks.begin(StageContext.of(self))

    @property
    def sent(self) -> int:
        """Requests sent, by the generators' last reports."""
        if self.ledger is None:
            self._sent = sum(self.reported("sent"))
        return self._sent

    @property
    def lateness_s(self) -> float:
        """Largest lateness of the last seconds, by the generators' last reports."""
        return max(self.reported("lateness_s"), default=0.0)

    @property
    def generators(self) -> int:
        """Number of live generators that take part."""
        return len(self._parts())

    def reported(self, name: str) -> list[Any]:
        """A value of each generator's last report on this run; totals include the lost generators."""
        peers = self._peers.values() if name in ("dispatched", "sent") else self._parts()
        return [peer.of(self.id, name, 0) for peer in peers]

    def has_ended(self, place: int) -> bool:
        """Whether every live generator has all answers up to that stage, and the master has their rows."""
        parts = self._parts()
        return bool(parts) and all(peer.report["ended"] >= place and peer.inbox.number >= peer.report["last"] for peer in parts)

    def has_closed(self) -> bool:
        """Whether every live generator has ended its part, and no lost one may come back whose share nobody else has."""
        parts, members = self._parts(), self.assignments.last.members
        lost = [peer for peer in self._peers.values() if peer.lost and peer.name in members and not peer.of(self.id, "closed", False)]
        return bool(parts) and all(peer.of(self.id, "closed", False) for peer in parts) and all(map(self._gone, lost))

    def prepare(self) -> None:
        """Sends the plan to each generator, and waits until all are ready.

        Raises:
            OptionError: there is no generator, or one cannot take part; the message names it.
        """
        living = self._await(self._master.gathered, FIRST_S) or self._master.living()
        if not living:
            self._give_up(f"no generator within {FIRST_S:g} s: start one with locust -f … --worker --master-host (this machine's address)")
        self._master.run = self
        self.load.zero = time.perf_counter()
        self.assignments = Assignments([Assignment(0.0, tuple(peer.name for peer in living))])
        for peer in living:
            self._join(peer)
        waiting = self._await(lambda: self._refusal() or not self._unready(), READY_S)
        if refused := self._refusal():
            self._give_up(refused)
        if not waiting:
            names = ", ".join(f"{peer.name} ({peer.machine})" for peer in self._unready())
            self._give_up(f"no answer to the plan within {READY_S:g} s from generator {names}: look at its log")
        logger.info("%d generators: %s", len(living), ", ".join(f"{peer.name} on {peer.machine}" for peer in living))

    def _give_up(self, why: str) -> NoReturn:
        """Removes what was prepared, here and at the generators, and raises the error."""
        self.ended_by, self._over = "the run could not begin", True
        self.load.cut()
        for peer in self._peers.values():
            self._send_instructions(peer)
        self._locust.close()
        self.recorder.discard()
        raise OptionError(why)

    def drive(self) -> None:
        """Runs the schedule once; returns when every generator has ended its part."""
        if self._beats is None:
            self._beats = gevent.spawn(self._beat)
            self._sampler = StatusSampler(
                self._address, self._key, self.plan.sample_s, self.samples, now=self.load.now, row=self._sample, ready=self._ready
            )
            self.load.run()
            if self._all_left():
                self.ended_by = self.ended_by or "no generator left"
        self.load.finished.wait()

    def _all_left(self) -> bool:
        """Whether every generator left before the schedule's end."""
        left = self.reported("leaves")
        return bool(left) and all(left) and not self.load.stopping and self.load.dispatched < (self.plan.planned or math.inf)

    def finish(self, reason: str) -> Ledger | None:
        """Ends the run and closes its files; None if another caller did. See LoadRun."""
        with self._ending:
            if self.ledger is not None:
                return None
            if not self.load.finished.is_set():
                self.ended_by = self.ended_by or reason
                self.load.stop()
                if not self.load.finished.wait(self.plan.drain_s + BEAT_S):
                    self.load.cut()
                self.drive()
            self._await(self._flushed, FLUSH_S)
            return self._close()

    def _end_early(self, error: EndRunError) -> None:
        self.ended_by = self.ended_by or error.ended_by
        self.failed = error.failed or self.failed
        self.load.stop()

    def release(self) -> None:
        """The generators cancel their own jobs."""

    def cut(self) -> None:
        """Cancels what is in flight; ``finish`` then returns."""
        self.load.cut()

    def event(self, kind: str, about: Mapping[str, Any]) -> None:
        """Writes a row in events.csv."""
        self.recorder.event(kind, {"at_s": self.load.now(), "generator": "master", **about})

    def take(self, peer: GeneratorState, batch: Batch) -> None:
        """Writes a batch of rows, if it is the next one; see RowChecker for the errors."""
        if self.ledger is not None or self._over or batch.number != peer.inbox.number + 1:
            return
        self._rows.check(batch, peer.name)
        peer.inbox.takes(batch)
        self.recorder.append(batch)
        self.changed.set()
        if self.recorder.fault and not self.load.stopping:
            self.ended_by = "a disk that cannot be written"
            self.load.stop()

    def heard(self, peer: GeneratorState) -> None:
        """Answers at once a generator that needs more sequence numbers."""
        if self._beats and peer.of(self.id, "asks", False):
            self._send_instructions(peer)

    def _join(self, peer: GeneratorState) -> None:
        """Sends the plan to a generator, which answers with its beats."""
        peer.inbox, peer.lease_s, peer.lost = Inbox(), 0.0, False
        self._peers[peer.client_id] = peer
        phases = {} if self.hooks is None else {stage.name: self.hooks.phase(stage.name, False) for stage in self.plan.schedule}
        message = {"run": self.id, "name": peer.name, "slot": peer.slot, "question": self._question, "host": self._host}
        message["loopback"] = "" if self.plan.host else loopback()
        message |= {"options": dict(self.plan.options), "phases": {name: phase for name, phase in phases.items() if phase}}
        self._master.send(PLAN, {**message, "zero": self.load.zero, "keyed": bool(self._key)}, peer)

    def _parts(self) -> list[GeneratorState]:
        """The live generators that take part."""
        return [peer for peer in self._peers.values() if not peer.lost and peer.report.get("run") == self.id]

    def _refusal(self) -> str:
        return next((str(peer.report["why"]) for peer in self._peers.values() if self._refused(peer)), "")

    def _refused(self, peer: GeneratorState) -> bool:
        return bool(peer.report.get("refused") == self.id)

    def _unready(self) -> list[GeneratorState]:
        return [peer for peer in self._peers.values() if peer.report.get("run") != self.id]

    def _beat(self) -> None:
        due_s = time.perf_counter()
        while not self._over:
            if time.perf_counter() > due_s + STALL_S:
                self._master.woke(due_s)
            self._update_members()
            for peer in self._peers.values():
                self._send_instructions(peer)
            self.changed.set()
            due_s = time.perf_counter() + BEAT_S
            gevent.sleep(BEAT_S)

    def _update_members(self) -> None:
        """Detects lost, returned and new generators, and reassigns the arrivals."""
        living = {peer.client_id: peer for peer in self._master.living()}
        for client_id, peer in self._peers.items():
            if peer.lost == (client_id in living):
                peer.lost = not peer.lost
                if peer.lost:
                    self._notice("generator_lost", peer, seconds=time.perf_counter() - peer.heard_s)
                else:
                    self._notice("generator_back", peer)
        for client_id, peer in living.items():
            if client_id not in self._peers and not self.load.stopping:
                self._join(peer)
                self._notice("generator_joined", peer)
        names = tuple(peer.name for peer in self._peers.values() if not peer.lost and self._takes_part(peer))
        members = set(self.assignments.last.members)
        gone = [peer for peer in self._peers.values() if peer.name in members - set(names) and not self._has_done(peer)]
        if names and (gone or set(names) - members) and not self.load.stopping:
            self._reassign(names, gone)
        elif not names and not self.load.is_cut and all(map(self._gone, self._peers.values())):
            logger.error("No generator is left: the run ends")
            self.ended_by = self.ended_by or "no generator left"
            self.load.cut()

    def _gone(self, peer: GeneratorState) -> bool:
        """Whether the generator will send nothing more: it refused, left, or was silent for so long that it has stopped by itself."""
        silent = peer.lost and (peer.of(self.id, "leaves", False) or self._master.silent_s(peer) > GONE_S)
        return silent or self._refused(peer)

    def _reassign(self, names: tuple[str, ...], gone: Sequence[GeneratorState]) -> None:
        """Assigns the arrivals to ``names`` from the end of all leases on, and reports the shares of ``gone`` that move to others."""
        assignment = Assignment(self.load.now() + LEASE_S + BEAT_S, names)
        self.assignments.add(assignment)
        for peer in gone:
            self._notice("share_dealt", peer, at_s=assignment.from_s, seconds=self.load.zero + assignment.from_s - peer.heard_s)

    def _has_done(self, peer: GeneratorState) -> bool:
        """Whether the generator has sent its whole part."""
        return bool(peer.of(self.id, "closed", False) and not peer.of(self.id, "leaves", False))

    def _takes_part(self, peer: GeneratorState) -> bool:
        """Whether the generator takes arrivals: it is ready, and neither leaves nor has ended its part."""
        return not peer.of(self.id, "closed", True) and not peer.of(self.id, "leaves", True)

    def _notice(self, kind: str, peer: GeneratorState, **about: float) -> None:
        """Reports an event to the log and to the hook's listeners, which write events.csv."""
        logger.warning("%s: %s on %s", kind.replace("_", " "), peer.name, peer.machine)
        reported = {"at_s": self.load.now(), "detail": f"{peer.name} on {peer.machine}", "generator": peer.name, **about}
        getattr(self._environment.events, kind).fire(**reported)

    def _send_instructions(self, peer: GeneratorState) -> None:
        """Sends a beat to a generator; a lost one may be back, so it gets one too, without a longer lease."""
        if not peer.lost:
            peer.lease_s = self.load.now() + LEASE_S
        stop = (self.ended_by or "stop") if self.load.stopping else ""
        message = {"run": self.id, "lease_s": peer.lease_s, "assignments": self.assignments.plain(), "starts": self.load.starts}
        message |= {"ended_early": self.load.ended_early}
        message |= {"numbers": self._numbers(peer), "generators": max(self.generators, 1)}
        message["handed_over"] = peer.of(self.id, "leaves", False) and peer.name not in self.assignments.last.members
        message |= {"ack": peer.inbox.number, "samples": peer.samples, "stop": stop, "cut": self.load.is_cut, "over": self._over}
        peer.samples = []
        self._master.send(BEAT, message, peer)

    def _numbers(self, peer: GeneratorState) -> list[Any]:
        """The arguments of ``LeasedNumbers.receive`` for a generator."""
        stage = len(self.load.starts) - 1
        pool = self._pool(stage)
        if pool is None:
            return [stage, 0, [], True]
        if self.load.ended_early == stage and (left := pool.close()):
            # As for a skipped stage, the rest is no longer planned.
            self.load.skipped.append(replace(self.plan.schedule[stage], count=left))
        (reported, whole, got), leaves = peer.of(self.id, "wants", (-1, 0, 0)), peer.of(self.id, "leaves", False)
        if self.load.stopping and peer is next(filter(self._takes_part, self._parts()), None):
            # One generator reports all that are left as not sent.
            pool.rest(peer.name)
        elif reported == stage and not (peer.lost or leaves or self.load.stopping):
            pool.give(peer.name, whole)
        return [stage, *pool.after(peer.name, got if reported == stage else 0), pool.dry or leaves]

    def _pool(self, stage: int) -> SequencePool | None:
        """The numbers of a stage that has begun and is a closed loop with a count; None for other stages."""
        if stage < 0 or self.load.starts[stage] == LEFT_OUT or not self.plan.schedule[stage].closed:
            return None
        if (count := self.plan.schedule[stage].count) is not None and stage not in self._pools:
            first = bases(self.plan.schedule, [planned([one], self.plan.seed) for one in self.plan.schedule])[stage]
            self._pools[stage] = SequencePool(range(first, first + count))
        return self._pools.get(stage)

    def _sample(self, row: Mapping[str, Any]) -> None:
        self.recorder.endpoint(row)
        for peer in self._peers.values():
            peer.samples.append(dict(row))

    def _ready(self, about: Mapping[str, Any]) -> None:
        self._environment.events.worker_ready.fire(**about)

    def _flushed(self) -> bool:
        """Whether every live generator has closed its files, and the master has all their rows."""
        return all(peer.report["closed"] and peer.inbox.number >= peer.report["last"] for peer in self._parts())

    def _close(self) -> Ledger:
        elapsed_s = self.load.now()
        if self.hooks:
            failed = self.hooks.end()
            self.failed = self.failed or failed
        if self.spending:
            self.failed = self.spending.close() or self.failed
        if self._sampler:
            self._sampler.stop()
            if platform := self._sampler.platform():
                self.recorder.note("platform", platform)
        if self.spending:
            # After the last look at the workers.
            self.recorder.note("spending", self.spending.about())
        self._over = True
        for peer in self._peers.values():
            self._send_instructions(peer)
        if self._beats:
            self._beats.kill()
        self._locust.close()
        skipped = planned(self.load.skipped, self.plan.seed) or 0
        count = None if self.plan.planned is None else self.plan.planned - skipped
        about = [
            {"name": peer.name, "machine": peer.machine, "lost": peer.lost, "rows_in_batches": peer.inbox.number}
            for peer in self._peers.values()
        ]
        self.recorder.note("generators", about)
        self._sent = sum(self.reported("sent"))
        self._wall_clock.report_step(self.recorder)
        second_0 = self._wall_clock.at(self.load.zero)
        self.ledger = self.recorder.close(self.ended_by or "schedule", second_0, elapsed_s, count, self.load.dispatched)
        return self.ledger

    def _await(self, done: Any, limit_s: float) -> Any:
        """Polls ``done`` until it is true or ``limit_s`` has passed; its last value."""
        ends_s = time.perf_counter() + limit_s
        while not (answer := done()) and time.perf_counter() < ends_s:
            gevent.sleep(0.05)
        return answer
