"""What the endpoint said of itself: jobs waiting and at work, and its workers by state, beside the load that was offered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..runs.load import RUNPOD
from ..tables.run_tables import Tables
from ..text.number_format import plural
from . import bins
from .style import JOBS, STATES, MissingPlot

MOST_BINS = 300
MOST_LOOKS = 400
_NAME, _TITLE = "endpoint", "The endpoint's own word: jobs, and endpoint workers by state"


@dataclass(frozen=True)
class EndpointAnswers:
    """Jobs and endpoint workers as the endpoint reported them, with the load beside them; ``caption`` says how they were asked for."""

    data: pd.DataFrame
    caption: str


def endpoint_answers(tables: Tables) -> EndpointAnswers | MissingPlot | None:
    """What the endpoint reported; MissingPlot where it should have and did not, None where the kind of endpoint reports nothing."""
    rows = tables.run.endpoint
    if rows is None:
        missing = "the run has no endpoint.csv, or an empty one: nobody asked the endpoint after itself"
        return MissingPlot(_NAME, _TITLE, missing) if tables.run.kind in RUNPOD else None
    good = rows[rows["error"] == ""]
    if good.empty:
        return MissingPlot(_NAME, _TITLE, f"the endpoint gave no answer that could be read, in {len(rows):,} times asked")
    view = "workers" if (good["view"] == "workers").any() else "health"
    jobs, workers = good[good["view"] == "health"], good[good["view"] == view]
    parts = [_part(jobs, "jobs", list(JOBS)), _part(workers, "workers", list(STATES)), offered(tables)]
    data = pd.concat([*parts, *measured(tables)], ignore_index=True)
    return EndpointAnswers(data, _caption(good, rows, view))


def _part(rows: pd.DataFrame, part: str, names: list[str]) -> pd.DataFrame:
    """What was said, look by look; of more than MOST_LOOKS of a long run the largest of each stretch."""
    said = rows.sort_values("at_s")[["at_s", *names]].astype("float64")
    if len(said) > MOST_LOOKS:
        width_s = bins.width_s(float(said["at_s"].max() - said["at_s"].min()), MOST_LOOKS)
        said = said.groupby(said["at_s"].floordiv(width_s) * width_s)[names].max().reset_index()
    return said.assign(part=part)


def bin_s(tables: Tables) -> float:
    """The width of the bins of rates: a second, longer in a long run."""
    due, done = (tables.requests[name].max() for name in ("scheduled_s", "done_s"))
    longest = np.nanmax([0.0, *(float(end) for end in (due, done) if pd.notna(end))])
    return max(1.0, float(np.ceil(longest / MOST_BINS)))


def offered(tables: Tables) -> pd.DataFrame:
    """Arrivals that were due in each bin, per second; none where there is no such rate."""
    due = bins.floats(tables.requests, "scheduled_s")
    if tables.throughput.not_offered or not len(due):
        return pd.DataFrame({"at_s": [], "offered_per_s": [], "part": []})
    width_s = bin_s(tables)
    count = bins.bin_count(float(due.max()), width_s) + 1  # one more, so that the last step has its width and ends at 0
    return pd.DataFrame(
        {"at_s": np.arange(count) * width_s, "offered_per_s": bins.counts(due, 0.0, width_s, count) / width_s, "part": "offered"}
    )


def measured(tables: Tables) -> Iterator[pd.DataFrame]:
    """From when to when a sweep measured, a row a stage."""
    stages = tables.run.stages
    if stages is not None:
        rows = stages[(stages["phase"] == "measure") & stages["start_s"].notna()]
        ends = rows["end_s"].fillna(rows["stop_s"])
        if ends.notna().any():
            yield pd.DataFrame({"at_s": rows["start_s"], "until_s": ends, "stage": rows["stage"], "part": "measured"})[ends.notna()]


def _caption(good: pd.DataFrame, rows: pd.DataFrame, view: str) -> str:
    asked = {name: int((good["view"] == name).sum()) for name in ("health", "workers")}
    waiting = good["in_queue"].max()
    said = f"Asked {plural(asked['health'], 'time')} by /health (jobs)" if asked["health"] else "/health was not asked"
    said += f" and {plural(asked['workers'], 'time')} by the list of workers. " if asked["workers"] else ". "
    said += f"At most {int(waiting):,} waited. " if pd.notna(waiting) else ""
    said += (
        "Workers are those of the list."
        if view == "workers"
        else "Workers are those of /health, which calls some running before they have a container."
    )
    failed = len(rows) - len(good)
    said += " Of looks that stand closer than a stroke the largest is drawn." if max(asked.values()) > MOST_LOOKS else ""
    return said + (f" {plural(failed, 'question')} got no answer that could be read." if failed else "")
