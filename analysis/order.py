"""The order in which a run's attempts stand in memory, in which its requests are a part of them and need no copy.

First the tries that were followed by another, then the last attempt of each request; each part in order of seq and
number, and of equal ones the later row counts as later.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]
Places = NDArray[np.intp]


def settled(seq: Any, number: Any) -> Places | None:
    """The places that put attempts of such seqs and numbers in order; None where they stand so."""
    seqs, numbers = whole(seq), whole(number)
    if _stand(seqs, numbers):
        return None
    order = np.argsort(seqs, kind="stable")
    same = np.diff(seqs[order]) == 0
    if (same & (np.diff(numbers[order]) < 0)).any():  # else the tries of each request are in order of time as it is
        order = np.lexsort((numbers, seqs))
    return np.concatenate([order[:-1][same], order[np.append(~same, True)]])


def _stand(seqs: Numbers, numbers: Numbers) -> bool:
    begin = _begin(seqs)
    tried, places = seqs[:begin], np.searchsorted(seqs[begin:], seqs[:begin])
    if begin and places.max() == len(seqs) - begin:
        return False
    followed = (seqs[begin:][places] == tried) & (numbers[:begin] <= numbers[begin:][places])
    step = np.diff(tried)
    ascend = (step > 0) | ((step == 0) & (np.diff(numbers[:begin]) >= 0))
    return bool(followed.all() and ascend.all())


def _begin(seqs: Numbers) -> int:
    """From where on each seq is above the one before."""
    steps = np.flatnonzero(seqs[1:] <= seqs[:-1])
    return int(steps[-1]) + 1 if len(steps) else 0


def last(attempts: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The last attempt of each request, in order of seq, and the attempts before those; no copies where they stand in order."""
    order = settled(attempts["seq"], attempts["attempt"])
    rows = attempts if order is None else attempts.take(order)
    begin = _begin(whole(rows["seq"]))
    return rows.iloc[begin:], rows.iloc[:begin]


def first(rows: pd.DataFrame, tried: pd.DataFrame, name: str) -> NDArray[Any]:
    """A column of numbers of the first attempt at each of ``rows``; with ``tried``, as ``last`` gives them. A view where that can be."""
    values, before = (floats(table[name]) if table[name].dtype == np.float64 else whole(table[name]) for table in (rows, tried))
    places = _places(rows, tried)
    begins = np.append(True, places[1:] != places[:-1])[: len(places)]
    if np.array_equal(values[places[begins]], before[begins], equal_nan=True):
        return values
    values = values.copy()
    values[places[begins]] = before[begins]
    return values


def sent(rows: pd.DataFrame, tried: pd.DataFrame) -> NDArray[np.int32]:
    """How many attempts at each of ``rows`` were sent."""
    counts = (~np.isnan(floats(rows["sent_s"]))).astype(np.int32)
    np.add.at(counts, _places(rows, tried)[~np.isnan(floats(tried["sent_s"]))], 1)
    return counts


def _places(rows: pd.DataFrame, tried: pd.DataFrame) -> Places:
    return np.searchsorted(whole(rows["seq"]), whole(tried["seq"]))


def whole(column: Any) -> Numbers:
    """A column of whole numbers, none of them empty, as an array; a view of it where that can be."""
    values: Numbers = pd.Series(column, copy=False).to_numpy(dtype=np.int64)
    return values


def floats(column: pd.Series[Any]) -> Floats:
    """A column of numbers as an array, NaN where empty; a view of it where that can be."""
    values: Floats = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return values
