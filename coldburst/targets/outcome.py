"""Decides how an attempt ended, for every kind of endpoint, and what a load balancer's 400 means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from coldburst.redact import redact_columns

FAULTS = ("connect", "reset", "deadline", "upload")
# These decide whatever the status is; the last two are those of a custom request, which looked at it.
_BY_WORD = {
    "gave_up_waiting": "queue_timeout",
    "out_of_time": "timed_out",
    "no_quota": "refused",
    "accepted": "ok",
    "not_accepted": "wrong",
}
_BY_STATUS = {408: "timed_out", 429: "throttled", 502: "unreachable", 524: "timed_out"}
WORDS = ("busy", "error", "wrong", "gave_up_waiting", "out_of_time", "no_quota", "accepted", "not_accepted")
# Seconds after sending within which a 400 is the load balancer's own (documented: about 120 s).
HOLD_FROM_S, HOLD_TO_S = 110.0, 135.0
# A service's own limit on waiting, as coldburst.video and its handler name it.
_OWN_LIMIT = re.compile(r"\bqueue[ _]timeout\b", re.IGNORECASE)
_NO_WORKER = re.compile(r"no workers? available|timed out waiting for (a )?worker|worker_timeout", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an answer says (one of WORDS, or ""), the columns that it fills, and the cause that it proves (one of cause.CAUSES, or "").

    Texts in ``measured`` are redacted.
    """

    says: str = ""
    measured: Mapping[str, Any] = field(default_factory=dict)
    cause: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "measured", redact_columns(self.measured))


def decide(*, sent: bool = True, cut: bool = False, fault: str = "", status: int | None = None, says: str = "") -> str:
    """The outcome of an attempt. It is decided nowhere else.

    Args:
        sent: whether the request was sent at all.
        cut: whether the run was cut while it was in flight.
        fault: what broke the exchange, one of FAULTS, or "".
        status: HTTP status of a complete answer; None with a fault.
        says: what the answer says, one of WORDS, or "".

    Raises:
        ValueError: no evidence, or a word that is not in FAULTS or WORDS.
    """
    if (fault and fault not in FAULTS) or (says and says not in WORDS):
        raise ValueError(f"unknown evidence: fault={fault!r}, says={says!r}")
    if not sent:
        return "not_sent"
    if cut:
        return "unfinished"
    if fault:
        return {"deadline": "abandoned", "upload": "failed"}.get(fault, "unreachable")
    if status is None:
        raise ValueError("an attempt without a fault has a status")
    return _of_answer(status, says)


def _of_answer(status: int, says: str) -> str:
    if named := _BY_WORD.get(says) or _BY_STATUS.get(status):
        return named
    if status in (409, 503) and says == "busy":
        return "busy"
    if 500 <= status < 600:
        return "failed"
    if 400 <= status < 500:
        return "refused"
    if 200 <= status < 300:
        return {"error": "failed", "wrong": "wrong"}.get(says, "ok")
    # A redirect, or a status that HTTP does not have.
    return "wrong"


def judge_400(took_s: float, error: str, from_s: float = HOLD_FROM_S, to_s: float = HOLD_TO_S) -> tuple[str, str]:
    """Whether the load balancer ("gave_up_waiting") or a worker ("") answered 400, and a note for the error's text.

    Its time decides: the platform holds a request for a worker, then gives up. Bodies such as ``{"error": "no workers available"}``
    were observed but are not documented, so a body that contradicts the time is only noted.

    Args:
        took_s: from sending to the answer.
        error: the text of the answer.
        from_s, to_s: the time within which the platform gives up.
    """
    held = from_s <= took_s <= to_s
    note = f" (after {took_s:.1f} s)"
    if held != bool(_NO_WORKER.search(error)):
        note = f" (after {took_s:.1f} s; by its time {'the platform gave up waiting' if held else 'not the end of a wait for a worker'})"
    return "gave_up_waiting" if held else "", note


def gave_up_waiting(error: str) -> bool:
    """Whether a service's error says that the request waited for its queue's own limit and was not run."""
    return bool(_OWN_LIMIT.search(error))


def may_end_a_wait(status: int | None, took_s: float | None, error: str) -> bool:
    """Whether a refused attempt may have ended a wait for a worker, by its text or its time.

    There is no upper limit: whatever bounds decided the outcome, a 400 after HOLD_FROM_S was not a quick refusal.
    """
    return status == 400 and (bool(_NO_WORKER.search(error)) or (took_s or 0.0) >= HOLD_FROM_S)
