"""Why attempts did not end ok: the causes that the events name, counted and in plain words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from coldburst.record.attempt import OUTCOMES

from ..runs.csv_columns import integers
from ..statistics.percentiles import ascending, percentile
from .run_tables import Tables, cached_table

CAUSES: Mapping[str, str] = {
    "no_capacity": "every endpoint worker that may run was busy",
    "throttled_hosts": "endpoint workers were wanted, and no host had room for them",
    "crash_loop": "endpoint workers were started and never worked: read their logs",
    "slow_start": "endpoint workers were starting, and were not ready in time",
    "switched_off": "the endpoint had no worker: either its most is 0, which RunPod sets after a week without requests "
    "(raise workersMax), or no host has the GPU that it asks for (allow more kinds of GPU or regions)",
    "worker_lost": "an endpoint worker took the job and was not heard of again",
    "out_of_memory": "the endpoint worker ran out of memory",
    "bad_request": "the request itself was not accepted",
    "wrong_address": "nothing is known at this address: check the endpoint id and the path",
    "bad_key": "the key was missing or not accepted",
    "rate_limit": "more requests than the platform's limit allows",
    "busy": "the service had no room, in its own word",
    "same_job": "the platform gave several requests the same job id",
    "cancelled": "somebody else cancelled the job",
    "own_deadline": "our own deadline passed, and nothing else explains it",
    "execution_limit": "the platform's limit on execution passed",
    "wrong_answer": "the answer is not what was asked for",
    "service_error": "the code of the endpoint worker failed",
    "polls_failed": "the job was accepted, and no poll told its state",
    "unreachable": "nothing was reached at the address, or the connection broke",
    "unknown": "nothing proves a cause",
}
"""Those of coldburst/targets/cause.py, whose words an event's ``cause`` is one of."""


def cause_words(cause: str) -> str:
    """The cause's name as words: ``no capacity``."""
    return cause.replace("_", " ")


@cached_table
def failure_causes(of: Tables) -> pd.DataFrame:
    """A row an outcome and cause, in the order of OUTCOMES, then the commonest cause first.

    Columns: outcome; cause; attempts; requests, those of them that were their request's last;
    median_s, the median of their service time (sent to end), NaN where no row tells it.
    """
    empty = pd.DataFrame(columns=["outcome", "cause", "attempts", "requests", "median_s"])
    told = None if of.run.events is None else _told(of.run.events)
    if told is None or told.empty:
        return empty
    of_told = np.isin(integers(of.attempts["seq"]), integers(told["seq"]))
    rows = of.attempts.loc[of_told, ["seq", "attempt", "outcome", "sent_s", "done_s"]].astype({"outcome": "str"})
    rows = rows.sort_values(["seq", "attempt"], kind="stable").drop_duplicates(["seq", "attempt"], keep="last")
    rows = rows.assign(last=~rows.duplicated("seq", keep="last"), service_s=rows["done_s"] - rows["sent_s"])
    found = told.merge(rows[["seq", "attempt", "outcome", "last", "service_s"]], on=["seq", "attempt"], how="left")
    found["outcome"] = found["outcome"].fillna(found["kind"])  # a killed run may have lost the row
    groups = found[found["outcome"].isin(list(OUTCOMES))].groupby(["outcome", "cause"])
    table = groups.agg(attempts=("seq", "size"), requests=("last", "sum"), median_s=("service_s", _median)).reset_index()
    order = {name: place for place, name in enumerate(OUTCOMES)}
    table["requests"] = table["requests"].astype(int)
    return table.sort_values(
        ["outcome", "attempts", "cause"], key=lambda c: c.map(order) if c.name == "outcome" else _down(c), ignore_index=True
    )


def _median(values: pd.Series[float]) -> float | None:
    return percentile(ascending(values), 50).value


def _down(column: pd.Series[int]) -> pd.Series[int]:
    return -column if column.name == "attempts" else column


def _told(events: pd.DataFrame) -> pd.DataFrame:
    """One cause an attempt: where several events name one, the first that is not ``unknown``."""
    rows = events[(events["cause"] != "") & events["seq"].notna()]
    rows = rows.assign(attempt=rows["attempt"].fillna(1), unsure=rows["cause"] == "unknown")
    rows = rows.sort_values(["seq", "attempt", "unsure", "at_s"], kind="stable")
    return rows.drop_duplicates(["seq", "attempt"])[["seq", "attempt", "kind", "cause"]]
