"""How many workers there shall be: both of RunPod's formulas, in periodic checks.

    REQUEST_COUNT   desired = clamp(ceil((in queue + in progress) / value), min, max)
    QUEUE_DELAY     one more when a request has waited longer than value seconds

Jobs of low priority are in neither. Source: RunPod's documentation, endpoint configurations. A check
that would change nothing is passed over, so that an endpoint at rest needs no clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from coldburst.serverless.worker_pool import WorkerPool


class Load(NamedTuple):
    """What is asked of the endpoint, jobs of low priority left out.

    Attributes:
        waiting, working: jobs or requests that wait; that a worker has.
        oldest_s: since when the first in the queue waits; None = nothing waits.
    """

    waiting: int
    working: int
    oldest_s: float | None


def request_count(load: Load, value: float, least: int, most: int) -> int:
    """clamp(ceil((waiting + working) / value), least, most)."""
    return max(least, min(most, math.ceil((load.waiting + load.working) / value)))


class Scaler:
    """Checks every ``check_s``, counted from ``origin_s``."""

    def __init__(self, fleet: WorkerPool, load: Callable[[], Load], origin_s: float) -> None:
        self._fleet, self._load = fleet, load
        self._origin_s = origin_s
        self._checked = -1

    def first(self, now: float) -> None:
        """Add a worker at once where there is none and something waits."""
        fleet = self._fleet
        if fleet.platform.first_at_once and not fleet.wanted and fleet.most and now >= fleet.held_until_s:
            fleet.add(now)

    def due_s(self, now: float) -> float:
        """The next check that would change something, if nothing else changes before it; infinity = none would."""
        since_s = min(self._surplus_since(), self._short_since())
        if since_s == math.inf:
            return since_s
        check_s = self._fleet.platform.check_s
        number = max(self._checked, math.floor((max(since_s, now) - self._origin_s) / check_s)) + 1
        return self._origin_s + number * check_s

    def check(self, now: float) -> None:
        """One check."""
        self._checked = round((now - self._origin_s) / self._fleet.platform.check_s)
        if self._short_since() < now:
            for _ in range(self._to_add()):
                self._fleet.add(now)
        while self._surplus_since() <= now:
            self._shed(now)

    def _short_since(self) -> float:
        """A check after this instant adds a worker; infinity = none does as things stand."""
        fleet = self._fleet
        policy, wanted = fleet.policy, fleet.wanted
        if wanted < policy.workers_min:
            return fleet.held_until_s
        if wanted >= fleet.most:
            return math.inf
        load = self._load()
        if policy.scaler == "REQUEST_COUNT":
            short = self._desired(load) > wanted
            return fleet.held_until_s if short and self._starts_left() != 0 else math.inf
        if load.oldest_s is None or self._starts_left() == 0:
            return math.inf
        return max(load.oldest_s + policy.scaler_value, fleet.held_until_s) if wanted else fleet.held_until_s

    def _desired(self, load: Load) -> int:
        policy = self._fleet.policy
        return request_count(load, policy.scaler_value, policy.workers_min, self._fleet.most)

    def _starts_left(self) -> int | None:
        """Workers that may begin to initialize now; None = no bound."""
        platform = self._fleet.platform
        bound = platform.starting_after_failure if self._fleet.failed_starts else platform.starting_at_once
        return max(bound - self._fleet.starting, 0) if bound else None

    def _to_add(self) -> int:
        fleet, policy = self._fleet, self._fleet.policy
        if fleet.wanted < policy.workers_min:
            return policy.workers_min - fleet.wanted
        step = fleet.platform.step
        if policy.scaler == "REQUEST_COUNT":
            number = self._desired(self._load()) - fleet.wanted
            number = min(number, step) if step else number
        else:
            number = min(fleet.most - fleet.wanted, step or 1)
        left = self._starts_left()
        return number if left is None else min(number, left)

    def _surplus_since(self) -> float:
        """A check from this instant on takes a worker away; infinity = none does as things stand."""
        fleet = self._fleet
        if not self._surplus():
            return math.inf
        return -math.inf if fleet.count["THROTTLED"] else next(iter(fleet.idle.values())).since_s + fleet.platform.surplus_s

    def _surplus(self) -> int:
        """Workers that a check takes away: throttled ones that nothing waits for; without an idle time-out also idle ones."""
        fleet = self._fleet
        throttled = fleet.count["THROTTLED"]
        if fleet.policy.idles:
            return 0 if not throttled or self._load().waiting else min(throttled, max(fleet.wanted - fleet.policy.workers_min, 0))
        if not throttled and not fleet.idle:
            return 0
        desired = self._desired(self._load())
        idle = max(min(len(fleet.idle), fleet.serving - desired), 0)
        return max(min(throttled + idle, fleet.wanted - desired), 0)

    def _shed(self, now: float) -> None:
        throttled = list(self._fleet.in_state("THROTTLED"))
        if throttled:
            self._fleet.stop(throttled[-1], now)
        else:
            self._fleet.stop_idle(now)
