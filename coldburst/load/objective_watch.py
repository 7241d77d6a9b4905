"""Checks objectives during a run, and ends it once one of them cannot be met any more.

Each objective that may end a run says of a request whether it is *bad*, and how many of N may be: of ``p95 < 2 s`` the
answers that took 2 s or longer, at most N − ⌈0.95 N⌉ of N answers. It is given up, once ``after`` requests have ended,

* for certain: more are bad than may be of all that can still come; or
* as good as certain: with k bad of n seen, against the share q that may be, the ratio of k! (n − k)! ÷ (n + 1)! (every
  share as likely as any other) to q^k (1 − q)^(n − k) is 1,000 or more. Of independent requests whose true share is q or
  less at most one run in 1,000 comes to that, however often it is looked at (Ville's inequality; Robbins, Statistical
  Methods Related to the Law of the Iterated Logarithm, 1970). Requests behind a queue, or before the first endpoint
  worker is warm, are not independent: ``after`` is for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from coldburst.load.retries import AGAIN
from coldburst.record.attempt import Attempt
from coldburst.record.objectives import COUNTS, OF_TIMES, Objective, ObjectiveError

DOUBT = 1000.0
"""So much likelier must the misses be under another share than under the one allowed."""
PERCENTS = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}
LIVE_TIMES: dict[str, Callable[[Attempt], float | None]] = {
    "": lambda row: None if row.done_s is None else row.done_s - row.scheduled_s,
    "service_": lambda row: None if row.done_s is None or row.sent_s is None else row.done_s - row.sent_s,
    "queue_": lambda row: row.queue_s,
    "execution_": lambda row: row.execution_s,
}
"""Times that a row tells by itself; cold starts are told apart by all rows together."""


@dataclass
class ObjectiveCounts:
    """What an objective has seen: ``bad`` of ``n`` requests that it is about."""

    objective: Objective
    n: int = 0
    bad: int = 0


class ObjectiveWatch:
    """Judges rows until the first objective is given up.

    Args:
        objectives: those that may end the run, each as ``checked``.
        planned: requests; None where completions decide.
        tries: further tries at a request, at most.
    """

    def __init__(self, objectives: Iterable[Objective], planned: int | None, tries: int) -> None:
        self._tallies = [ObjectiveCounts(one) for one in objectives]
        self._planned, self._tries, self._ended = planned, tries, 0

    def row(self, row: Attempt) -> Objective | None:
        """The objective that is given up with this row. A row that another try may follow is not judged.

        Nor is one that none will follow though tries are left, because the endpoint named too long a time (Retry-After above
        ``coldburst.load.retries.LONGEST_ASKED_S``): that is in no row. The report judges it.
        """
        if row.outcome in AGAIN and row.attempt <= self._tries:
            return None
        self._ended += 1
        for tally in self._tallies:
            bad = _bad(tally.objective, row)
            if bad is not None:
                tally.n += 1
                tally.bad += bad
        return next((tally.objective for tally in self._tallies if self._ended >= tally.objective.after and self._given_up(tally)), None)

    def _given_up(self, tally: ObjectiveCounts) -> bool:
        if not tally.bad:
            return False
        to_come = math.inf if self._planned is None else self._planned - self._ended
        return tally.bad > allowed(tally.objective, tally.n + to_come) or unbelievable(tally.bad, tally.n, _share(tally.objective))


def checked(objective: Objective) -> Objective:
    """``objective``, which may end a run.

    Raises:
        ObjectiveError: it can only be told at the end.
    """
    metric, op = objective.metric, objective.op
    upper, lower = op in ("<", "<="), op in (">", ">=") or (op == "==" and objective.value == 1)
    counted = metric in COUNTS and (upper or (op == "==" and objective.value == 0))
    timed = upper and metric.rpartition("_")[2] in (*PERCENTS, "max") and _of(metric) in LIVE_TIMES
    if not (counted or timed or (metric == "success" and lower)):
        raise ObjectiveError(
            f"objective '{objective.text}' is told at the end only: leave abort out; what may end a run are upper limits of "
            "p50 to p99 and max (also of service_, queue_ and execution_ times) and of counts, and success"
        )
    return objective


def allowed(objective: Objective, n: float) -> float:
    """How many of ``n`` requests may be bad; ``n`` may be infinite."""
    percent = PERCENTS.get(objective.metric.rpartition("_")[2])
    if percent is not None:
        return math.inf if math.isinf(n) else n - -(-int(n) * percent // 100)
    if objective.metric in COUNTS and not objective.share:
        return _most(objective.value, objective.met)
    share = _share(objective)
    if share == 0 or math.isinf(n):
        return 0 if share == 0 else math.inf
    good = (lambda bad: objective.met((n - bad) / n)) if objective.metric == "success" else (lambda bad: objective.met(bad / n))
    return _most(share * n, good)


def unbelievable(bad: int, n: int, share: float) -> bool:
    """Whether ``bad`` of ``n`` cannot be believed of requests of which at most ``share`` are."""
    if not bad > share * n:
        return False
    if share <= 0:
        return True
    any_share = math.lgamma(bad + 1) + math.lgamma(n - bad + 1) - math.lgamma(n + 2)
    return any_share - bad * math.log(share) - (n - bad) * math.log1p(-share) >= math.log(DOUBT)


def _share(objective: Objective) -> float:
    """The share of requests that may be bad; 1 where a number says how many."""
    percent = PERCENTS.get(objective.metric.rpartition("_")[2])
    if percent is not None:
        return 1 - percent / 100
    if objective.metric == "success":
        return 1 - objective.value
    if objective.metric in COUNTS:
        return objective.value if objective.share else 1.0
    return 0.0


def _most(near: float, good: Callable[[int], bool]) -> int:
    """The largest number that is ``good``, not far from ``near``; −1 where none is."""
    most = math.floor(near) + 1
    while most >= 0 and not good(most):
        most -= 1
    return most


def _bad(objective: Objective, row: Attempt) -> bool | None:
    """Whether the request is bad; None where the objective is not about it."""
    metric = objective.metric
    if metric == "success":
        return row.outcome != "ok"
    if metric in COUNTS:
        return row.outcome == COUNTS[metric]
    value = LIVE_TIMES[_of(metric)](row) if row.outcome == "ok" else None
    return None if value is None else not objective.met(value)


def _of(metric: str) -> str:
    return max((of for of in OF_TIMES if metric.startswith(of)), key=len)
