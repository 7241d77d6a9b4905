"""A load generator of a distributed run, in a Locust worker process: sends its share, keeps its rows, and ships them to the master.

All its rows are also in a directory of its own, RUN.NAME, so that a lost connection loses none.
"""

from __future__ import annotations

import logging
import math
import platform
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol

import gevent
from gevent.event import Event
from locust import __version__, runners
from locust.argument_parser import get_parser
from locust.exception import RPCError

from coldburst.distributed.clock_sync import ClockOffset, ClockReading
from coldburst.distributed.dead_mans_switch import IDLE_S, SILENT_S, DeadMansSwitch
from coldburst.distributed.messages import BEAT, BEAT_S, CLOCK, PLAN, ROWS, loopback
from coldburst.distributed.shared_dispatcher import MasterInstructions, SharedDispatcher
from coldburst.installation import analysis_program
from coldburst.load import run_options
from coldburst.load.run import LoadRun
from coldburst.load.run_options import RunPlan
from coldburst.load.stage_hooks import StageHooks, attempt_phase
from coldburst.option import OptionError
from coldburst.record import provenance
from coldburst.record.batches import Outbox
from coldburst.record.exit_codes import LEFT_ALONE
from coldburst.record.run_directory import Recorder
from coldburst.schedule.stages import text
from coldburst.targets.address import infer

logger = logging.getLogger("coldburst")
# Shortest time between two beats.
ASK_S = 0.1
# Limit on the wait of a generator that leaves until the master has its rows.
SHIP_S = 10.0
ELSEWHERE = (
    "the master started an endpoint for this run that only listens on 127.0.0.1 of its own machine: "
    "name an endpoint that every generator can reach, as in --host http://10.0.0.5:8083"
)


class PhaseHooks(StageHooks):
    """A sweep's hooks at a generator: they only know each stage's phase."""

    def __init__(self, phases: Mapping[str, str]) -> None:
        self._phases = phases

    def phase(self, stage: str, draining: bool) -> str:
        """See StageHooks."""
        return attempt_phase(self._phases.get(stage, ""), draining)


class GeneratorRun(NamedTuple):
    """A generator's part of one run."""

    id: str
    run: LoadRun
    load: SharedDispatcher
    instructions: MasterInstructions
    outbox: Outbox


class PartPlanner(Protocol):
    """What a generator uses of its locustfile's session."""

    def part(self, options: Mapping[str, Any], question: str, keyed: bool, /) -> RunPlan:
        """The plan for the master's options, checked in this process's environment; a ValueError says what is wrong."""

    def follow(self, run: LoadRun, /) -> None:
        """Called with the run that starts here."""


