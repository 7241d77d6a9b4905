"""A sweep while it runs: sets the endpoint before each cell, tells each stage as it ends, and puts back what it changed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Protocol

from coldburst.control import choice, restore
from coldburst.control.desired_state import Control, ControlError, DesiredState
from coldburst.load.run_options import RunPlan
from coldburst.load.stage_hooks import MEASURE, EndRunError, StageContext, StageHooks, attempt_phase
from coldburst.option import OptionError
from coldburst.record import prices
from coldburst.record.attempt import Attempt
from coldburst.schedule.stages import Stage
from coldburst.sweep.early_stop import GAIN, LEVELS, EarlyStop, LevelOutcome
from coldburst.sweep.settings import SweepStep
from coldburst.targets.address import EndpointAddress

logger = logging.getLogger("coldburst")
ENDED = "the run ended before it"


class SweepDefinition(Protocol):
    """What the runner asks of a kind of sweep; see ``sweep.kinds``."""

    @property
    def name(self) -> str:
        """The kind's name."""

    @property
    def one_worker(self) -> bool:
        """Whether it measures one endpoint worker alone."""

    def steps(self, options: Mapping[str, Any], /) -> Sequence[SweepStep]:
        """Its stages, in their order."""

    def control(self, address: EndpointAddress, key: str, options: Mapping[str, Any], /) -> Control:
        """What changes the endpoint."""

    def about(self, options: Mapping[str, Any], /) -> dict[str, Any]:
        """What run.json has of it that options alone decide."""


