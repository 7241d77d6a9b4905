"""The notation of faults: JSON objects, checked. What a fault does is in coldburst/emulator/faults.py.

The same JSON objects are taken by ``--fault``, by ``faults`` in a configuration file and by
``POST /emulator/NAME/fault``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

HELP = """\
faults, as JSON for --fault or POST /emulator/NAME/fault:
  {"kill": "all"}                  end worker processes by SIGKILL: "all", "one" or a worker's id
  {"throttle": 1}                  the hosts have room for one worker only; null: no bound
  {"crash_starts": 3}              the next three workers exit before they are ready; true: every one; 0: none
  {"never_ack": "all"}             workers take jobs and never acknowledge them: "all" or a worker's id; null: none
  {"memory": {"card_gb": 24, "shared_gb": 6, "job_gb": 10}}
                                   of workers that start from now on: a job that finds no room fails
  {"status": 429, "share": 0.2, "for_s": 10, "operation": "status", "retry_after_s": 2}
                                   an error for a share of the requests, for a time, to one operation (default: all, for ever, to any)
  {"status": 500, "times": 3}      an error for the next three requests
  {"reset": true, "share": 0.1}    the connection is reset instead of an answer
  {"clear": true}                  an end to all of them"""


MAXIMUM = 1e9
"""Of seconds and gigabytes."""


class FaultError(ValueError):
    """No such fault; the message is one sentence."""


@dataclass(slots=True)
class FaultRule:
    """Requests that meet an error.

    Attributes:
        status: of the answer; 0 resets the connection instead.
        share: of the requests, 0 to 1.
        until_s: by the endpoint's clock.
        left: how many requests more.
        operation: "" = any.
        retry_after_s: told in Retry-After; None = not.
    """

    status: int
    share: float = 1.0
    until_s: float = math.inf
    left: float = math.inf
    operation: str = ""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault as it was asked for: its kind, its value, and for requests the rule (its ``until_s`` counted from now)."""

    kind: str
    value: Any = None
    rule: FaultRule | None = None


def parse_fault(given: Mapping[str, Any]) -> Fault:
    """The fault that a JSON object asks for.

    Raises:
        FaultError: none that there is.
    """
    if "status" in given or "reset" in given:
        return Fault("rule", rule=_rule(given))
    if len(given) != 1 or next(iter(given)) not in _VALUES:
        raise FaultError(f'{_excerpt(given)} is no fault: name one of {", ".join((*_VALUES, "status, reset"))}, as in {{"kill": "all"}}')
    kind, value = next(iter(given.items()))
    fits, example = _VALUES[kind]
    if not fits(value):
        raise FaultError(f"{_excerpt(given)} does not fit the fault '{kind}': write it as in {example}")
    return Fault(kind, value)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAXIMUM


def _memory(value: Any) -> bool:
    return isinstance(value, dict) and set(value) <= {"card_gb", "shared_gb", "job_gb"} and all(map(_number, value.values()))


_VALUES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "kill": (lambda value: isinstance(value, str), '{"kill": "all"}'),
    "throttle": (lambda value: value is None or _count(value), '{"throttle": 1}'),
    "crash_starts": (lambda value: isinstance(value, bool) or _count(value), '{"crash_starts": 3}'),
    "never_ack": (lambda value: value is None or isinstance(value, str), '{"never_ack": "all"}'),
    "memory": (_memory, '{"memory": {"card_gb": 24, "shared_gb": 6, "job_gb": 10}}'),
    "clear": (lambda value: value is True, '{"clear": true}'),
}
_RULE: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "status": (lambda value: _count(value) and 400 <= value <= 599, '"status": 429'),
    "reset": (lambda value: value is True, '"reset": true'),
    "share": (lambda value: _number(value) and value <= 1, '"share": 0.2'),
    "for_s": (_number, '"for_s": 10'),
    "times": (_count, '"times": 3'),
    "operation": (lambda value: isinstance(value, str), '"operation": "status"'),
    "retry_after_s": (_number, '"retry_after_s": 2'),
}


def _rule(given: Mapping[str, Any]) -> FaultRule:
    for name, value in given.items():
        if name not in _RULE:
            raise FaultError(f"a fault of requests has no '{name}': it may have {', '.join(_RULE)}")
        fits, example = _RULE[name]
        if not fits(value):
            raise FaultError(f"{_excerpt({name: value})} does not fit a fault of requests: write it as in {example}")
    if "status" in given and "reset" in given:
        raise FaultError("a request gets an error or its connection is reset, not both: leave 'status' or 'reset' out")
    return FaultRule(
        given.get("status", 0),
        given.get("share", 1.0),
        given.get("for_s", math.inf),
        given.get("times", math.inf),
        given.get("operation", ""),
        given.get("retry_after_s"),
    )


def _excerpt(given: Mapping[str, Any]) -> str:
    text = str(dict(given))
    return text if len(text) <= 80 else text[:79] + "…"
