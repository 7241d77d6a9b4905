"""Checks objectives during a run, and ends the run when one of them can no longer be met.

Each objective with ``abort`` defines which requests are *bad*, and how many of N may be: for ``p95 < 2 s`` the responses
that took 2 s or longer, at most N − ⌈0.95 N⌉ of N. After ``after`` requests, the objective fails

* with certainty: more requests are bad than the limit allows for all that can still come; or
* almost certainly: with k bad of n, and the permitted share q, the ratio of k! (n − k)! ÷ (n + 1)! (every share equally
  likely) to q^k (1 − q)^(n − k) is at least 1,000. If requests are independent and their true share is q or less, at most
  one run in 1,000 reaches that, however often it is checked (Ville's inequality; Robbins, Statistical Methods Related to
  the Law of the Iterated Logarithm, 1970). Requests in a queue, or before the first warm endpoint worker, are not
  independent: ``after`` is for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from coldburst.record.attempt import Attempt, response_s
from coldburst.record.objectives import COUNTS, OF_TIMES, Objective, ObjectiveError
from coldburst.schedule.retries import AGAIN

# Likelihood ratio from which an objective counts as failed.
DOUBT = 1000.0
PERCENTS = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}
# Times that one row shows. Cold starts are found only from all rows together.
LIVE_TIMES: dict[str, Callable[[Attempt], float | None]] = {
    "": response_s,
    "service_": lambda row: None if row.done_s is None or row.sent_s is None else row.done_s - row.sent_s,
    "queue_": lambda row: row.queue_s,
    "execution_": lambda row: row.execution_s,
    "ttft_": lambda row: row.ttft_s,
}


@dataclass
class ObjectiveCounts:
    """``bad`` of the ``n`` requests that an objective covers."""

    objective: Objective
    n: int = 0
    bad: int = 0


class ObjectiveWatch:
    """Checks rows until the first objective fails.

    Args:
        objectives: the ones that may end the run; see ``check_abort``.
        planned: number of requests; None if completions decide.
        tries: maximum of retries per request.
    """

    def __init__(self, objectives: Iterable[Objective], planned: int | None, tries: int) -> None:
        self._tallies = [ObjectiveCounts(one) for one in objectives]
        self._planned, self._tries, self._ended = planned, tries, 0

    def row(self, row: Attempt) -> Objective | None:
        """The objective that fails with this row, if any. Rows that a retry may follow are not counted.

        That includes rows without a retry because the endpoint asked for too long a pause (LONGEST_ASKED_S): no row says so.
        The report counts them.
        """
        if row.outcome in AGAIN and row.attempt <= self._tries:
            return None
        self._ended += 1
        for tally in self._tallies:
            bad = _bad(tally.objective, row)
            if bad is not None:
                tally.n += 1
                tally.bad += bad
        return next((tally.objective for tally in self._tallies if self._ended >= tally.objective.after and self._fails(tally)), None)

    def _fails(self, tally: ObjectiveCounts) -> bool:
        if not tally.bad:
            return False
        to_come = math.inf if self._planned is None else self._planned - self._ended
        return tally.bad > allowed(tally.objective, tally.n + to_come) or unbelievable(tally.bad, tally.n, _share(tally.objective))


def check_abort(objective: Objective) -> None:
    """Raises ObjectiveError if ``objective`` cannot be decided during a run."""
    metric, op = objective.metric, objective.op
    upper, lower = op in ("<", "<="), op in (">", ">=") or (op == "==" and objective.value == 1)
    counted = metric in COUNTS and (upper or (op == "==" and objective.value == 0))
    timed = upper and metric.rpartition("_")[2] in (*PERCENTS, "max") and _of(metric) in LIVE_TIMES
    if not (counted or timed or (metric == "success" and lower)):
        raise ObjectiveError(
            f"objective '{objective.text}' can only be decided at the end: leave out abort; a run can end early for upper limits of "
            "p50 to p99 and max (also of service_, queue_, execution_ and ttft_ times) and of counts, and for success"
        )


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
    """Whether ``bad`` of ``n`` is too many for a true share of at most ``share``."""
    if not bad > share * n:
        return False
    if share <= 0:
        return True
    any_share = math.lgamma(bad + 1) + math.lgamma(n - bad + 1) - math.lgamma(n + 2)
    return any_share - bad * math.log(share) - (n - bad) * math.log1p(-share) >= math.log(DOUBT)


def _share(objective: Objective) -> float:
    """The share of requests that may be bad; 1 if the limit is a number."""
    percent = PERCENTS.get(objective.metric.rpartition("_")[2])
    if percent is not None:
        return 1 - percent / 100
    if objective.metric == "success":
        return 1 - objective.value
    if objective.metric in COUNTS:
        return objective.value if objective.share else 1.0
    return 0.0


def _most(near: float, good: Callable[[int], bool]) -> int:
    """The largest ``good`` number, searched down from just above ``near``; −1 if there is none."""
    most = math.floor(near) + 1
    while most >= 0 and not good(most):
        most -= 1
    return most


def _bad(objective: Objective, row: Attempt) -> bool | None:
    """Whether the request is bad; None if the objective does not cover it."""
    metric = objective.metric
    if metric == "success":
        return row.outcome != "ok"
    if metric in COUNTS:
        return row.outcome == COUNTS[metric]
    value = LIVE_TIMES[_of(metric)](row) if row.outcome == "ok" else None
    return None if value is None else not objective.met(value)


def _of(metric: str) -> str:
    return max((of for of in OF_TIMES if metric.startswith(of)), key=len)
