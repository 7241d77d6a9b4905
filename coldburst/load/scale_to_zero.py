"""The cold-start test: wait until the endpoint has scaled to zero, send one request, then some to the warm worker; again and again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from coldburst.load.run_options import RunPlan
from coldburst.load.run_spec import RunKind
from coldburst.load.stage_hooks import EndRunError, StageContext, StageHooks
from coldburst.option import Option, OptionError
from coldburst.schedule.stages import Stage
from coldburst.targets import factory

logger = logging.getLogger("coldburst")
OPTIONS = (
    Option("--times", 3, "N", "Cold starts to measure"),
    Option("--warm", 3, "N", "Warm requests after each, one at a time, for comparison"),
    Option(
        "--rest",
        15.0,
        "SECONDS",
        "After so long without activity, workers that /health calls idle count as stopped (longer than the idle timeout)",
    ),
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

    def __init__(self, plan: RunPlan, _key: str) -> None:
        self._rest_s: float = plan.options["rest"]
        self._limit_s: float = plan.options["zero_timeout"]

    def begin(self, run: StageContext) -> None:
        """See StageHooks."""
        self._run = run

    def before(self, stage: Stage) -> bool:
        """Waits until the endpoint has scaled to zero; a run whose endpoint does not is ended.

        /health cannot tell a worker that idles from one that was stopped and kept (both are ``idle``), so
        idle ones count as stopped when nothing else has been there for --rest.
        """
        if not stage.name.startswith(COLD):
            return True
        run, samples = self._run, self._run.samples
        logger.info("%s: waiting until the endpoint has scaled to zero", stage.name)
        begun_s = quiet_s = run.now()
        while run.now() - begun_s < self._limit_s:
            if not run.rest(LOOK_S):
                return True
            if samples.refused:
                sentence = f"Whether the endpoint has scaled to zero cannot be asked: /health says {samples.refused}"
                raise EndRunError(sentence, "a /health that refuses")
            latest = samples.latest
            if latest is None or latest["at_s"] < begun_s or any(latest[name] for name in BUSY):
                quiet_s = run.now()
            elif not latest["idle"] or run.now() - quiet_s >= self._rest_s:
                return True
        raise EndRunError(
            f"The endpoint did not scale to zero within {self._limit_s:g} s: "
            "set its minimum of workers to 0, or give it longer with --zero-timeout",
            "an endpoint that does not scale to zero",
        )


KIND = RunKind(OPTIONS, max_in_flight=1, stages=stages, hooks=ScaleToZero)
