"""The desired and the observed state of an endpoint, and the interface of all ways to change one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol


class ControlError(RuntimeError):
    """An endpoint cannot be changed or asked; one sentence with the next step."""


@dataclass(frozen=True, slots=True)
class DesiredState:
    """What a cell of a sweep needs; None = leave it as it is.

    Attributes:
        workers: endpoint workers, as their minimum and their maximum.
        concurrency: requests at a time in each worker (RunPod: what its concurrency_modifier returns).
        scaler_value: requests for each worker, with the scaler REQUEST_COUNT.
    """

    workers: int | None = None
    concurrency: int | None = None
    scaler_value: int | None = None


@dataclass(frozen=True, slots=True)
class ObservedState:
    """What an endpoint shows of what is wanted.

    Attributes:
        workers: workers that serve now; None: it cannot tell.
        ready: it shows all that is wanted: exactly so many workers, all serving, none of an older release.
        text: one sentence for the log, as in "2 of 3 workers serve".
    """

    workers: int | None
    ready: bool
    text: str


class Control(Protocol):
    """One way to change an endpoint between two stages. Every call may raise ControlError.

    ``way`` is its name, one of control.WAYS.
    """

    way: ClassVar[str]

    @property
    def url(self) -> str:
        """Address of the endpoint that it starts itself; "" where it changes one that is there."""

    @property
    def by_hand(self) -> bool:
        """Whether a person makes the changes, so that ``restore`` can only say what to put back."""

    @property
    def where(self) -> str:
        """What it changes, for people; no secret in it."""

    @property
    def harmless(self) -> bool:
        """Whether it changes nothing but this machine's own, so that nobody need be asked before."""

    @property
    def every_s(self) -> float:
        """Seconds to wait before the next ``observe``."""

    def begin(self, folder: Path, pause: Callable[[float], bool]) -> None:
        """Called when the run begins, before the first change.

        Args:
            folder: the run's directory.
            pause: waits so many seconds; False where the run is being stopped.
        """

    def settings(self) -> dict[str, Any]:
        """The present settings as far as ``restore`` needs them: JSON, without secrets."""

    def describe(self, wanted: Sequence[DesiredState]) -> str:
        """What it is going to change, in a few lines; ControlError where it cannot bring about one of ``wanted``."""

    def change(self, wanted: DesiredState) -> None:
        """Asks for it; ``observe`` tells when it is there."""

    def observe(self, wanted: DesiredState) -> ObservedState:
        """What the endpoint shows of it now."""

    def restore(self, before: Mapping[str, Any]) -> str:
        """Puts back what ``before`` says; a sentence on what that was."""

    def close(self) -> None:
        """Ends what it has started on this machine, and its connections."""


def listed(numbers: Sequence[int | None]) -> str:
    """Different numbers in their order, as in "1, 2, 4"; "" where none is set."""
    return ", ".join(str(number) for number in dict.fromkeys(numbers) if number is not None)


def serving(count: int, wanted: int | None) -> str:
    """How many workers serve, in words."""
    if wanted is None:
        return f"{count} worker{'s serve' if count != 1 else ' serves'}"
    return f"{count} of {wanted} worker{'s' if wanted != 1 else ''} serve{'s' if wanted == 1 else ''}"
