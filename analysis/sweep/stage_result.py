"""The result of each measure stage of a sweep: one setting, one repeat."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from coldburst.lines import one_line

from ..statistics.autocorrelation import Floats
from ..statistics.intervals import Interval, batch_means
from ..statistics.warm_up import warm_up_end
from ..tables.cold_start_rule import PARTS
from ..tables.run_tables import ENDLESS, Tables
from .sweep_settings import SweepSettings, finite

STATES = ("done", "cut", "skipped", "not reached")
UNEVEN = 0.10
# The window without the drain holds at least this share of the answers.
LEAST_INSIDE = 0.5
# The answer that made the last request leave is inside, though both times are rounded.
ROUNDING_S = 1e-5
OF_ATTEMPTS = ["outcome", "sent_s", "done_s", "worker_id"]
OF_REQUESTS = [
    "outcome",
    "scheduled_s",
    "done_s",
    "response_s",
    "service_s",
    "queue_s",
    "execution_s",
    "audio_s",
    "wer",
    "cold",
    "tts_s",
    "video_s",
    *PARTS,
]
HEALTH = "health"
NO_END = "the run was cut off during this stage"


@dataclass(frozen=True)
class Steadiness:
    """Answers ok in the first and second half of the time in which a stage sent requests."""

    first: int
    second: int

    @property
    def yes(self) -> bool:
        """Whether the halves differ by at most UNEVEN of their mean or, by chance, 2 sqrt(n1 + n2)."""
        apart = abs(self.first - self.second)
        return apart <= UNEVEN * (self.first + self.second) / 2 or apart <= 2 * math.sqrt(self.first + self.second)


@dataclass(frozen=True, eq=False)
class StageResult:
    """One measure stage: its requested setting, how it ended, and its rows without the warm-up.

    Attributes:
        concurrency, per_worker: requested concurrency, of the whole endpoint and per worker; None if unknown.
        workers, workers_seen: workers requested, and workers seen by the control or by /health (``workers_by``); None if unknown.
        begin_s … end_s: the five times of stages.csv; the first two include the warm-up.
        attempts, requests: rows of ``Tables`` with the columns OF_ATTEMPTS and OF_REQUESTS.
    """

    stage: str
    cell: str
    repeat: int
    state: str
    why: str
    concurrency: int | None
    workers: int | None
    per_worker: int | None
    workers_seen: int | None
    workers_by: str
    begin_s: float | None
    ready_s: float | None
    start_s: float | None
    stop_s: float | None
    end_s: float | None
    attempts: pd.DataFrame
    requests: pd.DataFrame

    @cached_property
    def ok(self) -> pd.DataFrame:
        """Requests answered ok."""
        return self.requests[self.requests["outcome"] == "ok"]

    @cached_property
    def _ended(self) -> pd.DataFrame:
        ended = self.attempts[~self.attempts["outcome"].isin(ENDLESS)]
        return ended[ended["sent_s"].notna() & ended["done_s"].notna()]

    @cached_property
    def wall_s(self) -> float | None:
        """First sent to last done of attempts that ended, with any outcome; None if nothing took time."""
        span = float(self._ended["done_s"].max() - self._ended["sent_s"].min()) if len(self._ended) else 0.0
        return span if span > 0 else None

    @cached_property
    def window(self) -> tuple[float, float] | None:
        """The time with all places busy: from the first sent, or the end of a warm-up, to the answer before the last sent.

        Then the places become free one by one. It holds at least half of the answers; None if nothing took time.
        """
        if self.wall_s is None:
            return None
        begin, end, sent_s = float(self._ended["sent_s"].min()), float(self._ended["done_s"].max()), float(self._ended["sent_s"].max())
        begin = self.settled_s or begin
        done_s = self._ended["done_s"]
        inside = done_s[(done_s > begin) & (done_s <= sent_s + ROUNDING_S)]
        return (begin, float(inside.max())) if len(inside) >= LEAST_INSIDE * len(done_s) else (begin, end)

    @cached_property
    def settled_s(self) -> float | None:
        """When the answers became as fast as the rest (or as slow: places fill): the end of a warm-up left in the rows, or None."""
        rows = self._ended.sort_values("sent_s")
        cut = warm_up_end((rows["done_s"] - rows["sent_s"]).to_numpy(dtype=np.float64))
        return float(rows["done_s"].iloc[:cut].max()) if cut else None

    def _inside(self, done_s: pd.Series) -> pd.Series:
        begin, end = self.window or (math.inf, math.inf)
        return (done_s > begin) & (done_s <= end + ROUNDING_S)

    @cached_property
    def per_s(self) -> float | None:
        """Throughput: ok within the window ÷ its length."""
        if self.window is None:
            return None
        return float(self._inside(self.ok["done_s"]).sum()) / (self.window[1] - self.window[0])

    @cached_property
    def audio_per_s(self) -> float | None:
        """Audio seconds answered ok ÷ wall; None if no audio length is known."""
        known = self.ok.loc[self._inside(self.ok["done_s"]), "audio_s"].dropna()
        return float(known.sum()) / (self.window[1] - self.window[0]) if self.window and len(known) else None

    @cached_property
    def in_flight(self) -> float | None:
        """Mean requests in flight within the window."""
        if self.window is None:
            return None
        begin, end = self.window
        busy_s = self._ended["done_s"].clip(begin, end) - self._ended["sent_s"].clip(begin, end)
        return float(busy_s.sum()) / (end - begin)

    @cached_property
    def at_endpoint(self) -> float | None:
        """Mean requests that waited or ran at the endpoint, by its own times; None if it tells none. The rest is the network."""
        told = self.ok[self.ok["execution_s"].notna() & (self.ok["service_s"] > 0)]
        if self.in_flight is None or len(told) < LEAST_INSIDE * len(self.ok) or told.empty:
            return None
        there_s = told["execution_s"] + told["queue_s"].fillna(0.0)
        return self.in_flight * min(float(there_s.sum() / told["service_s"].sum()), 1.0)

    @cached_property
    def ids(self) -> int:
        """Number of distinct worker ids in the rows."""
        return int(self.attempts.loc[self.attempts["worker_id"] != "", "worker_id"].nunique())

    @cached_property
    def services(self) -> tuple[Floats, Floats]:
        """When each answer ok within the window was sent, and its service time, in order; seconds."""
        ok = self.ok[self._inside(self.ok["done_s"])].sort_values("done_s")
        return ok["done_s"].to_numpy(dtype=np.float64), ok["service_s"].to_numpy(dtype=np.float64)

    @property
    def seen(self) -> int | None:
        """Endpoint workers seen: by ids in the rows, else by the control, else None."""
        return self.ids or self.workers_seen

    @property
    def seen_by(self) -> str:
        """What counted the workers: answers (ids in the rows), control, health, or "" if nothing did."""
        return "answers" if self.ids else "" if self.workers_seen is None else self.workers_by or "control"

    @cached_property
    def _sending(self) -> tuple[float, float] | None:
        sent = self.attempts["sent_s"].dropna()
        begin = self.start_s if self.start_s is not None else (float(sent.min()) if len(sent) else None)
        end = self.stop_s if self.stop_s is not None else (float(sent.max()) if len(sent) else None)
        return (begin, end) if begin is not None and end is not None and end > begin else None

    @cached_property
    def steady(self) -> Steadiness | None:
        """Answers in both halves of the sending time, or None."""
        if self._sending is None:
            return None
        begin, end = self._sending
        done, middle = self.ok["done_s"], (begin + end) / 2
        return Steadiness(int(((done > begin) & (done <= middle)).sum()), int(((done > middle) & (done <= end)).sum()))

    @cached_property
    def within(self) -> Interval:
        """Throughput with its interval within this stage, by batch means over the window."""
        begin, end = self.window or (0.0, 0.0)
        return batch_means(self.ok["done_s"].dropna().to_list(), begin, end, self.per_s)


def stage_results(of: Tables, settings: SweepSettings) -> list[StageResult]:
    """The measure stages in stages.csv, then those found only in rows, then those not reached."""
    told = list(_told(of))
    seen = {window.stage for window in told}
    named = [str(name) for name in of.attempts["stage"].unique()]
    for name in named:
        cell, repeat = _place(name, settings)
        if cell and name not in seen:
            told.append(_window(of, {"stage": name, "cell": cell, "repeat": repeat, "state": "cut", "why": NO_END}))
    found = {(window.cell, window.repeat) for window in told}
    for repeat in range(1, settings.repeats + 1):
        for cell in settings.cells:
            if (cell, repeat) not in found:
                name = cell if repeat == 1 else f"{cell}-r{repeat}"
                told.append(
                    _window(of, {"stage": name, "cell": cell, "repeat": repeat, "state": "not reached", "why": "the run ended first"})
                )
    return told


def _place(stage: str, settings: SweepSettings) -> tuple[str, int]:
    cell, _, repeat = stage.rpartition("-r")
    if cell in settings.cells and repeat.isdigit():
        return cell, int(repeat)
    return (stage, 1) if stage in settings.cells else ("", 0)


def _told(of: Tables) -> Iterator[StageResult]:
    if of.run.stages is None:
        return
    rows = [{str(key): value for key, value in row.items()} for row in of.run.stages.to_dict("records")]
    warm = {str(row["stage"]): row for row in rows if row["phase"] == "warm-up"}
    for row in (row for row in rows if row["phase"] == "measure"):
        first = warm.get(f"{row['stage']}-warm", row)  # the endpoint settles before the warm-up
        yield _window(of, row | {name: first.get(name) for name in ("begin_s", "ready_s")})


def _window(of: Tables, row: dict[str, Any]) -> StageResult:
    name = str(row["stage"])
    attempts, requests = (
        rows.loc[(rows["stage"] == name) & (rows["phase"] != "warm-up"), used]
        for rows, used in ((of.attempts, OF_ATTEMPTS), (of.requests, OF_REQUESTS))
    )
    state = str(row.get("state") or "")
    return StageResult(
        stage=name,
        cell=str(row.get("cell") or name),
        repeat=_whole(row.get("repeat")) or 1,
        state=state if state in STATES else "cut",
        why=one_line(str(row.get("why") or "")) if state in STATES else f"unknown state {one_line(state, 40)!r}",
        concurrency=_whole(row.get("concurrency")),
        workers=_whole(row.get("workers")),
        per_worker=_whole(row.get("per_worker")),
        workers_seen=_whole(row.get("workers_seen")),
        workers_by=by if (by := str(row.get("workers_by") or "")) in ("control", HEALTH) else "",
        begin_s=_float(row.get("begin_s")),
        ready_s=_float(row.get("ready_s")),
        start_s=_float(row.get("start_s")),
        stop_s=_float(row.get("stop_s")),
        end_s=_float(row.get("end_s")),
        attempts=attempts,
        requests=requests,
    )


def _whole(value: Any) -> int | None:
    return None if value is None or pd.isna(value) else int(value)


def _float(value: Any) -> float | None:
    return None if value is None or pd.isna(value) or not finite(float(value)) else float(value)
