"""One run in one process: sends a plan's load to a target, records each attempt, and ends in one way whatever ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import gevent
import psutil
from gevent.lock import RLock

from coldburst.load import events
from coldburst.load.dispatcher import Dispatcher
from coldburst.load.run_options import RunPlan
from coldburst.load.stage_hooks import EndRunError, StageContext, StageGate, StageHooks
from coldburst.randomness import stream
from coldburst.record.attempt import Attempt
from coldburst.record.ledger import Ledger
from coldburst.record.run_directory import LocustCsv, Recorder
from coldburst.schedule.stages import Arrival, planned
from coldburst.targets.address import EndpointAddress
from coldburst.targets.cause import cause
from coldburst.targets.endpoint_samples import EndpointSamples
from coldburst.targets.factory import Target
from coldburst.targets.http import Exchange
from coldburst.targets.outcome import Evidence, decide
from coldburst.targets.retry_after import retry_after_s
from coldburst.targets.status_sampler import StatusSampler

SAMPLE_S = 1.0
LEAST_SAMPLE_S = 0.2
"""A shorter rest at the end gets no sample: its CPU share would be noise."""


class NotOkError(Exception):
    """What Locust's own tables are told of an attempt that did not end ok."""


class LoadRun:
    """Sends a plan's requests and records them.

    Attributes:
        generators: load generators of the run: this process alone.

    Args:
        environment: Locust's, for its events and statistics.
        address: what can be asked about the endpoint while the run goes, with ``key``; None: somebody else asks.
        hooks: called around each stage and with each attempt.
        load: makes what sends the arrivals.
        tables: whether Locust's own CSV files are kept up too.
    """

    generators = 1

    def __init__(
        self,
        environment: Any,
        plan: RunPlan,
        target: Target,
        recorder: Recorder,
        *,
        address: EndpointAddress | None,
        key: str = "",
        hooks: StageHooks | None = None,
        load: Callable[..., Dispatcher] = Dispatcher,
        tables: bool = True,
    ) -> None:
        self.plan, self.target, self.recorder = plan, target, recorder
        self._environment = environment
        self._lateness_max_s = self._lateness_before_s = 0.0
        self.sent = 0
        self.clock: Mapping[str, float] = {}
        self.ended_by = self.failed = ""
        self.ledger: Ledger | None = None
        self.hooks = hooks
        gate = StageGate(hooks, self._end_early) if hooks else None
        self.load = load(plan.schedule, plan.seed, self._send, self._refuse, cap=plan.max_in_flight, shed=plan.shed, gate=gate)
        self._sampler: StatusSampler | None = None
        self._address, self._key = address, key
        self._workers: set[str] = set()
        self.samples = EndpointSamples()
        self._locust = LocustCsv(environment, recorder) if tables else None
        self._self_sampler: gevent.Greenlet | None = None
        self._process = psutil.Process()
        self._sampled_s = 0.0
        self._ending = RLock()
        if hooks:
            recorder.attempt_listeners.append(hooks.attempts)
            hooks.begin(
                StageContext(
                    self.load.now,
                    self.load.rest,
                    lambda: self.load.stopping,
                    lambda: self.ended_by,
                    recorder.folder,
                    recorder.stage,
                    self.samples,
                )
            )

    def drive(self) -> None:
        """Runs the whole schedule, once; returns when each request has ended."""
        if self._self_sampler is None:
            self._self_sampler = gevent.spawn(self._sample_each_second)
            if self._address:
                row, now = self.recorder.endpoint, self.load.now
                self._sampler = StatusSampler(
                    self._address, self._key, self.plan.sample_s, self.samples, now=now, row=row, ready=self._ready
                )
            self.load.run()
        self.load.finished.wait()

    def finish(self, reason: str) -> Ledger | None:
        """Ends the run and closes its files; None where another caller did.

        Nothing more is sent, what is in flight gets the drain time, then is cut.
        """
        with self._ending:
            if self.ledger is not None:
                return None
            self._end(reason)
            return self._close()

    def _ready(self, about: Mapping[str, Any]) -> None:
        self._environment.events.worker_ready.fire(**about)

    def _end_early(self, error: EndRunError) -> None:
        self.ended_by = self.ended_by or error.ended_by
        self.failed = error.failed or self.failed
        self.load.stop()

    def _end(self, reason: str) -> None:
        if not self.load.finished.is_set():
            self.ended_by = self.ended_by or reason
            self.load.stop()
            self.load.finished.wait(self.plan.drain_s)
            self.load.cut()
            self.drive()  # where its user had no turn yet: everything is refused then
        self.load.finished.wait()

    def cut(self) -> None:
        """Ends what is in flight at once; ``finish`` then returns."""
        self.load.cut()

    def _close(self) -> Ledger:
        elapsed_s = self.load.now()
        if self.hooks:
            failed = self.hooks.end()
            self.failed = self.failed or failed
        if self._sampler:
            self._sampler.stop()
        if self._self_sampler:
            self._self_sampler.kill()
            if elapsed_s - self._sampled_s > LEAST_SAMPLE_S:
                self._sample()
        if self._locust:
            self._locust.close()
        second_0 = time.time() - self.load.now()
        self.ledger = self.recorder.close(self.ended_by or "schedule", second_0, elapsed_s, self._planned, self.load.dispatched)
        self.target.close()
        return self.ledger

    @property
    def _planned(self) -> int | None:
        """Without the stages that were left out; None where only completions can tell."""
        return None if self.plan.planned is None else self.plan.planned - (planned(self.load.skipped, self.plan.seed) or 0)

    def event(self, kind: str, about: Mapping[str, Any]) -> None:
        """A row in events.csv, ``at_s`` now where it is not said."""
        self.recorder.event(kind, {"at_s": self.load.now(), **about})

    def _send(self, arrival: Arrival, held_s: float) -> None:
        self.sent += 1
        outcome, tries = "", 0
        random_ = stream(self.plan.seed, f"retries of {arrival.seq}") if self.plan.retries.most else None
        while True:
            tries += 1
            exchange = Exchange()
            row = self._try(arrival, held_s if tries == 1 else None, exchange, tries, outcome)
            outcome = row.outcome
            pause_s = self.plan.retries.pause_s(outcome, tries, retry_after_s(exchange.headers), random_) if random_ else None
            if pause_s is None or not self._rest(pause_s):
                return

    def _rest(self, seconds: float) -> bool:
        """Waits before another try; whether there is to be one: not where the run ends meanwhile."""
        try:
            return not self.load.stopping and self.load.rest(seconds)
        except gevent.GreenletExit:  # cut: the last try's row is written
            return False

    def _try(self, arrival: Arrival, held_s: float | None, exchange: Exchange, number: int, before: str) -> Attempt:
        def record(outcome: str, evidence: Evidence) -> Attempt:
            return self._record(arrival, held_s, exchange, outcome, evidence, number, before)

        try:
            evidence = self.target.send(arrival.seq, f"{self.recorder.run_id}-{arrival.seq}-{number}", exchange)
        except gevent.GreenletExit:
            return record(decide(sent=exchange.sent is not None, cut=True), Evidence())
        except Exception as error:  # a fault of this program's own: told, and still an end in the ledger
            exchange.done = time.perf_counter()
            record(decide(fault="reset"), Evidence(measured={"error": f"the generator failed: {type(error).__name__}: {error}"}))
            raise
        row = record(decide(fault=exchange.fault, status=exchange.status, says=evidence.says), evidence)
        self._tell_locust(row, exchange)
        return row

    def _record(
        self, arrival: Arrival, held_s: float | None, exchange: Exchange, outcome: str, evidence: Evidence, number: int, before: str
    ) -> Attempt:
        zero = self.load.zero
        cut = outcome in ("unfinished", "not_sent")
        row = Attempt(
            seq=arrival.seq,
            attempt=number,
            stage=arrival.stage,
            scheduled_s=arrival.scheduled_s,
            outcome=outcome,
            phase=self._phase(arrival),
            held_s=held_s,
            sent_s=None if exchange.sent is None else exchange.sent - zero,
            first_s=None if exchange.first is None else exchange.first - zero,
            done_s=None if exchange.done is None or cut else exchange.done - zero,
            seen_s=None if exchange.seen is None else exchange.seen - zero,
            status=exchange.status,
            generator=self.recorder.generator_name,
            **{**exchange.known, **evidence.measured},
        )
        if row.sent_s is not None and number == 1:
            self._lateness_max_s = max(self._lateness_max_s, row.sent_s - row.scheduled_s - (held_s or 0.0))
        self._write(row, exchange, before)
        return row

    def _refuse(self, arrival: Arrival) -> None:
        phase, generator = self._phase(arrival), self.recorder.generator_name
        row = Attempt(arrival.seq, 1, arrival.stage, arrival.scheduled_s, "not_sent", phase, generator=generator)
        self._write(row, Exchange())

    @property
    def lateness_s(self) -> float:
        """Largest lateness in the last full second and the present one, in seconds."""
        return max(self._lateness_before_s, self._lateness_max_s)

    def _phase(self, arrival: Arrival) -> str:
        return self.hooks.phase(arrival.stage, self.load.draining) if self.hooks else ""

    def _write(self, row: Attempt, exchange: Exchange, before: str = "") -> None:
        self.recorder.attempt(row, before)
        why = self._cause(row) if row.outcome in events.EXPLAINED else ""
        after_s = retry_after_s(exchange.headers) if row.outcome == "throttled" else None
        events.announce(row, cause=why, cold=self._first_of_worker(row), retry_after_s=after_s, on=self._environment.events)
        if self.recorder.fault and not self.load.stopping:
            self.ended_by = "a disk that cannot be written"
            self.load.stop()

    def _cause(self, row: Attempt) -> str:
        """Why the attempt ended so, from its time, its answer and what the endpoint said of itself meanwhile."""
        sent_s, done_s = row.sent_s or 0.0, self.load.now() if row.done_s is None else row.done_s
        samples = self.samples.between(sent_s, done_s)
        return cause(row.outcome, done_s - sent_s, row.status, row.error, samples)

    def _first_of_worker(self, row: Attempt) -> bool:
        """Whether this is the first answer seen from its endpoint worker, after a wait that a start would explain.

        What is told at once, for listeners; the report decides again with all rows, in the order of their starts.
        """
        first = (
            bool(row.worker_id) and row.worker_id not in self._workers and self.plan.kind != "transcription"
        )  # whose workers do not scale
        self._workers.add(row.worker_id)
        return first and (row.queue_s or 0.0) >= self.plan.cold_after_s

    def _tell_locust(self, row: Attempt, exchange: Exchange) -> None:
        """Locust's own statistics get each attempt that was sent and ended, with its response time in milliseconds."""
        response_s = (row.done_s or 0.0) - row.scheduled_s
        status = "" if row.status is None else f" ({row.status})"
        self._environment.events.request.fire(
            request_type="POST",
            name=self.target.kind,
            response_time=response_s * 1000,
            response_length=row.bytes_in or 0,
            response=None,
            context={"attempt": row},
            exception=None if row.outcome == "ok" else NotOkError(f"{row.outcome}{status}"),
            start_time=time.time() - response_s,
            url=self.target.url,
        )

    def _sample_each_second(self) -> None:
        self._process.cpu_percent()  # the first reading only starts the measuring
        self._sampled_s = self.load.now()
        while True:
            gevent.sleep(SAMPLE_S)
            self._sample()

    def _sample(self) -> None:
        """A row of generator.csv, one a second: how the load generator itself felt since the one before."""
        lateness_s = self._lateness_before_s = self._lateness_max_s
        self._lateness_max_s = 0.0
        self._sampled_s = self.load.now()
        self.recorder.generator(
            {
                "at_s": self._sampled_s,
                "cpu": self._process.cpu_percent() / 100,
                "rss_bytes": self._process.memory_info().rss,
                "in_flight": self.load.in_flight,
                "held": self.load.held,
                "connections": self.target.client.opened,
                "sent": self.sent,
                "lateness_max_s": lateness_s,
                **self.clock,
            }
        )
