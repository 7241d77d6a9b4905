"""How long modelled workers take for a job: a fixed time, or one drawn."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """A way to say how long a job takes.

    Attributes:
        text: as it was written.
        draw: seconds for the next job.
        fixed_s: the seconds, where they are always the same.
    """

    text: str
    draw: Callable[[random.Random], float]
    fixed_s: float | None = None


def service_time(text: str) -> ServiceTime:
    """From ``0.5`` (seconds), ``exp:0.5`` (exponential, by its mean) or ``uniform:0.2:0.8``.

    Raises:
        ValueError: none of these; one sentence.
    """
    kind, _, rest = text.rpartition(":") if text.startswith("exp:") else text.partition(":") if ":" in text else ("", "", text)
    try:
        numbers = [float(part) for part in rest.split(":")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 <= number < math.inf for number in numbers):
        raise _wrong(text)
    if kind == "" and len(numbers) == 1:
        return ServiceTime(text, lambda _: numbers[0], numbers[0])
    if kind == "exp" and len(numbers) == 1 and numbers[0] > 0:
        return ServiceTime(text, lambda rng: rng.expovariate(1 / numbers[0]))
    if kind == "uniform" and len(numbers) == 2 and numbers[0] <= numbers[1]:
        return ServiceTime(text, lambda rng: rng.uniform(*numbers))
    raise _wrong(text)


def _wrong(text: str) -> ValueError:
    return ValueError(f"'{text}' is no service time: write seconds as in '0.5', or 'exp:0.5', or 'uniform:0.2:0.8'")
