"""The order in which a run's attempts stand in memory, in which its requests are a part of them and need no copy.

First the tries that were followed by another, then the last attempt of each request; each part in order of seq and
number, and of equal ones the later row counts as later.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .csv_columns import Numbers, Places, integers


def sorting_places(seq: Any, number: Any) -> Places | None:
    """The places that put attempts of such seqs and numbers in order; None where they stand so."""
    seqs, numbers = integers(seq), integers(number)
    if _stand(seqs, numbers):
        return None
    order = np.argsort(seqs, kind="stable")
    same = np.diff(seqs[order]) == 0
    if (same & (np.diff(numbers[order]) < 0)).any():  # else the tries of each request are in order of time as it is
        order = np.lexsort((numbers, seqs))
    return np.concatenate([order[:-1][same], order[np.append(~same, True)]])


def _stand(seqs: Numbers, numbers: Numbers) -> bool:
    begin = begin_of_last(seqs)
    tried, places = seqs[:begin], np.searchsorted(seqs[begin:], seqs[:begin])
    if begin and places.max() == len(seqs) - begin:
        return False
    followed = (seqs[begin:][places] == tried) & (numbers[:begin] <= numbers[begin:][places])
    step = np.diff(tried)
    ascend = (step > 0) | ((step == 0) & (np.diff(numbers[:begin]) >= 0))
    return bool(followed.all() and ascend.all())


def begin_of_last(seqs: Numbers) -> int:
    """From where on each seq is above the one before."""
    steps = np.flatnonzero(seqs[1:] <= seqs[:-1])
    return int(steps[-1]) + 1 if len(steps) else 0
