"""The policy of an endpoint: what its operator sets, with the bounds of REST v2."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from coldburst.serverless.errors import require

KINDS = ("QUEUE", "LOAD_BALANCER")
SCALERS = ("QUEUE_DELAY", "REQUEST_COUNT")


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator sets; REST v2 can change all but the kind.

    Attributes:
        kind: QUEUE or LOAD_BALANCER.
        workers_min, workers_max: bounds of the number of workers.
        idle_timeout_s: 1..3600; how long a worker without a job is kept. Of no effect with REQUEST_COUNT on a queue endpoint.
        scaler: QUEUE_DELAY or REQUEST_COUNT; a load balancer takes REQUEST_COUNT only.
        scaler_value: seconds of waiting (at least 0.5), or requests per worker (a whole number, at least 1).
        execution_timeout_s: 0 = none.
        flashboot: whether a worker that is scaled down keeps its state.
        gpu: name of the GPU.

    Raises:
        PolicyError: a value outside these bounds. Source: REST v2's specification.
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
        require(self.kind in KINDS, f"kind {self.kind!r} is not known: it is QUEUE or LOAD_BALANCER")
        require(self.scaler in SCALERS, f"scaler {self.scaler!r} is not known: it is QUEUE_DELAY or REQUEST_COUNT")
        require(
            self.kind == "QUEUE" or self.scaler == "REQUEST_COUNT",
            f"scaler {self.scaler} is not for a load balancer: it takes REQUEST_COUNT",
        )
        require(_whole(self.workers_min, 0), f"workers_min {self.workers_min!r} is not a whole number of at least 0")
        require(
            _whole(self.workers_max, self.workers_min),
            f"workers_max {self.workers_max!r} is not a whole number of at least workers_min ({self.workers_min})",
        )
        require(1 <= self.idle_timeout_s <= 3600, f"idle_timeout_s {self.idle_timeout_s!r} is not within 1 to 3600 seconds")
        self._check_scaler_value()
        require(
            0 <= self.execution_timeout_s < math.inf,
            f"execution_timeout_s {self.execution_timeout_s!r} is not a number of seconds from 0 (none) on",
        )

    def _check_scaler_value(self) -> None:
        value = self.scaler_value
        if self.scaler == "REQUEST_COUNT":
            whole = math.isfinite(value) and value == int(value) and value >= 1
            require(whole, f"scaler_value {value!r} is not a whole number of at least 1, as REQUEST_COUNT takes it")
        else:
            require(0.5 <= value < math.inf, f"scaler_value {value!r} is below the 0.5 seconds that QUEUE_DELAY takes at least")

    @property
    def idles(self) -> bool:
        """Whether the idle time-out applies: not with REQUEST_COUNT on a queue endpoint (REST v2 answers 422)."""
        return self.kind == "LOAD_BALANCER" or self.scaler == "QUEUE_DELAY"

    def changed(self, **settings: Any) -> Policy:
        """The policy with some settings changed.

        Raises:
            PolicyError: an unknown setting, a change of the kind, or a value outside its bounds.
        """
        known = [entry.name for entry in fields(self)]
        for name in settings:
            require(name in known, f"there is no setting {name!r}: there are {', '.join(known)}")
        require(settings.get("kind", self.kind) == self.kind, f"the kind stays {self.kind}: it is fixed when an endpoint is made")
        return replace(self, **settings)


def _whole(value: float, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
