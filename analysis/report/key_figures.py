"""The one table with the figures of a run that a reader looks for first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..runs.csv_columns import floats
from ..statistics.percentiles import Percentile
from ..tables.burst import prediction
from ..tables.cold_runs import cold_run
from ..tables.cost import cost
from ..tables.run_tables import Tables
from ..text.number_format import number, percent, seconds, seconds_range
from ..text.sheet import Sheet
from .unit_sheet import unit_sheets
from .workload_sheets import workload_sheets

TITLE = "Key figures"
SHOWN = (50, 95, 99)
Row = tuple[str, str, str, str]


def key_figures(of: Tables) -> Sheet:
    """Success, throughput, response times, then what the answers held; a column of intervals if there are any."""
    rows = (*_success(of), *_cold(of), *_times(of), *_workload(of), *_cost(of))
    remark = "Response time: done − scheduled, of requests answered ok; nearest-rank percentiles."
    ahead = prediction(of)
    head = ("", "Value", f"Next {ahead.unit}, 95 %" if ahead else "95 % interval", "What it is")
    if any(interval for _, _, interval, _ in rows):
        return Sheet(TITLE, head, rows, remark, aside=True)
    return Sheet(TITLE, (*head[:2], head[3]), tuple((name, value, what) for name, value, _, what in rows), remark, aside=True)


def _success(of: Tables) -> Iterator[Row]:
    book, found = of.ledger, of.throughput
    ok = book.counts.get("ok", 0)
    share = f" ({percent(ok / book.planned)})" if book.planned else ""
    yield ("success", f"{ok:,} of {book.planned:,}{share}", "", "answered ok ÷ planned")
    if found.offered_per_s is not None:
        yield ("offered rate", number(found.offered_per_s, "requests per s"), "", "planned arrivals ÷ the schedule's duration")
    yield ("throughput", number(found.per_s, "ok per s"), "", f"ok ÷ measured wall time, {seconds(found.wall_s)}; failures do not count")


def _cold(of: Tables) -> Iterator[Row]:
    found = cold_run(of)
    if found is not None:
        yield ("cold", seconds(found.cold.at(50).value), _interval(found.cold.at(50)), f"median of {found.cold.n:,} after scale to zero")
        yield ("warm", seconds(found.warm.at(50).value), _interval(found.warm.at(50)), f"median of {found.warm.n:,} to a warm worker")
        yield ("cold-start penalty", seconds(found.penalty_s), "", "median cold − median warm")


def _times(of: Tables) -> Iterator[Row]:
    times, ahead, cold = of.response["ok"], prediction(of), cold_run(of)
    if not times.n or (cold is not None and cold.cold.n):
        return  # percentiles of cold and warm answers together are of neither
    known = floats(of.requests["response_s"])[(of.requests["outcome"] == "ok").to_numpy()]
    yield ("response time, min", seconds(float(np.nanmin(known))), "", "")
    yield ("mean", seconds(times.mean), "", "")
    for p in SHOWN:
        of_p = times.at(p)
        interval = seconds_range(*ahead.ranges[p]) if ahead and p in ahead.ranges else _interval(of_p)
        yield (f"P{p}", seconds(of_p.value), interval, f"n = {of_p.n:,}: this is the maximum" if of_p.maximum else "")
    yield ("max", seconds(times.maximum), "", "")
    ended = of.response["ended"]
    if ended.n != times.n:
        yield ("P95 with failures", seconds(ended.at(95).value), _interval(ended.at(95)), f"all {ended.n:,} requests that ended")


def _interval(of: Percentile) -> str:
    return "" if of.lower is None or of.upper is None else seconds_range(of.lower, of.upper)


def _workload(of: Tables) -> Iterator[Row]:
    sheets = [sheet for sheet in (*workload_sheets(of), *unit_sheets(of)) if len(sheet.head) == len(("name", "value", "beside"))]
    for sheet in sheets:
        interval = sheet.head[2].endswith("interval")
        for name, value, beside in sheet.rows:
            yield (name, value, beside, "") if interval and " to " in beside else (name, value, "", "" if interval else beside)


def _cost(of: Tables) -> Iterator[Row]:
    paid = cost(of)
    if paid.usd is not None:
        yield ("cost", number(paid.usd, "USD"), "", f"{number(paid.worker_s)} worker-seconds × price, an estimate")
