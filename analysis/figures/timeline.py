"""The timeline: offered rate, completions, in flight, the endpoint's jobs and workers, and what went wrong when, above one axis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from coldburst.record.attempt import OUTCOMES

from ..tables.run_tables import ENDLESS, Tables
from ..text.number_format import plural
from . import bins, endpoint_answers, panels
from .bins import codes, floats
from .endpoint_answers import EndpointAnswers
from .panels import COLD_STARTS
from .style import MissingPlot, Plot

NAME, TITLE = "timeline", "Timeline: load, answers, endpoint, and what went wrong"
STROKES = 400
"""Places at which a lane can have a stroke: two events that are nearer share one."""
NO_WORD = "Nothing tells of the endpoint's queue and of its workers."


def timeline(tables: Tables) -> Plot | MissingPlot:
    """All that has a time, one panel above the other."""
    if tables.requests.empty:
        return MissingPlot(NAME, TITLE, "no request has a row")
    reported = endpoint_answers.endpoint_answers(tables)
    told = (
        reported.data
        if isinstance(reported, EndpointAnswers)
        else pd.concat([endpoint_answers.offered(tables), *endpoint_answers.measured(tables)])
    )
    end_s = _end_s(tables, told)
    parts = [told, _completed(tables), _in_flight(tables), *_marks(tables, end_s), _lost(tables, end_s)]
    parts = [part for part in parts if len(part)]
    if not parts:
        return MissingPlot(NAME, TITLE, "no request was sent, and no rate was offered")
    data = pd.concat(parts, ignore_index=True)
    said = _endpoint_sentence(reported)
    plot = Plot(NAME, TITLE, f"{_caption(tables, data)} {said}", data, panels.draw)
    return replace(plot, height_in=panels.height_in(data))


def _endpoint_sentence(reported: EndpointAnswers | MissingPlot | None) -> str:
    if reported is None:
        return NO_WORD
    return reported.caption if isinstance(reported, EndpointAnswers) else f"The endpoint: {reported.reason}."


def _end_s(tables: Tables, told: pd.DataFrame) -> float:
    ends = [tables.attempts[name].max() for name in ("scheduled_s", "done_s")] + ([told["at_s"].max()] if len(told) else [])
    return float(max([1e-3, *(end for end in ends if pd.notna(end))]))


def _completed(tables: Tables) -> pd.DataFrame:
    """Requests answered ok in each bin, per second."""
    rows = tables.requests
    done = floats(rows, "done_s")[(rows["outcome"] == "ok").to_numpy(dtype=bool)]
    if not len(done) or np.isnan(done).all():
        return pd.DataFrame()
    width_s = endpoint_answers.bin_s(tables)
    count = bins.bin_count(float(np.nanmax(done)), width_s) + 1
    rates = bins.counts(done, 0.0, width_s, count) / width_s
    return pd.DataFrame({"at_s": np.arange(count) * width_s, "completed_per_s": rates, "part": "completed"})


def _in_flight(tables: Tables) -> pd.DataFrame:
    """Attempts sent less attempts ended, at the end of each bin; those that never ended stay."""
    sent, done = floats(tables.attempts, "sent_s"), floats(tables.attempts, "done_s")
    if np.isnan(sent).all():
        return pd.DataFrame()
    last = float(np.nanmax(np.append(done, sent)))
    width_s = bins.width_s(max(last, 1e-3), 2 * bins.MOST)
    count = bins.bin_count(last, width_s)
    flying = np.cumsum(bins.counts(sent, 0.0, width_s, count) - bins.counts(done[~np.isnan(sent)], 0.0, width_s, count))
    return pd.DataFrame({"at_s": np.arange(count + 1) * width_s, "in_flight": np.append([0], flying), "part": "in_flight"})


def _marks(tables: Tables, end_s: float) -> Iterator[pd.DataFrame]:
    """A lane of strokes for each outcome that is not ok, at its attempts' ends, and one for cold starts."""
    names = [name for name in OUTCOMES if name not in ("ok", *ENDLESS)]
    rows = tables.attempts[~tables.attempts["outcome"].isin(["ok", *ENDLESS])]
    kind, done = codes(rows["outcome"], names), floats(rows, "done_s")
    for place, name in enumerate(names):
        yield _strokes(name, done[kind == place], end_s)
    yield _strokes(COLD_STARTS, _cold_starts(tables), end_s)


def _cold_starts(tables: Tables) -> bins.Floats:
    """When endpoint workers became ready; where nothing tells, when the cold requests reached theirs."""
    ready = floats(tables.starts, "ready_s")
    if len(ready):
        return ready[ready >= 0]
    rows = tables.requests
    return floats(rows[rows["cold"].fillna(False).astype(bool)], "start_s")


def _strokes(kind: str, at_s: bins.Floats, end_s: float) -> pd.DataFrame:
    """At most STROKES instants, the first of each stretch, and how many each stands for."""
    known = np.sort(at_s[~np.isnan(at_s)])
    if not len(known):
        return pd.DataFrame()
    places = (known / end_s * STROKES).astype(np.intp)
    _, first, count = np.unique(places, return_index=True, return_counts=True)
    return pd.DataFrame({"at_s": known[first], "kind": kind, "count": count, "part": "mark"})


def _lost(tables: Tables, end_s: float) -> pd.DataFrame:
    """From when to when a load generator's share was with nobody: last heard → dealt to others, come back, or the end."""
    events = tables.run.events
    gone = events[events["kind"].isin(["generator_lost", "share_dealt", "generator_back"])] if events is not None else pd.DataFrame()
    if gone.empty or not (gone["kind"] == "generator_lost").any():
        return pd.DataFrame()
    made = []
    for name, rows in gone.sort_values("at_s", kind="stable").groupby("generator", sort=False, observed=True):
        for at_s, silent_s in rows.loc[rows["kind"] == "generator_lost", ["at_s", "seconds"]].itertuples(index=False):
            over = rows.loc[(rows["kind"] != "generator_lost") & (rows["at_s"] >= at_s), "at_s"]
            begin = at_s - silent_s if silent_s > 0 else at_s
            made.append({"at_s": max(begin, 0.0), "until_s": over.min() if len(over) else end_s, "stage": name, "part": "lost"})
    return pd.DataFrame(made)


def _caption(tables: Tables, data: pd.DataFrame) -> str:
    there = set(data["part"])
    said = f"n = {plural(len(tables.requests), 'request')}, {plural(len(tables.attempts), 'attempt')}. "
    said += "Offered: due per second; completed" if "offered" in there else f"No offered rate ({tables.throughput.not_offered}). Completed"
    said += (
        f": answered ok per second, in bins of {bins.width_text(endpoint_answers.bin_s(tables))}. In flight: attempts sent and not ended."
    )
    if COLD_STARTS in set(data["kind"].dropna() if "kind" in data else ()):
        said += " Cold start: an endpoint worker became ready." if len(tables.starts) else " Cold start: a cold request reached its worker."
    said += " Strokes stand at the attempts' ends." if "mark" in there else ""
    said += " Shaded grey: a stage was measured." if "measured" in there else ""
    if "lost" in there:
        said += " Shaded red: a lost load generator's share was with nobody."
    return said
