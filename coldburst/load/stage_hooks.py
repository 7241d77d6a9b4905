"""Hooks around the stages of a run: a sweep or a cold-start test makes the endpoint ready for the next stage and looks at the last one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coldburst.record.attempt import Attempt
from coldburst.schedule.stages import Stage
from coldburst.targets.address import EndpointAddress
from coldburst.targets.endpoint_samples import EndpointSamples

logger = logging.getLogger("coldburst")
MEASURE = "measure"


def attempt_phase(phase: str, draining: bool) -> str:
    """A stage's phase as its attempts have it: what was sent while measuring and ended when nothing more was sent is ``drain``."""
    return "drain" if draining and phase == MEASURE else phase


class EndRunError(Exception):
    """Raised by ``StageHooks.before``: the run ends here, with a drain. The message is logged.

    Args:
        ended_by: why, for run.json and the report.
        failed: what makes the run a failed one; "" where its figures stand.
    """

    def __init__(self, message: str, ended_by: str, failed: str = "") -> None:
        super().__init__(message)
        self.ended_by, self.failed = ended_by, failed


@dataclass(frozen=True, slots=True)
class StageContext:
    """A run as its hooks see it.

    Attributes:
        now: seconds since second 0.
        rest: waits so many seconds, but not longer than until the run is stopped; whether it goes on.
        stopping: whether nothing more is sent.
        ended_by: why the run ends before its schedule does; "" while it does not.
        folder: the run's directory.
        write_stage: writes a row of stages.csv.
        samples: what the endpoint says of itself.
    """

    now: Callable[[], float]
    rest: Callable[[float], bool]
    stopping: Callable[[], bool]
    ended_by: Callable[[], str]
    folder: Path
    write_stage: Callable[[Mapping[str, Any]], None]
    samples: EndpointSamples


class StageHooks:
    """Called around each stage and with the attempts of a run. The default does nothing.

    Attributes:
        host: of an endpoint that it has started for the run; "" where there is none.
    """

    host = ""

    def check_endpoint(self, address: EndpointAddress) -> None:
        """Called before anything else, with the endpoint (``url`` "" where none is there yet); a ValueError says why it cannot be used."""

    def about(self) -> dict[str, Any]:
        """What run.json says about it, by key."""
        return {}

    def begin(self, run: StageContext) -> None:
        """Called once before the first stage."""

    def before(self, stage: Stage) -> bool:
        """Called once the stage before has been answered; the stage begins when it returns. False: it is skipped.

        Raises:
            EndRunError: the run ends instead.
        """
        return True

    def after(self, stage: Stage, start_s: float, stop_s: float) -> None:
        """Called when the stage's last answer is there; it was sent from ``start_s`` to ``stop_s``, seconds from second 0."""

    def phase(self, stage: str, draining: bool) -> str:
        """What an attempt of that stage has in its column ``phase``; ``draining``: the stage sends nothing more."""
        return ""

    def attempts(self, rows: Sequence[Attempt]) -> None:
        """Called with the rows that were written, one or many at a time."""

    def end(self) -> str:
        """Called once, when the last answer is there, whatever ended the run, before its files are closed; or where it could not begin.

        Returns:
            What makes the run a failed one, "" where nothing does.
        """
        return ""


class StageGate:
    """Calls hooks around stages; where they raise EndRunError, ``end_run`` is called and the stage begins in a run that is stopping."""

    def __init__(self, hooks: StageHooks, end_run: Callable[[EndRunError], None]) -> None:
        self._hooks, self._end_run = hooks, end_run

    def before(self, stage: Stage) -> bool:
        """Whether the stage is to begin."""
        try:
            return self._hooks.before(stage)
        except EndRunError as error:
            logger.error(error)
            self._end_run(error)
            return True

    def after(self, stage: Stage, start_s: float, stop_s: float) -> None:
        """See StageHooks."""
        self._hooks.after(stage, start_s, stop_s)
