"""One locustfile's question, from Locust's start to its end: run after run, each begun, ended and reported."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
from locust import log

from coldburst.control.desired_state import ControlError
from coldburst.distributed.generators import GeneratorRegistry
from coldburst.distributed.master import DistributedRun
from coldburst.embedded import EmbeddedEndpoint, StartError
from coldburst.live.terminal import ProgressReporter
from coldburst.load import run_options
from coldburst.load.objective_watch import ObjectiveWatch, checked
from coldburst.load.run import LoadRun
from coldburst.load.run_options import RunPlan
from coldburst.load.stage_hooks import StageHooks
from coldburst.option import Option, OptionError
from coldburst.record import exit_codes, objectives, provenance
from coldburst.record.attempt import Attempt
from coldburst.record.ledger import Ledger
from coldburst.record.objectives import MISSED, Objective, ObjectiveError, Objectives
from coldburst.record.run_directory import Recorder
from coldburst.schedule.stages import Stage, planned, text
from coldburst.targets.address import infer

logger = logging.getLogger("coldburst")
NOTHING_SENT = exit_codes.NOTHING_SENT


@dataclass(frozen=True)
class TestSpec:
    """What a locustfile asks.

    Attributes:
        name: the question, which is the locustfile's name; runs are called after it.
        schedule, max_in_flight: the defaults of the options.
        more: options of its own.
        stages: makes the schedule from the options, where it is not read from --schedule.
        conduct: makes, from plan and API key, what is told of each stage and gets the endpoint ready for it;
            stages then follow each other's answers instead of the clock.
        consent: refuses options (ValueError) to whose cost nobody has agreed; asked before a run is started from a form.
        embedded: arguments for the embedded endpoint, where it is the emulator.
    """

    name: str
    schedule: str
    max_in_flight: int
    more: Sequence[Option] = ()
    stages: Callable[[Mapping[str, Any]], tuple[Stage, ...]] | None = None
    conduct: Callable[[RunPlan, str], StageHooks] | None = None
    consent: Callable[[Mapping[str, Any]], None] | None = None
    embedded: Sequence[str] = ()


class Session:
    """One locustfile's question to an endpoint: ``asked``, in Locust's ``environment``.

    Attributes:
        unreported: the runs, by id, whose report is still to come; of an ended run that is not among them it is made, or never will be.
    """

    def __init__(self, asked: TestSpec, environment: Any) -> None:
        self._asked, self._environment = asked, environment
        self._names = run_options.names(asked.schedule, asked.more)
        self._embedded: dict[str, EmbeddedEndpoint] = {}
        self._reporter: gevent.Greenlet | None = None
        self._giving_up: gevent.Greenlet | None = None
        self._progress: ProgressReporter | None = None
        self._started = False
        self._interrupted = False
        self._report: subprocess.Popen[bytes] | None = None
        self.unreported: set[str] = set()
        self.master: GeneratorRegistry | None = None
        self.generator: Any = None
        self.current: LoadRun | DistributedRun | None = None

    @property
    def over(self) -> bool:
        """Whether the run that was started has ended, or could not begin."""
        return self._started and (self.current is None or bool(self.current.load.finished.is_set()))

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run's second 0; 0 before it has begun."""
        return float(self.current.load.now()) if self._started and self.current else 0.0

    @property
    def headless(self) -> bool:
        """Whether there is no web UI."""
        return self._environment.web_ui is None

    @property
    def host(self) -> str:
        """The endpoint that was named, "" where none was."""
        return str(self._environment.host or self._environment.parsed_options.host or "")

    def plan(self, **changed: Any) -> RunPlan:
        """The present options, checked, with ``changed`` ones in their place; a ValueError says what is wrong."""
        parsed = self._environment.parsed_options
        said = {"host": self.host, **{name: getattr(parsed, name) for name in self._names}, **changed}
        plan = run_options.check(said, self._asked.stages(said) if self._asked.stages else None)
        self._objectives(plan)
        return plan

    def part(self, said: Mapping[str, Any], question: str, keyed: bool) -> RunPlan:
        """The plan of a part in a distributed run, from the master's options; a ValueError says why it cannot be had here.

        Args:
            question: the master's.
            keyed: whether the master has a key: keys do not travel, so that each generator needs it in its own environment.
        """
        if question != self._asked.name:
            raise OptionError(f"its locustfile asks '{self._asked.name}' and the master's '{question}': start both with the same one")
        plan = run_options.check(said, self._asked.stages(said) if self._asked.stages else None)
        if keyed and not run_options.key(plan):
            raise OptionError(f"{run_options.key_variable(plan)} is not set here, and it is at the master: set it for each generator")
        return plan

    def check(self, form: Mapping[str, str]) -> None:
        """Checks a web form's options; a ValueError says what is wrong, or what somebody has to agree to first."""
        plan = self.plan(**self.cast(form))
        run_options.key(plan)
        if self._asked.consent:
            self._asked.consent({**plan.options, "host": plan.host})

    def cast(self, form: Mapping[str, str]) -> dict[str, Any]:
        """A web form's texts as options of the right types (a ValueError names the one that is not)."""
        parsed = self._environment.parsed_options
        changed: dict[str, Any] = {name: form[name] for name in ("host",) if name in form}
        for name in self._names:
            kind = type(getattr(parsed, name))
            try:
                changed |= {name: kind(form[name])} if name in form else {}
            except ValueError as error:
                raise OptionError(
                    f"'{form[name]}' is no number: {name.replace('_', ' ')} takes one, as in {getattr(parsed, name)}"
                ) from error
        return changed

    def start(self) -> None:
        """Begins a run (test_start), or says why it cannot be begun."""
        self._started, self._interrupted, self.current = False, False, None
        self._environment.process_exit_code = None
        try:
            self.current = self._build(self.plan())
        except (ValueError, OSError, StartError, ControlError) as error:
            logger.error(error)
            self._environment.process_exit_code = NOTHING_SENT
        finally:
            self._started = True  # whatever happened: a shape that waits for a start would never end
        if self.current:
            self.unreported.add(self.current.recorder.id)
            self._tell_start()
            if self.master:
                gevent.spawn(self.current.drive)
            if self.headless:
                self._progress = ProgressReporter(self.current)

    def time_is_up(self) -> None:
        """Says that ``--run-time`` is why a run that goes on is about to be ended."""
        run = self.current
        if run and not run.load.finished.is_set():
            run.ended_by = run.ended_by or "--run-time"

    def stop(self, reason: str) -> None:
        """Ends the run, if one goes on, closes its files and has it reported; once, whoever calls."""
        run = self.current
        if run is None or run.ledger is not None:
            return
        if not run.load.finished.is_set():
            logger.info("Ending the run (%s): %d in flight have up to %g s", run.ended_by or reason, run.load.in_flight, run.plan.drain_s)
        ledger = run.finish(reason)
        if ledger is None:
            return
        self._environment.process_exit_code = self._exit_code(run, ledger)
        try:
            if self._progress:
                self._progress.stop()
            if run.recorder.fault:
                logger.error(run.recorder.fault)
        finally:  # whatever came of showing it
            self._reporter = gevent.spawn(self._make_report, run, ledger)

    def _exit_code(self, run: LoadRun | DistributedRun, ledger: Ledger, verdict: str = "", kept: bool | None = None) -> int | None:
        """The process's exit code; None leaves it to Locust, which knows of faults of listeners.

        Args:
            verdict, kept: of the report, see ``exits.code``; before there is one the run decides alone.
        """
        parsed = self._environment.parsed_options
        if not run.sent:
            return NOTHING_SENT
        errors = int(parsed.exit_code_on_error)
        if run.recorder.fault or run.failed:
            return errors
        kept = False if run.ended_by.startswith(MISSED) else kept
        verdict = verdict if run.plan.options["exit_code_on_verdict"] == "yes" else ""
        code = exit_codes.code(verdict=verdict, kept=kept, good=ledger.counts.get("ok", 0) >= ledger.planned, errors=errors)
        # Locust itself counts a failure that a retry has made good.
        return None if code == exit_codes.GOOD and log.unhandled_greenlet_exception else code

    def _objectives(self, plan: RunPlan) -> Objectives:
        """What --objectives asks of the run; a ValueError says what is wrong with it."""
        if not plan.options["objectives"]:
            return Objectives(())
        read = objectives.load(Path(plan.options["objectives"]))
        for one in read.objectives:
            if one.abort and any(option.name == "--objective" for option in self._asked.more):
                raise ObjectiveError(f"objective '{one.text}': abort has no place in a sweep, whose settings are held against --objective")
            if one.abort:
                checked(one)
        return read

    def _watch(self, run: LoadRun | DistributedRun, objectives: Sequence[Objective]) -> None:
        """Ends the run early, with a drain, once an objective that may do so is given up."""
        watched = [one for one in objectives if one.abort]
        dog = ObjectiveWatch(watched, run.plan.planned, run.plan.retries.most)

        def judge(row: Attempt) -> None:
            missed = None if run.load.stopping else dog.row(row)
            if missed and not run.ended_by:
                run.ended_by = f"{MISSED}{missed.text}"
                run.load.stop()
                self._giving_up = gevent.spawn(self.stop, run.ended_by)

        run.recorder.listener = judge if watched else None

    def stopped(self) -> None:
        """Ready for the next run (test_stop); headless there is none, and the report is waited for."""
        self._started = False
        if self.headless:
            self._finish_report()

    def _finish_report(self) -> None:
        if self._giving_up:
            self._giving_up.join()  # it starts the other
        if self._reporter:
            self._reporter.join()

    def quit(self) -> None:
        """Ends everything (quitting): the run, its report, the embedded endpoint."""
        self.stop("SIGTERM")
        self._finish_report()
        while self._embedded:
            self._embedded.popitem()[1].stop()

    def interrupt(self, main: Any, name: str) -> None:
        """Ctrl-C, or SIGTERM headless: the first ends the run with a drain, one in a drain cuts it, one during the report leaves that out.

        The interrupt is thrown into Locust's main greenlet: left to itself it would strike whichever
        greenlet happens to run, and take that one's request with it.
        """
        run = self.current
        if run and run.ledger is None and (self._interrupted or (self.headless and run.load.stopping)):
            run.cut()
        elif run and run.ledger is not None and self.headless:
            if self._report:
                self._report.terminate()
        elif run is None and self._interrupted:
            return  # it is ending already
        else:
            self._interrupted = True
            if run and not run.load.finished.is_set():
                run.ended_by = run.ended_by or name
            elif run is None and self.headless:
                logger.error("%s before anything was sent", name)
                self._environment.process_exit_code = NOTHING_SENT
            gevent.kill(main, KeyboardInterrupt)

    def _build(self, plan: RunPlan) -> LoadRun | DistributedRun:
        key, asked = run_options.key(plan), self._objectives(plan)
        if asked.changes:
            logger.info("Limits against a baseline are not for a run while it goes: hold it against one with python -m analysis gate")
        conductor = self._asked.conduct(plan, key) if self._asked.conduct else None
        try:
            run = self._begin(plan, key, self._host_of(plan, conductor), conductor, asked.objectives)
            self._watch(run, asked.objectives)
            return run
        except BaseException:
            if conductor:
                conductor.end()
            raise

    def _host_of(self, plan: RunPlan, conductor: StageHooks | None) -> str:
        """The endpoint's address; where none was named, of one that is started: the conductor's own, or the embedded one."""
        if conductor is None:
            return plan.host or self._embedded_url(plan.kind)
        host = plan.host or ("" if plan.kind == "transcription" else self._embedded_url(plan.kind))
        conductor.aim(infer(host, plan.kind))
        return host or conductor.host or self._embedded_url(plan.kind)

    def _begin(
        self, plan: RunPlan, key: str, host: str, conductor: StageHooks | None, objectives: Sequence[Objective]
    ) -> LoadRun | DistributedRun:
        where = infer(host, plan.kind)
        about = {
            "question": self._asked.name,
            "target": {"kind": plan.kind, "host": host, "embedded": not plan.host},
            "schedule": text(plan.schedule),
            "seed": plan.seed,
            "stages": [
                {"name": s.name, "planned": planned([s], plan.seed), "duration_s": s.duration_s, "closed": s.closed} for s in plan.schedule
            ],
            "planned": plan.planned,
            "max_in_flight": plan.max_in_flight,
            "when_full": plan.options["when_full"],
            "cold_after_s": plan.cold_after_s,
            "objectives": [one.plain() for one in objectives],
            "options": {name: plan.options[name] for name in self._names},
            "versions": provenance.versions(),
            **provenance.commit(),
            "machine": provenance.machine(),
            **(conductor.about() if conductor else {}),
        }
        if self.master:
            recorder = Recorder(plan.runs, about, generator="master")
            part = DistributedRun(
                self._environment,
                plan,
                recorder,
                master=self.master,
                where=where,
                host=host,
                question=self._asked.name,
                key=key,
                conductor=conductor,
            )
            part.prepare()
            return part
        target = plan.aim(where, plan.limits, key)
        return LoadRun(self._environment, plan, target, Recorder(plan.runs, about), where=where, key=key, conductor=conductor)

    def _embedded_url(self, kind: str) -> str:
        if kind not in self._embedded:
            logger.info("No --host: starting the embedded endpoint (%s)", kind)
            embedded = EmbeddedEndpoint(kind, self._asked.embedded)
            try:
                embedded.wait_ready()
            except BaseException:
                embedded.stop()
                raise
            self._embedded[kind] = embedded
            logger.info("The embedded endpoint is ready at %s after %.1f s", embedded.url, embedded.start_s)
        return self._embedded[kind].url

    def _tell_start(self) -> None:
        """The start of an embedded transcription service is a worker's start that this side sees whole."""
        for embedded in self._embedded.values() if self.current and not self.current.plan.host else ():
            if embedded.worker_id and embedded.start_s:
                about = {"worker_id": embedded.worker_id, "at_s": 0.0, "detail": "the embedded endpoint, start to ready"}
                self._environment.events.worker_ready.fire(seconds=embedded.start_s, **about)
                embedded.start_s = 0.0

    def _make_report(self, run: LoadRun | DistributedRun, ledger: Ledger) -> None:
        """Makes the report in a process of its own (pandas has no place in this one); it prints ledger, verdict and table."""
        folder = run.recorder.folder
        command = [sys.executable, "-m", "analysis", "report", str(folder), "--figures", run.plan.options["figures"]]
        try:
            self._report = subprocess.Popen(command, env=provenance.environment(), start_new_session=True)
            failed = self._report.wait()
        finally:
            self.unreported.discard(run.recorder.id)
        if failed:
            self._environment.process_exit_code = self._environment.process_exit_code or self._environment.parsed_options.exit_code_on_error
            logger.error("No report was made. The ledger: %s. Try again with: python -m analysis report %s", run.ledger, folder)
            return
        found = json.loads((folder / "report" / "metrics.json").read_text(encoding="utf-8"))
        kept = None if found["objectives"] is None else all(one["passes"] for one in found["objectives"])
        for one in found["objectives"] or ():
            logger.log(logging.INFO if one["passes"] else logging.ERROR, "objective %s: %s", one["objective"], one["said"])
        self._environment.process_exit_code = self._exit_code(run, ledger, found["verdict"]["state"], kept)
