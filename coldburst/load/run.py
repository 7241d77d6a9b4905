"""One run in one process: sends a plan's load to a target and records each attempt. It has a single way to end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import gevent
import psutil
from gevent.lock import RLock

from coldburst.data.row import DataError
from coldburst.load import events
from coldburst.load.dispatcher import Dispatcher
from coldburst.load.run_options import RunPlan
from coldburst.load.spend_limit import Spending
from coldburst.load.stage_hooks import EndRunError, StageContext, StageGate, StageHooks
from coldburst.randomness import stream
from coldburst.record.attempt import Attempt
from coldburst.record.ledger import Ledger
from coldburst.record.run_directory import LocustCsv, Recorder
from coldburst.record.wall_clock import WallClock
from coldburst.redact import redact_columns
from coldburst.schedule.retries import back_off_s
from coldburst.schedule.stages import Arrival, planned
from coldburst.targets.address import EndpointAddress
from coldburst.targets.answer import retry_after_s
from coldburst.targets.body_template import NO_VALUES
from coldburst.targets.cause import cause
from coldburst.targets.factory import Target
from coldburst.targets.http import Exchange
from coldburst.targets.outcome import Evidence, decide
from coldburst.targets.status_sampler import EndpointSamples, StatusSampler
from coldburst.targets.worker_logs import WorkerLogs

SAMPLE_S = 1.0
# A shorter remainder at the end gets no sample, because its CPU share would be noise.
LEAST_SAMPLE_S = 0.2
# Columns about the files of a request, which all of its tries have.
UPLOADED = ("upload_s",)


class LoadRun:
    """Sends a plan's requests and records them.

    Attributes:
        generators: load generators of the run: this process alone.
        spending: keeps the limit of --max-spend; None without.

    Args:
        environment: Locust's, for its events and statistics.
        address: the endpoint, polled with ``key`` during the run; None if another process polls it.
        logs_at: the endpoint whose workers' logs are read after failures, where ``address`` is None.
        hooks: called around each stage and with each attempt.
        load: makes the dispatcher.
        tables: whether to write Locust's own CSV files too.
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
        logs_at: EndpointAddress | None = None,
        key: str = "",
        hooks: StageHooks | None = None,
        load: Callable[..., Dispatcher] = Dispatcher,
        tables: bool = True,
    ) -> None:
        self.plan, self.target, self.recorder, self.hooks = plan, target, recorder, hooks
        self._environment, self._address, self._key = environment, address, key
        self._lateness_max_s = self._lateness_before_s = 0.0
        self._released = False
        self.sent = 0
        self.clock: Mapping[str, float] = {}
        self._wall_clock = WallClock()
        self.ended_by = self.failed = ""
        self.ledger: Ledger | None = None
        self.spending: Spending | None = None
        gate = StageGate(hooks, self._end_early) if hooks else None
        self.load = load(plan.schedule, plan.seed, self._send, self._refuse, cap=plan.max_in_flight, shed=plan.shed, gate=gate)
        self.samples = EndpointSamples()
        self._sampler: StatusSampler | None = None
        self._logs = WorkerLogs(address or logs_at, key, self._log_line)
        self._workers: set[str] = set()
        self._statistics = events.RequestStatistics(environment, target.kind, target.url)
        self._locust = LocustCsv(environment, recorder) if tables else None
        self._self_sampler: gevent.Greenlet | None = None
        self._process = psutil.Process()
        self._sampled_s = 0.0
        self._ending = RLock()
        if hooks:
            recorder.attempt_listeners.append(hooks.attempts)
            hooks.begin(StageContext.of(self))

    def drive(self) -> None:
        """Runs the whole schedule once; returns when every request has ended."""
        if self._self_sampler is None:
            self._self_sampler = gevent.spawn(self._sample_each_second)
            if self._address:
                self._sampler = StatusSampler(
                    self._address,
                    self._key,
                    self.plan.sample_s,
                    self.samples,
                    now=self.load.now,
                    row=self.recorder.endpoint,
                    ready=self._ready,
                )
            self.load.run()
        self.load.finished.wait()

    def finish(self, reason: str) -> Ledger | None:
        """Stops sending, waits the drain time, cuts what is still in flight and closes the files.

        Returns:
            The ledger; None if another caller has ended the run.
        """
        with self._ending:
            if self.ledger is not None:
                return None
            if not self.load.finished.is_set():
                self.ended_by = self.ended_by or reason
                self.load.stop()
                self.load.finished.wait(self.plan.drain_s)
                self.load.cut()
                self.drive()  # if its user had no turn yet: then every request is refused
            self.load.finished.wait()
            return self._close()

    def cut(self) -> None:
        """Ends what is in flight at once; ``finish`` then returns."""
        self.load.cut()

    def event(self, kind: str, about: Mapping[str, Any]) -> None:
        """Writes a row of events.csv; ``at_s`` defaults to now."""
        self.recorder.event(kind, {"at_s": self.load.now(), **about})

    @property
    def lateness_s(self) -> float:
        """Largest send delay in the last full second and the present one, in seconds."""
        return max(self._lateness_before_s, self._lateness_max_s)

    def _ready(self, about: Mapping[str, Any]) -> None:
        self._environment.events.worker_ready.fire(**about)

    def _log_line(self, about: Mapping[str, Any]) -> None:
        self._environment.events.worker_log.fire(at_s=self.load.now(), **about)

    def _end_early(self, error: EndRunError) -> None:
        self.ended_by = self.ended_by or error.ended_by
        self.failed = error.failed or self.failed
        self.load.stop()

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
        if self._self_sampler:
            self._self_sampler.kill()
            if elapsed_s - self._sampled_s > LEAST_SAMPLE_S:
                self._sample()
        self._logs.stop()
        self._statistics.flush()
        if self._locust:
            self._locust.close()
        self._wall_clock.report_step(self.recorder)
        second_0 = self._wall_clock.at(self.load.zero)
        # Without the skipped stages; None if the number depends on completions.
        count = None if self.plan.planned is None else self.plan.planned - (planned(self.load.skipped, self.plan.seed) or 0)
        self.ledger = self.recorder.close(self.ended_by or "schedule", second_0, elapsed_s, count, self.load.dispatched)
        self.release()
        return self.ledger

    def release(self) -> None:
        """Cancels the jobs that have not ended, and closes the connections; does nothing the second time."""
        if not self._released:
            self._released = True
            self.target.close()

    def _send(self, arrival: Arrival, held_s: float) -> float:
        """Sends a request with its retries; the seconds that a place of a closed loop pauses then."""
        self.sent += 1
        outcome, tries, retries = "", 0, self.plan.retries
        uploaded: dict[str, Any] = {}
        random_ = stream(self.plan.seed, f"retries of {arrival.seq}") if retries.most else None
        while True:
            tries += 1
            exchange = Exchange(known=uploaded)
            outcome = self._try(arrival, held_s if tries == 1 else None, exchange, tries, outcome)
            # Files are uploaded once for all tries.
            uploaded = {name: exchange.known[name] for name in UPLOADED if name in exchange.known}
            asked_s = retry_after_s(exchange.headers)
            pause_s = retries.pause_s(outcome, tries, asked_s, random_) if random_ else None
            if pause_s is None or not self._rest(pause_s):
                return back_off_s(outcome, (exchange.done or 0.0) - (exchange.sent or 0.0), asked_s)

    def _rest(self, seconds: float) -> bool:
        """Waits before another try; False if the run ends meanwhile."""
        try:
            return not self.load.stopping and self.load.rest(seconds)
        except gevent.GreenletExit:  # cut: the last try has its row
            return False

    def _try(self, arrival: Arrival, held_s: float | None, exchange: Exchange, number: int, before: str) -> str:
        """Makes one attempt and records it; its outcome."""
        about = (arrival, held_s, exchange, number, before)
        try:
            values = self.plan.data.row(arrival.seq) if self.plan.data else NO_VALUES
            evidence = self.target.send(arrival.seq, f"{self.recorder.run_id}-{arrival.seq}-{number}", exchange, values)
        except DataError as error:
            return self._record(*about, decide(sent=False), Evidence(measured={"error": str(error)})).outcome
        except gevent.GreenletExit:
            return self._record(*about, decide(sent=exchange.sent is not None, cut=True), Evidence()).outcome
        except Exception as error:  # a bug of this program; the request still needs its outcome in the ledger
            exchange.done = time.perf_counter()
            words = f"the generator failed: {type(error).__name__}: {error}"
            self._record(*about, decide(fault="reset"), Evidence(measured={"error": words}))
            raise
        # Uploads come before sending; a custom request may send nothing.
        sent = exchange.sent is not None or bool(exchange.fault)
        row = self._record(*about, decide(sent=sent, fault=exchange.fault, status=exchange.status, says=evidence.says), evidence)
        self._statistics.add(row)
        return row.outcome

    def _record(
        self, arrival: Arrival, held_s: float | None, exchange: Exchange, number: int, before: str, outcome: str, evidence: Evidence
    ) -> Attempt:
        zero, sent, first, done = self.load.zero, exchange.sent, exchange.first, exchange.done
        known = redact_columns(exchange.known) if exchange.known else {}
        row = Attempt(
            seq=arrival.seq,
            attempt=number,
            stage=arrival.stage,
            scheduled_s=arrival.scheduled_s,
            outcome=outcome,
            phase=self._phase(arrival),
            held_s=(held_s or 0.0) + exchange.held_s if exchange.held_s else held_s,
            sent_s=None if sent is None else sent - zero,
            first_s=None if first is None else first - zero,
            done_s=None if done is None or outcome in ("unfinished", "not_sent") else done - zero,
            seen_s=None if exchange.seen is None else exchange.seen - zero,
            status=exchange.status,
            generator=self.recorder.generator_name,
            **{**known, **evidence.measured},
        )
        if row.sent_s is not None and number == 1:
            self._lateness_max_s = max(self._lateness_max_s, row.sent_s - row.scheduled_s - (row.held_s or 0.0) - (row.upload_s or 0.0))
        self._write(row, exchange, before, evidence.cause)
        events.announce_further(row, exchange.events, on=self._environment.events)
        return row

    def _refuse(self, arrival: Arrival) -> None:
        phase, generator = self._phase(arrival), self.recorder.generator_name
        row = Attempt(arrival.seq, 1, arrival.stage, arrival.scheduled_s, "not_sent", phase, generator=generator)
        self._write(row, Exchange())

    def _phase(self, arrival: Arrival) -> str:
        return self.hooks.phase(arrival.stage, self.load.draining) if self.hooks else ""

    def _write(self, row: Attempt, exchange: Exchange, before: str = "", proven: str = "") -> None:
        self.recorder.attempt(row, before)
        why = self._cause(row, proven) if row.outcome in events.EXPLAINED else ""
        self._logs.explain(why, row.worker_id)
        after_s = retry_after_s(exchange.headers) if row.outcome == "throttled" else None
        events.announce(row, cause=why, cold=self._first_of_worker(row), retry_after_s=after_s, on=self._environment.events)
        self._stop_on_fault()

    def _stop_on_fault(self) -> None:
        if self.recorder.fault and not self.load.stopping:
            self.ended_by = "a disk that cannot be written"
            self.load.stop()

    def _cause(self, row: Attempt, proven: str) -> str:
        sent_s, done_s = row.sent_s or 0.0, self.load.now() if row.done_s is None else row.done_s
        return cause(row.outcome, done_s - sent_s, row.status, row.error, self.samples.between(sent_s, done_s), proven)

    def _first_of_worker(self, row: Attempt) -> bool:
        """Whether this is the first response of its endpoint worker, after a wait that a cold start would explain.

        This is for listeners during the run. The report decides again with all rows, in the order of their starts.
        The workers of a transcription service do not scale.
        """
        first = bool(row.worker_id) and row.worker_id not in self._workers and self.plan.kind != "transcription"
        self._workers.add(row.worker_id)
        return first and (row.queue_s or 0.0) >= self.plan.cold_after_s

    def _sample_each_second(self) -> None:
        self._usage()  # the first call only starts the measurement
        self._sampled_s = self.load.now()
        while True:
            gevent.sleep(SAMPLE_S)
            self._sample()

    def _usage(self) -> dict[str, float]:
        """CPU and memory of this process; empty if no file descriptor is left to read them."""
        try:
            return {"cpu": self._process.cpu_percent() / 100, "rss_bytes": self._process.memory_info().rss}
        except OSError:
            return {}

    def _sample(self) -> None:
        """Writes a row of generator.csv about the time since the row before."""
        lateness_s = self._lateness_before_s = self._lateness_max_s
        self._lateness_max_s = 0.0
        self._sampled_s = self.load.now()
        self._statistics.flush()
        self.recorder.generator(
            {
                "at_s": self._sampled_s,
                **self._usage(),
                "in_flight": self.load.in_flight,
                "held": self.load.held,
                "connections": self.target.client.opened,
                "sent": self.sent,
                "lateness_max_s": lateness_s,
                **self.clock,
            }
        )
        self._stop_on_fault()
