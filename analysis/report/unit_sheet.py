"""The table of units in answers: per second, per request and per dollar."""

from __future__ import annotations

from collections.abc import Iterator

from ..tables.run_tables import Tables
from ..tables.units import units
from ..text.number_format import number
from ..text.sheet import Sheet


def unit_sheets(of: Tables) -> Iterator[Sheet]:
    """The table, if answers have units. Tokens and audio have tables of their own: only their price is missing there."""
    found = units(of)
    if found is None or (not found.own and found.usd is None):
        return
    name, (count, priced) = found.shown, found.priced_by
    usd = found.why if found.usd is None else number(found.usd * count, "USD")
    price = (f"USD per {priced}", usd, "cost of the endpoint workers ÷ units")
    per_s = (f"{name} per second", number(found.per_s, f"{name} per s"), f"{number(found.total)} ÷ measured wall time")
    having = f"mean of the {found.n:,} of {found.of:,} ok answers that have any"
    per_request = (f"{name} per request", number(found.total / found.n, name), having)
    yield Sheet("Units", ("", "Value", "How"), (per_s, per_request, price) if found.own else (price,), "", aside=True)
