"""How an attempt ended: one function decides for every target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FAULTS = ("connect", "reset", "deadline")
WORDS = ("busy", "error", "wrong", "gave_up_waiting", "out_of_time")


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
