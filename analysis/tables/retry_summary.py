"""Requests told from attempts: what tries again cost, and what they gained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from coldburst.record.attempt import OUTCOMES

from ..runs.csv_columns import integers
from .run_tables import Tables, cached_table


@dataclass(frozen=True)
class RetrySummary:
    """Requests and their attempts.

    Attributes:
        requests: requests that were sent at least once.
        attempts: attempts that were sent.
        planned: requests planned, as in the ledger.
        outcomes: a row an outcome that occurs: outcome, first (tries that ended so), requests (that came to it in the
            end), attempts (all tries that ended so).
        success: a row a try k = 1, 2, …: tried (requests that were sent a k-th time), ok (answered ok by it), so_far
            (answered ok within k tries) and share (so_far ÷ planned).
    """

    requests: int
    attempts: int
    planned: int
    outcomes: pd.DataFrame
    success: pd.DataFrame

    @property
    def amplification(self) -> float | None:
        """Attempts sent ÷ requests sent: 1 where nothing is tried again; lower is better."""
        return self.attempts / self.requests if self.requests else None


@cached_table
def retry_summary(of: Tables) -> RetrySummary | None:
    """See RetrySummary; None where no request was tried again."""
    rows = of.attempts
    if not (rows["attempt"] > 1).any():
        return None
    sent, planned = rows["sent_s"].notna(), of.ledger.planned
    requests = int((of.requests["tries"] > 0).sum())
    success = _success(rows.loc[sent, "attempt"], of.requests, planned)
    return RetrySummary(requests, int(sent.sum()), planned, _outcomes(rows, of.requests), success)


def _outcomes(rows: pd.DataFrame, requests: pd.DataFrame) -> pd.DataFrame:
    columns = {"first": rows.loc[rows["attempt"] == 1, "outcome"], "requests": requests["outcome"], "attempts": rows["outcome"]}
    counts = pd.DataFrame({name: values.astype("category").value_counts() for name, values in columns.items()})
    found = counts.reindex(list(OUTCOMES)).fillna(0).astype(int)
    return found[found["attempts"] > 0].rename_axis("outcome").reset_index()


def _success(sent: pd.Series[int], requests: pd.DataFrame, planned: int) -> pd.DataFrame:
    """By the number of the try that a row tells, which holds also where the row of an earlier try was lost."""
    most = int(sent.max()) if len(sent) else 0
    by = requests.loc[requests["outcome"] == "ok", "attempt"]
    tried, ok = (
        np.bincount(numbers[(numbers > 0) & (numbers <= most)], minlength=most + 1)[1:] for numbers in (integers(sent), integers(by))
    )
    table = pd.DataFrame({"try": np.arange(1, most + 1), "tried": tried, "ok": ok})
    table["so_far"] = table["ok"].cumsum()
    return table.assign(share=table["so_far"] / planned if planned else float("nan"))
