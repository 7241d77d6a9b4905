"""A burst that is sent several times in one run: each one begins after the last response of the one before, and a pause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from coldburst.load.run_options import RunPlan
from coldburst.load.run_spec import SCHEDULE, RunKind
from coldburst.load.stage_hooks import StageContext, StageHooks
from coldburst.option import Option, OptionError
from coldburst.schedule.stages import Stage, parse

MOST_REPEATS = 1000
PAUSE = "Time between the last answer of a burst and the next burst, such as 30; above the idle timeout, each burst meets cold starts"
OPTIONS = (
    SCHEDULE,
    Option("--repeats", 1, "N", "Times the burst is sent, such as 5: three or more show what the next burst may be"),
    Option("--pause", 2.0, "SECONDS", PAUSE),
)


def stages(options: Mapping[str, Any]) -> tuple[Stage, ...]:
    """The schedule; with --repeats 3, ``burst 30`` becomes ``burst-1 30, burst-2 30, burst-3 30``. Raises OptionError."""
    said, repeats = str(options["schedule"]), int(options["repeats"])
    if not 1 <= repeats <= MOST_REPEATS:
        raise OptionError(f"--repeats {repeats} is not between 1 and {MOST_REPEATS:,}: three or more predict the next burst, as in 5")
    if not 0 <= options["pause"] < float("inf"):
        raise OptionError(f"--pause {options['pause']:g} must be 0 or a positive number of seconds, as in --pause 2")
    found = parse(said)
    if repeats == 1:
        return found
    if len(found) > 1 or found[0].count is None or found[0].closed:
        raise OptionError(f"--repeats repeats a single burst, and the schedule is '{said.strip()}': use one, as in --schedule 'burst 30'")
    return tuple(replace(found[0], name=f"{found[0].name}-{number}") for number in range(1, repeats + 1))


class Repeats(StageHooks):
    """Pauses between the bursts."""

    def __init__(self, plan: RunPlan) -> None:
        self._repeats, self._pause_s = int(plan.options["repeats"]), float(plan.options["pause"])
        self._begun = False

    def about(self) -> dict[str, Any]:
        return {"repeats": self._repeats}

    def begin(self, run: StageContext) -> None:
        self._run = run

    def before(self, stage: Stage) -> bool:
        """Waits the pause, except before the first burst."""
        if self._begun:
            self._run.rest(self._pause_s)
        self._begun = True
        return True


def hooks(plan: RunPlan, _key: str) -> StageHooks | None:
    """The hooks of a run with repeats; None for one burst."""
    return Repeats(plan) if int(plan.options["repeats"]) > 1 else None


KIND = RunKind(OPTIONS, stages=stages, hooks=hooks)
