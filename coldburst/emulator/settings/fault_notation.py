"""The notation of faults: JSON objects for ``--fault``, ``faults`` in a configuration file and ``POST /emulator/NAME/fault``.

Their effect is in coldburst/emulator/faults.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

HELP = """\
faults, as JSON for --fault or POST /emulator/NAME/fault (with the token):
  {"kill": "all"}                  kill worker processes: "all", "one" or a worker's id
  {"throttle": 1}                  the hosts have room for one worker; null: no limit
  {"crash_starts": 3}              the next three workers exit before they are ready; true: all; 0: none
  {"never_ack": "all"}             workers take jobs and never acknowledge them: "all" or a worker's id; null: none
  {"reconfigure": 120}             answer /run, /runsync and calls about settings with 409 for 120 s, as after a change of the settings
  {"memory": {"card_gb": 24, "shared_gb": 6, "job_gb": 10}}
                                   for workers that start from now on: a job that does not fit fails
  {"status": 429, "share": 0.2, "for_s": 10, "operation": "status", "retry_after_s": 2}
                                   an error for a share of the requests to one operation, for a time (default: all, any, no end)
  {"status": 500, "times": 3}      an error for the next three requests
  {"reset": true, "share": 0.1}    reset the connection instead of answering
  {"stall_s": [2, 14], "share": 0.15, "operation": "lb"}
                                   hold a request back before it is served, as balancers did in 10 to 19 % of all in paid runs;
                                   with "status": 502, answer so after that time and without a worker's id, as they did after 0.1 to 14 s
  {"health": {"idle": 1, "throttled": 1}, "share": 0.3}
                                   what /health says of workers in a share of its answers; a share of 1 lies, a lower one flickers
  {"clear": true}                  clear all faults"""


WORKERS = ("idle", "initializing", "ready", "running", "throttled", "unhealthy")
EFFECTS = ("status", "reset", "stall_s", "health")
"""One of these makes a rule for requests."""
RESET = -1
MAXIMUM = 1e9
"""Limit of seconds and gigabytes."""


class FaultError(ValueError):
    """An invalid fault; the message is one sentence."""


@dataclass(slots=True)
class FaultRule:
    """A rule for requests.

    Attributes:
        status: of the answer; 0 = the request is served, RESET = the connection is reset instead.
        share: of the requests, 0 to 1.
        until_s: by the endpoint's clock.
        left: remaining requests.
        operation: "" = any.
        stall_s: least and longest hold before the answer.
        health: what /health says of its workers; such a rule leaves other requests alone.
    """

    status: int
    share: float = 1.0
    until_s: float = math.inf
    left: float = math.inf
    operation: str = ""
    retry_after_s: float | None = None
    stall_s: tuple[float, float] | None = None
    health: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault: its kind and value, or for requests its rule (``until_s`` counted from now)."""

    kind: str
    value: Any = None
    rule: FaultRule | None = None


def parse_fault(given: Mapping[str, Any]) -> Fault:
    """The fault in a JSON object; FaultError."""
    if any(name in given for name in EFFECTS):
        return Fault("rule", rule=_rule(given))
    if len(given) != 1 or next(iter(given)) not in _VALUES:
        raise FaultError(f'{_excerpt(given)} is not a fault: use one of {", ".join((*_VALUES, *EFFECTS))}, as in {{"kill": "all"}}')
    kind, value = next(iter(given.items()))
    _check(_VALUES, kind, value)
    return Fault(kind, value)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAXIMUM


def _span(value: Any) -> bool:
    return _number(value) or (isinstance(value, list) and len(value) == 2 and all(map(_number, value)) and value[0] <= value[1])


def _workers(value: Any) -> bool:
    return isinstance(value, dict) and set(value) <= set(WORKERS) and all(map(_count, value.values()))


def _memory(value: Any) -> bool:
    return isinstance(value, dict) and set(value) <= {"card_gb", "shared_gb", "job_gb"} and all(map(_number, value.values()))


_VALUES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "kill": (lambda value: isinstance(value, str), '{"kill": "all"}'),
    "throttle": (lambda value: value is None or _count(value), '{"throttle": 1}'),
    "crash_starts": (lambda value: isinstance(value, bool) or _count(value), '{"crash_starts": 3}'),
    "never_ack": (lambda value: value is None or isinstance(value, str), '{"never_ack": "all"}'),
    "reconfigure": (_number, '{"reconfigure": 120}'),
    "memory": (_memory, '{"memory": {"card_gb": 24, "shared_gb": 6, "job_gb": 10}}'),
    "clear": (lambda value: value is True, '{"clear": true}'),
}
_RULE: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "status": (lambda value: _count(value) and 400 <= value <= 599, '"status": 429'),
    "reset": (lambda value: value is True, '"reset": true'),
    "stall_s": (_span, '"stall_s": [2, 14]'),
    "health": (_workers, '"health": {"idle": 1, "throttled": 1}'),
    "share": (lambda value: _number(value) and value <= 1, '"share": 0.2'),
    "for_s": (_number, '"for_s": 10'),
    "times": (_count, '"times": 3'),
    "operation": (lambda value: isinstance(value, str), '"operation": "status"'),
    "retry_after_s": (_number, '"retry_after_s": 2'),
}


def _rule(given: Mapping[str, Any]) -> FaultRule:
    for name, value in given.items():
        if name not in _RULE:
            raise FaultError(f"unknown key '{name}' in a request fault: use {', '.join(_RULE)}")
        _check(_RULE, name, value)
    if "status" in given and "reset" in given:
        raise FaultError("a request fault has either 'status' or 'reset': leave one out")
    if "health" in given and any(name in given for name in ("status", "reset", "stall_s", "operation")):
        raise FaultError("a fault of 'health' has no 'status', 'reset', 'stall_s' or 'operation': leave them out")
    stall_s = given.get("stall_s")
    return FaultRule(
        RESET if "reset" in given else given.get("status", 0),
        given.get("share", 1.0),
        given.get("for_s", math.inf),
        given.get("times", math.inf),
        given.get("operation", ""),
        given.get("retry_after_s"),
        None if stall_s is None else tuple(stall_s) if isinstance(stall_s, list) else (stall_s, stall_s),
        given.get("health"),
    )


def _check(table: Mapping[str, tuple[Callable[[Any], bool], str]], name: str, value: Any) -> None:
    is_valid, example = table[name]
    if not is_valid(value):
        raise FaultError(f"{_excerpt({name: value})} is not valid: write it as in {example}")


def _excerpt(given: Mapping[str, Any]) -> str:
    text = str(dict(given))
    return text if len(text) <= 80 else text[:79] + "…"
