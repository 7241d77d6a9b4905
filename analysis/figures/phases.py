"""Where the response time of a request goes: held, earlier tries, queue, cold start, execution, the rest."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ..tables.cold_start_rule import PARTS
from ..text.number_format import plural
from .bins import Floats, floats
from .style import PHASES

SEEN = 0.002
ROUNDED_S = 1e-5
"""Times are written to the microsecond: what is left between them is rounding."""
CHUNK = 1_000_000
"""Rows taken at once, so that a run of millions does not need all phases of all rows in memory."""


def phases(rows: pd.DataFrame) -> dict[str, Floats]:
    """Seconds of each phase, a value a row of ``tables.requests``; they add up to response_s. All 0 without an end.

    * ``held_s``: scheduled → first sent: at the in-flight cap, and the generator's own lateness
    * ``tries_s``: first sent → last sent: earlier tries and the waits between them
    * ``queue_s``: the wait for an endpoint worker without the cold start; of a queue time-out all from sent to its end
    * ``cold_s``: the part of the wait in which the endpoint worker started; the whole wait of a cold request where
      that part is not known
    * ``execution_s``: as the endpoint tells it; ``rest_s``: what of the service time neither explains
    * ``untold_s``: the service time where the endpoint tells neither queue delay nor execution time
    """
    response, service = (np.maximum(_known(rows, name), 0.0) for name in ("response_s", "service_s"))
    response = np.where(np.isnan(floats(rows, "response_s")), 0.0, response)
    service = np.minimum(service, response)
    held = np.clip(_known(rows, "held_s") + _known(rows, "lateness_s"), 0.0, response - service)
    said, gave_up = phases_told(rows), (rows["outcome"] == "queue_timeout").to_numpy(dtype=bool)
    execution = np.minimum(_known(rows, "execution_s"), service) * said
    wait = np.clip(_known(rows, "wait_s"), 0.0, service - execution) * said
    wait = np.where(gave_up, service - execution, wait)
    cold = np.minimum(_cold(rows, wait), wait)
    rest = service - execution - wait
    parts = (
        held,
        np.where(response - service - held > ROUNDED_S, response - service - held, 0.0),
        wait - cold,
        cold,
        execution,
        np.where(said | gave_up, rest, 0.0),
        np.where(said | gave_up, 0.0, rest),
    )
    return dict(zip(PHASES, parts, strict=True))


def phases_told(rows: pd.DataFrame) -> np.typing.NDArray[np.bool_]:
    """Of which requests that ended the endpoint told queue delay or execution time."""
    return np.asarray((rows["queue_s"].notna() | rows["execution_s"].notna()) & rows["done_s"].notna(), dtype=np.bool_)


def visible_phases(data: pd.DataFrame) -> list[str]:
    """The phases that a drawing of ``data`` shows: those of 0.2 % of all its time or more. A key of more would name what nobody sees."""
    sums = data[list(PHASES)].sum()
    return [name for name in PHASES if sums[name] > 0 and sums[name] >= SEEN * sums.sum()]


def chunks(rows: pd.DataFrame) -> Iterator[tuple[slice, dict[str, Floats]]]:
    """The phases of CHUNK rows at a time, and which rows those are."""
    for start in range(0, len(rows), CHUNK):
        place = slice(start, start + CHUNK)
        yield place, phases(rows.iloc[place])


def cold_remark(rows: pd.DataFrame) -> str:
    """What a caption says of cold starts that are not told apart from the wait; "" where there is none."""
    met = rows["cold"].fillna(False).to_numpy(dtype=bool) & phases_told(rows)
    whole = int((met & np.isnan(floats(rows, PARTS[1]))).sum())
    whose = plural(whole, "cold request")
    return f" Of {whose} the start of the endpoint worker is not known: the whole wait counts as cold start." if whole else ""


def _known(rows: pd.DataFrame, name: str) -> Floats:
    return np.nan_to_num(floats(rows, name), nan=0.0)


def _cold(rows: pd.DataFrame, wait: Floats) -> Floats:
    met = rows["cold"].fillna(False).to_numpy(dtype=bool)
    part = floats(rows, PARTS[1])
    return np.where(met, np.where(np.isnan(part), wait, part), 0.0)