class SweepRunner(StageHooks):
    """Hooks of one run of a sweep: set the endpoint before each cell, write a row for each stage, restore the endpoint at the end.

    Args:
        kind: the kind of sweep.
        plan: with its options.
        key: API key, or "".
    """

    def __init__(self, kind: SweepDefinition, plan: RunPlan, key: str) -> None:
        self._kind, self._plan, self._key = kind, plan, key
        self._steps = {step.stage.name: step for step in kind.steps(plan.options)}
        self._tallies = {name: LevelOutcome() for name in self._steps}
        self._rule = EarlyStop(plan.options["most_failures"]) if kind.one_worker else None
        self._left_out: dict[str, str] = {}
        self._control: Control | None = None
        self._before: dict[str, Any] | None = None
        self._present = DesiredState()
        self._seen: int | None = None
        self._turned, self._begin_s = "", 0.0
        self._ready_s: float | None = None
        self._measured = False
        self.host = ""

    def check_endpoint(self, address: EndpointAddress) -> None:
        """Chooses what changes the endpoint, and says what it will change.

        Raises:
            OptionError: the endpoint is not on this machine, and nobody agreed to its being changed.
            ControlError: it cannot be changed; one sentence.
        """
        self._control = self._kind.control(address, self._key, self._plan.options)
        self.host = self._control.url
        price = self._plan.options["price"]
        if price and (stale := prices.stale(prices.read(price, date.today()), date.today())):
            logger.warning(stale)
        told = self._control.describe(list(dict.fromkeys(step.cell.wanted for step in self._steps.values())))
        logger.info(told)
        if not self._control.harmless and self._plan.options["yes"] != "yes":
            raise OptionError(
                f"{self._control.where} is not on this machine: agree to the changes above with --yes yes, "
                "or leave it as it is with --control none"
            )

    def about(self) -> dict[str, Any]:
        """What run.json has of the sweep."""
        way = self._control.way if self._control else "none"
        names = list(dict.fromkeys(step.cell.name for step in self._steps.values()))
        repeats = max(step.repeat for step in self._steps.values())
        rule = {"failures": self._plan.options["most_failures"], "gain": GAIN, "levels": LEVELS} if self._rule else None
        return {
            "sweep": {
                "question": self._kind.name,
                "repeats": repeats,
                "cells": names,
                "control": way,
                "stop": rule,
                **self._kind.about(self._plan.options),
            }
        }

    def begin(self, run: StageContext) -> None:
        """See StageHooks."""
        self._run = run
        if self._control:
            self._control.begin(run.folder, run.rest)

    def before(self, stage: Stage) -> bool:
        """Makes the endpoint what the stage's cell needs, and waits until it shows; False: not to be had, or not worth it."""
        step = self._steps[stage.name]
        self._turned, self._begin_s, self._ready_s = stage.name, self._run.now(), None
        if why := self._left_out.get(step.cell.name, ""):
            self._write_stage(step, "skipped", why, workers_seen=None)
            return False
        if step.first:
            self._left_out[_turn(step)] = self._set(step)
        if self._run.stopping():
            return True  # what it would have sent is refused, a row each
        if why := self._left_out[_turn(step)]:
            self._write_stage(step, "skipped", why)
            return False
        self._ready_s = self._run.now()
        logger.info("%s: %s", step.phase, stage)
        return True

    def after(self, stage: Stage, start_s: float, stop_s: float) -> None:
        """Tells what the stage was, and decides whether higher ones are worth it."""
        step, tally = self._steps[stage.name], self._tallies[stage.name]
        sent = tally.ended >= stage.count if stage.count is not None else stop_s - start_s >= (stage.duration_s or 0.0)
        whole = sent and not tally.unfinished
        ended_by = self._run.ended_by() or "stopped"
        self._measured = self._measured or (whole and step.phase == MEASURE)
        if not (tally.ended or tally.unfinished) and self._run.stopping():
            self._write_stage(step, "skipped", f"{ENDED} ({ended_by})")
            return
        times = {"start_s": start_s, "stop_s": stop_s, "end_s": max(tally.last_s, stop_s)}
        self._write_stage(step, "done" if whole else "cut", "" if whole else f"the run ended in it ({ended_by})", **times)
        if self._rule and step.phase == MEASURE and step.repeat == 1 and whole:
            self._leave_out_after(step, self._rule.after(step.cell.name, step.cell.concurrency, tally))

    def phase(self, stage: str, draining: bool) -> str:
        """See StageHooks."""
        return attempt_phase(self._steps[stage].phase, draining)

    def attempts(self, rows: Sequence[Attempt]) -> None:
        """Counts them."""
        for row in rows:
            self._tallies[row.stage].add(row)

    def end(self) -> str:
        """Restores what was changed and ends what was started; what makes the run a failed one, or ""."""
        if self._control is None:
            return ""
        failed = ""
        if self._before or (self._before is not None and self._control.by_hand):
            failed = self._restore(self._control, self._before)
        self._control.close()
        self._control = None
        if self._turned and not (self._measured or failed or self._run.ended_by()):
            return "no setting was measured"
        return failed

    def _set(self, step: SweepStep) -> str:
        """Sets the endpoint for a cell; why it does not show what was asked for, or ""."""
        wanted, changer = step.cell.wanted, self._control
        if changer is None or wanted == self._present:
            return ""
        try:
            if self._before is None:
                self._save(changer)
            changer.change(wanted)
            seen = choice.wait_shown(changer, wanted, timeout_s=self._plan.options["settle_timeout"], rest=self._run.rest, say=logger.info)
        except ControlError as error:
            self._present = DesiredState()
            raise EndRunError(str(error), f"an endpoint that cannot be set: {error}", failed=str(error)) from error
        self._present, self._seen = (wanted if seen.ready else DesiredState()), seen.workers
        return "" if seen.ready else f"{seen.text}, after {self._plan.options['settle_timeout']:g} s"

    def _save(self, changer: Control) -> None:
        """The present settings, on the disk before the first of them is changed; nothing where there is nothing to put back."""
        self._before = dict(changer.settings())
        if not self._before:
            return
        folder = self._run.folder
        try:
            restore.save(folder, self._settings(changer, restored=False))
        except OSError as error:
            raise ControlError(f"the endpoint's settings cannot be kept ({error.strerror}), so they are not changed") from error
        logger.info("The endpoint's settings are kept in %s", folder / restore.FILE)

    def _restore(self, changer: Control, before: Mapping[str, Any]) -> str:
        """Restores the settings, or logs what a person has to restore, and notes the outcome; where it failed, a sentence, else ""."""
        folder = self._run.folder
        restored: bool | None = True
        note = failed = ""
        try:
            said = changer.restore(before)
            if changer.by_hand:
                restored, note = None, said
            logger.log(logging.WARNING if note else logging.INFO, said)
        except ControlError as error:
            restored, note = False, str(error)
            failed = f"settings that were not put back: {note}"
            again = f"python -m coldburst restore {folder}{'' if changer.harmless else ' --yes'}"
            logger.error("The endpoint's settings could not be put back: %s. Try again with: %s", error, again)
        try:
            restore.save(folder, self._settings(changer, restored, note))
        except OSError as error:
            logger.error("That it was put back cannot be noted in %s: %s", folder / restore.FILE, error.strerror)
        return failed

    def _settings(self, changer: Control, restored: bool | None, note: str = "") -> dict[str, Any]:
        about = {"way": changer.way, "where": changer.where, "harmless": changer.harmless}
        return {**about, "before": self._before, "restored": restored, "note": note}

    def _leave_out_after(self, step: SweepStep, why: str) -> None:
        if not why:
            return
        others = dict.fromkeys(other.cell for other in self._steps.values())
        higher = [cell.name for cell in others if cell.concurrency > step.cell.concurrency and not self._tallies[cell.name].ended]
        if higher:
            logger.info("%s: %s are left out", why, ", ".join(higher))
            self._left_out |= dict.fromkeys(higher, why)

    def _write_stage(self, step: SweepStep, state: str, why: str, **more: float | None) -> None:
        """A row of stages.csv."""
        cell, turned = step.cell, self._turned == step.stage.name
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
                "begin_s": self._begin_s if turned else None,
                "ready_s": self._ready_s if turned else None,
                "workers_seen": self._seen if turned else None,
                "state": state,
                "why": why,
                **more,
            }
        )


def _turn(step: SweepStep) -> str:
    """A cell's turn in one repeat."""
    return f"{step.cell.name} in repeat {step.repeat}"
