"""The hosts that workers run on: each has its own image pull and speed, and a host that has the image is preferred."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from coldburst.serverless.quantiles import Quantiles, draw


@dataclass(slots=True, eq=False)
class Host:
    """One host: seconds of its image pull, whether it has the image, and the factor of its service times."""

    pull_s: float
    speed: float
    has_image: bool


class Hosts:
    """Gives each new worker a host. The platform's hosts are many, so a new one is always there. Its arguments: see Platform."""

    def __init__(
        self, pull_s: float | Quantiles, host_speed: float | Quantiles, host_again: float, random_for: Callable[[str], random.Random]
    ) -> None:
        self._pull_s, self._speed, self._again = pull_s, host_speed, host_again
        self._pulls, self._speeds, self._choices = random_for("pull"), random_for("host speed"), random_for("host")
        self._free: list[Host] = []

    def take(self) -> Host:
        """The free host that was used last, if one has the image and the draw of ``host_again`` is for it; else a new one."""
        if self._free and (self._again == 1 or self._choices.random() < self._again):
            return self._free.pop()
        pull_s = draw(self._pull_s, self._pulls)
        return Host(pull_s, draw(self._speed, self._speeds), has_image=pull_s <= 0)

    def release(self, host: Host) -> None:
        """The host's worker has ended."""
        if host.has_image:
            self._free.append(host)
