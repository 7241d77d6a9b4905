"""Prices per second of an endpoint worker, each with its source and date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

STALE_DAYS = 90
# USD per second; more is a price per hour or a typing error (eight of the dearest GPUs cost 0.02).
MOST = 0.1
SOURCE = "RunPod's documentation, snippets/serverless-gpu-pricing-table.mdx, flex workers"
DATE = date(2026, 8, 20)


class PriceError(ValueError):
    """A price is unknown or wrong; the message names it and shows a right one."""


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one worker.

    Attributes:
        name: GPU and pool.
        vram_gb: GPU memory in GB; None for a price given as a number.
        usd_per_s: USD per second from a worker's start to its stop (flex price, one GPU).
        date: of the source.
    """

    name: str
    vram_gb: float | None
    usd_per_s: float
    source: str
    date: date


def _of(cards: str, pool: str, vram_gb: float, usd_per_s: float) -> tuple[tuple[str, ...], Price]:
    names = tuple(name.strip() for name in cards.split(","))
    title = f"{names[0]} ({pool}) {vram_gb:g} GB" if pool else f"{names[0]} {vram_gb:g} GB"
    return (*names, *([pool] if pool else [])), Price(title, vram_gb, usd_per_s, SOURCE, DATE)


TABLE = (
    _of("A4000, A4500, RTX 4000, RTX 2000", "AMPERE_16", 16, 0.00016),
    _of("L4, A5000, 3090", "AMPERE_24", 24, 0.00019),
    _of("4090", "ADA_24", 24, 0.00031),
    _of("A6000, A40", "AMPERE_48", 48, 0.00034),
    _of("L40, L40S, 6000 Ada", "ADA_48_PRO", 48, 0.00053),
    _of("A100", "AMPERE_80", 80, 0.00076),
    _of("H100", "ADA_80_PRO", 80, 0.00116),
    _of("RTX PRO 6000", "", 96, 0.00111),
    _of("H200", "HOPPER_141", 141, 0.00155),
    _of("B200", "", 180, 0.00240),
)
NAMES = tuple(name for names, _ in TABLE for name in names)


def find(text: str) -> Price:
    """The flex price of a GPU or a pool, by a name such as "4090", "NVIDIA A100 80GB PCIe" or "ADA_24"; case does not matter.

    The longest known name in ``text`` counts, so an L40S is not an L4.

    Raises:
        PriceError: it names no GPU, or two with different prices; the message lists the names.
    """
    said = _squashed(text)
    found = [(len(_squashed(name)), price) for names, price in TABLE for name in names if _squashed(name) in said]
    longest = max((length for length, _ in found), default=0)
    prices = {price for length, price in found if length == longest}
    if len(prices) != 1:
        raise PriceError(
            f"'{text}' does not name one GPU with a known price: use one of {', '.join(NAMES)}, or USD per worker-second, as in 0.00031"
        )
    return prices.pop()


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


def _squashed(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())
