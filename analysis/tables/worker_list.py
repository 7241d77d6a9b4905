"""What the polls of RunPod's worker list showed over a run: each container (run.json, ``platform``), and when the list was polled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..runs.csv_columns import Flags, Floats, floats
from ..statistics.percentiles import ascending

# run.json lists no more containers.
MOST_SPANS = 2000
# The list has uptimes in whole seconds; a start derived from one is up to so much too early or late.
WHOLE_SECONDS_S = 1.0


class Span(msgspec.Struct):
    """See ``coldburst.targets.worker_spans.WorkerSpan``."""

    worker_id: str
    start_s: float
    seen_s: float
    gpu: str = ""
    gpus: int = 1
    ready_s: float | None = None
    busy_s: float | None = None
    gone_s: float | None = None


class Settings(msgspec.Struct):
    """See ``coldburst.targets.platform_facts.PlatformFacts``."""

    type: str = ""
    scaler: str = ""
    scaler_value: float | None = None
    workers_min: float | None = None
    workers_max: float | None = None
    idle_timeout_s: float | None = None
    flashboot: bool = False


class Platform(msgspec.Struct):
    """The entry ``platform`` of run.json."""

    settings: Settings
    workers: list[Span]


def read_platform(about: Mapping[str, Any]) -> Platform | None:
    """The entry of run.json; None if the worker list was not recorded with its containers."""
    try:
        platform = msgspec.convert(about.get("platform"), Platform)
    except msgspec.ValidationError:
        return None
    return platform if platform.settings.scaler or platform.workers else None


@dataclass(frozen=True)
class WorkerList:
    """The polls of the list.

    Attributes:
        platform: the settings, and each container.
        polls_s: when the list was polled with success, ascending.
    """

    platform: Platform
    polls_s: Floats

    @property
    def per_worker(self) -> int | None:
        """Requests that a balancer gives a worker at a time: REQUEST_COUNT's value, as measured on RunPod. None if unknown."""
        settings = self.platform.settings
        known = settings.type == "LOAD_BALANCER" and settings.scaler == "REQUEST_COUNT" and settings.scaler_value
        return int(settings.scaler_value or 1) if known else None

    @cached_property
    def _spans(self) -> Mapping[str, list[Span]]:
        found = defaultdict(list)
        for span in self.platform.workers:
            found[span.worker_id].append(span)
        return found

    def before(self, at_s: Floats) -> NDArray[np.intp]:
        """For each time the place of the last poll up to it, or -1."""
        return np.searchsorted(self.polls_s, at_s, side="right") - 1

    def age_s(self, worker_id: str, at_s: float, whole_s: float) -> float:
        """How long the container ran at a poll: by its start, if the age in whole seconds (and a half) agrees, else ``whole_s``."""
        ages = [at_s - span.start_s for span in self._spans.get(worker_id, ())]
        return next((age_s for age_s in ages if abs(age_s - whole_s) <= WHOLE_SECONDS_S / 2), whole_s)

    def served(self, worker_id: str) -> Flags:
        """For each poll, whether it showed the worker ready in a container."""
        shown = np.zeros(len(self.polls_s), dtype=bool)
        for span in self._spans.get(worker_id, ()):
            if span.ready_s is not None:
                first, last = self.before(np.array([span.ready_s, span.seen_s]))
                shown[max(first, 0) : last + 1] = True
        return shown

    def seen_until(self, worker_id: str, ready_s: float) -> float:
        """The last poll that showed the container in which the worker became ready then; infinite at the end of the run, -inf unlisted."""
        for span in self._spans.get(worker_id, ()):
            if span.start_s - WHOLE_SECONDS_S <= ready_s <= span.seen_s:
                return np.inf if span.gone_s is None else span.seen_s
        return -np.inf

    def starting_since(self, worker_id: str, poll_s: float, until_s: float) -> float:
        """The start of the worker's container where it lies between a poll and ``until_s``, else the poll."""
        return max([poll_s, *(span.start_s for span in self._spans.get(worker_id, ()) if poll_s < span.start_s <= until_s)])

    def unlisted_starts(self, worker_id: str, at_s: Floats) -> list[tuple[float, float]]:
        """Starts that no poll showed, because the worker came and went between two: (earliest, latest time at which it became ready).

        A worker that no poll showed ready just before it began a request (``at_s``, ascending) has started since that poll.
        """
        polls = self.before(at_s)
        shown = np.append(self.served(worker_id), True)  # before the first poll nothing is known
        first = np.flatnonzero(~shown[polls] & (np.diff(polls, prepend=-2) > 0))
        return [(self.starting_since(worker_id, float(self.polls_s[polls[k]]), float(at_s[k])), float(at_s[k])) for k in first]


def worker_list(about: Mapping[str, Any], endpoint: pd.DataFrame | None) -> WorkerList | None:
    """The polls of a run's list; None if it was not recorded, or is longer than run.json can list."""
    platform = read_platform(about)
    if platform is None or endpoint is None or len(platform.workers) >= MOST_SPANS:
        return None
    polls = endpoint.loc[(endpoint["view"] == "workers") & (endpoint["error"] == ""), "at_s"]
    return WorkerList(platform, ascending(floats(polls))) if len(polls) else None
