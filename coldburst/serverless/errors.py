"""What the platform model refuses, each error one sentence that names the offending value and a right one."""

from __future__ import annotations

import reprlib
from typing import Any

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


class PolicyError(ValueError):
    """A setting outside its bounds."""


class JobNotFoundError(KeyError):
    """There is no such job, or not any more."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class RequestRefusedError(ValueError):
    """A client's request is not accepted.

    Attributes:
        status: the HTTP status that goes with it.
    """

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


def short_repr(value: Any) -> str:
    """``repr(value)`` for a sentence, cut where a value from outside is long or deep."""
    return _SHORT.repr(value)


def require(holds: bool, sentence: str) -> None:
    """Nothing, where a setting is within its bounds.

    Raises:
        PolicyError: it is not.
    """
    if not holds:
        raise PolicyError(sentence)
