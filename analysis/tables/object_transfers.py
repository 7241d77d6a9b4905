"""Object storage: time to upload and download, end-to-end time, and what boto3 did on its own."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..runs.csv_columns import Floats, floats
from ..statistics.percentiles import TimeSummary, time_summary

_AT_ONCE = re.compile(r"pool of (\d+), (\d+) at once")


@dataclass(frozen=True)
class ObjectTransfers:
    """Files of requests that went through an object store.

    Attributes:
        upload, download: seconds of each request that has the phase, whatever its outcome.
        end_to_end: from due to the result in hand, in seconds, of answered ok.
        retried: calls that boto3 sent again.
        discarded: connections that boto3's pool had no room for.
        pool: connections that it holds; None unless some were discarded.
        at_once: most calls at a time when one was discarded: the pool to choose.
    """

    upload: TimeSummary
    download: TimeSummary
    end_to_end: TimeSummary
    retried: int
    discarded: int
    pool: int | None
    at_once: int | None


def object_transfers(rows: pd.DataFrame, happened: pd.DataFrame | None) -> ObjectTransfers | None:
    """The ObjectTransfers of ``rows`` (requests) and the events of the run; None if no row has a phase."""
    upload, download = floats(rows["upload_s"]), floats(rows["download_s"])
    if np.isnan(upload).all() and np.isnan(download).all():
        return None
    end = np.fmax(floats(rows["done_s"]), floats(rows["seen_s"])) + np.nan_to_num(download)
    whole = np.where(rows["outcome"] == "ok", end - floats(rows["scheduled_s"]), np.nan)
    kinds = pd.Series(dtype=str) if happened is None else happened["kind"]
    full = [] if happened is None else [_AT_ONCE.fullmatch(str(detail)) for detail in happened.loc[kinds == "object_pool_full", "detail"]]
    sizes = [(int(found[1]), int(found[2])) for found in full if found]
    return ObjectTransfers(
        _summary(upload),
        _summary(download),
        _summary(whole),
        retried=int((kinds == "object_retried").sum()),
        discarded=len(full),
        pool=max(pool for pool, _ in sizes) if sizes else None,
        at_once=max(at_once for _, at_once in sizes) if sizes else None,
    )


def _summary(values: Floats) -> TimeSummary:
    return time_summary(values, int((~np.isnan(values)).sum()))
