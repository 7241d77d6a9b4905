"""Hooks around the stages of a run, with which a sweep or a cold-start test prepares the endpoint and looks at the results."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coldburst.record.attempt import Attempt
from coldburst.schedule.stages import Stage
from coldburst.targets.address import EndpointAddress
from coldburst.targets.status_sampler import EndpointSamples

logger = logging.getLogger("coldburst")
MEASURE = "measure"


def attempt_phase(phase: str, draining: bool) -> str:
    """The phase of an attempt in a stage of that phase: ``drain`` if it ended after the stage stopped sending."""
    return "drain" if draining and phase == MEASURE else phase


class EndRunError(Exception):
    """Raised by ``StageHooks.before`` to end the run with a drain. The message is logged.

    Args:
        ended_by: the reason, for run.json and the report.
        failed: why the run failed; "" if its figures hold.
    """

    def __init__(self, message: str, ended_by: str, failed: str = "") -> None:
        super().__init__(message)
        self.ended_by, self.failed = ended_by, failed


@dataclass(frozen=True, slots=True)
class StageContext:
    """What hooks may use of a run.

    Attributes:
        now: seconds since second 0.
        rest: waits a number of seconds, or until the run is stopped; returns whether the run goes on.
        stopping: whether the run sends nothing more.
        end_stage: ends a closed loop by its name early, if it is the present stage.
        ended_by: why the run ends early, or "".
        folder: the run directory.
        write_stage: writes a row of stages.csv.
        samples: the endpoint's reported state.
    """

    now: Callable[[], float]
    rest: Callable[[float], bool]
    stopping: Callable[[], bool]
    end_stage: Callable[[str], None]
    ended_by: Callable[[], str]
    folder: Path
    write_stage: Callable[[Mapping[str, Any]], None]
    samples: EndpointSamples

    @classmethod
    def of(cls, run: Any) -> StageContext:
        """The context of a ``LoadRun`` or a ``DistributedRun``."""
        load, recorder = run.load, run.recorder
        ends = (lambda: load.stopping, load.end_stage, lambda: run.ended_by)
        return cls(load.now, load.rest, *ends, recorder.folder, recorder.stage, run.samples)


class StageHooks:
    """Called around each stage and with the attempts of a run. The defaults do nothing.

    Attributes:
        host: address of an endpoint that the hooks start for the run, or "".
    """

    host = ""

    def check_endpoint(self, address: EndpointAddress) -> None:
        """Called first, with the endpoint (``url`` is "" if it is not started yet); raises ValueError if it cannot be used."""

    def about(self) -> dict[str, Any]:
        """Entries for run.json."""
        return {}

    def begin(self, run: StageContext) -> None:
        """Called once, before the first stage."""

    def before(self, stage: Stage) -> bool:
        """Called when all earlier requests have ended. False skips the stage; EndRunError ends the run."""
        return True

    def after(self, stage: Stage, start_s: float, stop_s: float) -> None:
        """Called after the stage's last response; it sent from ``start_s`` to ``stop_s``, in seconds from second 0."""

    def phase(self, stage: str, draining: bool) -> str:
        """The column ``phase`` of an attempt in that stage; ``draining``: the stage sends nothing more."""
        return ""

    def attempts(self, rows: Sequence[Attempt]) -> None:
        """Called with rows that were written, one or several at a time."""

    def end(self) -> str:
        """Called once after the last response, before the files are closed, or when the run could not begin.

        Returns:
            Why the run failed, or "".
        """
        return ""


class StageGate:
    """Calls hooks around stages. If they raise EndRunError it calls ``end_run``, and the stage begins in a stopping run."""

    def __init__(self, hooks: StageHooks, end_run: Callable[[EndRunError], None]) -> None:
        self._hooks, self._end_run = hooks, end_run
        self.after = hooks.after

    def before(self, stage: Stage) -> bool:
        """Whether the stage begins."""
        try:
            return self._hooks.before(stage)
        except EndRunError as error:
            logger.error(error)
            self._end_run(error)
            return True
