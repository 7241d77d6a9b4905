"""The kinds of sweep, and a running one: it sets the endpoint for each setting, records each stage, and restores the endpoint."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from coldburst.control import choice, restore
from coldburst.control.desired_state import Control, ControlError, DesiredState
from coldburst.control.restore import SavedSettings
from coldburst.control.worker_count import count_workers
from coldburst.load.run_options import RunPlan
from coldburst.load.run_spec import RunKind
from coldburst.load.stage_hooks import MEASURE, EndRunError, StageContext, StageHooks, attempt_phase
from coldburst.option import Option, OptionError
from coldburst.record import objectives, prices
from coldburst.record.attempt import Attempt
from coldburst.schedule.stages import Stage
from coldburst.sweep import settings
from coldburst.sweep.settings import SweepStep
from coldburst.targets.address import EndpointAddress, infer

logger = logging.getLogger("coldburst")
# A sweep ends after two levels in a row that gain less than 5 % over the best one before.
GAIN, LEVELS = 0.05, 2
# A level ends early once its failures surely exceed the limit: standard errors, and requests that must have ended.
SURE, SURE_FROM = 3.0, 10
MAX_IN_FLIGHT = 64


@dataclass(slots=True)
class LevelOutcome:
    """Counts of one stage; times in seconds from second 0."""

    ended: int = 0
    ok: int = 0
    unfinished: int = 0
    first_s: float = math.inf
    last_s: float = 0.0

    def add(self, row: Attempt) -> None:
        """Counts an attempt that was sent. A retry belongs to the same request."""
        if row.sent_s is None:
            return
        if row.outcome == "unfinished":
            self.unfinished += 1
            return
        self.ended += row.attempt == 1
        self.ok += row.outcome == "ok"
        self.first_s = min(self.first_s, row.sent_s)
        self.last_s = max(self.last_s, row.done_s or 0.0)

    @property
    def per_s(self) -> float:
        """Throughput: ok responses ÷ wall time from the first sent to the last done."""
        return self.ok / (self.last_s - self.first_s) if self.last_s > self.first_s else 0.0


FAILS = "it failed more often than --most-failures allows"


class EarlyStop:
    """Ends a level that surely fails too often, and a sweep after such a level, or after LEVELS levels without a gain.

    A level below one that was already tried is not checked for gains: its throughput is lower by nature.
    """

    def __init__(self, most_failures: float) -> None:
        self._most, self._best, self._without, self._highest = most_failures, 0.0, 0, 0

    def during(self, tally: LevelOutcome) -> bool:
        """Whether more requests fail than allowed, by the Wilson interval of their share.

        Each failure is a new look at the data, hence 3 standard errors instead of 2, and SURE_FROM ended requests at least.
        """
        n = tally.ended
        if n < SURE_FROM:
            return False
        failed, z = n - min(tally.ok, n), SURE
        return (failed + z * z / 2 - z * math.sqrt(failed * (n - failed) / n + z * z / 4)) / (n + z * z) > self._most

    def after(self, cell: str, level: int, tally: LevelOutcome) -> str:
        """Why no higher level is tried after this one; "" to go on."""
        failed = 1 - tally.ok / tally.ended if tally.ended else 1.0
        if failed > self._most:
            return f"{failed:.0%} of {cell} did not end ok, more than {self._most:.0%}"
        if level < self._highest:
            return ""
        self._without = 0 if tally.per_s > self._best * (1 + GAIN) else self._without + 1
        self._best, self._highest = max(self._best, tally.per_s), level
        return f"{LEVELS} levels in a row, up to {cell}, gained less than {GAIN:.0%}" if self._without >= LEVELS else ""


@dataclass(frozen=True)
class SweepKind:
    """One kind of sweep.

    Attributes:
        steps: makes the stages from the options.
        one_worker: it raises the load on a single worker, and stops when a higher level gains nothing.
        embedded: arguments of the embedded endpoint.
    """

    name: str
    options: tuple[Option, ...]
    steps: Callable[[Mapping[str, Any]], tuple[SweepStep, ...]]
    one_worker: bool = False
    embedded: tuple[str, ...] = ()

    @property
    def run_kind(self) -> RunKind:
        """What it adds to a run."""
        return RunKind((*self.options, *choice.OPTIONS), MAX_IN_FLIGHT, self.stages, self.hooks, self.consent, self.embedded)

    def stages(self, options: Mapping[str, Any]) -> tuple[Stage, ...]:
        """The schedule. Raises OptionError for any wrong option of the sweep."""
        self.about(options)
        if not 0 < options["settle_timeout"] < float("inf"):
            raise OptionError(f"--settle-timeout {options['settle_timeout']:g} must be a positive duration, as in 600")
        return tuple(step.stage for step in self.steps(options))

    def control(self, address: EndpointAddress, key: str, options: Mapping[str, Any]) -> Control:
        """What changes the endpoint. Raises ControlError if it cannot be changed."""
        way = options["control"]
        if way == "auto" and self.one_worker and address.url and not address.management:
            way = "none"  # a plain service cannot be scaled, so no consent is needed
        return choice.make(choice.choose(way, address), address, key, options)

    def consent(self, options: Mapping[str, Any]) -> None:
        """Raises OptionError if the user did not agree to change an endpoint that costs money. Sends no request."""
        if options["yes"] == "yes" or not options["host"]:
            return
        try:
            control = self.control(infer(str(options["host"]), options["target"]), "", options)
        except ControlError as error:
            raise OptionError(str(error)) from error
        control.close()
        if not control.harmless:
            workers = ", ".join(dict.fromkeys(str(step.cell.wanted.workers) for step in self.steps(options)))
            raise OptionError(
                f"this run would change {control.where}, which costs money (workers: {workers}): agree with 'yes' in the field 'yes'"
            )

    def hooks(self, plan: RunPlan, key: str) -> SweepRunner:
        """The hooks of one run."""
        return SweepRunner(self, plan, key)

    def about(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The part of run.json's ``sweep`` that follows from the options. Raises OptionError if one is wrong."""
        if not 0 < options["worth"] <= 1:
            raise OptionError(f"--worth {options['worth']:g} must be a share above 0 and at most 1, as in 0.7")
        if not 0 <= options.get("most_failures", 0) <= 1:
            raise OptionError(f"--most-failures {options['most_failures']:g} must be a share from 0 to 1, as in 0.05")
        try:
            limits = objectives.parse(options["objective"])
            price = prices.read(options["price"], date.today()) if options["price"] else None
        except ValueError as error:
            raise OptionError(str(error)) from error
        priced = price and {**asdict(price), "date": price.date.isoformat()}
        return {"objectives": limits, "worth": options["worth"], "price": priced, "card": settings.memory(options)}


