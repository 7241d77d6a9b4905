"""What a question does around its stages: makes the endpoint ready for the next one, and looks at how the last one went."""

from __future__ import annotations

from typing import Any

from coldburst.record.attempt import Attempt
from coldburst.schedule.stages import Stage
from coldburst.targets.address import EndpointAddress

MEASURE = "measure"


def attempt_phase(phase: str, draining: bool) -> str:
    """A stage's phase as its attempts have it: of what was sent while measuring, ``drain`` is what ended when nothing more was sent."""
    return "drain" if draining and phase == MEASURE else phase


class StageHooks:
    """Told of each stage and each attempt of a run; this one lets everything pass.

    Attributes:
        host: of an endpoint that it has started for the run; "" where there is none.
    """

    host = ""

    def aim(self, where: EndpointAddress) -> None:
        """Called before anything else, with the endpoint (``url`` "" where none is there yet); a ValueError says why it cannot be used."""

    def about(self) -> dict[str, Any]:
        """What run.json is to tell of it, by key."""
        return {}

    def begin(self, run: Any) -> None:
        """Called before the first stage, with the run (``coldburst.load.run.LoadRun``, which cannot be named here: it is built on this)."""

    def before(self, stage: Stage) -> bool:
        """Called once the stage before has been answered; the stage begins when it returns. False: it is skipped."""
        return True

    def after(self, stage: Stage, start_s: float, stop_s: float) -> None:
        """Called when the stage's last answer is there; it was sent from ``start_s`` to ``stop_s``, seconds from second 0."""

    def phase(self, stage: str, draining: bool) -> str:
        """What an attempt of that stage has in its column ``phase``; ``draining``: the stage sends nothing more."""
        return ""

    def attempt(self, row: Attempt) -> None:
        """Called with each row that is written."""

    def end(self) -> None:
        """Called once, when the last answer is there, whatever ended the run, before its files are closed; or where it could not begin."""
