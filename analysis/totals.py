"""What plain Locust output tells: its totals, as they stand, in seconds."""

from __future__ import annotations

import pandas as pd

from analysis.load import Totals

PERCENTILES = ("50%", "90%", "95%", "99%")


def by_name(totals: Totals) -> pd.DataFrame:
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


def whole(totals: Totals) -> pd.Series[float]:
    """The row of ``by_name`` that Locust calls Aggregated, or the sum of requests and failures where it has none."""
    table = by_name(totals)
    found = table[table["name"] == "Aggregated"]
    return found.iloc[-1] if len(found) else table[["requests", "failures"]].sum()


def headline(totals: Totals) -> str:
    """The totals in one sentence."""
    row = whole(totals)
    requests, failures = int(row["requests"]), int(row["failures"])
    return f"Locust's totals: {requests:,} requests, {failures:,} of them failed; how many were planned is not known."


def history(totals: Totals) -> pd.DataFrame:
    """A row a second of the whole run: at_s from the first row, requests_per_s, failures_per_s, users; maybe empty."""
    table = totals.history
    if table is None or not {"Timestamp", "Name", "Requests/s", "Failures/s", "User Count"} <= set(table.columns):
        return pd.DataFrame(columns=["at_s", "requests_per_s", "failures_per_s", "users"])
    rows = table[table["Name"] == "Aggregated"]
    return pd.DataFrame(
        {
            "at_s": rows["Timestamp"] - rows["Timestamp"].min(),
            "requests_per_s": _column(rows, "Requests/s"),
            "failures_per_s": _column(rows, "Failures/s"),
            "users": _column(rows, "User Count"),
        }
    )


def _column(table: pd.DataFrame, name: str) -> pd.Series[float]:
    if name not in table.columns:
        return pd.Series(float("nan"), table.index)
    return pd.to_numeric(table[name], errors="coerce").astype(float)
