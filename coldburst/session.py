"""The runs of a Locust process: start, end and report of each."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import gevent
from locust import log

from coldburst.consent import Consent
from coldburst.control.desired_state import ControlError
from coldburst.embedded import DEMOS, EmbeddedEndpoint, StartError
from coldburst.installation import analysis_module, analysis_program, missing
from coldburst.live.terminal import ProgressReporter
from coldburst.load.checked_run import CheckedRun, OptionChecker, command
from coldburst.load.objective_watch import ObjectiveWatch
from coldburst.load.run import LoadRun
from coldburst.load.run_options import RunPlan
from coldburst.load.stage_hooks import StageHooks
from coldburst.option import attribute
from coldburst.record import exit_codes, provenance
from coldburst.record.attempt import Attempt
from coldburst.record.ledger import Ledger
from coldburst.record.objectives import MISSED, Objective
from coldburst.record.run_directory import Recorder
from coldburst.report_process import ReportProcess, room_beside_the_load
from coldburst.schedule.stages import planned, text
from coldburst.spending import SpendGuard
from coldburst.targets.address import infer

if TYPE_CHECKING:
    from coldburst.distributed.generator_registry import GeneratorRegistry
    from coldburst.distributed.master import DistributedRun

logger = logging.getLogger("coldburst")


class Session:
    """Starts, ends and reports the runs of one Locust process.

    Attributes:
        checker, consent: check the options, and ask where a run costs money.
        unreported: ids of the runs whose report is not finished yet.
    """

    def __init__(self, environment: Any, checker: OptionChecker) -> None:
        self._environment, self.checker, self.consent = environment, checker, Consent()
        self._embedded: dict[str, EmbeddedEndpoint] = {}
        self._reporter: gevent.Greenlet | None = None
        self._giving_up: gevent.Greenlet | None = None
        self._progress: ProgressReporter | None = None
        self._started = False
        self._interrupted = False
        self._report: ReportProcess | None = None
        self._prepared: dict[str, gevent.Greenlet] = {}
        self._stopping_embedded: gevent.Greenlet | None = None
        self._shed = 0
        self.unreported: set[str] = set()
        self.master: GeneratorRegistry | None = None
        self.generator: Any = None
        self.current: LoadRun | DistributedRun | None = None

    @property
    def over(self) -> bool:
        """Whether the run that was started has ended, or could not start."""
        return self._started and (self.current is None or bool(self.current.load.finished.is_set()))

    def wait_over(self, seconds: float) -> None:
        """Waits until the run is over, at most ``seconds``."""
        if self._started and self.current is not None:
            self.current.load.finished.wait(seconds)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run's second 0; 0 before it has begun."""
        return float(self.current.load.now()) if self._started and self.current else 0.0

    @property
    def headless(self) -> bool:
        """Whether there is no web UI."""
        return self._environment.web_ui is None

    def part(self, options: Mapping[str, Any], question: str, keyed: bool) -> RunPlan:
        """See ``OptionChecker.plan_for_generator``."""
        return self.checker.plan_for_generator(options, question, keyed)

    def follow(self, run: LoadRun) -> None:
        """Makes a generator's part of a run the current run."""
        self.current = run

    def start(self) -> None:
        """Starts a run (test_start), or logs why it cannot start."""
        self._started, self._interrupted, self.current = False, False, None
        self._environment.process_exit_code = None
        try:
            self.current = self._build(self.checker.take())
        except (ValueError, OSError, StartError, ControlError) as error:
            logger.error(error)
            self._environment.process_exit_code = exit_codes.NOTHING_SENT
        finally:
            # Even after an error: the load shape would otherwise wait for ever.
            self._started = True
        if self.current:
            self.unreported.add(self.current.recorder.id)
            self._report_embedded_start()
            self._prepared[self.current.recorder.id] = gevent.spawn(self._prepare_report, self.current)
            if self.master:
                gevent.spawn(self.current.drive)
            if self.headless:
                self._progress = ProgressReporter(self.current)

    def time_is_up(self, limit_s: float) -> None:
        """Notes that ``--run-time`` ends the run after ``limit_s``."""
        run = self.current
        if run and not run.load.finished.is_set() and not run.ended_by:
            run.ended_by = exit_codes.RUN_TIME
            run.recorder.note("run_time_s", limit_s)
            self._shed = run.recorder.counts["not_sent"]

    def stop(self, reason: str) -> None:
        """Ends the current run, closes its files and starts its report; does nothing the second time."""
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
        # The terminal may be gone.
        finally:
            if self.headless:
                self._stopping_embedded = gevent.spawn(self._stop_embedded)
            # A directory that was removed has no rows to report.
            if run.recorder.folder.is_dir():
                self._reporter = gevent.spawn(self._make_report, run, ledger)
            else:
                self.unreported.discard(run.recorder.id)
                self._drop_report(run)

    def _drop_report(self, run: LoadRun | DistributedRun) -> None:
        """Ends the report's process without a report."""
        if prepared := self._prepared.pop(run.recorder.id).get():
            prepared.cancel()

    def _exit_code(
        self, run: LoadRun | DistributedRun, ledger: Ledger, verdict: str = "", kept: bool | None = None, *, told: bool = True
    ) -> int | None:
        """The process's exit code; None leaves it to Locust, which counts errors of listeners.

        Args:
            verdict, kept, told: from the report, see ``exit_codes.code``; without them the run decides alone.
        """
        parsed = self._environment.parsed_options
        if not run.sent:
            return exit_codes.NOTHING_SENT
        errors = int(parsed.exit_code_on_error)
        if run.recorder.fault or run.failed:
            return errors
        kept = False if run.ended_by.startswith((MISSED, exit_codes.SPENT)) else kept
        verdict = verdict if run.plan.options["exit_code_on_verdict"] == "yes" else ""
        # Requests not sent because of --run-time are no failures; those shed by the in-flight cap before are.
        beyond = ledger.counts.get("not_sent", 0) - self._shed if run.ended_by == exit_codes.RUN_TIME else 0
        good = ledger.counts.get("ok", 0) + beyond >= ledger.planned
        code = exit_codes.code(verdict=verdict, kept=kept, told=told, good=good, errors=errors)
        # Locust counts a failed attempt even if a retry succeeded.
        return None if code == exit_codes.GOOD and log.unhandled_greenlet_exception else code

    def _watch(self, run: LoadRun | DistributedRun, objectives: Sequence[Objective]) -> None:
        """Ends the run early, with a drain, once an objective with ``abort`` is missed."""
        watched = [one for one in objectives if one.abort]
        watch = ObjectiveWatch(watched, run.plan.planned, run.plan.retries.most)

        def judge(rows: Sequence[Attempt]) -> None:
            for row in rows:
                missed = None if run.load.stopping else watch.row(row)
                if missed:
                    self._give_up(run, f"{MISSED}{missed.text}")

        if watched:
            run.recorder.attempt_listeners.append(judge)

    def _give_up(self, run: LoadRun | DistributedRun, why: str) -> None:
        """Ends a run early, with a drain."""
        if not run.ended_by:
            run.ended_by = why
            run.load.stop()
            self._giving_up = gevent.spawn(self.stop, why)

    def stopped(self) -> None:
        """Gets ready for the next run (test_stop); headless, waits for the report."""
        self._started = False
        if self.headless:
            self._finish_report()

    def _finish_report(self) -> None:
        if self._giving_up:
            # It starts the reporter.
            self._giving_up.join()
        if self._reporter:
            self._reporter.join()

    def quit(self) -> None:
        """Ends the run, its report and the embedded endpoint (quitting)."""
        self.stop("SIGTERM")
        self._finish_report()
        if self._stopping_embedded:
            self._stopping_embedded.join()
        self._stop_embedded()

    def _stop_embedded(self) -> None:
        while self._embedded:
            self._embedded.popitem()[1].stop()

    def interrupt(self, main: Any, name: str) -> None:
        """Handles a signal: the first ends the run with a drain, one during the drain cuts it, one during the report cancels the report.

        The interrupt is raised in Locust's main greenlet. Python's own handler would raise it in whichever
        greenlet happens to run, and lose that one's request.
        """
        run = self.current
        if run and run.ledger is None and (self._interrupted or (self.headless and run.load.stopping)):
            run.cut()
        elif run and run.ledger is not None and self.headless:
            if self._report:
                self._report.terminate()
        elif run is None and self._interrupted:
            # It is ending already.
            return
        else:
            self._interrupted = True
            if run and not run.load.finished.is_set():
                run.ended_by = run.ended_by or name
            elif run is None and self.headless:
                logger.error("%s before anything was sent", name)
                self._environment.process_exit_code = exit_codes.NOTHING_SENT
            gevent.kill(main, KeyboardInterrupt)

    def terminate(self, name: str) -> None:
        """Ends the web UI and its run as SIGTERM does; ``name`` is the signal that run.json has."""
        if self.current and not self.current.load.finished.is_set():
            self.current.ended_by = self.current.ended_by or name
        signal.raise_signal(signal.SIGTERM)

    def _build(self, checked: CheckedRun) -> LoadRun | DistributedRun:
        plan, make = checked.plan, checked.spec.kind.hooks
        if checked.objectives.changes:
            logger.info("Limits against a baseline are not checked during a run: check them afterwards with %s gate", analysis_program())
        hooks = make(plan, checked.key) if make else None
        try:
            host = self._host_of(checked, hooks)
            guard = checked.limit and SpendGuard(infer(host, plan.kind), checked.key, checked.limit, plan.options)
            run = self._begin(checked, host, hooks)
            self._watch(run, checked.objectives.objectives)
            if guard:
                guard.watch(run, partial(self._give_up, run))
            return run
        except BaseException:
            if hooks:
                hooks.end()
            raise

    def _host_of(self, checked: CheckedRun, hooks: StageHooks | None) -> str:
        """The endpoint's address: the one given, or that of the hooks' own or the embedded endpoint, which is started."""
        plan = checked.plan
        if hooks is None:
            return plan.host or self._embedded_url(checked)
        host = plan.host or ("" if plan.kind in ("transcription", "video") else self._embedded_url(checked))
        hooks.check_endpoint(infer(host, plan.kind))
        return host or hooks.host or self._embedded_url(checked)

    def _begin(self, checked: CheckedRun, host: str, hooks: StageHooks | None) -> LoadRun | DistributedRun:
        plan, key, name = checked.plan, checked.key, checked.spec.name
        where = infer(host, plan.kind)
        # In the web UI the form decides, not the command line.
        words = {"command": command() if self.headless else None}
        about = {**_about(checked, host), **words, "estimate": self.consent.estimated(checked), **(hooks.about() if hooks else {})}
        if self.master:
            from coldburst.distributed.master import DistributedRun  # noqa: PLC0415

            recorder = Recorder(plan.runs, about, generator="master")
            run = DistributedRun(
                self._environment, plan, recorder, master=self.master, address=where, host=host, question=name, key=key, hooks=hooks
            )
            run.prepare()
            return run
        target = plan.make_target(where, plan.limits, key)
        return LoadRun(self._environment, plan, target, Recorder(plan.runs, about), address=where, key=key, hooks=hooks)

    def _embedded_url(self, checked: CheckedRun) -> str:
        """The address of the embedded endpoint of the plan's kind, which is started if it does not run yet."""
        kind, arguments = checked.plan.kind, (*checked.spec.kind.embedded, *DEMOS[checked.plan.options["demo"]])
        name = " ".join((kind, *arguments))
        if name not in self._embedded:
            if sentence := missing("emulator"):
                raise StartError(f"no --host, and {sentence}; or name an endpoint with --host")
            logger.info("No --host: starting the embedded endpoint (%s)", kind)
            embedded = EmbeddedEndpoint(kind, arguments)
            try:
                embedded.wait_ready()
            except BaseException:
                embedded.stop()
                raise
            self._embedded[name] = embedded
            logger.info("The embedded endpoint is ready at %s after %.1f s", embedded.url, embedded.start_s)
        return self._embedded[name].url

    def _report_embedded_start(self) -> None:
        """Fires ``worker_ready`` for an embedded transcription service: its start time is known exactly."""
        for embedded in self._embedded.values() if self.current and not self.current.plan.host else ():
            if embedded.worker_id and embedded.start_s:
                about = {"worker_id": embedded.worker_id, "at_s": 0.0, "detail": "the embedded endpoint, start to ready"}
                self._environment.events.worker_ready.fire(seconds=embedded.start_s, **about)
                embedded.start_s = 0.0

    def _reports(self, run: LoadRun | DistributedRun) -> bool:
        return not (self.headless and run.plan.options["report"] == "no")

    def _prepare_report(self, run: LoadRun | DistributedRun) -> ReportProcess | None:
        """Starts the report's process while the last answers are awaited, where there is room for it; None without a report."""
        if not self._reports(run) or missing("report"):
            return None
        (run.load.last_sent if room_beside_the_load() else run.load.finished).wait()
        return ReportProcess(run.recorder.folder, run.plan.options["figures"], analysis_module())

    def _make_report(self, run: LoadRun | DistributedRun, ledger: Ledger) -> None:
        """Makes the report, and decides the exit code by its verdict."""
        folder = run.recorder.folder
        if not self._reports(run):
            logger.info("No report (--report no); to make it: %s report %s. The ledger: %s", analysis_program(), folder, run.ledger)
            return
        if sentence := missing("report"):
            self.unreported.discard(run.recorder.id)
            self._environment.process_exit_code = self._environment.process_exit_code or self._environment.parsed_options.exit_code_on_error
            logger.error("No report: %s; then run: coldburst report %s. Ledger: %s", sentence, folder, run.ledger)
            return
        try:
            self._report = self._prepared.pop(run.recorder.id).get()
            self._report.begin()
            failed = self._report.wait()
        finally:
            self.unreported.discard(run.recorder.id)
        if failed:
            self._environment.process_exit_code = self._environment.process_exit_code or self._environment.parsed_options.exit_code_on_error
            logger.error("The report failed. Ledger: %s. Try again with: %s report %s", run.ledger, analysis_program(), folder)
            return
        found = json.loads((folder / "report" / "metrics.json").read_text(encoding="utf-8"))
        results = found["objectives"]
        kept = None if results is None else not any(one["state"] == "missed" for one in results)
        told = all(one["passes"] or one["state"] == "missed" for one in results or ())
        for one in found["objectives"] or ():
            logger.log(logging.INFO if one["passes"] else logging.ERROR, "objective %s: %s", one["objective"], one["said"])
        self._environment.process_exit_code = self._exit_code(run, ledger, found["verdict"]["state"], kept, told=told)


def _about(checked: CheckedRun, host: str) -> dict[str, Any]:
    """run.json before the run starts: what was asked for, and the circumstances."""
    plan = checked.plan
    stages = [
        {"name": stage.name, "planned": planned([stage], plan.seed), "duration_s": stage.duration_s, "closed": stage.closed}
        for stage in plan.schedule
    ]
    return {
        "question": checked.spec.name,
        "target": {"kind": plan.kind, "host": host, "embedded": not plan.host},
        "schedule": text(plan.schedule),
        "seed": plan.seed,
        "stages": stages,
        "planned": plan.planned,
        "max_in_flight": plan.max_in_flight,
        "when_full": plan.options["when_full"],
        "cold_after_s": plan.cold_after_s,
        "objectives": [one.plain() for one in checked.objectives.objectives],
        "data": plan.data.about() if plan.data else None,
        "options": {attribute(option): plan.options[attribute(option)] for option in checked.spec.options},
        "versions": provenance.versions(),
        **provenance.commit(),
        "machine": provenance.machine(),
    }
