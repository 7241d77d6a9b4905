"""The kinds of sweep: what each compares, with which options, and whether somebody has to agree to its cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from coldburst.control import choice
from coldburst.control.desired_state import Control, ControlError
from coldburst.load.run_options import RunPlan
from coldburst.load.run_spec import RunKind
from coldburst.option import Option, OptionError
from coldburst.record import objectives, prices
from coldburst.record.prices import Price
from coldburst.schedule.stages import Stage
from coldburst.sweep import settings
from coldburst.sweep.runner import SweepRunner
from coldburst.sweep.settings import SweepStep
from coldburst.targets.address import EndpointAddress, infer

MAX_IN_FLIGHT = 64


@dataclass(frozen=True)
class SweepKind:
    """One kind of sweep: its name, its options, and the steps that it makes of them.

    Attributes:
        one_worker: levels against the same worker; higher ones are left out where more at a time brings nothing.
        embedded: arguments for the embedded endpoint.
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
        """The schedule; every option of the sweep is checked on the way (OptionError)."""
        self.about(options)
        if not 0 < options["settle_timeout"] < float("inf"):
            raise OptionError(f"--settle-timeout {options['settle_timeout']:g} is no stretch of time: give seconds above 0, as in 600")
        return settings.stages(self.steps(options))

    def control(self, where: EndpointAddress, key: str, options: Mapping[str, Any]) -> Control:
        """What changes the endpoint.

        Raises:
            ControlError: it cannot be changed; one sentence.
        """
        way = options["control"]
        if way == "auto" and self.one_worker and where.url and not where.management:
            way = "none"  # a service as it is: there is nothing to scale, and nobody needs to be asked
        return choice.make(choice.choose(way, where), where, key, options)

    def consent(self, options: Mapping[str, Any]) -> None:
        """Checks that an endpoint elsewhere may be changed; nothing is asked of it.

        Raises:
            OptionError: nobody agreed; the message says to what.
        """
        if options["yes"] == "yes" or not options["host"]:
            return
        where = infer(str(options["host"]), options["target"])
        try:
            changer = self.control(where, "", options)
        except ControlError as error:
            raise OptionError(str(error)) from error
        name, harmless = changer.where, changer.harmless
        changer.close()
        if not harmless:
            workers = ", ".join(dict.fromkeys(str(step.cell.wanted.workers) for step in self.steps(options)))
            raise OptionError(f"this run would change {name}, which costs money (workers: {workers}): agree with 'yes' in the field 'yes'")

    def hooks(self, plan: RunPlan, key: str) -> SweepRunner:
        """What sets the endpoint for each stage of a run."""
        return SweepRunner(self, plan, key)

    def about(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The part of run.json's sweep that options alone decide; each of them is checked.

        Raises:
            OptionError: one sentence that names the option and a right value.
        """
        if not 0 < options["worth"] <= 1:
            raise OptionError(f"--worth {options['worth']:g} is no part of the ideal: give a share from above 0 to 1, as in 0.7")
        if not 0 <= options.get("most_failures", 0) <= 1:
            raise OptionError(f"--most-failures {options['most_failures']:g} is no share: give one from 0 to 1, as in 0.05")
        try:
            parsed = objectives.parse(options["objective"])
            price = prices.read(options["price"], date.today()) if options["price"] else None
        except ValueError as error:
            raise OptionError(str(error)) from error
        return {"objectives": parsed, "worth": options["worth"], "price": _priced(price), "card": settings.memory(options)}


CONCURRENCY = SweepKind("concurrency", settings.CONCURRENCY, settings.concurrency, one_worker=True, embedded=("--concurrency", "4"))
SCALING = SweepKind("scaling", settings.SCALING, settings.scaling)
MATRIX = SweepKind("matrix", settings.MATRIX, settings.matrix)


def _priced(price: Price | None) -> dict[str, Any] | None:
    return None if price is None else {**asdict(price), "date": price.date.isoformat()}
