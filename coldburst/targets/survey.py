"""Reads once, before a run, what RunPod's APIs say of an endpoint: health, settings, workers and the price of a worker.

Nothing that it asks wakes a worker or costs anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from coldburst import emulator_token
from coldburst.keys import RUNPOD_KEY
from coldburst.lines import one_line
from coldburst.record import prices
from coldburst.record.prices import Price
from coldburst.redact import redact
from coldburst.targets import answer
from coldburst.targets.address import MANAGEMENT, EndpointAddress
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.platform_facts import PlatformFacts, prices_of, settings_of

LIMITS = Timeouts(5.0, 5.0, 5.0)
READ = ("health", "settings", "workers", "prices")


@dataclass(frozen=True, slots=True)
class Survey:
    """The answers; each is empty where it could not be read.

    Attributes:
        health: of /health, with ``jobs`` and ``workers``.
        settings: see PlatformFacts.
        workers: of the worker list.
        prices: USD an hour for one GPU, by the catalogue's id.
        trouble: by the names in READ: why it could not be read.
        headers: of the answer with the settings.
    """

    health: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    workers: tuple[Mapping[str, Any], ...] = ()
    prices: Mapping[str, float] = field(default_factory=dict)
    trouble: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def price(self, given: str, today: date) -> Price | None:
        """The price of a worker: USD in ``given``, else the catalogue's for the workers listed now, else the table's for ``given``.

        The same order as in reports. None if nothing tells it. Raises PriceError for a ``given`` that cannot be read.
        """
        by_hand = prices.read(given, today) if given else None
        if by_hand and by_hand.vram_gb is None:
            return by_hand
        return self._listed(today) or by_hand

    def _listed(self, today: date) -> Price | None:
        facts = PlatformFacts()
        facts.settings, facts.prices = dict(self.settings), dict(self.prices)
        for worker in self.workers:
            count = worker.get("gpuCount")
            found = facts.price(str(worker.get("gpuTypeId")), count if isinstance(count, int) and 0 < count < 100 else 1)
            if found and 0 < found["usd_per_s"] < 1:
                return Price(found["name"], None, found["usd_per_s"], "RunPod's catalogue", today)
        return None


def costs_money(address: EndpointAddress) -> bool:
    """Whether the endpoint is RunPod's own, where each second of a worker is billed."""
    return address.management == MANAGEMENT


def survey(address: EndpointAddress, key: str) -> Survey:
    """Asks the queue API and REST v2 of ``address``, four calls at most. Failures are kept as text."""
    found: dict[str, Any] = {}
    trouble: dict[str, str] = {}
    headers: Mapping[str, str] = {}
    if address.api:
        client = _client(address.api, key)
        found["health"], trouble["health"], _ = _ask(client, "/health", key)
        client.close()
    if address.management:
        client = _client(address.management, emulator_token.find(address.management) or key)
        base = f"/serverless/{address.endpoint_id}"
        shown, trouble["settings"], headers = _ask(client, base, key)
        found["settings"] = settings_of(shown)
        if shown:
            listed, trouble["workers"], _ = _ask(client, f"{base}/workers", key)
            found["workers"] = _workers(listed)
            catalogue, trouble["prices"], _ = _ask(client, "/catalog/gpus", key)
            found["prices"] = prices_of(catalogue)
        client.close()
    return Survey(**found, trouble={name: why for name, why in trouble.items() if why}, headers=headers)


def _client(base: str, key: str) -> HttpClient:
    return HttpClient(base, LIMITS, {"User-Agent": "coldburst", "Accept": "application/json"} | answer.credentials(key))


def _ask(client: HttpClient, path: str, key: str) -> tuple[Mapping[str, Any], str, Mapping[str, str]]:
    """The answer's object, or why there is none, and the answer's headers."""
    exchange = Exchange()
    client.send(exchange, "GET", path)
    if exchange.fault:
        return {}, one_line(redact(exchange.error)), {}
    content = answer.parse_json(exchange.body)
    if exchange.status == 200 and isinstance(content, dict):
        return content, "", exchange.headers
    if exchange.status == 200:
        return {}, "200 without a JSON object", {}
    evidence = answer.refusal(exchange, content, {}, answer.Sender("queue", key, RUNPOD_KEY))
    return {}, one_line(f"{exchange.status}: {evidence.measured['error']}"), {}


def _workers(content: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    listed = content.get("workers")
    return tuple(worker for worker in listed if isinstance(worker, dict)) if isinstance(listed, list) else ()
