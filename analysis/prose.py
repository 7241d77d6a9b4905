"""Numbers as people read them, and the sentence that a run comes to."""

from __future__ import annotations

import math

from analysis.models import Percentile
from analysis.tables import Tables
from rig.attempt import OUTCOMES, one_line

NONE = "–"


def seconds(value: float | None) -> str:
    """A time in s, or in ms below one second, to three digits."""
    if value is None or not math.isfinite(value):
        return NONE
    if 0 < abs(value) < 0.9995:
        return f"{_digits(value * 1000)} ms"
    return f"{_digits(value)} s"


def number(value: float | None, unit: str = "") -> str:
    """A number to three digits, and its unit."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{_digits(value)} {unit}".rstrip()


def _digits(value: float) -> str:
    """Three digits, never an exponent, never fewer than the whole part has."""
    near = float(f"{value:.3g}")
    if near == 0 or abs(near) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(2 - math.floor(math.log10(abs(near))), 0)}f}" if abs(near) >= 0.001 else f"{value:.6f}".rstrip("0")


def percent(share: float | None) -> str:
    """A share of one as a percentage: 0.5 is "50 %"; a part is never rounded to the whole or to nothing."""
    if share is None or not math.isfinite(share):
        return NONE
    if 0.999 < share < 1:
        return "> 99.9 %"
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{share * 100:.3g} %"


def counted(n: int, noun: str) -> str:
    """``1 request``, ``2 requests``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def interval(of: Percentile) -> str:
    """The interval beside a percentile, in seconds, or why there is none."""
    if of.lower is None or of.upper is None:
        return of.remark
    return f"{seconds(of.lower)} to {seconds(of.upper)}"


def equation(tables: Tables) -> str:
    """The ledger in one line; says so where completions, not a plan, made the number."""
    line = str(tables.ledger)
    return line if tables.run.about.get("planned") is not None else line.replace(" planned", " sent in a closed loop", 1)


def headline(tables: Tables) -> str:
    """The run in one sentence: what was asked, what came back, and how fast."""
    asked, book = f"{_asked(tables)}: ", tables.ledger
    ok = book.counts.get("ok", 0)
    answered = f"{ok:,} of {book.planned:,} ok"
    worst = [f"{book.counts[name]:,} {name}" for name in OUTCOMES if name != "ok" and book.counts.get(name)]
    worst += [f"{book.missing:,} missing"] if book.missing else []
    others = f" ({', '.join(worst)})" if worst else ""
    return f"{asked}{answered}{others}; {_speed(tables)}."


def _asked(tables: Tables) -> str:
    about, planned = tables.run.about, tables.ledger.planned
    schedule = one_line(str(about.get("schedule") or ""))
    if tables.throughput.not_offered == "all at once":
        return f"{counted(planned, 'request')} at once"
    return f"{counted(planned, 'request')} ({schedule})" if schedule else counted(planned, "request")


def _speed(tables: Tables) -> str:
    times = tables.response["ok"]
    if not times.n:
        ok = tables.ledger.counts.get("ok", 0)
        return "the rows tell no time" if ok else "no answer was ok, so there is no response time"
    tail = times.at(95)
    if tail.maximum:
        return (
            f"half answered within {seconds(times.at(50).value)}, all within {seconds(times.maximum)} (n = {times.n:,}: too few for a P95)"
        )
    beside = f"n = {times.n:,}" if tail.lower is not None else f"n = {times.n:,}: the P95 has no interval"
    return f"half answered within {seconds(times.at(50).value)}, 95 % within {seconds(tail.value)} ({beside})"
