"""--max-spend: checks before a run that its workers can be counted and priced, so that the limit can be kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from coldburst.load.run_options import RunPlan
from coldburst.option import OptionError
from coldburst.record import prices
from coldburst.record.prices import HOUR_S, Price
from coldburst.targets.address import infer
from coldburst.targets.spend_meter import SpendMeter
from coldburst.targets.survey import Survey, costs_money, survey

OPTION = "--max-spend"
# Kinds whose embedded endpoint is the emulator's.
EMULATED = ("queue", "balancer", "chat")


class Spending(Protocol):
    """Keeps the limit of one run."""

    @property
    def meter(self) -> SpendMeter:
        """Of what the endpoint's workers cost."""

    def close(self) -> str:
        """Called after the last request, before the files are closed; returns what is left to do, or ""."""

    def about(self) -> dict[str, Any]:
        """The entry ``spending`` of run.json, after the last look at the workers."""


@dataclass(frozen=True, slots=True)
class SpendLimit:
    """What a run may spend.

    Attributes:
        price: of a worker.
        catalogue: USD an hour for one GPU, by the catalogue's id; empty where the price was given in USD, which then holds for all.
    """

    usd: float
    price: Price
    catalogue: Mapping[str, float]

    def usd_per_s(self, gpu: str, gpus: int) -> float:
        """The price of a worker with so many GPUs of that type."""
        usd_per_h = self.catalogue.get(gpu)
        return self.price.usd_per_s if usd_per_h is None else gpus * usd_per_h / HOUR_S


def paid(plan: RunPlan) -> bool:
    """Whether the run costs money, as far as is known: RunPod's own endpoint, or one with a price that was given."""
    return bool(plan.host) and (costs_money(infer(plan.host, plan.kind)) or bool(plan.options["price"]))


def look(plan: RunPlan, key: str) -> Survey | None:
    """What REST v2 says of the endpoint; None if it has none, or the checks before a run are skipped."""
    address = infer(plan.host, plan.kind) if plan.host else None
    if address is None or not address.management or (plan.options["no_preflight"] == "yes" and not plan.options["max_spend"]):
        return None
    return survey(address, key)


def check(plan: RunPlan, found: Survey | None) -> SpendLimit | None:
    """The limit of --max-spend; None without one.

    Args:
        found: from ``look``.

    Raises:
        OptionError: the workers of the endpoint cannot be counted, or their price is not known; one sentence with the remedy.
    """
    usd = float(plan.options["max_spend"])
    if not usd:
        return None
    if usd < 0:
        raise OptionError(f"{OPTION} {usd:g} must be an amount in USD above 0, as in {OPTION} 2.00")
    if not plan.sample_s:
        raise OptionError(f"{OPTION} counts the workers that are polled: leave out --sample 0")
    found = _usable(plan, found)
    try:
        price = found.price(str(plan.options["price"]), date.today())
    except prices.PriceError as error:
        raise OptionError(str(error)) from error
    if price is None:
        raise OptionError(f"{OPTION} needs the price of a worker, which nothing tells: add --price, as in --price 4090 or --price 0.00031")
    by_hand = price.vram_gb is None and price.source.startswith("given")
    return SpendLimit(usd, price, {} if by_hand else found.prices)


def _usable(plan: RunPlan, found: Survey | None) -> Survey:
    if not plan.host:
        if plan.kind in EMULATED:
            return Survey()
        raise OptionError(f"{OPTION} needs an endpoint with a worker list, and a {plan.kind} service on this machine costs nothing")
    if found is None:
        raise OptionError(f"{OPTION} needs RunPod's worker list, which '{plan.host}' does not have: leave the option out")
    for name in ("settings", "workers"):
        if why := found.trouble.get(name):
            raise OptionError(f"{OPTION} needs the endpoint's {name}, which could not be read ({why}): use a key that may read REST v2")
    return found
