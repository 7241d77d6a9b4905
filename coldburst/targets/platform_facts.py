"""What RunPod's REST v2 says about an endpoint once a run: the settings that decide its bill, and the catalogue's price."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from coldburst.record.prices import DISK_USD_PER_GB_S, HOUR_S
from coldburst.targets import answer
from coldburst.targets.http import Exchange, HttpClient

SOURCE = "RunPod's catalogue, read at the start of the run"


class PlatformFacts:
    """The settings and prices of one endpoint.

    Attributes:
        settings: the last ones read: type, workers_min, workers_max, idle_timeout_s, scaler, scaler_value, flashboot and disk_gb;
            empty if they could not be read.
        prices: USD an hour for one GPU, by the catalogue's id; empty if it could not be read.
    """

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.prices: dict[str, float] = {}

    def read(self, client: HttpClient, endpoint_id: str) -> None:
        """Reads both, with one call each."""
        self.read_settings(client, endpoint_id)
        if self.settings:
            self.prices = prices_of(_get(client, "/catalog/gpus"))

    def read_settings(self, client: HttpClient, endpoint_id: str) -> None:
        """Reads the settings once more: a sweep restores them at its end."""
        self.settings = settings_of(_get(client, f"/serverless/{endpoint_id}")) or self.settings

    def price(self, gpu: str, gpus: int) -> dict[str, Any] | None:
        """The live price of a worker, for run.json; None if the catalogue does not have its GPU."""
        if gpu not in self.prices:
            return None
        disk_gb = self.settings.get("disk_gb") or 0.0
        return {
            "name": f"{gpus} x {gpu}" if gpus > 1 else gpu,
            "usd_per_s": gpus * self.prices[gpu] / HOUR_S + disk_gb * DISK_USD_PER_GB_S,
            "gpu_usd_per_h": self.prices[gpu],
            "gpus": gpus,
            "disk_gb": disk_gb,
            "source": SOURCE,
            "date": datetime.now(UTC).date().isoformat(),
        }


def _get(client: HttpClient, path: str) -> Mapping[str, Any]:
    """The answer's object; empty if there is none."""
    exchange = Exchange()
    client.send(exchange, "GET", path)
    content = answer.parse_json(exchange.body) if exchange.status == 200 and not exchange.fault else None
    return content if isinstance(content, dict) else {}


def settings_of(shown: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in an endpoint's object of REST v2; empty if it has none."""
    workers, scaling = shown.get("workers"), shown.get("scaling")
    if not isinstance(workers, dict) or not isinstance(scaling, dict):
        return {}
    return {
        "type": str(shown.get("type") or "")[:40],
        "workers_min": _amount(workers.get("min")),
        "workers_max": _amount(workers.get("max")),
        "idle_timeout_s": _amount(workers.get("idleTimeout")),
        "scaler": str(scaling.get("type") or "")[:40],
        "scaler_value": _amount(scaling.get("requestCount", scaling.get("queueDelay"))),
        "flashboot": shown.get("flashboot", "OFF") != "OFF",
        "disk_gb": _amount(shown.get("disk")),
    }


def prices_of(catalogue: Mapping[str, Any]) -> dict[str, float]:
    """USD an hour for one GPU, by the catalogue's id."""
    found, gpus = {}, catalogue.get("gpus")
    for gpu in gpus if isinstance(gpus, list) else ():
        price = gpu.get("price") if isinstance(gpu, dict) else None
        usd_per_h = _amount(price.get("serverless")) if isinstance(price, dict) else None
        if usd_per_h:
            found[str(gpu.get("id"))[:100]] = usd_per_h
    return found


def _amount(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value < 1e9
    return value if is_number else None  # type: ignore[return-value]
