"""Outcomes of attempts, with their statuses and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from coldburst.record.attempt import OUTCOMES

COMMONEST = 3


def by_outcome(attempts: pd.DataFrame) -> pd.DataFrame:
    """A row an outcome, in the order of OUTCOMES, over attempts (a retried failure shows here).

    Columns: attempts; first_s and last_s (scheduled_s of the first and the last one seen); statuses
    and errors, each ``[(value, count), …]`` with the commonest first, at most COMMONEST.
    """
    groups = ((name, attempts.loc[(attempts["outcome"] == name).to_numpy(), ["scheduled_s", "status", "error"]]) for name in OUTCOMES)
    rows = {name: _outcome(found) for name, found in groups if len(found)}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["attempts", "first_s", "last_s", "statuses", "errors"])


def _outcome(rows: pd.DataFrame) -> tuple[Any, ...]:
    due = rows["scheduled_s"]
    return len(rows), float(due.min()), float(due.max()), _commonest(rows["status"]), _commonest(rows["error"])


def _commonest(values: pd.Series[Any]) -> list[tuple[Any, int]]:
    """Of equally common ones those that came first."""
    codes, names = pd.factorize(values)
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    common = [place for place in np.argsort(-counts, kind="stable") if names[place] != ""]
    return [(names[place], int(counts[place])) for place in common[:COMMONEST]]
