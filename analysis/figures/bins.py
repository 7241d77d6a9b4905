"""Bins of time or position, computed with NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..runs import csv_columns

Floats = NDArray[np.float64]
MOST = 240  # bins over the width of a figure
_NICE = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600)


def width_s(span_s: float, most: int = MOST) -> float:
    """The narrowest round width, such as 0.1 s, 5 s or 1 min, with at most ``most`` bins over ``span_s``."""
    least = span_s / most
    if least > _NICE[-1]:
        return math.ceil(least / 3600) * 3600.0
    if least > 0.5:
        return float(next(width for width in _NICE if width >= least))
    tens = 10.0 ** math.floor(math.log10(max(least, 1e-4)))
    return float(f"{next(tens * step for step in (1, 2, 5, 10) if tens * step >= least * (1 - 1e-9)):.0e}")


def width_text(width: float) -> str:
    """A width in words: ``5 s``, ``2 min``."""
    return f"{width / 60:g} min" if width >= 60 else f"{width:g} s"


def bin_count(end: float, width: float, start: float = 0.0) -> int:
    """The number of bins from ``start`` to ``end`` inclusive, at least 1."""
    return max(int((end - start) / width + 1e-9) + 1, 1)


def bin_of(values: Floats, start: float, width: float, bins: int) -> NDArray[np.intp]:
    """The bin of each value, without NaN; values outside count in the first or last bin."""
    places = values - start
    places /= width
    places += 1e-9  # 0.3 ÷ 0.1 is a little below 3
    found = places.astype(np.intp)
    return np.clip(found, 0, bins - 1, out=found)


def counts(values: Floats, start: float, width: float, bins: int) -> NDArray[np.intp]:
    """The number of values in each bin, ignoring NaN."""
    return np.bincount(bin_of(values[~np.isnan(values)], start, width, bins), minlength=bins)


def evenly(total: int, most: int) -> NDArray[np.intp]:
    """At most ``most`` evenly spaced places of ``total``, including the first and last."""
    return np.unique(np.linspace(0, total - 1, min(total, most)).round().astype(np.intp)) if total else np.array([], dtype=np.intp)


def floats(rows: pd.DataFrame, name: str) -> Floats:
    """A column as floats with NaN for empty cells, a view if possible."""
    return csv_columns.floats(rows[name])


def codes(values: pd.Series[Any], names: list[str]) -> NDArray[np.int8]:
    """The place of each text in ``names``, or -1."""
    found, there = pd.factorize(values)
    places = np.append(pd.Index(names).get_indexer(pd.Index(there)), -1).astype(np.int8)
    return np.asarray(places[found], dtype=np.int8)
