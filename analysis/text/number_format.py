"""Numbers as text, with three digits and a unit."""

from __future__ import annotations

import math

from ..statistics.percentiles import Percentile, nearest_rank

NONE = "–"


def seconds(value: float | None) -> str:
    """A time with three digits, in s, or in ms below one second."""
    if value is None or not math.isfinite(value):
        return NONE
    if 0 < abs(value) < 0.9995:
        return f"{_digits(value * 1000)} ms"
    return f"{_digits(value)} s"


def seconds_range(low: float, high: float) -> str:
    """``14.3 s to 59.8 s``, or one time if both are shown alike."""
    return " to ".join(dict.fromkeys(map(seconds, (low, high))))


def number(value: float | None, unit: str = "") -> str:
    """A number with three digits and its unit."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{_digits(value)} {unit}".rstrip()


def _digits(value: float) -> str:
    """Three digits or the whole integer part, no exponent, at most six decimals."""
    near = round(float(f"{value:.3g}"), 6)
    if near == 0:
        return "0"
    if abs(near) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(2 - math.floor(math.log10(abs(near))), 0)}f}" if abs(near) >= 0.001 else f"{near:.6f}".rstrip("0")


def brief(value: float | None) -> str:
    """At most three digits without trailing zeros, or the whole integer part: 31.2, 5, 1,520."""
    if value is None:
        return NONE
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"


def percent(share: float | None) -> str:
    """A share as a percentage: 0.5 is "50 %"; only 0 and 1 give "0 %" and "100 %"."""
    if share is None or not math.isfinite(share):
        return NONE
    if 0.999 < share < 1:
        return "> 99.9 %"
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{share * 100:,.0f} %" if abs(share) > 9.99 else f"{share * 100:.3g} %"


def plural(n: int, noun: str) -> str:
    """``1 request``, ``2 requests``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def percentile_text(value: float | None, n: int, percent: int) -> str:
    """A percentile of ``n`` times, marked if it is the largest of them."""
    return f"{seconds(value)}{' (max)' if nearest_rank(n, percent) == n else ''}"


def interval_text(of: Percentile) -> str:
    """The interval of a percentile in seconds, or its one-sided bounds; NONE without both."""
    if of.lower is not None and of.upper is not None:
        return seconds_range(of.lower, of.upper)
    bounds = (("at least", of.at_least), ("at most", of.at_most))
    return ", ".join(f"{word} {seconds(end)}" for word, end in bounds if end is not None) or NONE
