"""Has a person change the endpoint: logs what to change, and waits until it is done."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from coldburst.control.desired_state import ControlError, DesiredState, ObservedState
from coldburst.control.rest import RestControl, scaling_text, value_text
from coldburst.targets.address import EndpointAddress

logger = logging.getLogger("coldburst")
GO_ON = "continue"
LOCAL_EVERY_S = 0.2


class ManualControl:
    """See Control. A change counts once the endpoint shows it by REST v2, or the file ``continue`` is in the run's directory."""

    way: ClassVar[str] = "hand"
    url = ""
    by_hand = True
    harmless = True

    def __init__(self, address: EndpointAddress, key: str, variable: str = "CONCURRENCY") -> None:
        self._url, self._variable = address.url or "the service", variable
        self._rest = RestControl(address, key, variable) if address.management else None
        self._folder: Path | None = None

    @property
    def where(self) -> str:
        """See Control."""
        return f"{self._url}, by hand"

    @property
    def every_s(self) -> float:
        """See Control; two questions a look."""
        return 2 * self._rest.every_s if self._rest else LOCAL_EVERY_S

    def begin(self, folder: Path, pause: Callable[[float], bool]) -> None:
        """See Control."""
        self._folder = folder
        if self._rest:
            self._rest.begin(folder, pause)

    def settings(self) -> dict[str, Any]:
        """See Control."""
        try:
            return self._rest.settings() if self._rest else {}
        except ControlError as error:
            self._give_up(error)
            return {}

    def describe(self, wanted: Sequence[DesiredState]) -> str:
        """See Control."""
        steps = list(dict.fromkeys(self._step(one) for one in wanted))
        return "\n  ".join([f"Nothing is changed by the run: you will be asked {len(steps)} times or more to change {self._url}:", *steps])

    def change(self, wanted: DesiredState) -> None:
        """See Control: says what to change."""
        if self._folder:
            (self._folder / GO_ON).unlink(missing_ok=True)  # left from a change before
        until = f"touch {self._folder / GO_ON}" if self._folder else "wait until it shows"
        also = ", or wait until the endpoint shows it" if self._rest and self._folder else ""
        logger.warning("Now %s; then: %s%s", self._step(wanted), until, also)

    def observe(self, wanted: DesiredState) -> ObservedState:
        """See Control."""
        if self._folder and (self._folder / GO_ON).exists():
            (self._folder / GO_ON).unlink()
            return ObservedState(None, True, "told to go on")
        if self._rest is None:
            return ObservedState(None, False, f"waiting for the file '{GO_ON}'")
        try:
            return self._shown(self._rest, wanted)
        except ControlError as error:
            self._give_up(error)
            return ObservedState(None, False, f"waiting for the file '{GO_ON}': {error}")

    def restore(self, before: Mapping[str, Any]) -> str:
        """See Control: says what it was."""
        if not before:
            return f"{self._url}: put back by hand what you changed"
        wanted = f"workers {before['workers']['min']} to {before['workers']['max']}, scaling {scaling_text(before['scaling'])}"
        concurrency = before["concurrency"]
        return f"{self._url}: put back by hand: {wanted}, {concurrency['variable']} {value_text(concurrency['value'])}"

    def close(self) -> None:
        """See Control."""
        if self._rest:
            self._rest.close()

    def _shown(self, rest: RestControl, wanted: DesiredState) -> ObservedState:
        differs = rest.differs(wanted)
        seen = rest.observe(wanted)
        return ObservedState(seen.workers, False, f"{seen.text}; not yet as asked: {', '.join(differs)}") if differs else seen

    def _give_up(self, error: ControlError) -> None:
        """The endpoint cannot be asked: only the file counts from now on."""
        if self._rest:
            logger.warning("%s; what you changed is not checked", error)
            self._rest.close()
            self._rest = None

    def _step(self, wanted: DesiredState) -> str:
        steps = []
        if wanted.workers is not None:
            steps.append(f"set Max workers and Active workers to {wanted.workers}")
        if wanted.scaler_value is not None:
            steps.append(f"set the scaling to request count, {wanted.scaler_value}")
        if wanted.concurrency is not None:
            steps.append(f"set the environment variable {self._variable} to {wanted.concurrency} (what each worker takes at a time)")
        return " and ".join(steps) or "leave it as it is"
