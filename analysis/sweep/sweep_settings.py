"""The settings of a sweep from run.json; invalid ones are replaced by defaults and noted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from coldburst.lines import one_line
from coldburst.record.objectives import OF_SWEEPS, OPERATORS
from coldburst.record.prices import Price

from ..runs.csv_cells import MOST
from ..tables.price import live_price

MOST_FAILURES = 0.05
QUESTIONS = ("concurrency", "scaling", "matrix")


@dataclass(frozen=True)
class SweepObjective:
    """``metric`` ``op`` ``value``, with times in seconds, success and wer as shares; ``text`` as the user wrote it."""

    metric: str
    op: str
    value: float
    text: str

    def met(self, value: float | None) -> bool:
        """Whether ``value`` meets it; a missing value does not."""
        return value is not None and OPERATORS[self.op](value, self.value)

    def miss(self, value: float | None) -> float:
        """How far ``value`` misses it, as a share of the limit: 0 if met, infinite if missing."""
        if self.met(value):
            return 0.0
        return math.inf if value is None else abs(value - self.value) / (abs(self.value) or 1.0)


@dataclass(frozen=True)
class Card:
    """A GPU's memory and what workers need of it, in GB; ``headroom`` is the usable share."""

    vram_gb: float
    shared_gb: float
    per_worker_gb: float
    headroom: float = 1.0


@dataclass(frozen=True)
class SweepSettings:
    """The settings of a sweep; ``notes`` says what could not be read.

    Attributes:
        worth: the least share of ideal throughput that is worth it (0.7).
        gain: a throughput within this share of the best is as good.
        failures: the largest share of failed requests with which a setting can win.
        started: the day of the run; 1970-01-01 if run.json has none.
    """

    question: str
    repeats: int
    cells: tuple[str, ...]
    objectives: tuple[SweepObjective, ...]
    worth: float
    gain: float
    failures: float
    price: Price | None
    card: Card | None
    started: date
    notes: tuple[str, ...]

    @property
    def by_workers(self) -> bool:
        """Whether the settings differ by workers rather than by concurrency."""
        return self.question == "scaling"


def sweep_settings(about: Mapping[str, Any]) -> SweepSettings | None:
    """The settings of a sweep; None for other runs."""
    said = about.get("sweep")
    if not isinstance(said, dict):
        return None
    notes: list[str] = []
    question = said.get("question")
    if question not in QUESTIONS:
        notes.append(f"run.json: the sweep's question is {_short(question)}, not one of {', '.join(QUESTIONS)}; concurrency is assumed.")
        question = "concurrency"
    cells = tuple(dict.fromkeys(one_line(cell) for cell in _list(said, "cells", notes) if isinstance(cell, str) and cell))
    stop, started = said.get("stop"), _day(about.get("started"), date(1970, 1, 1))
    stop = stop if isinstance(stop, dict) else {}
    return SweepSettings(
        question,
        max(int(_number(said, "repeats", 1, notes)), 1),
        cells,
        tuple(_objectives(_list(said, "objectives", notes), notes)),
        _number(said, "worth", 0.7, notes),
        _number(stop, "gain", 0.05, notes, below=1.0),
        _failures(stop),
        _live_instead(_price(said.get("price"), started, notes), about),
        _card(said.get("card"), notes),
        started,
        tuple(notes),
    )


def finite(value: Any) -> bool:
    """Whether ``value`` is a number of a plausible size."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST


def _short(value: Any) -> str:
    return one_line(repr(value), 60)


def _list(said: Mapping[str, Any], key: str, notes: list[str]) -> list[Any]:
    value = said.get(key)
    if value is not None and not isinstance(value, list):
        notes.append(f"run.json: the sweep's {key} are {_short(value)}, but should be a list.")
    return value if isinstance(value, list) else []


def _number(said: Mapping[str, Any], key: str, default: float, notes: list[str], below: float = math.inf) -> float:
    value = said.get(key, default)
    if finite(value) and 0 < value < below:
        return float(value)
    right = "a number above 0" if below == math.inf else f"between 0 and {below:g}"
    notes.append(f"run.json: the sweep's {key} is {_short(value)}, but should be {right}; {default:g} is used.")
    return default


def _failures(stop: Mapping[str, Any]) -> float:
    value: Any = stop.get("failures")
    return float(value) if finite(value) and 0 <= value <= 1 else MOST_FAILURES


def _objectives(found: list[Any], notes: list[str]) -> Iterator[SweepObjective]:
    for said in found:
        good = isinstance(said, dict) and said.get("metric") in OF_SWEEPS and said.get("op") in OPERATORS and finite(said.get("value"))
        if good:
            text = said.get("text") or f"{said['metric']}{said['op']}{said['value']:g}"
            yield SweepObjective(said["metric"], said["op"], float(said["value"]), one_line(str(text), 60))
        else:
            notes.append(f"run.json: the objective {_short(said)} cannot be read and is ignored.")


def _live_instead(price: Price | None, about: Mapping[str, Any]) -> Price | None:
    """The catalogue's price at the time of the run, unless USD were given."""
    by_hand = price is not None and price.source == "given by hand"
    return price if by_hand else live_price(about) or price


def _price(said: Any, started: date, notes: list[str]) -> Price | None:
    if said is None:
        return None
    if isinstance(said, dict) and finite(said.get("usd_per_s")) and said["usd_per_s"] > 0:
        name, source = (one_line(str(said.get(key) or ""), 80) for key in ("name", "source"))
        return Price(name, None, float(said["usd_per_s"]), source, _day(said.get("date"), started))
    notes.append(f"run.json: the price {_short(said)} cannot be read: usd_per_s should be a number above 0.")
    return None


def _day(said: Any, otherwise: date) -> date:
    try:
        return date.fromisoformat(str(said)[:10])
    except ValueError:
        return otherwise


def _card(said: Any, notes: list[str]) -> Card | None:
    if said is None:
        return None
    keys = ("vram_gb", "shared_gb", "per_worker_gb")
    if isinstance(said, dict) and all(finite(said.get(key)) and said[key] >= 0 for key in keys) and said["per_worker_gb"] > 0:
        headroom = said.get("headroom", 1.0)
        if finite(headroom) and 0 < headroom <= 1 and said["vram_gb"] > 0:
            return Card(float(said["vram_gb"]), float(said["shared_gb"]), float(said["per_worker_gb"]), float(headroom))
    notes.append(f"run.json: the card {_short(said)} cannot be read: it needs {', '.join(keys)} in GB, and a headroom from 0 to 1.")
    return None
