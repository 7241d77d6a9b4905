"""What plain Locust output tells: its totals, as they stand, in seconds."""

from __future__ import annotations

import math

import pandas as pd

from .locust_csv import CUMULATIVE, LocustTotals

PERCENTILES = ("50%", "90%", "95%", "99%")
HISTORY = {
    "requests_per_s": "Requests/s",
    "failures_per_s": "Failures/s",
    "users": "User Count",
    "requests": "Total Request Count",
    "failures": "Total Failure Count",
    "mean_s": "Total Average Response Time",
    "p50_s": "50%",
    "p95_s": "95%",
}


def by_name(totals: LocustTotals) -> pd.DataFrame:
    """A row a request name and one "Aggregated": requests, failures, requests_per_s, mean_s, max_s, p50_s … p99_s.

    Locust's milliseconds become seconds; its percentiles hold failures too and are rounded to two digits.
    """
    stats = totals.stats
    names = stats["Name"].where(stats["Type"].isna(), stats["Type"] + " " + stats["Name"])
    table = pd.DataFrame({"name": names.fillna(""), "requests": stats["Request Count"], "failures": stats["Failure Count"]})
    table["requests_per_s"] = _column(stats, "Requests/s")
    table["mean_s"] = _column(stats, "Average Response Time") / 1000
    table["max_s"] = _column(stats, "Max Response Time") / 1000
    return table.assign(**{f"p{label[:-1]}_s": _column(stats, label) / 1000 for label in PERCENTILES})


def aggregated(totals: LocustTotals) -> pd.Series[float]:
    """The row of ``by_name`` that Locust calls Aggregated, or the sum of requests and failures where it has none."""
    table = by_name(totals)
    found = table[table["name"] == "Aggregated"]
    return found.iloc[-1] if len(found) else table[["requests", "failures"]].sum()


def floor_s(totals: LocustTotals) -> float | None:
    """The least that a request takes: the smallest time of each name, weighted by its requests; None where it is not known."""
    stats = totals.stats[totals.stats["Type"].notna() & (totals.stats["Request Count"] > 0)]
    least, n = _column(stats, "Min Response Time"), stats["Request Count"]
    value = float((least * n).sum(skipna=False) / n.sum()) / 1000 if len(stats) else math.nan
    return None if math.isnan(value) else value


def headline(totals: LocustTotals) -> str:
    """The totals in one sentence."""
    row = aggregated(totals)
    requests, failures = int(row["requests"]), int(row["failures"])
    return f"Locust's totals: {requests:,} requests, {failures:,} of them failed; how many were planned is not known."


def history(totals: LocustTotals) -> pd.DataFrame:
    """A row a second of the whole run: at_s from the first row, and the columns of HISTORY, NaN where the file has not; maybe empty.

    Counts and mean_s are since the start; percentiles are over what ``totals.percentiles`` says, none where no window was full yet.
    """
    table = totals.history
    if table is None:
        return pd.DataFrame(columns=["at_s", *HISTORY])
    rows = table[table["Type"].isna() & (table["Name"] == "Aggregated")].drop_duplicates("Timestamp", keep="last")
    found = {
        name: _column(rows, column) / (1000 if name.endswith("_s") and not name.endswith("per_s") else 1)
        for name, column in HISTORY.items()
    }
    made = pd.DataFrame({"at_s": rows["Timestamp"] - rows["Timestamp"].min(), **found}).reset_index(drop=True)
    if totals.percentiles != CUMULATIVE:
        ends = ["p50_s", "p95_s"]
        made[ends] = made[ends].mask(made["p95_s"] == 0)
    return made


def _column(table: pd.DataFrame, name: str) -> pd.Series[float]:
    if name not in table.columns:
        return pd.Series(float("nan"), table.index)
    return pd.to_numeric(table[name], errors="coerce").astype(float)
