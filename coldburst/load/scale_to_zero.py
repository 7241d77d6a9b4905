"""The cold-start test: waits until the endpoint has scaled to zero, sends one request, then some to the warm worker, and repeats."""

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
from coldburst.targets.address import infer

logger = logging.getLogger("coldburst")
REST = "Time without activity after which workers that /health reports as idle count as stopped (longer than the idle timeout)"
OPTIONS = (
    Option("--times", 3, "N", "Cold starts to measure"),
    Option("--warm", 3, "N", "Warm requests after each cold start, one at a time, for comparison"),
    Option("--rest", 15.0, "SECONDS", REST),
    Option("--zero-timeout", 600.0, "SECONDS", "Time for the endpoint to scale to zero; after it, the run ends"),
)
# Types whose embedded endpoint is the emulator's.
EMULATED = ("queue", "balancer", "chat")
COLD, WARM = "cold", "warm"
LOOK_S = 0.5
BUSY = ("in_queue", "in_progress", "initializing", "running")


def stages(options: Mapping[str, Any]) -> tuple[Stage, ...]:
    """``cold-1 1, warm-1 3 1 at a time, cold-2 1`` and so on. Raises OptionError if the endpoint cannot scale to zero."""
    host, kind = str(options["host"]), factory.kind(str(options["host"]), options["target"])
    if not (infer(host, kind).endpoint_id if host else kind in EMULATED):
        raise OptionError("a plain service does not scale to zero: name a RunPod endpoint, as in --host https://api.runpod.ai/v2/ID")
    if options["times"] < 1 or options["warm"] < 0:
        raise OptionError(f"--times {options['times']} --warm {options['warm']} measures nothing: use 1 or more, as in --times 3 --warm 3")
    if options["sample"] <= 0:
        raise OptionError("--sample 0 turns off the polling that shows a scale to zero: give seconds, as in --sample 2")
    found: list[Stage] = []
    for number in range(1, options["times"] + 1):
        found.append(Stage(f"{COLD}-{number}", count=1))
        if options["warm"]:
            found.append(Stage(f"{WARM}-{number}", count=options["warm"], concurrency=1))
    return tuple(found)


class ScaleToZero(StageHooks):
    """Waits before each cold stage until the endpoint has no worker."""

    def __init__(self, plan: RunPlan, _key: str) -> None:
        self._rest_s: float = plan.options["rest"]
        self._limit_s: float = plan.options["zero_timeout"]

    def begin(self, run: StageContext) -> None:
        self._run = run

    def before(self, stage: Stage) -> bool:
        """Waits until the endpoint has scaled to zero; ends the run if it does not.

        /health reports a worker that idles and one that was stopped and kept alike as ``idle``, so idle workers count as
        stopped after --rest without any other activity.
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
                sentence = f"Could not check whether the endpoint has scaled to zero: /health answered {samples.refused}"
                raise EndRunError(sentence, "a /health that refuses")
            latest = samples.latest
            if latest is None or latest["at_s"] < begun_s or any(latest[name] for name in BUSY):
                quiet_s = run.now()
            elif not latest["idle"] or run.now() - quiet_s >= self._rest_s:
                return True
        raise EndRunError(
            f"The endpoint did not scale to zero within {self._limit_s:g} s: set its minimum of workers to 0, or raise --zero-timeout",
            "an endpoint that does not scale to zero",
        )


KIND = RunKind(OPTIONS, max_in_flight=1, stages=stages, hooks=ScaleToZero)
