"""Errors of the platform model: one sentence with the offending value and a valid one."""

from __future__ import annotations

import reprlib
from typing import Any

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


class PolicyError(ValueError):
    """A setting outside its bounds."""


class JobNotFoundError(KeyError):
    """The job does not exist, or has expired."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class RequestRefusedError(ValueError):
    """A client's request is refused with HTTP ``status``."""

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


def short_repr(value: Any) -> str:
    """``repr(value)``, shortened where the value is long or deeply nested."""
    return _SHORT.repr(value)


def require(condition: bool, sentence: str) -> None:
    """Raise PolicyError unless ``condition`` holds."""
    if not condition:
        raise PolicyError(sentence)
