"""Distributions of times, in the notation of the command line or measured by a run."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from coldburst.serverless.simulation.service_curve import ServiceCurve, parse_curve

EXAMPLES = (
    "'5' (always), 'exp:5' (mean), 'uniform:4:6' (lowest, highest), 'lognormal:5:0.3' (median, spread), "
    "'range:4:60' (one of these, not known which)"
)
_FORMS = {"exp": 1, "uniform": 2, "lognormal": 2, "range": 2}


# Fewer measured values than this show neither their mean nor their spread well; how much they vary at least, as a share.
ENOUGH, FEW_VARY = 8, 0.15
# Of the standard normal distribution, at 10, 30, 50, 70 and 90 %.
NORMAL_QUANTILES = (-1.282, -0.524, 0.0, 0.524, 1.282)


class DistributionError(ValueError):
    """The text is no distribution; the message shows right ones."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Times in seconds: a named form with its numbers, or the measured values themselves.

    Attributes:
        form: fixed, exp, uniform, lognormal, measured, or range for a fixed one of which only bounds are known.
        numbers: of the form (median and sigma of the logarithm for lognormal); for measured the values, ascending.
    """

    form: str
    numbers: tuple[float, ...]

    def draw(self, rng: random.Random) -> float:
        """One value."""
        numbers = self.numbers
        if self.form == "fixed":
            return numbers[0]
        if self.form == "measured":
            return numbers[int(rng.random() * len(numbers))]
        if self.form == "exp":
            return rng.expovariate(1 / numbers[0])
        if self.form == "uniform":
            return rng.uniform(*numbers)
        if self.form == "range":
            return _between(numbers, rng)
        return numbers[0] * math.exp(numbers[1] * rng.gauss(0, 1))

    def draws(self, rng: random.Random) -> Iterator[float]:
        """``draw`` without end: the form is looked at once."""
        numbers, random_, gauss, exp = self.numbers, rng.random, rng.gauss, math.exp
        if self.form == "fixed":
            yield from itertools.repeat(numbers[0])
        elif self.form == "measured":
            while True:
                yield numbers[int(random_() * len(numbers))]
        elif self.form == "lognormal":
            median, sigma = numbers
            while True:
                yield median * exp(sigma * gauss(0, 1))
        while True:
            yield self.draw(rng)

    @property
    def mean_s(self) -> float:
        """The mean."""
        numbers = self.numbers
        if self.form in ("measured", "uniform", "range"):
            return sum(numbers) / len(numbers)
        return numbers[0] * math.exp(numbers[1] ** 2 / 2) if self.form == "lognormal" else numbers[0]

    @property
    def variance(self) -> float:
        """The variance in s²."""
        numbers, mean_s = self.numbers, self.mean_s
        if self.form == "measured":
            return sum((value - mean_s) ** 2 for value in numbers) / len(numbers)
        if self.form in ("uniform", "range"):
            return (numbers[1] - numbers[0]) ** 2 / 12
        if self.form == "lognormal":
            return mean_s**2 * (math.exp(numbers[1] ** 2) - 1)
        return mean_s**2 if self.form == "exp" else 0.0

    def resampled(self, rng: random.Random) -> Distribution:
        """What another run of the same length might have measured: the bootstrap; of a range one value; a named form stays as it is.

        The bootstrap of a few values hardly varies, and that of one not at all. So fewer than ENOUGH vary by FEW_VARY at least.
        """
        if self.form == "range":
            return Distribution("fixed", (_between(self.numbers, rng),))
        if self.form != "measured":
            return self
        numbers = rng.choices(self.numbers, k=len(self.numbers))
        if len(numbers) >= ENOUGH:
            return measured(numbers)
        vary = max(self.variance**0.5 / self.mean_s, FEW_VARY) if self.mean_s else FEW_VARY
        together = rng.gauss(0, vary / len(numbers) ** 0.5)
        return measured([number * math.exp(together + vary * apart) for number in numbers for apart in NORMAL_QUANTILES])

    def scaled(self, factor: float) -> Distribution:
        """The measured values times ``factor``."""
        return measured([number * factor for number in self.numbers])

    def __str__(self) -> str:
        if self.form == "measured":
            low, high, count = f"{self.numbers[0]:.3g}", f"{self.numbers[-1]:.3g}", len(self.numbers)
            if low == high:
                return f"{low} s ({count} measured)"
            return f"{count} measured values, {low} to {high} s, mean {self.mean_s:.3g} s"
        if self.form == "range":
            return f"{self.numbers[0]:g} to {self.numbers[1]:g}"
        numbers = ":".join(f"{number:g}" for number in self.numbers)
        return numbers if self.form == "fixed" else f"{self.form}:{numbers}"


def _between(ends: Sequence[float], rng: random.Random) -> float:
    """A value between two, each order of magnitude as likely as the next."""
    return math.exp(rng.uniform(*map(math.log, ends)))


def measured(values: Sequence[float]) -> Distribution:
    """The measured values, each as likely as the others."""
    return Distribution("measured", tuple(sorted(values)))


def parse(text: str) -> Distribution:
    """A distribution from its text. Raises DistributionError."""
    form, _, rest = text.partition(":") if ":" in text else ("fixed", "", text)
    try:
        numbers = tuple(float(word) for word in rest.split(":"))
    except ValueError:
        numbers = ()
    fits = len(numbers) == _FORMS.get(form, 1 if form == "fixed" else -1)
    if not fits or not all(0 <= number < math.inf for number in numbers):
        raise DistributionError(f"'{text}' cannot be read as a time: write {EXAMPLES}, in seconds")
    if (form in ("uniform", "range") and numbers[0] > numbers[1]) or (form in ("exp", "range") and not numbers[0]):
        raise DistributionError(f"'{text}' has no values: write {EXAMPLES}, in seconds")
    return Distribution(form, numbers)


ALONE = ServiceCurve((1,), (1.0,))
"""Jobs beside others take no longer."""


def curve_and_service(text: str) -> tuple[Distribution, ServiceCurve]:
    """``1:0.284,128:0.606``, seconds by jobs at a time: the time of a job alone, and the curve. Raises DistributionError."""
    try:
        curve = parse_curve(text)
    except ValueError as error:
        raise DistributionError(str(error)) from None
    return Distribution("fixed", (curve.at(1),)), curve
