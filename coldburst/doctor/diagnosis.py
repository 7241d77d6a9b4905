"""What an endpoint is and says of itself, from calls that wake no worker and cost nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from coldburst.load import preflight, run_options
from coldburst.load.run_options import RunPlan
from coldburst.load.spend_limit import paid
from coldburst.option import OptionError, attribute
from coldburst.record.prices import HOUR_S, Price
from coldburst.targets import factory
from coldburst.targets.address import EndpointAddress, infer
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.quota import rate_window
from coldburst.targets.survey import Survey, costs_money, survey

LIMITS = Timeouts(2.0, 2.0, 2.0)
NAMES: Mapping[str, str] = {
    "queue": "queue endpoint",
    "balancer": "load-balancing endpoint",
    "transcription": "transcription service",
    "chat": "chat service",
    "speech": "speech service",
    "video": "video service",
}
# Requests in 10 s that RunPod allows an endpoint (docs: send-requests, 2026-08).
RUN_LIMIT = "RunPod allows 1,000 /run and 2,000 /status calls in 10 s"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """An endpoint and what is known of it.

    Attributes:
        emulated: whether it is this project's emulator.
        key, variable: the key that was sent, "" for none, and the environment variable that it is read from.
        price: of a worker; None if it is not known.
    """

    plan: RunPlan
    address: EndpointAddress
    emulated: bool
    key: str
    variable: str
    found: Survey
    price: Price | None

    @property
    def paid(self) -> bool:
        """Whether a request costs money, as far as is known."""
        return paid(self.plan)

    @property
    def kind(self) -> str:
        """In words."""
        name = NAMES[self.address.kind]
        if not self.address.endpoint_id:
            return name
        whose = "RunPod" if costs_money(self.address) else "emulated" if self.emulated else "RunPod-like"
        other = {"QUEUE": "balancer", "LOAD_BALANCER": "queue"}.get(str(self.found.settings.get("type")))
        # Chat behind a queue has its address below the queue's.
        wrong = f", but its settings say {self.found.settings['type']}: check the address" if other == self.address.kind else ""
        return f"{whose} {name}{wrong}"

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        limits = dict(self.found.settings)
        if window := rate_window(self.found.headers):
            limits |= {"rest_requests_left": window[0], "rest_window_s": window[1]}
        price = self.price and {"name": self.price.name, "usd_per_h": round(self.price.usd_per_s * HOUR_S, 4), "source": self.price.source}
        return {
            "endpoint": {"kind": self.address.kind, "what": self.kind, "url": self.address.url, "costs_money": self.paid},
            "key": {"variable": self.variable, "sent": bool(self.key), "accepted": True},
            "health": dict(self.found.health),
            "limits": limits,
            "price": price,
            "trouble": dict(self.found.trouble),
        }


def diagnose(given: Mapping[str, Any], runs: str) -> Diagnosis:
    """The diagnosis of the endpoint in ``given``, options of a run by attribute name.

    Args:
        runs: a directory that exists; nothing is written there.

    Raises:
        ValueError: it cannot be reached, does not accept the key, or does not exist; one sentence with the remedy.
    """
    defaults = {attribute(option): option.default for option in run_options.OPTIONS}
    # Transcripts are not judged: where a request's time goes does not depend on its words.
    more = {"schedule": "burst 1", "max_in_flight": 1, "max_wer": "off", "runs": runs}
    plan = run_options.check(defaults | more | dict(given))
    if not plan.host:
        raise OptionError("which endpoint? Name it, as in https://api.runpod.ai/v2/ENDPOINT_ID")
    address, key, variable = infer(plan.host, plan.kind), run_options.key(plan), run_options.key_variable(plan)
    _preflight(plan, address, key, variable)
    found = survey(address, key)
    return Diagnosis(plan, address, _is_emulated(address), key, variable, found, found.price(str(plan.options["price"]), date.today()))


def _preflight(plan: RunPlan, address: EndpointAddress, key: str, variable: str) -> None:
    credentials = preflight.Credentials(key, variable, plan.options["auth"])
    try:
        preflight.check(address, credentials, factory.route(address, plan.options["path"]))
    except OptionError as error:
        # The advice is for a run.
        said = str(error).replace("check --host", "check the address").replace("in --host", "in the address")
        raise OptionError(said.replace(f"; {preflight.ADVICE}", "").replace(f" {preflight.ADVICE}", "")) from error


def _is_emulated(address: EndpointAddress) -> bool:
    """Whether this project's emulator answers there; RunPod itself is not asked."""
    if not address.endpoint_id or costs_money(address):
        return False
    url = urlsplit(address.api)
    client, exchange = HttpClient(f"{url.scheme}://{url.netloc}", LIMITS, {"User-Agent": "coldburst"}), Exchange()
    client.send(exchange, "GET", f"/emulator/{address.endpoint_id}")
    client.close()
    # 401: it has a key of its own.
    return exchange.status in (200, 401)
