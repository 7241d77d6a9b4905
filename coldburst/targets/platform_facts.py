"""What RunPod's REST v2 says about an endpoint once a run: settings that decide its bill, release, the catalogue's price, and the bill."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from coldburst.lines import one_line
from coldburst.record import bill
from coldburst.record.bill import Bill
from coldburst.record.prices import DISK_USD_PER_GB_S, HOUR_S
from coldburst.redact import redact
from coldburst.targets import answer
from coldburst.targets.http import Exchange, HttpClient

SOURCE = "RunPod's catalogue, read at the start of the run"
# A name of an image, or of a setting, in run.json.
LONGEST = 200


class PlatformFacts:
    """The settings and prices of one endpoint.

    Attributes:
        settings: the last ones read: type, workers_min, workers_max, idle_timeout_s, scaler, scaler_value, flashboot and disk_gb;
            empty if they could not be read.
        release: version, image, created, source and changed, of the release that the run began with; empty if it could not be read.
        prices: USD an hour for one GPU, by the catalogue's id; empty if it could not be read.
        bill: for the hours of the run; None if it was not read.
    """

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.release: dict[str, Any] = {}
        self.prices: dict[str, float] = {}
        self.bill: Bill | None = None
        self._began_s = time.time()

    def read(self, client: HttpClient, endpoint_id: str) -> None:
        """Reads each with one call, at the start of a run."""
        self._began_s = time.time()
        shown = _get(client, f"/serverless/{endpoint_id}")
        self.settings = settings_of(shown)
        if self.settings:
            self.prices = prices_of(_get(client, "/catalog/gpus"))
            self.release = release_of(shown, _get(client, f"/serverless/{endpoint_id}/releases"))
            self.bill = read_bill(client, endpoint_id, bill.run_hours(self._began_s, 0.0))

    def read_settings(self, client: HttpClient, endpoint_id: str) -> None:
        """Reads the settings once more: a sweep restores them at its end."""
        self.settings = settings_of(_get(client, f"/serverless/{endpoint_id}")) or self.settings

    def read_bill(self, client: HttpClient, endpoint_id: str) -> None:
        """Reads the bill once more, at the end of the run."""
        if self.bill:
            before = self.bill
            after = read_bill(client, endpoint_id, bill.run_hours(self._began_s, self.settings.get("idle_timeout_s")))
            self.bill = replace(after, before_usd=before.usd)

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


def read_bill(client: HttpClient, endpoint_id: str, of: Bill) -> Bill:
    """The bill for these hours, with one call; ``trouble`` where it could not be read."""
    exchange = Exchange()
    client.send(exchange, "GET", of.query(endpoint_id))
    content = answer.parse_json(exchange.body)
    if exchange.fault:
        return replace(of, trouble=one_line(redact(exchange.error)))
    if exchange.status != 200 or not isinstance(content, dict):
        return replace(of, trouble=one_line(redact(f"{exchange.status}: {answer.reason(exchange, content)}")))
    try:
        return of.answered(content, endpoint_id)
    except ValueError as error:
        return replace(of, trouble=str(error))


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


def release_of(shown: Mapping[str, Any], listed: Mapping[str, Any]) -> dict[str, Any]:
    """The present release, from an endpoint's object and its list of releases; empty if they have none.

    Of the changed settings only the names are kept: their values may be secrets.
    """
    releases = listed.get("releases")
    newest = releases[0] if isinstance(releases, list) and releases and isinstance(releases[0], dict) else {}
    diff = newest.get("diff")
    found = {
        "version": _whole(listed.get("endpointVersion")) or _whole(newest.get("version")),
        "image": _text(shown.get("image")),
        "created": _text(newest.get("createdAt")),
        "source": _text(newest.get("source")),
        "changed": [_text(one.get("field")) for one in diff if isinstance(one, dict)][:20] if isinstance(diff, list) else [],
    }
    return found if found["version"] or found["image"] else {}


def _text(value: object) -> str | None:
    return one_line(redact(value), LONGEST) if isinstance(value, str) and value else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1e9 else None


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
