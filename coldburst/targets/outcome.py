"""How an attempt ended: one function decides for every kind of endpoint, and one rule tells what a 400 means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FAULTS = ("connect", "reset", "deadline")
WORDS = ("busy", "error", "wrong", "gave_up_waiting", "out_of_time")
# Seconds from sending within which a load balancer's 400 is the platform's own (documented: about 120 s).
HOLD_FROM_S, HOLD_TO_S = 110.0, 135.0
_NO_WORKER = re.compile(r"no workers? available|timed out waiting for (a )?worker|worker_timeout", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an answer says in its own dialect (one of WORDS, or "") and the columns that it fills."""

    says: str = ""
    measured: Mapping[str, Any] = field(default_factory=dict)


def decide(*, sent: bool = True, cut: bool = False, fault: str = "", status: int | None = None, says: str = "") -> str:
    """The outcome of an attempt, from the evidence; the only place where it is decided.

    Args:
        sent: whether the request left at all.
        cut: whether the run was cut while it was in flight.
        fault: what broke the exchange, one of FAULTS, or "".
        status: HTTP status of a whole answer; None with a fault.
        says: what the answer says in its own dialect, one of WORDS, or "".

    Raises:
        ValueError: no evidence, or a word outside the closed sets.
    """
    if (fault and fault not in FAULTS) or (says and says not in WORDS):
        raise ValueError(f"no such evidence: fault={fault!r}, says={says!r}")
    if not sent:
        return "not_sent"
    if cut:
        return "unfinished"
    if fault:
        return "abandoned" if fault == "deadline" else "unreachable"
    if status is None:
        raise ValueError("an attempt without a fault has a status")
    return _of_answer(status, says)


def _of_answer(status: int, says: str) -> str:
    if says == "gave_up_waiting":
        return "queue_timeout"
    if says == "out_of_time" or status == 524:
        return "timed_out"
    named = {429: "throttled", 502: "unreachable"}.get(status)
    if named:
        return named
    if status == 503 and says == "busy":
        return "busy"
    if 500 <= status < 600:
        return "failed"
    if 400 <= status < 500:
        return "refused"
    if 200 <= status < 300:
        return {"error": "failed", "wrong": "wrong"}.get(says, "ok")
    return "wrong"  # a redirect or no HTTP status at all: an answer, but not to what was asked


def judge_400(took_s: float, error: str, from_s: float = HOLD_FROM_S, to_s: float = HOLD_TO_S) -> tuple[str, str]:
    """What a load balancer's 400 says ("gave_up_waiting", or "" for a worker's own answer), and a note for the error's text.

    The time decides: the platform holds a request for a worker and then gives up. Bodies such as ``{"error": "no workers
    available"}`` have been seen but are not documented, so a body that contradicts the time is only noted.

    Args:
        took_s: from sending to the answer.
        error: the answer's own words.
        from_s, to_s: the time within which the platform gives up.
    """
    held = from_s <= took_s <= to_s
    note = f" (after {took_s:.1f} s)"
    if held != bool(_NO_WORKER.search(error)):
        note = f" (after {took_s:.1f} s; by its time {'the platform gave up waiting' if held else 'not the end of a wait for a worker'})"
    return "gave_up_waiting" if held else "", note


def may_end_a_wait(status: int | None, took_s: float | None, error: str) -> bool:
    """Whether a refused attempt may still have been the end of a wait for a worker, by its words or its time.

    The cause of such an attempt is looked for at the endpoint. There is no upper limit: whatever bounds the outcome was judged by, a
    400 after HOLD_FROM_S was no quick refusal.
    """
    return status == 400 and (bool(_NO_WORKER.search(error)) or (took_s or 0.0) >= HOLD_FROM_S)
