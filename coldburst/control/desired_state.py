"""The desired and the observed state of an endpoint, and the interface of everything that changes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar


class ControlError(RuntimeError):
    """An endpoint cannot be changed or read. The message is one sentence with the next step."""


@dataclass(frozen=True, slots=True)
class DesiredState:
    """Settings that a stage needs; None leaves a setting unchanged.

    Attributes:
        workers: number of endpoint workers, set as minimum and as maximum.
        concurrency: requests at a time per worker (RunPod: the return value of its concurrency_modifier).
        scaler_value: requests per worker for the scaler REQUEST_COUNT.
    """

    workers: int | None = None
    concurrency: int | None = None
    scaler_value: int | None = None


@dataclass(frozen=True, slots=True)
class ObservedState:
    """What an endpoint shows.

    Attributes:
        workers: number of workers that serve now; None if it is not known.
        ready: all settings show: the exact number of workers, all serving, none of an older release.
        text: one sentence for the log, such as "2 of 3 workers serve".
    """

    workers: int | None
    ready: bool
    text: str


class Control:
    """One way to change an endpoint between two stages. Every call may raise ControlError.

    Attributes:
        way: its name, one of ``choice.WAYS``.
        by_hand: a person makes the changes, so ``restore`` only says what to restore.
    """

    way: ClassVar[str]
    by_hand: ClassVar[bool] = False

    @property
    def url(self) -> str:
        """Address of the endpoint that it starts, or "" if the endpoint exists already."""
        return ""

    @property
    def where(self) -> str:
        """Name of what it changes, for messages. Contains no secret."""
        raise NotImplementedError

    @property
    def harmless(self) -> bool:
        """Whether it changes this machine only, so that no consent is needed."""
        return True

    @property
    def every_s(self) -> float:
        """Seconds to wait between two calls of ``observe``."""
        return 0.0

    def begin(self, folder: Path, pause: Callable[[float], bool]) -> None:
        """Called at the start of the run, before the first change.

        Args:
            folder: the run directory.
            pause: waits for a number of seconds; returns False when the run is being stopped.
        """

    def settings(self) -> dict[str, Any]:
        """The present settings that ``restore`` needs, as JSON without secrets."""
        return {}

    def describe(self, wanted: Sequence[DesiredState]) -> str:
        """The planned changes in a few lines. Raises ControlError if one of ``wanted`` is not possible."""
        raise NotImplementedError

    def change(self, wanted: DesiredState) -> None:
        """Requests the change; ``observe`` shows when it is complete."""

    def observe(self, wanted: DesiredState) -> ObservedState:
        """The present state of the endpoint."""
        raise NotImplementedError

    def restore(self, before: Mapping[str, Any]) -> str:
        """Restores the settings in ``before`` and returns a sentence that says so."""
        raise NotImplementedError

    def standing_workers(self) -> int | None:
        """The minimum of workers that the endpoint showed last: they are billed until it is changed. None if it is not known."""
        return None

    def close(self) -> None:
        """Stops the processes it has started, and closes its connections."""


def listed(numbers: Sequence[int | None]) -> str:
    """The distinct numbers in order, such as "1, 2, 4"; "" if none is set."""
    return ", ".join(str(number) for number in dict.fromkeys(numbers) if number is not None)


def serving(count: int, wanted: int | None) -> str:
    """The number of workers that serve, in words."""
    if wanted is None:
        return f"{count} worker{'s serve' if count != 1 else ' serves'}"
    return f"{count} of {wanted} worker{'s' if wanted != 1 else ''} serve{'s' if wanted == 1 else ''}"
