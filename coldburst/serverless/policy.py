"""The policy of an endpoint: the operator's settings within the bounds of REST v2."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from coldburst.serverless.errors import require

KINDS = ("QUEUE", "LOAD_BALANCER")
SCALERS = ("QUEUE_DELAY", "REQUEST_COUNT")


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator sets; REST v2 can change all but the kind. PolicyError for a value out of bounds (source: REST v2's specification).

    Attributes:
        kind: QUEUE or LOAD_BALANCER.
        idle_timeout_s: 1 to 3600; without effect for REQUEST_COUNT on a queue endpoint.
        scaler: QUEUE_DELAY or REQUEST_COUNT; a load balancer takes REQUEST_COUNT only.
        scaler_value: seconds in the queue (at least 0.5), or requests per worker (a whole number from 1).
        execution_timeout_s: 0 = none.
        flashboot: whether workers that are scaled down are cached.
    """

    kind: str = "QUEUE"
    workers_min: int = 0
    workers_max: int = 3
    idle_timeout_s: float = 5.0
    scaler: str = "QUEUE_DELAY"
    scaler_value: float = 4.0
    execution_timeout_s: float = 600.0
    flashboot: bool = False
    gpu: str = "NVIDIA RTX A5000"

    def __post_init__(self) -> None:
        require(self.kind in KINDS, f"kind {self.kind!r} is unknown: use QUEUE or LOAD_BALANCER")
        require(self.scaler in SCALERS, f"scaler {self.scaler!r} is unknown: use QUEUE_DELAY or REQUEST_COUNT")
        fits = self.kind == "QUEUE" or self.scaler == "REQUEST_COUNT"
        require(fits, f"scaler {self.scaler} is not for a load balancer: use REQUEST_COUNT")
        require(_whole(self.workers_min, 0), f"workers_min {self.workers_min!r} is not a whole number of at least 0")
        enough = f"workers_max {self.workers_max!r} is not a whole number of at least workers_min ({self.workers_min})"
        require(_whole(self.workers_max, self.workers_min), enough)
        require(1 <= self.idle_timeout_s <= 3600, f"idle_timeout_s {self.idle_timeout_s!r} is not between 1 and 3600 seconds")
        self._check_scaler_value()
        limit = self.execution_timeout_s
        require(0 <= limit < math.inf, f"execution_timeout_s {limit!r} is not a number of seconds: give 0 (none) or more")

    def _check_scaler_value(self) -> None:
        value = self.scaler_value
        if self.scaler == "REQUEST_COUNT":
            whole = math.isfinite(value) and value == int(value) and value >= 1
            require(whole, f"scaler_value {value!r} is not a whole number of at least 1: REQUEST_COUNT needs one")
        else:
            require(0.5 <= value < math.inf, f"scaler_value {value!r} is not a number of at least 0.5: QUEUE_DELAY takes seconds")

    @property
    def idles(self) -> bool:
        """Whether the idle time-out applies; for REQUEST_COUNT on a queue endpoint REST v2 answers 422."""
        return self.kind == "LOAD_BALANCER" or self.scaler == "QUEUE_DELAY"

    def changed(self, **settings: Any) -> Policy:
        """The policy with other settings; PolicyError for an unknown one, a value out of bounds, or another kind."""
        known = [entry.name for entry in fields(self)]
        for name in settings:
            require(name in known, f"unknown setting {name!r}: use one of {', '.join(known)}")
        require(settings.get("kind", self.kind) == self.kind, f"the kind cannot be changed: it is {self.kind}")
        return replace(self, **settings)


def _whole(value: float, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
