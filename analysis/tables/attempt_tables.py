"""Tables of attempts: outcomes, causes of failures, retries, polling; and hook events by kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from coldburst.record.attempt import OUTCOMES

from ..runs.csv_columns import Flags, floats, integers
from ..runs.load import Run
from ..statistics.percentiles import TimeSummary, ascending, percentile, time_summary
from .run_tables import Tables, cached_table

COMMONEST = 3
# The causes of coldburst/targets/cause.py.
CAUSES: Mapping[str, str] = {
    "no_capacity": "all endpoint workers that may run were busy",
    "throttled_hosts": "more endpoint workers were needed, but no host had room for them",
    "crash_loop": "endpoint workers started and never became ready: read their logs",
    "slow_start": "endpoint workers were starting and not ready in time",
    "no_workers": "the endpoint had no worker: either workersMax is 0, which RunPod sets after a week without requests "
    "(raise workersMax), or no host has the GPU that it asks for (allow more GPU types or regions)",
    "worker_lost": "an endpoint worker took the job and disappeared",
    "out_of_memory": "the endpoint worker ran out of memory",
    "double_load": "models were loaded more than once at the same time and filled the memory",
    "race": "several requests used the same model at the same time",
    "bad_request": "the request was rejected as invalid",
    "wrong_address": "nothing is at this address: check the endpoint id and the path",
    "wrong_model": "the service does not have the model: name one that it has by --model",
    "bad_key": "the key was not accepted",
    "no_key": "no key was sent, and the service requires one",
    "account": "the account has no balance or quota left",
    "reconfiguring": "the endpoint was being changed",
    "rate_limit": "the platform's rate limit was exceeded",
    "busy": "the service reported that it has no capacity",
    "same_job": "the platform gave several requests the same job id",
    "cancelled": "someone else cancelled the job",
    "own_deadline": "the request's deadline passed, without another explanation",
    "execution_limit": "the platform's execution time limit passed",
    "edge_limit": "the edge before the service ended requests without a first byte",
    "wrong_answer": "the answer is not the expected one",
    "service_error": "the endpoint worker's code failed",
    "platform_error": "RunPod's API failed before any endpoint worker had the job",
    "gateway": "a proxy or gateway answered instead of the service",
    "object_store": "the object store failed, not the endpoint",
    "polls_failed": "the job was accepted, but no poll returned its state",
    "unreachable": "could not connect, or the connection broke",
    "unknown": "the cause is unknown",
}


def by_outcome(attempts: pd.DataFrame) -> pd.DataFrame:
    """A row per outcome, in the order of OUTCOMES, over attempts (including retried failures).

    Columns: attempts; first_s and last_s (scheduled_s of the first and last one); statuses and errors, each ``[(value, count), …]``,
    the most frequent first, at most COMMONEST.
    """
    groups = ((name, (attempts["outcome"] == name).to_numpy()) for name in OUTCOMES)
    rows = {name: _outcome(attempts, within) for name, within in groups if within.any()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["attempts", "first_s", "last_s", "statuses", "errors"])


def _outcome(attempts: pd.DataFrame, within: Flags) -> tuple[Any, ...]:
    due = floats(attempts["scheduled_s"])
    ends = (float(end.reduce(due, where=within, initial=start)) for end, start in ((np.minimum, np.inf), (np.maximum, -np.inf)))
    return int(within.sum()), *ends, *(_commonest(attempts.loc[within, name]) for name in ("status", "error"))


def _commonest(values: pd.Series[Any]) -> list[tuple[Any, int]]:
    codes, names = pd.factorize(values)
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    common = [place for place in np.argsort(-counts, kind="stable") if names[place] != ""]
    return [(names[place], int(counts[place])) for place in common[:COMMONEST]]


# A status at the beginning, or any other number.
_NUMBERS = re.compile(r"^(\d{3}\b)|\d+")


def commonest_errors(attempts: pd.DataFrame) -> list[tuple[str, str, int]]:
    """Outcome, error and count of the COMMONEST errors of attempts that were not ok, the most frequent first.

    Errors that differ in numbers alone (a time, an id; not the status) count as one, and the first of them is shown.
    """
    failed = attempts.loc[(attempts["outcome"] != "ok").to_numpy(), ["outcome", "error"]]
    failed = failed[failed["error"].notna() & (failed["error"] != "")].astype(str)
    alike = failed["error"].drop_duplicates()
    kinds = failed["error"].map(dict(zip(alike, alike.str.replace(_NUMBERS, lambda found: found[1] or "0", regex=True), strict=True)))
    found = failed.groupby([failed["outcome"], kinds], sort=False)["error"].agg(["first", "size"]).nlargest(COMMONEST, "size")
    told = zip(found.index, found["first"], found["size"].tolist(), strict=True)
    return [(str(key[0]), str(first), count) for key, first, count in told]


def cause_words(cause: str) -> str:
    """The name of a cause as words: ``no capacity``."""
    return cause.replace("_", " ")


@cached_table
def failure_causes(of: Tables) -> pd.DataFrame:
    """A row per outcome and cause, in the order of OUTCOMES, then the most frequent cause first.

    Columns: outcome; cause; attempts; requests (attempts that were their request's last); median_s of sent to end, NaN if unknown.
    """
    empty = pd.DataFrame(columns=["outcome", "cause", "attempts", "requests", "median_s"])
    named = None if of.run.events is None else _named_causes(of.run.events)
    if named is None or named.empty:
        return empty
    with_cause = np.isin(integers(of.attempts["seq"]), integers(named["seq"]))
    rows = of.attempts.loc[with_cause, ["seq", "attempt", "outcome", "sent_s", "done_s"]].astype({"outcome": "str"})
    rows = rows.sort_values(["seq", "attempt"], kind="stable").drop_duplicates(["seq", "attempt"], keep="last")
    rows = rows.assign(last=~rows.duplicated("seq", keep="last"), service_s=rows["done_s"] - rows["sent_s"])
    found = named.merge(rows[["seq", "attempt", "outcome", "last", "service_s"]], on=["seq", "attempt"], how="left")
    found["outcome"] = found["outcome"].fillna(found["kind"])  # a killed run may have lost the row
    groups = found[found["outcome"].isin(list(OUTCOMES))].groupby(["outcome", "cause"])
    table = groups.agg(attempts=("seq", "size"), requests=("last", "sum"), median_s=("service_s", _median)).reset_index()
    table["requests"] = table["requests"].astype(int)
    table["outcome"] = pd.Categorical(table["outcome"], list(OUTCOMES))
    table = table.sort_values(["outcome", "attempts", "cause"], ascending=[True, False, True], ignore_index=True)
    return table.astype({"outcome": "str"})


def worker_logs(run: Run) -> list[tuple[str, str, str]]:
    """Cause, endpoint worker and text of the log lines that were read for causes of failures."""
    if run.events is None:
        return []
    rows = run.events[run.events["kind"] == "worker_log"]
    return [*zip(rows["cause"].astype(str), rows["worker_id"].astype(str), rows["detail"].astype(str), strict=True)]


def _median(values: pd.Series[float]) -> float | None:
    return percentile(ascending(values), 50).value


def _named_causes(events: pd.DataFrame) -> pd.DataFrame:
    """One cause per attempt: the first that is not ``unknown``, if there are several."""
    rows = events[(events["cause"] != "") & events["seq"].notna()]
    rows = rows.assign(attempt=rows["attempt"].fillna(1), unsure=rows["cause"] == "unknown")
    rows = rows.sort_values(["seq", "attempt", "unsure", "at_s"], kind="stable")
    return rows.drop_duplicates(["seq", "attempt"])[["seq", "attempt", "kind", "cause"]]


@dataclass(frozen=True)
class RetrySummary:
    """Requests and their attempts.

    Attributes:
        requests: requests sent at least once.
        attempts: attempts sent.
        planned: requests planned, as in the ledger.
        outcomes: a row per outcome: outcome, first (first tries), requests (last tries), attempts (all tries).
        success: a row per try k = 1, 2, …: tried (requests sent a k-th time), ok (answered ok by it), so_far (answered ok within k
            tries) and share (so_far ÷ planned).
    """

    requests: int
    attempts: int
    planned: int
    outcomes: pd.DataFrame
    success: pd.DataFrame

    @property
    def amplification(self) -> float | None:
        """Attempts sent ÷ requests sent: 1 without retries; lower is better."""
        return self.attempts / self.requests if self.requests else None


@cached_table
def retry_summary(of: Tables) -> RetrySummary | None:
    """The run's RetrySummary; None without retries."""
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
    """By the row's number of the try, which is right even if the row of an earlier try was lost."""
    most = int(sent.max()) if len(sent) else 0
    by = requests.loc[requests["outcome"] == "ok", "attempt"]
    tried, ok = (
        np.bincount(numbers[(numbers > 0) & (numbers <= most)], minlength=most + 1)[1:] for numbers in (integers(sent), integers(by))
    )
    table = pd.DataFrame({"try": np.arange(1, most + 1), "tried": tried, "ok": ok})
    table["so_far"] = table["ok"].cumsum()
    return table.assign(share=table["so_far"] / planned if planned else float("nan"))


@dataclass(frozen=True)
class PollingSummary:
    """Attempts whose end was seen by polling: ``late``, seen − done in seconds (part of no response time), and ``polls`` per job."""

    late: TimeSummary
    polls: TimeSummary


def polling(attempts: pd.DataFrame) -> PollingSummary | None:
    """The PollingSummary of ``attempts``; None without polling."""
    late_s = floats(attempts["seen_s"]) - floats(attempts["done_s"])
    seen = ~np.isnan(late_s)
    if not seen.any():
        return None
    return PollingSummary(time_summary(late_s, len(attempts)), time_summary(floats(attempts["polls"])[seen], len(attempts)))


@cached_table
def run_polling(of: Tables) -> PollingSummary | None:
    """See ``polling``."""
    return polling(of.attempts)


def dispatched_again(requests: pd.DataFrame) -> int:
    """How many requests the platform itself retried."""
    return int((requests["platform_retries"].fillna(0) > 0).sum())


def events(run: Run) -> pd.DataFrame:
    """A row per kind of hook event: count, total_s and longest_s (0 for kinds without a duration)."""
    if run.events is None:
        return pd.DataFrame(columns=["kind", "count", "total_s", "longest_s"])
    seconds = run.events.assign(seconds=run.events["seconds"].fillna(0.0)).groupby("kind")["seconds"]
    return seconds.agg(count="size", total_s="sum", longest_s="max").reset_index()
