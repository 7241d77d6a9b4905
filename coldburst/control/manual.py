"""Lets a person change the endpoint: logs what to change, and waits until it is done."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from coldburst.control.desired_state import Control, ControlError, DesiredState, ObservedState
from coldburst.control.rest import RestControl, settings_text
from coldburst.targets.address import EndpointAddress

logger = logging.getLogger("coldburst")
GO_ON = "continue"
LOCAL_EVERY_S = 0.2


class ManualControl(Control):
    """A change is complete when REST v2 shows it, or when the file ``continue`` is in the run directory."""

    way: ClassVar[str] = "hand"
    by_hand: ClassVar[bool] = True

    def __init__(self, address: EndpointAddress, key: str, variable: str = "CONCURRENCY") -> None:
        self._name, self._variable = address.url or "the service", variable
        self._rest = RestControl(address, key, variable) if address.management else None
        self._folder: Path | None = None
        self._runpod = bool(address.management or address.endpoint_id)

    @property
    def where(self) -> str:
        return f"{self._name}, by hand"

    @property
    def every_s(self) -> float:
        """Each ``observe`` makes two calls."""
        return 2 * self._rest.every_s if self._rest else LOCAL_EVERY_S

    def begin(self, folder: Path, pause: Callable[[float], bool]) -> None:
        self._folder = folder
        if self._rest:
            self._rest.begin(folder, pause)

    def settings(self) -> dict[str, Any]:
        try:
            return self._rest.settings() if self._rest else {}
        except ControlError as error:
            self._stop_checking(error)
            return {}

    def describe(self, wanted: Sequence[DesiredState]) -> str:
        steps = list(dict.fromkeys(self._step(one) for one in wanted))
        return "\n  ".join([f"The run changes nothing itself: it will ask you at least {len(steps)} times to change {self._name}:", *steps])

    def change(self, wanted: DesiredState) -> None:
        """Logs what to change."""
        if self._folder:
            (self._folder / GO_ON).unlink(missing_ok=True)  # left from an earlier change
        until = f"touch {self._folder / GO_ON}" if self._folder else "wait until it shows"
        also = ", or wait until the endpoint shows it" if self._rest and self._folder else ""
        logger.warning("Now %s; then: %s%s", self._step(wanted), until, also)

    def observe(self, wanted: DesiredState) -> ObservedState:
        if self._folder and (self._folder / GO_ON).exists():
            (self._folder / GO_ON).unlink()
            return ObservedState(None, True, f"the file '{GO_ON}' was found")
        if self._rest is None:
            return ObservedState(None, False, f"waiting for the file '{GO_ON}'")
        try:
            differs = self._rest.differs(wanted)
            seen = self._rest.observe(wanted)
        except ControlError as error:
            self._stop_checking(error)
            return ObservedState(None, False, f"waiting for the file '{GO_ON}': {error}")
        return ObservedState(seen.workers, False, f"{seen.text}; not changed yet: {', '.join(differs)}") if differs else seen

    def restore(self, before: Mapping[str, Any]) -> str:
        """Says what to restore."""
        return f"{self._name}: restore by hand {f'these settings: {settings_text(before)}' if before else 'what you changed'}"

    def close(self) -> None:
        if self._rest:
            self._rest.close()

    def _stop_checking(self, error: ControlError) -> None:
        """The endpoint cannot be polled: from now on only the file counts."""
        logger.warning("%s; your changes are not checked", error)
        self.close()
        self._rest = None

    def _step(self, wanted: DesiredState) -> str:
        if not self._runpod:
            return self._plain_step(wanted)
        steps = []
        if wanted.workers is not None:
            steps.append(f"set Max workers and Active workers to {wanted.workers}")
        if wanted.scaler_value is not None:
            steps.append(f"set the scaling to request count, {wanted.scaler_value}")
        if wanted.concurrency is not None:
            steps.append(f"set the environment variable {self._variable} to {wanted.concurrency} (requests at a time per worker)")
        return " and ".join(steps) or "leave it unchanged"

    def _plain_step(self, wanted: DesiredState) -> str:
        """A service that is no RunPod endpoint."""
        steps = []
        if wanted.workers is not None:
            s = "s" if wanted.workers != 1 else ""
            steps.append(f"run exactly {wanted.workers} worker{s} behind {self._name} and reload its proxy")
        if wanted.concurrency is not None:
            steps.append(f"let each worker take {wanted.concurrency} requests at a time")
        return " and ".join(steps) or "leave it unchanged"
