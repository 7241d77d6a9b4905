"""The price of a run's endpoint workers: given by hand, from the catalogue at the time of the run, or from the table of prices."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from coldburst.record import prices
from coldburst.record.prices import Price, PriceError

# A larger disk is not believed.
MOST_GB = 1e5


def worker_price(about: Mapping[str, Any]) -> Price | None:
    """The price of a worker: USD in --price, else the catalogue's at the time of the run, else the table's for the GPU in --price.

    None if nothing tells it. Raises PriceError for a --price that cannot be read.
    """
    options = about.get("options")
    text = options.get("price") if isinstance(options, dict) else None
    given = prices.read(text, started_on(about)) if isinstance(text, str) and text else None
    if given is not None and given.vram_gb is None:
        return given
    if live := live_price(about):
        return live
    if given is None:
        return None
    disk_gb = settings_of(about).get("disk_gb")
    disk_gb = float(disk_gb) if isinstance(disk_gb, int | float) and 0 <= disk_gb < MOST_GB else 0.0
    # "2 x 4090" names the number itself.
    return prices.times(given, 1 if re.match(r"\d+ x ", given.name) else gpus_of(about), disk_gb)


def other_gpu(about: Mapping[str, Any]) -> tuple[str, str] | None:
    """The GPU in --price and the workers' own, whose price counts, if they are two; None otherwise."""
    options, live = about.get("options"), live_price(about)
    text = options.get("price") if isinstance(options, dict) else None
    if live is None or not isinstance(text, str) or not text:
        return None
    try:
        given = prices.read(text, started_on(about))
        own = prices.find(live.name).name
    except PriceError:
        return None
    return None if given.vram_gb is None or own in given.name else (text, live.name)


def started_on(about: Mapping[str, Any]) -> date:
    """The day of the run; today if run.json has none."""
    try:
        return date.fromisoformat(str(about.get("started"))[:10])
    except ValueError:
        return datetime.now(UTC).date()


def live_price(about: Mapping[str, Any]) -> Price | None:
    """The catalogue's price that run.json has; None without one."""
    platform = about.get("platform")
    said = platform.get("price") if isinstance(platform, dict) else None
    if not isinstance(said, dict):
        return None
    try:
        usd_per_s, day = float(said["usd_per_s"]), date.fromisoformat(str(said["date"]))
    except (KeyError, TypeError, ValueError):
        return None
    return Price(str(said.get("name"))[:100], None, usd_per_s, str(said.get("source"))[:100], day) if 0 < usd_per_s < 1 else None


def gpus_of(about: Mapping[str, Any]) -> int:
    """GPUs of an endpoint worker, by the worker list; 1 without one."""
    platform = about.get("platform")
    workers = platform.get("workers") if isinstance(platform, dict) else None
    gpus = workers[0].get("gpus") if isinstance(workers, list) and workers and isinstance(workers[0], dict) else 1
    return gpus if isinstance(gpus, int) and 0 < gpus < 100 else 1


def settings_of(about: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings in run.json's ``platform``; empty without any."""
    platform = about.get("platform")
    found = platform.get("settings") if isinstance(platform, dict) else None
    return found if isinstance(found, dict) else {}
