"""Stops what an endpoint is billed for after a run that had to end: purges its queue, stops its workers, and proves it.

The proof is the worker list; the billing API is read too, though its records may come later.

Workers that have nothing to do stop by themselves. If they do not, or their jobs did not end, the maximum of workers is set to 0 until
none runs, and then back. RunPod answers 409 for minutes while an endpoint is being changed: as long as it does, the worker list says
whether a change is still needed.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coldburst.control import restore
from coldburst.control.desired_state import ControlError, DesiredState
from coldburst.control.rest import RestControl
from coldburst.control.rest_calls import sleep
from coldburst.control.restore import SavedSettings
from coldburst.record import bill

logger = logging.getLogger("coldburst")
# Longest wait for idle workers to stop by themselves, and for busy ones after the maximum was set to 0.
PATIENCE_S, STOP_S = 90.0, 180.0
# With a longer idle timeout, workers are stopped instead.
LONGEST_IDLE_S = 60.0


@dataclass(frozen=True, slots=True)
class Shutdown:
    """How it went.

    Attributes:
        purged: jobs removed from the queue; None if there is no queue, or it was not told.
        workers: with a container at the last look; None if the list could not be read.
        minimum: of workers, by the settings; these stay and are billed.
        settings: what was done to the settings, in words.
        billed: what the billing API says then, in words.
        failed: what is left to do, one sentence; "" if nothing.
    """

    purged: int | None
    workers: int | None
    minimum: int
    settings: str
    billed: str
    failed: str

    @property
    def text(self) -> str:
        """In one line."""
        purged = "" if self.purged is None else f"{self.purged} waiting jobs removed; "
        seen = "the worker list could not be read" if self.workers is None else f"{self.workers} running by the worker list"
        return f"{purged}workers: {seen} (minimum {self.minimum}); settings {self.settings}; {self.billed}"


class ShutdownSequence:
    """The shutdown of one endpoint.

    Args:
        control: of the endpoint.
        before: its settings, as ``control.settings`` returned them before the run.
        folder: the run directory, which keeps the settings while they are changed.
        usd_per_worker_hour: price of a worker, for the sentence on settings that could not be restored.
        began_s: start of the run in seconds since 1970, for its bill.
    """

    def __init__(self, control: RestControl, before: dict[str, Any], folder: Path, usd_per_worker_hour: float, began_s: float) -> None:
        self._control, self._before, self._folder, self._usd_per_worker_hour = control, before, folder, usd_per_worker_hour
        self._least = int(before["workers"]["min"])
        self._began_s = began_s
        self._purged: int | None = None
        self._trouble = ""

    def purge(self) -> None:
        """Removes the jobs that wait in the queue. To be called first, so that no further job is started."""
        try:
            self._purged = (self._purged or 0) + (self._control.purge() or 0)
        except ControlError as error:
            self._trouble = f"the queue could not be purged: {error}"

    def stop(self, *, drained: bool) -> Shutdown:
        """Stops the workers beyond the minimum; ``drained``: every job has ended, so that they only idle."""
        left = self._await(self._least, PATIENCE_S if drained and self._idles_soon else 0.0)
        settings = "unchanged"
        if left is None or left > self._least:
            settings = self._stop_workers()
            left = self._await(self._least, self._control.every_s)
        if not self._trouble and (left is None or left > self._least):
            running = "it is not known how many workers run" if left is None else f"{left} workers still run"
            self._trouble = f"{running} at {self._control.where}, whose minimum is {self._least}: stop them in the console"
        billed = self._control.billed(bill.run_hours(self._began_s, self._before["workers"].get("idleTimeout")))
        return Shutdown(self._purged, left, self._least, settings, billed.words, self._trouble)

    @property
    def _idles_soon(self) -> bool:
        return float(self._before["workers"].get("idleTimeout") or LONGEST_IDLE_S) <= LONGEST_IDLE_S

    def _await(self, most: int, limit_s: float) -> int | None:
        """Looks at the worker list until at most so many have a container; the last known number."""
        ends_s, left = time.monotonic() + limit_s, None
        while True:
            seen = self._control.containers()
            left = left if seen is None else seen
            if (seen is not None and seen <= most) or time.monotonic() >= ends_s:
                return left
            sleep(self._control.every_s)

    def _stop_workers(self) -> str:
        """Sets the maximum of workers to 0 until none runs, and the settings back; what was done."""
        logger.warning("%s: workers do not stop by themselves: setting their maximum to 0", self._control.where)
        self._save(restored=False)
        done = "set to 0 workers and back"
        try:
            # While a change is refused, it may become needless.
            self._control.begin(self._folder, self._wait_for_change)
            self._control.change(DesiredState(workers=0))
            self._await(0, STOP_S)
        except ControlError as error:
            done = "unchanged: the workers stopped while a change was refused"
            if not self._are_gone():
                self._trouble = f"the workers could not be stopped: {error}"
        if self._purged is not None:
            # Jobs of a worker that stopped without ending them wait again.
            self.purge()
        return self._restore() or done

    def _restore(self) -> str:
        """Sets the settings back; "not restored" if that failed."""
        try:
            logger.info(self._control.restore(self._before))
        except ControlError as error:
            again = f"{restore.PROGRAM} {self._folder}{'' if self._control.harmless else ' --yes'}"
            cost = restore.standing_cost(self._control.standing_workers(), self._usd_per_worker_hour)
            self._save(restored=False, note=str(error))
            self._trouble = f"settings that were not restored: {error}. Try again with: {again}. {cost}".strip()
            return "not restored"
        self._save(restored=True)
        return ""

    def _wait_for_change(self, seconds: float) -> bool:
        """Pauses before a change is tried again; False as soon as it is needless."""
        ends_s = time.monotonic() + seconds
        while not self._are_gone():
            if (left_s := ends_s - time.monotonic()) <= 0:
                return True
            sleep(min(self._control.every_s, left_s))
        return False

    def _are_gone(self) -> bool:
        seen = self._control.containers()
        return seen is not None and seen <= self._least

    def _save(self, *, restored: bool, note: str = "") -> None:
        control = self._control
        saved = SavedSettings(control.way, self._before, control.where, control.harmless, restored, note, self._usd_per_worker_hour)
        try:
            restore.save(self._folder, saved)
        except OSError as error:
            logger.error("Could not save the endpoint's settings in %s: %s", self._folder / restore.FILE, error.strerror)
