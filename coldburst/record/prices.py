"""Prices of endpoint workers, each with its source and date: from prices.toml, from RunPod's catalogue, or given by hand."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

STALE_DAYS = 90
HOUR_S = 3600
# RunPod's month, in hours, of prices a month.
MONTH_H = 730
# USD per second; more is a price per hour or a typing error (eight of the dearest GPUs cost 0.02).
MOST = 0.1
# Near names that an error shows.
NEAR = 5
BY_HAND = "USD per worker-second, as in 0.00031"
# Words of names that tell no two GPUs apart.
_EMPTY_WORDS = {"nvidia", "amd", "geforce", "rtx", "tesla", "instinct", "generation"}


class PriceError(ValueError):
    """A price is unknown or wrong; the message names it and shows a right one."""


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one worker.

    Attributes:
        name: GPU and pool.
        vram_gb: memory of one GPU in GB; None for a price given as a number.
        usd_per_s: USD per second from a worker's start to its stop (flex price, all its GPUs).
        date: of the source.
    """

    name: str
    vram_gb: float | None
    usd_per_s: float
    source: str
    date: date


@dataclass(frozen=True, slots=True)
class Card:
    """One row of the table.

    Attributes:
        names: short ones; ``ids``: exact ids of the catalogue.
        keys: all of them as ``_key`` writes them, also with the memory ("A100 80GB").
        price: None where none is published.
    """

    title: str
    names: tuple[str, ...]
    ids: tuple[str, ...]
    keys: frozenset[str]
    price: Price | None


_DATA: dict[str, Any] = tomllib.loads(Path(__file__).with_name("prices.toml").read_text(encoding="utf-8"))
SOURCE, DATE = str(_DATA["source"]), _DATA["date"]
DISK_USD_PER_GB_S = float(_DATA["disk_usd_per_gb_month"]) / MONTH_H / HOUR_S


def _cards() -> Iterator[Card]:
    for row in _DATA["gpu"]:
        usd_per_h = row.get("usd_per_h")
        price = None if usd_per_h is None else Price(row["title"], float(row["memory_gb"]), round(usd_per_h / HOUR_S, 9), SOURCE, DATE)
        keys = {_key(name) for name in (*row["names"], *row["ids"])}
        keys |= {f"{key}{row['memory_gb']}gb" for key in keys}
        yield Card(row["title"], tuple(row["names"]), tuple(row["ids"]), frozenset(keys), price)
    for row in _DATA["cpu"]:
        yield from (Card(name, (name,), (), frozenset({_key(name)}), None) for name in row["names"])


def find(text: str) -> Price:
    """The flex price of a GPU or a pool by its exact name, such as "4090", "NVIDIA A100 80GB PCIe", "ADA_24" or "2 x H100".

    Case, spaces and makers' names do not matter.

    Raises:
        PriceError: no GPU with a known price has that name; the message shows near names.
    """
    count, name = _count(text)
    said = _key(name)
    found = next((card for card in TABLE if said in card.keys), None)
    if found is None:
        raise PriceError(f"'{text}' does not name one GPU with a known price: {_near(said)}, or give {BY_HAND}")
    if found.price is None:
        remedy = f"give {BY_HAND}, or leave --price out with a key that may read RunPod's catalogue"
        raise PriceError(f"the serverless price of {found.title} is not published in RunPod's table: {remedy}")
    return times(found.price, count)


def times(price: Price, count: int, disk_gb: float = 0.0) -> Price:
    """The price of a worker with ``count`` such GPUs and a container disk."""
    if count == 1 and not disk_gb:
        return price
    name = price.name if count == 1 else f"{count} x {price.name}"
    return replace(
        price, name=f"{name}, {disk_gb:g} GB disk" if disk_gb else name, usd_per_s=count * price.usd_per_s + disk_gb * DISK_USD_PER_GB_S
    )


def read(text: str, today: date) -> Price:
    """The price in ``text``: USD per worker-second ("0.00031"), or a name for ``find``. Raises PriceError if it is neither."""
    try:
        usd_per_s = float(text)
    except ValueError:
        return find(text)
    if usd_per_s > 1000:  # "4090" is a GPU
        return find(text)
    if not 0 < usd_per_s <= MOST:
        raise PriceError(f"{text} USD per worker-second is out of range: give the price per second, as in 0.00031 (1.116 per hour)")
    return Price(f"{usd_per_s:g} USD a second", None, usd_per_s, "given by hand", today)


def stale(price: Price, today: date) -> str:
    """A warning if the price is older than STALE_DAYS, else ""."""
    age = (today - price.date).days
    if age <= STALE_DAYS:
        return ""
    known = f"{price.usd_per_s:.5f} USD a second, is {age} days old ({price.date.isoformat()})"
    return f"The price of {price.name}, {known}: check it, and give today's price with --price."


def _count(text: str) -> tuple[int, str]:
    match = re.fullmatch(r"\s*([1-9]\d?)\s*[x×]\s*(.+)", text)
    return (int(match[1]), match[2]) if match else (1, text)


def _key(name: str) -> str:
    """A name without case, spaces and the words that tell no two GPUs apart."""
    words = re.split(r"[^a-z0-9]+", re.sub(r"\b\d+\s+gb\b", lambda found: found[0].replace(" ", ""), name.lower()))
    return "".join(word for word in words if word not in _EMPTY_WORDS)


def _near(said: str) -> str:
    """The names most like ``said``, or all of them."""
    first = {_key(name): name for card in TABLE if card.price for name in reversed(card.names)}
    holding = [key for key in first if said and (said in key or key in said)]
    like: Sequence[str] = list(dict.fromkeys([*holding, *difflib.get_close_matches(said, first, NEAR)]))[:NEAR]
    if like:
        return f"near ones are {', '.join(first[key] for key in like)}"
    return f"use one of {', '.join(card.names[0] for card in TABLE if card.price)}"


TABLE = tuple(_cards())
