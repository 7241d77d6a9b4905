"""The cold-start test: wait until the endpoint has scaled to zero, send one request, then some to the warm worker; again and again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from coldburst.load.run import LoadRun
from coldburst.load.run_options import RunPlan
from coldburst.load.spec import RunKind
from coldburst.load.stage_hooks import StageHooks
from coldburst.option import Option, OptionError
from coldburst.schedule.stages import Stage
from coldburst.targets import factory

logger = logging.getLogger("coldburst")
OPTIONS = (
    Option("--times", 3, "N", "Cold starts to measure"),
    Option("--warm", 3, "N", "Requests after each, one at a time, as the control"),
    Option("--rest", 15.0, "SECONDS", "Quiet after which workers that /health still calls idle count as stopped (above the idle time-out)"),
    Option("--zero-timeout", 600.0, "SECONDS", "How long to wait for the endpoint to scale to zero before the run is ended"),
)
COLD, WARM = "cold", "warm"
LOOK_S = 0.5
BUSY = ("in_queue", "in_progress", "initializing", "running")


def stages(options: Mapping[str, Any]) -> tuple[Stage, ...]:
    """``cold-1 1, warm-1 3 1 at a time, cold-2 1`` and so on.

    Raises:
        OptionError: nothing to do, or an endpoint that has no workers to stop.
    """
    if factory.kind(str(options["host"]), options["target"]) == "transcription":
        raise OptionError("a plain service does not scale to zero: name a RunPod endpoint, as in --host https://api.runpod.ai/v2/ID")
    if options["times"] < 1 or options["warm"] < 0:
        raise OptionError(f"--times {options['times']} --warm {options['warm']} measures nothing: give 1 or more, as in --times 3 --warm 3")
    if options["sample"] <= 0:
        raise OptionError("--sample 0 leaves nothing to see a scale to zero by: give seconds, as in --sample 2")
    found: list[Stage] = []
    for number in range(1, options["times"] + 1):
        found.append(Stage(f"{COLD}-{number}", count=1))
        if options["warm"]:
            found.append(Stage(f"{WARM}-{number}", count=options["warm"], concurrency=1))
    return tuple(found)


class ScaleToZero(StageHooks):
    """Waits before each cold stage until the endpoint has no worker left."""

    def __init__(self, _plan: RunPlan, _key: str) -> None:
        pass

    def begin(self, run: LoadRun) -> None:
        """The run whose endpoint it is."""
        self._run = run

    def before(self, stage: Stage) -> bool:
        """True, in the end: where the endpoint does not scale to zero, the run is ended."""
        _scaled_to_zero(self._run, stage)
        return True


def _scaled_to_zero(run: LoadRun, stage: Stage) -> None:
    """Before a cold stage: waits until the endpoint has scaled to zero, or ends the run when it does not.

    /health cannot tell a worker that idles from one that was stopped and kept (both are ``idle``), so
    idle ones count as stopped when nothing else has been there for --rest.
    """
    if not stage.name.startswith(COLD):
        return
    logger.info("%s: waiting until the endpoint has scaled to zero", stage.name)
    begun_s = quiet_s = run.load.now()
    while run.load.now() - begun_s < run.plan.options["zero_timeout"]:
        if not run.load.rest(LOOK_S):
            return
        if run.watch and run.watch.refused:
            _end(
                run, f"Whether the endpoint has scaled to zero cannot be asked: /health says {run.watch.refused}", "a /health that refuses"
            )
            return
        said = run.watch.said.latest if run.watch else None
        if said is None or said["at_s"] < begun_s or any(said[name] for name in BUSY):
            quiet_s = run.load.now()
        elif not said["idle"] or run.load.now() - quiet_s >= run.plan.options["rest"]:
            return
    limit_s = run.plan.options["zero_timeout"]
    _end(
        run,
        f"The endpoint did not scale to zero within {limit_s:g} s: set its minimum of workers to 0, or give it longer with --zero-timeout",
        "an endpoint that does not scale to zero",
    )


def _end(run: LoadRun, sentence: str, reason: str) -> None:
    logger.error(sentence)
    run.ended_by = reason
    run.load.stop()


KIND = RunKind(OPTIONS, max_in_flight=1, stages=stages, hooks=ScaleToZero)
