"""What a setting must achieve to be worth taking, in one line of text: ``p95<2s, success>95%``.

METRIC OP VALUE, METRIC OP VALUE ...
METRIC   p50 p90 p95 p99 max mean  response time of what was answered ok; VALUE in s or ms
         success                   share of requests that ended ok; VALUE in % or from 0 to 1
         wer                       mean word error rate; VALUE in % or from 0 up
OP       < <= > >= ==
"""

from __future__ import annotations

import math
import re
from typing import Any

TIMES = ("p50", "p90", "p95", "p99", "max", "mean")
SHARES = ("success", "wer")
PARTS = {"s": 1, "ms": 1000, "%": 100, "": 1}
"""How many of a unit make a second, or a whole."""
EXAMPLE = "p95<2s, success>95%"
_FORM = re.compile(r"(?P<metric>[a-z0-9]+)(?P<op><=|>=|==|<|>)(?P<number>[0-9.e+-]+)(?P<unit>[a-z%]*)")


class ObjectiveError(ValueError):
    """An objective cannot be read; the message names the word and shows a right one."""


def parse(text: str) -> list[dict[str, Any]]:
    """The objectives in their order: ``metric``, ``op``, ``value`` (seconds, or a share) and ``text``, the word itself; [] of nothing.

    Raises:
        ObjectiveError: a word is none.
    """
    if not text.strip():
        return []
    return [_objective("".join(word.split())) for word in text.split(",")]


def _objective(word: str) -> dict[str, Any]:
    form = _FORM.fullmatch(word.lower())
    if form is None:
        raise ObjectiveError(f"objective '{word}' is not METRIC OP VALUE: write it as in '{EXAMPLE}' (operators < <= > >= ==)")
    metric, unit = form["metric"], form["unit"]
    if metric not in (*TIMES, *SHARES):
        raise ObjectiveError(f"objective '{word}': there is no '{metric}', only {', '.join((*TIMES, *SHARES))}, as in '{EXAMPLE}'")
    units = ("s", "ms") if metric in TIMES else ("%", "")
    if unit not in units:
        right = (
            "seconds or milliseconds, as in 'p95<2s' or 'p95<1500ms'" if metric in TIMES else "a share, as in 'success>95%' or 'wer<0.1'"
        )
        raise ObjectiveError(f"objective '{word}': {metric} takes {right}")
    value = _number(word, form["number"]) / PARTS[unit]
    if metric == "success" and value > 1:
        raise ObjectiveError(f"objective '{word}': a share is at most 1 or 100%, as in 'success>95%'")
    return {"metric": metric, "op": form["op"], "value": value, "text": word}


def _number(word: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise ObjectiveError(f"objective '{word}': '{text}' is no number from 0 up, as in '{EXAMPLE}'")
    return value
