"""The scaler: periodic checks of how many workers there should be, by RunPod's two formulas.

    REQUEST_COUNT   desired = clamp(ceil((in queue + in progress) / value), min, max)
    QUEUE_DELAY     one more when a request has waited longer than value seconds, while more wait than workers start

A queue endpoint under REQUEST_COUNT gets there slowly: one step, then a pause of ``rise_s``.
Jobs of low priority do not count. Source: RunPod's documentation, endpoint configurations. Checks that would change nothing
are skipped, so an idle endpoint needs no clock.
"""

from __future__ import annotations

import math

from coldburst.serverless.line import Line, Load
from coldburst.serverless.worker_pool import WorkerPool


def request_count(load: Load, value: float, least: int, most: int) -> int:
    """clamp(ceil((waiting + working) / value), least, most)."""
    return max(least, min(most, math.ceil((load.waiting + load.working) / value)))


class Scaler:
    """Checks every ``check_s``, counted from ``origin_s``."""

    def __init__(self, pool: WorkerPool, line: Line, origin_s: float) -> None:
        self._pool, self._line = pool, line
        self._origin_s = origin_s
        # Numbers of the last check, and of the one that is due.
        self._checked = self._due = -1
        self._added_s = -math.inf

    def scale_from_zero(self, now: float) -> None:
        """Add the first worker at once."""
        pool = self._pool
        if pool.platform.first_at_once and not pool.wanted and pool.limit and now >= pool.paused_until_s:
            self._add(now)

    def _add(self, now: float) -> None:
        self._added_s = now
        self._pool.add(now)

    def due_s(self, now: float) -> float:
        """The next check that would change something as things are; infinity = none."""
        since_s = self._shortage_since()
        if not self._pool.idles or self._pool.count["THROTTLED"]:
            since_s = min(since_s, self._surplus_since())
        if since_s == math.inf:
            self._due = self._checked
            return since_s
        check_s, was_due = self._pool.platform.check_s, self._due
        self._due = max(self._checked, math.floor((max(since_s, now) - self._origin_s) / check_s)) + 1
        # What happens at the very instant of a check that is due does not put it off.
        if self._checked < was_due < self._due and now <= (due_s := self._origin_s + was_due * check_s) and since_s < due_s:
            self._due = was_due
        return self._origin_s + self._due * check_s

    def check(self, now: float) -> None:
        """Run one check."""
        self._checked = round((now - self._origin_s) / self._pool.platform.check_s)
        if self._shortage_since() < now:
            for _ in range(self._to_add()):
                self._add(now)
        while self._surplus_since() <= now:
            self._remove_one(now)

    def _shortage_since(self) -> float:
        """A check after this instant adds a worker; infinity = none does as things are."""
        pool = self._pool
        policy, wanted = pool.policy, pool.wanted
        if wanted < policy.workers_min:
            return pool.paused_until_s
        if wanted >= pool.limit:
            return math.inf
        if policy.scaler == "REQUEST_COUNT":
            short = self._desired() > wanted
            return max(pool.paused_until_s, self._may_rise_s()) if short and self._starts_allowed() != 0 else math.inf
        oldest_s = self._line.oldest_s()
        if oldest_s is None or (pool.starting and self._line.load().waiting <= pool.starting) or self._starts_allowed() == 0:
            return math.inf
        return max(oldest_s + policy.scaler_value, pool.paused_until_s) if wanted else pool.paused_until_s

    def _may_rise_s(self) -> float:
        """When REQUEST_COUNT may add the next worker of a queue endpoint."""
        pool, platform = self._pool, self._pool.platform
        if not pool.wanted or pool.policy.kind != "QUEUE":
            return -math.inf
        return self._added_s + (platform.rise_cached_s if pool.count["CACHED"] else platform.rise_s)

    def _desired(self) -> int:
        policy = self._pool.policy
        return request_count(self._line.load(), policy.scaler_value, policy.workers_min, self._pool.limit)

    def _starts_allowed(self) -> int | None:
        """Workers that may start to initialize now; None = no limit."""
        platform = self._pool.platform
        bound = platform.starting_after_failure if self._pool.failed_starts else platform.starting_at_once
        return max(bound - self._pool.starting, 0) if bound else None

    def _to_add(self) -> int:
        pool, policy = self._pool, self._pool.policy
        if pool.wanted < policy.workers_min:
            return policy.workers_min - pool.wanted
        step = pool.platform.step
        if policy.scaler == "REQUEST_COUNT":
            number = self._desired() - pool.wanted
            number = min(number, step) if step else number
        else:
            number = min(pool.limit - pool.wanted, step or 1)
        left = self._starts_allowed()
        return number if left is None else min(number, left)

    def _surplus_since(self) -> float:
        """A check from this instant on removes a worker; infinity = none does as things are."""
        pool = self._pool
        if not self._surplus():
            return math.inf
        return -math.inf if pool.count["THROTTLED"] else next(iter(pool.idle.values())).since_s + pool.platform.surplus_s

    def _surplus(self) -> int:
        """Workers that a check removes: throttled ones without demand, and idle ones where no idle time-out applies."""
        pool = self._pool
        throttled = pool.count["THROTTLED"]
        if pool.idles:
            return 0 if not throttled or self._line.load().waiting else min(throttled, max(pool.wanted - pool.policy.workers_min, 0))
        if not throttled and not pool.idle:
            return 0
        desired = self._desired()
        idle = max(min(len(pool.idle), pool.serving - desired), 0)
        return max(min(throttled + idle, pool.wanted - desired), 0)

    def _remove_one(self, now: float) -> None:
        throttled = list(self._pool.in_state("THROTTLED"))
        if throttled:
            self._pool.stop(throttled[-1], now)
        else:
            self._pool.stop_idle(now)