class SweepRunner(StageHooks):
    """Hooks of one run of a sweep."""

    def __init__(self, kind: SweepKind, plan: RunPlan, key: str) -> None:
        self._kind, self._plan, self._key = kind, plan, key
        self._steps = {step.stage.name: step for step in kind.steps(plan.options)}
        self._cells = list(dict.fromkeys(step.cell for step in self._steps.values()))
        self._tallies = {name: LevelOutcome() for name in self._steps}
        self._rule = EarlyStop(plan.options["most_failures"]) if kind.one_worker else None
        # Why a setting, or a setting in one repeat, is skipped.
        self._skip: dict[str, str] = {}
        self._control: Control | None = None
        self._before: dict[str, Any] | None = None
        self._present = DesiredState()
        self._seen: int | None = None
        self._seen_by, self._plain_url = "", ""
        self._stage, self._begin_s = "", 0.0
        self._ready_s: float | None = None
        self._measured = False
        self._early: set[str] = set()
        self.host = ""

    def check_endpoint(self, address: EndpointAddress) -> None:
        """Chooses the control and logs its changes. Raises ValueError or ControlError if they are not possible or not agreed to."""
        self._control = self._kind.control(address, self._key, self._plan.options)
        self.host = self._control.url
        self._plain_url = "" if address.api or address.management else address.url
        logger.info(self._control.describe(list(dict.fromkeys(cell.wanted for cell in self._cells))))
        if not self._control.harmless and self._plan.options["yes"] != "yes":
            raise OptionError(
                f"{self._control.where} is not on this machine: agree to the changes above with --yes, or prevent them with --control none"
            )

    def about(self) -> dict[str, Any]:
        return {
            "sweep": {
                "question": self._kind.name,
                "repeats": max(step.repeat for step in self._steps.values()),
                "cells": [cell.name for cell in self._cells],
                "control": self._control.way if self._control else "none",
                "stop": {"failures": self._plan.options["most_failures"], "gain": GAIN, "levels": LEVELS} if self._rule else None,
                **self._kind.about(self._plan.options),
            }
        }

    def begin(self, run: StageContext) -> None:
        self._run = run
        if self._control:
            self._control.begin(run.folder, run.rest)

    def before(self, stage: Stage) -> bool:
        """Sets the endpoint for the stage and waits until it shows; False to skip the stage."""
        step = self._steps[stage.name]
        self._stage, self._begin_s, self._ready_s = stage.name, self._run.now(), None
        if why := self._skip.get(step.cell.name, ""):
            self._write_stage(step, "skipped", why, workers_seen=None)
            return False
        if step.first:
            self._skip[_turn(step)] = self._set(step)
        if self._run.stopping():
            return True  # each request of the stage still gets its row: not_sent
        if why := self._skip[_turn(step)]:
            self._write_stage(step, "skipped", why)
            return False
        self._ready_s = self._run.now()
        logger.info("%s: %s", step.phase, stage)
        return True

    def after(self, stage: Stage, start_s: float, stop_s: float) -> None:
        """Records the stage, and decides whether higher levels are tried."""
        step, tally = self._steps[stage.name], self._tallies[stage.name]
        sent = tally.ended >= stage.count if stage.count is not None else stop_s - start_s >= (stage.duration_s or 0.0)
        sent = sent or stage.name in self._early
        whole = sent and not tally.unfinished
        ended_by = self._run.ended_by() or "stopped"
        self._measured = self._measured or (whole and step.phase == MEASURE)
        if not (tally.ended or tally.unfinished) and self._run.stopping():
            self._write_stage(step, "skipped", f"the run ended before it ({ended_by})")
            return
        times = {"start_s": start_s, "stop_s": stop_s, "end_s": max(tally.last_s, stop_s)}
        why = FAILS if stage.name in self._early else "" if whole else f"the run ended during it ({ended_by})"
        self._write_stage(step, "done" if whole else "cut", why, **times)
        if self._rule and step.phase == MEASURE and step.repeat == 1 and whole:
            self._skip_higher(step, self._rule.after(step.cell.name, step.cell.concurrency, tally))

    def phase(self, stage: str, draining: bool) -> str:
        return attempt_phase(self._steps[stage].phase, draining)

    def attempts(self, rows: Sequence[Attempt]) -> None:
        for row in rows:
            self._tallies[row.stage].add(row)
            if row.outcome != "ok" and row.stage not in self._early and self._fails(row.stage):
                self._early.add(row.stage)
                logger.info("%s ends early: %s", row.stage, FAILS)
                self._run.end_stage(row.stage)

    def _fails(self, stage: str) -> bool:
        """Whether a level that is being measured surely fails too often. With retries, a failure may still become an answer."""
        if self._rule is None or self._plan.options["retries"] or self._steps[stage].phase != MEASURE:
            return False
        return self._rule.during(self._tallies[stage])

    def end(self) -> str:
        """Restores the endpoint and stops what was started."""
        if self._control is None:
            return ""
        failed = ""
        if self._before or (self._before is not None and self._control.by_hand):
            failed = self._restore(self._control, self._before)
        self._control.close()
        self._control = None
        if self._stage and not (self._measured or failed or self._run.ended_by()):
            return "no setting was measured"
        return failed

    def _set(self, step: SweepStep) -> str:
        """Sets the endpoint for a setting; returns why it does not show, or ""."""
        wanted, control = step.cell.wanted, self._control
        if control is None or wanted == self._present:
            return ""
        timeout_s = self._plan.options["settle_timeout"]
        try:
            if self._before is None:
                self._save(control)
            control.change(wanted)
            seen = choice.wait_shown(control, wanted, timeout_s=timeout_s, rest=self._run.rest, say=logger.info)
        except ControlError as error:
            self._present = DesiredState()
            raise EndRunError(str(error), f"an endpoint that cannot be set: {error}", failed=str(error)) from error
        self._present, self._seen = (wanted if seen.ready else DesiredState()), seen.workers
        self._seen_by = "" if seen.workers is None else "control"
        if seen.ready and seen.workers is None and wanted.workers and self._plain_url:
            self._count_workers(wanted.workers)
        return "" if seen.ready else f"{seen.text}, after {timeout_s:g} s"

    def _count_workers(self, wanted: int) -> None:
        """Counts the workers behind a proxy by /health: the control changes them unseen, and answers may not name them."""
        found = count_workers(self._plain_url, wanted, self._run.rest)
        if found.ids:
            self._seen, self._seen_by = len(found.ids), "health"
        logger.log(logging.WARNING if found.ids and len(found.ids) != wanted else logging.INFO, "%s; %s requested", found.text, wanted)

    def _save(self, control: Control) -> None:
        """Saves the present settings on the disk before the first change."""
        self._before = dict(control.settings())
        if not self._before:
            return
        folder = self._run.folder
        try:
            restore.save(folder, self._settings(control, restored=False))
        except OSError as error:
            raise ControlError(
                f"could not save the endpoint's settings ({error.strerror}), so they are not changed: free some space"
            ) from error
        logger.info("The endpoint's settings are saved in %s", folder / restore.FILE)

    def _restore(self, control: Control, before: Mapping[str, Any]) -> str:
        """Restores the settings, or logs what a person has to restore; a sentence if it failed, else ""."""
        folder = self._run.folder
        restored: bool | None = True
        note = failed = ""
        try:
            said = control.restore(before)
            if control.by_hand:
                restored, note = None, said
            logger.log(logging.WARNING if note else logging.INFO, said)
        except ControlError as error:
            restored, note = False, str(error)
            failed = f"settings that were not restored: {note}"
            again = f"{restore.PROGRAM} {folder}{'' if control.harmless else ' --yes'}"
            cost = restore.standing_cost(control.standing_workers(), self._usd_per_worker_hour)
            logger.error("Could not restore the endpoint's settings: %s. Try again with: %s. %s", error, again, cost)
        try:
            restore.save(folder, self._settings(control, restored, note))
        except OSError as error:
            logger.error("Could not record the restored settings in %s: %s", folder / restore.FILE, error.strerror)
        return failed

    def _settings(self, control: Control, restored: bool | None, note: str = "") -> SavedSettings:
        return SavedSettings(control.way, self._before or {}, control.where, control.harmless, restored, note, self._usd_per_worker_hour)

    @property
    def _usd_per_worker_hour(self) -> float | None:
        price = self._plan.options["price"]
        return prices.read(price, date.today()).usd_per_s * 3600 if price else None

    def _skip_higher(self, step: SweepStep, why: str) -> None:
        higher = [cell.name for cell in self._cells if cell.concurrency > step.cell.concurrency and not self._tallies[cell.name].ended]
        if why and higher:
            logger.info("%s: skipping %s", why, ", ".join(higher))
            self._skip |= dict.fromkeys(higher, why)

    def _write_stage(self, step: SweepStep, state: str, why: str, **more: float | None) -> None:
        cell, present = step.cell, self._stage == step.stage.name
        self._run.write_stage(
            {
                "stage": step.stage.name,
                "cell": cell.name,
                "repeat": step.repeat,
                "phase": step.phase,
                "concurrency": cell.concurrency,
                "workers": cell.wanted.workers,
                "per_worker": cell.per_worker,
                "scaler_value": cell.wanted.scaler_value,
                "begin_s": self._begin_s if present else None,
                "ready_s": self._ready_s if present else None,
                "workers_seen": self._seen if present else None,
                "workers_by": self._seen_by if present and self._seen is not None else "",
                "state": state,
                "why": why,
                **more,
            }
        )


def _turn(step: SweepStep) -> str:
    """A setting in one repeat."""
    return f"{step.cell.name} in repeat {step.repeat}"


CONCURRENCY = SweepKind("concurrency", settings.CONCURRENCY, settings.concurrency, one_worker=True, embedded=("--concurrency", "4"))
SCALING = SweepKind("scaling", settings.SCALING, settings.scaling)
MATRIX = SweepKind("matrix", settings.MATRIX, settings.matrix)