class Generator:
    """Exchanges messages with the master for as long as the process lives, and runs its parts of the load.

    Args:
        environment: Locust's; its runner is a WorkerRunner.
        session: of the locustfile.
    """

    def __init__(self, environment: Any, session: PartPlanner) -> None:
        self._environment, self._runner, self._session = environment, environment.runner, session
        # Parsed again: Locust gives a generator that joins late the master's options before this is called.
        own = get_parser().parse_known_args()[0]
        self._runs, self._stays = own.runs, own.stay
        self._offset = ClockOffset()
        self._zero_theirs: float | None = None
        self._master = ""
        self._foreign = False
        self._switch = DeadMansSwitch(self._patience_s, self._stop_alone)
        self._refusal = ("", "")
        self._clock: dict[str, float] = {}
        self._preparing = ""
        self._interrupted = False
        self.part: GeneratorRun | None = None
        self.idle = Event()
        self.idle.set()
        for kind, listener in ((PLAN, self._on_plan), (BEAT, self._on_beat), (CLOCK, self._on_clock)):
            self._runner.register_message(kind, listener)
        self._greenlet = gevent.spawn(self._beat)

    def quit(self) -> None:
        """Ends the generator: requests in flight are cancelled, and every row is on its disk."""
        if part := self.part:
            self._end(part, "the generator was ended")
            self._report()
        self._greenlet.kill()

    def _on_plan(self, msg: Any, **_: Any) -> None:
        """Prepares a part of the master's run; the next beats tell the master when it is ready."""
        order = msg.data
        if not self._is_ours(order) or self._preparing == order["run"] or (self.part and self.part.id == order["run"]):
            return
        self._preparing = order["run"]
        gevent.spawn(self._prepare, order)

    def _prepare(self, order: Mapping[str, Any]) -> None:
        try:
            if self.part:
                self._end(self.part, "another run")
            if order["loopback"] not in ("", loopback()):
                raise OptionError(ELSEWHERE)
            # The master has started what --demo asks for, and it is the host here.
            options = {**order["options"], "host": order["host"], "runs": self._runs, "demo": run_options.DEMOS[0]}
            plan = self._session.part(options, order["question"], order["keyed"])
            if self._preparing != order["run"]:
                return
            self.part = self._part(order, plan)
            self._session.follow(self.part.run)
        except Exception as error:
            self._refusal = (order["run"], f"generator {order['name']} ({platform.node()}): {error}")
            # Anything else is a bug: the log needs its traceback.
            if not isinstance(error, ValueError | OSError):
                raise
            logger.error(error)
            return
        self.idle.clear()
        gevent.spawn(self._drive, self.part)

    def _part(self, order: Mapping[str, Any], plan: RunPlan) -> GeneratorRun:
        key = run_options.key(plan)
        where = infer(plan.host, plan.kind)
        target = plan.make_target(where, plan.limits, key)
        outbox, instructions = Outbox(), MasterInstructions()
        about = {
            "question": order["question"],
            "part_of": order["run"],
            "generator": order["name"],
            "schedule": text(plan.schedule),
            "options": dict(plan.options),
            "machine": provenance.machine(),
            "cold_after_s": plan.cold_after_s,
            **({"sweep": {}} if order["phases"] else {}),
        }
        recorder = Recorder(plan.runs, about, generator=order["name"], name=f"{order['run']}.{order['name']}", outbox=outbox)
        load = partial(SharedDispatcher, name=order["name"], slot=order["slot"], instructions=instructions)
        hooks = PhaseHooks(order["phases"]) if order["phases"] else None
        # One generator reads the workers' logs for all.
        logs_at = where if order["slot"] == 0 else None
        run = LoadRun(
            self._environment, plan, target, recorder, address=None, logs_at=logs_at, key=key, hooks=hooks, load=load, tables=False
        )
        assert isinstance(run.load, SharedDispatcher)
        self._zero_theirs = float(order["zero"])
        return GeneratorRun(order["run"], run, run.load, instructions, outbox)

    def _drive(self, part: GeneratorRun) -> None:
        self._set_zero(part)
        part.run.drive()
        part.run.finish("schedule")
        # Locust sends its own statistics only every 3 s.
        self._runner._send_stats()

    def _end(self, part: GeneratorRun, why: str) -> None:
        part.load.leave(alone=True)
        part.run.cut()
        part.run.finish(why)

    def _set_zero(self, part: GeneratorRun) -> None:
        if len(self._offset) and self._zero_theirs is not None:
            part.load.set_zero(self._zero_theirs - self._offset.best.offset_s)

    def _on_beat(self, msg: Any, **_: Any) -> None:
        order, part = msg.data, self.part
        if not self._is_ours(order):
            return
        if order["over"] and order["run"] == self._preparing:
            self._preparing = ""
        if part is None or order["run"] != part.id:
            return
        part.outbox.acknowledged(order["ack"])
        if order["over"]:
            gevent.spawn(self._end_too, part, order)
            return
        for sample in order["samples"]:
            part.run.samples.add(sample)
        part.instructions.update(order)
        part.run.target.share(order["generators"])
        if order["stop"] and not part.load.stopping:
            part.run.ended_by = order["stop"]
            logger.info("The master ends the run (%s): nothing more is sent", order["stop"])
            part.load.stop()
        if order["cut"]:
            gevent.spawn(part.load.cut)

    def _end_too(self, part: GeneratorRun, order: Mapping[str, Any]) -> None:
        """Ends a part whose run is over; it is still open if it could not begin, or was out of reach for too long."""
        if is_open := part.run.ledger is None:
            why = part.run.ended_by = part.run.ended_by or order["stop"] or "a run that ended without it"
            part.load.leave(alone=True)
            if order["cut"]:
                part.run.cut()
            part.run.finish(why)
        if part is self.part and (is_open or part.outbox.empty):
            self.idle.set()

    def _on_clock(self, msg: Any, **_: Any) -> None:
        """Compares the clocks: the master's answer to the last beat has its time."""
        answered_s = time.perf_counter()
        if not self._is_ours(msg.data):
            return
        reading = ClockReading(msg.data["asked_s"], msg.data["theirs_s"], answered_s)
        self._offset.add(reading)
        if self._offset.best is reading:
            ahead_s = time.time() - reading.round_trip_s / 2 - msg.data["wall_s"]
            self._clock = {"clock_s": ahead_s, "round_trip_s": reading.round_trip_s}
        if self.part:
            self.part.run.clock = self._clock
        if self.part and not self.part.load.finished.is_set():
            self._set_zero(self.part)

    def _beat(self) -> None:
        while True:
            self._report()
            self._switch.check()
            gevent.sleep(ASK_S)
            if part := self.part:
                part.load.asks.wait(BEAT_S - ASK_S)
            else:
                gevent.sleep(BEAT_S - ASK_S)

    def _report(self) -> None:
        """Sends the rows that the master lacks, then a report whose ``last`` counts them."""
        part = self.part
        batches = part.outbox.due() if part else []
        state = self._state()
        try:
            for batch in batches:
                self._runner.send_message(ROWS, {"run": state["run"], **batch.plain()})
            self._runner.send_message(BEAT, state)
        except RPCError as error:
            logger.warning("Could not send to the master: %s", error)

    def _state(self) -> dict[str, Any]:
        report: dict[str, Any] = {"session": self._master, "asked_s": time.perf_counter(), "machine": platform.node()}
        best = self._offset.best if len(self._offset) else None
        # Now by the master's clock, or a little later: never too early.
        report["said_s"] = report["asked_s"] + best.offset_s + best.round_trip_s / 2 if best else None
        report |= {"leaves": self._interrupted, "refused": self._refusal[0], "why": self._refusal[1], "run": ""}
        if part := self.part:
            run, load = part.run, part.load
            report |= {"run": part.id, "ended": load.ended, "dispatched": load.dispatched, "sent": run.sent, "lateness_s": run.lateness_s}
            report |= {"wants": load.wants, "asks": load.asks.is_set()}
            load.asks.clear()
            report |= {"in_flight": load.in_flight, "held": load.held, "closed": run.ledger is not None, "last": part.outbox.last}
        return report

    def _is_ours(self, order: Mapping[str, Any]) -> bool:
        """Whether a message comes from the first master that this process heard, and not from a later one at its address."""
        self._master = self._master or order["session"]
        if order["session"] == self._master:
            self._switch.heard()
            return True
        if not self._foreign:
            logger.warning("Another master answers at this address; this generator belongs to the one before")
        self._foreign = True
        return False

    def _patience_s(self) -> float:
        """How long the master may be silent."""
        if self._interrupted or (self._stays and not self._master):
            return math.inf
        return SILENT_S if self._foreign or (self.part and not self.idle.is_set()) else IDLE_S

    def _stop_alone(self, silent_s: float) -> None:
        """Ends the process because the master is silent."""
        self._interrupted = True
        if self.part is None or self.idle.is_set():
            logger.error("The master has been silent for %.0f s", silent_s)
            gevent.spawn(self._end_alone)
            return
        folder = self.part.run.recorder.folder
        logger.error("The master has been silent for %.0f s: nothing more is sent; the rows are in %s", silent_s, folder)
        logger.error("To add them to the master's run: %s merge RUN %s", analysis_program(), folder)
        gevent.spawn(self._leave, self.part, "a master that fell silent", LEFT_ALONE)

    def interrupt(self, name: str) -> None:
        """Stops sending, waits for the answers in flight, ships the rows and ends the process; called again, ends it at once."""
        part = self.part
        if part is None or self.idle.is_set() or self._interrupted:
            if part:
                part.run.cut()
            self._runner.quit()
            return
        self._interrupted = True
        gevent.spawn(self._leave, part, name, 0)

    def _leave(self, part: GeneratorRun, why: str, code: int) -> None:
        part.run.ended_by = why
        part.load.leave(alone=code == LEFT_ALONE)
        part.run.finish(why)
        with gevent.Timeout(SHIP_S, False):
            while not part.outbox.empty and not self._foreign:
                gevent.sleep(BEAT_S)
        if code == LEFT_ALONE:
            self._end_alone()
        else:
            self._environment.process_exit_code = code
            self._runner.quit()

    def _end_alone(self) -> None:
        """Ends the process, or with --stay waits for the next master at the address and joins it."""
        if not self._stays:
            self._environment.process_exit_code = LEFT_ALONE
            self._runner.quit()
            return
        logger.info("Waiting for the next master at %s:%s", self._runner.master_host, self._runner.master_port)
        self._runner.stop()
        self._runner.worker_state = runners.STATE_INIT
        self.part, self._preparing, self._offset = None, "", ClockOffset()
        self._master, self._foreign, self._interrupted = "", False, False
        self.idle.set()
        while not self._master:
            gevent.sleep(BEAT_S)
        # Locust's master must know it again, too.
        self._runner.send_message("client_ready", __version__)
