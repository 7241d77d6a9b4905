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
    per_request = number(found.total / found.n, found.shown)
    rows = [
        (f"{found.shown} per second", number(found.per_s, f"{found.shown} per s"), f"{number(found.total)} ÷ measured wall time"),
        (f"{found.shown} per request", per_request, f"mean of the {found.n:,} of {found.of:,} ok answers that have any"),
    ]
    count, priced = found.priced_by
    usd = found.why if found.usd is None else number(found.usd * count, "USD")
    rows.append((f"USD per {priced}", usd, "cost of the endpoint workers ÷ units"))
    yield Sheet("Units", ("", "Value", "How"), tuple(rows), "", aside=True)
