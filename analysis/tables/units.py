"""What the answers hold, counted in the run's unit: images, tokens, seconds of audio; per second and per dollar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from .cost import cost
from .run_tables import Tables, cached_table
from .throughput import wall_s

# A unit's name -> how many of it have a price of their own, and what they are called then.
PRICED_BY = {"tokens": (1_000_000, "million tokens"), "audio_s": (3600, "audio hour")}
# Columns that count something without --unit, by the name of their unit.
BY_COLUMN = {"tokens": "tokens_out", "audio_s": "audio_s"}


@dataclass(frozen=True)
class Units:
    """The units in the answers of a run.

    Attributes:
        name: of the unit; ``own``: whether --unit or a custom request counted it, and no column of another kind.
        n: requests answered ok with a number of units; ``of``: answered ok.
        total: units of these requests.
        per_s: total ÷ measured wall time.
        usd: cost of the run ÷ total; None, and ``why``, if unknown.
    """

    name: str
    own: bool
    n: int
    of: int
    total: float
    per_s: float | None
    usd: float | None
    why: str

    @property
    def shown(self) -> str:
        """The unit in words."""
        return "audio s" if self.name == "audio_s" else self.name.replace("_", " ")

    @property
    def priced_by(self) -> tuple[int, str]:
        """How many units a price is for, and what these are called: 1,000,000 and "million tokens"."""
        return PRICED_BY.get(self.name, (1, self.shown.removesuffix("s")))


@cached_table
def units(of: Tables) -> Units | None:
    """The Units of a run that is not a sweep; None if no answer has any."""
    ok = of.requests["outcome"] == "ok"
    name, counted, own = _counted(of, ok)
    if not len(counted) or not counted.sum() > 0:
        return None
    total, span, paid = float(counted.sum()), wall_s(of.requests), cost(of)
    usd = None if paid.usd is None else paid.usd / total
    return Units(name, own, len(counted), int(ok.sum()), total, total / span if span else None, usd, paid.why)


def asked_unit(about: Mapping[str, Any]) -> str:
    """The name in --unit, by run.json; "" without one."""
    options = about.get("options")
    text = options.get("unit") if isinstance(options, dict) else ""
    return text.partition("=")[0] if isinstance(text, str) else ""


def _counted(of: Tables, ok: pd.Series) -> tuple[str, pd.Series, bool]:
    """The unit's name, the numbers that rows have, and whether the column ``units`` has them."""
    own = of.requests.loc[ok, "units"].dropna()
    if len(own):
        return asked_unit(of.run.about) or "units", own, True
    for name, column in BY_COLUMN.items():
        counted = of.requests.loc[ok, column].dropna()
        if counted.sum() > 0:
            return name, counted, False
    return "", own, False
