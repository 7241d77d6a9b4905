"""Requests told from attempts: what tries again cost, and what they gained."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis.tables import Tables
from rig.attempt import OUTCOMES


@dataclass(frozen=True)
class Tries:
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


def tries(of: Tables) -> Tries | None:
    """See Tries; None where no request was tried again."""
    rows = of.attempts
    if not (rows["attempt"] > 1).any():
        return None
    sent = rows[rows["sent_s"].notna()]
    book = of.ledger
    return Tries(
        int(sent["seq"].nunique()), len(sent), book.planned, _outcomes(rows, of.requests), _success(sent, of.requests, book.planned)
    )


def _outcomes(rows: pd.DataFrame, requests: pd.DataFrame) -> pd.DataFrame:
    columns = {"first": rows[rows["attempt"] == 1], "requests": requests, "attempts": rows}
    counts = pd.DataFrame({name: table["outcome"].value_counts() for name, table in columns.items()})
    found = counts.reindex([name for name in OUTCOMES if name in counts.index]).fillna(0).astype(int)
    return found.rename_axis("outcome").reset_index()


def _success(sent: pd.DataFrame, requests: pd.DataFrame, planned: int) -> pd.DataFrame:
    """By the number of the try that a row tells, which holds also where the row of an earlier try was lost."""
    most = range(1, int(sent["attempt"].max()) + 1) if len(sent) else range(0)
    by = requests.loc[requests["outcome"] == "ok", "attempt"]
    ok = [int((by == k).sum()) for k in most]
    table = pd.DataFrame({"try": list(most), "tried": [int((sent["attempt"] == k).sum()) for k in most], "ok": ok})
    table["so_far"] = table["ok"].cumsum()
    return table.assign(share=table["so_far"] / planned if planned else float("nan"))
