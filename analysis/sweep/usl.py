"""The Universal Scalability Law: X(N) = λN ÷ (1 + σ(N − 1) + κN(N − 1)) (Gunther, Guerrilla Capacity Planning, 2007).

λ is the throughput at N = 1, σ the serial share (contention), κ the cost of crosstalk (coherency). With κ > 0 throughput peaks at
N* = sqrt((1 − σ) ÷ κ). All points have the same weight, as in the usl package of R, whose terms are used here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..statistics.intervals import LEVEL, Interval, t_quantile
from ..text.number_format import brief, plural

LEAST_LEVELS = 4
# Standard deviation of the residuals ÷ mean throughput, above which the fit is refused.
WORST_FIT = 0.12
DRAWS = 400
# A smaller κ counts as 0: the peak would be beyond 30,000.
FLAT = 1e-9
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Usl:
    """A fit.

    Attributes:
        rate, sigma, kappa: λ in 1/s, σ and κ, each with a 95 % interval from the covariance of the fit (Student's t).
        peak: N*, with a 95 % interval from a parametric bootstrap; an upper end of None is open; no value if κ is 0.
        peak_note: why N* is not usable for planning, or "".
        r_squared: share of the variance of throughput that the law explains.
        misfit: standard deviation of the residuals ÷ mean throughput.
        levels: smallest and largest N measured.
    """

    rate: Interval
    sigma: Interval
    kappa: Interval
    peak: Interval
    peak_note: str
    r_squared: float
    misfit: float
    levels: tuple[float, float]

    def per_s(self, n: float) -> float:
        """The law's throughput at ``n``."""
        assert self.rate.value is not None and self.sigma.value is not None and self.kappa.value is not None
        return float(throughput(np.array([n]), np.array([self.rate.value, self.sigma.value, self.kappa.value]))[0])


def throughput(n: Floats, of: Floats) -> Floats:
    """X(N) for (λ, σ, κ)."""
    rate, sigma, kappa = of
    found: Floats = rate * n / (1 + sigma * (n - 1) + kappa * n * (n - 1))
    return found


def fit(levels: Sequence[float], per_s: Sequence[float]) -> Usl | str:
    """The law fitted to points (N, throughput), or why they do not allow a fit."""
    n, x = np.asarray(levels, dtype=np.float64), np.asarray(per_s, dtype=np.float64)
    good = np.isfinite(n) & np.isfinite(x) & (n > 0) & (x > 0)
    n, x = n[good], x[good]
    distinct = len(np.unique(np.round(n, 1)))
    if distinct < LEAST_LEVELS:
        return f"{plural(distinct, 'usable level')}, but a fit of three parameters needs {LEAST_LEVELS} or more"
    found = _fit(n, x)
    errors = x - throughput(n, found)
    spread = math.sqrt(float(errors @ errors) / (len(x) - 3))
    misfit, around = spread / float(x.mean()), float(((x - x.mean()) ** 2).sum())
    if misfit > WORST_FIT:
        off = f"they deviate from its curve by {misfit * 100:.0f} % of the mean throughput (limit {WORST_FIT * 100:.0f} %)"
        return f"the law does not fit these points: {off}"
    rate, sigma, kappa = _intervals(n, found, spread)
    peak = _peak(n, found, spread)
    ends = (float(n.min()), float(n.max()))
    squared = 1 - float(errors @ errors) / around if around > 0 else 1.0
    return Usl(rate, sigma, kappa, peak, _note(peak, ends), squared, misfit, ends)


def _linear(n: Floats, x: Floats, weights: Floats) -> Floats:
    """(λ, σ, κ) by non-negative least squares, as N ÷ X = (1 + σ(N − 1) + κN(N − 1)) ÷ λ is linear in 1/λ, σ/λ, κ/λ."""
    # Only sweeps over workers need it, and the import takes a third of a second.
    from scipy.optimize import nnls  # noqa: PLC0415

    terms = np.column_stack([np.ones_like(n), n - 1, n * (n - 1)]) * weights[:, None]
    inverse, contention, coherency = nnls(terms, n / x * weights)[0]
    inverse = max(inverse, 1e-12)
    return np.array([1 / inverse, min(contention / inverse, 1.0), coherency / inverse])


def _fit(n: Floats, x: Floats) -> Floats:
    """Least squares of throughput, starting from the linear form with weights that make it nearly the same problem."""
    from scipy.optimize import least_squares  # noqa: PLC0415

    start = _linear(n, x, x**2 / n)
    inside = np.clip(start, [1e-9, 1e-9, 1e-12], [np.inf, 1 - 1e-9, np.inf])
    size = np.array([inside[0], 0.1, 0.001])
    fitted = least_squares(
        lambda of: (throughput(n, of) - x) / x.mean(),
        inside,
        bounds=([0, 0, 0], [np.inf, 1, np.inf]),
        x_scale=size,
        xtol=1e-14,
        ftol=1e-14,
        gtol=1e-14,
    )
    better: Floats = min(fitted.x, start, key=lambda of: float(((throughput(n, of) - x) ** 2).sum()))
    return better


def _intervals(n: Floats, of: Floats, spread: float) -> tuple[Interval, Interval, Interval]:
    rate, sigma, kappa = of
    under = 1 + sigma * (n - 1) + kappa * n * (n - 1)
    slopes = np.column_stack([n / under, -rate * n * (n - 1) / under**2, -rate * n**2 * (n - 1) / under**2])
    size = np.linalg.norm(slopes, axis=0)
    inverse = np.linalg.pinv((slopes / size).T @ (slopes / size)) / np.outer(size, size)
    halves = t_quantile(len(n) - 3) * spread * np.sqrt(np.diag(inverse))
    basis = "from the covariance of the fit"
    made = [Interval(float(v), max(float(v - h), 0.0), float(v + h), basis) for v, h in zip(of, halves, strict=True)]
    return made[0], made[1], made[2]


def peak_of(of: Floats) -> float:
    """N* = sqrt((1 − σ) ÷ κ); infinite if κ is 0."""
    _, sigma, kappa = of
    return math.sqrt(max(1 - sigma, 0.0) / kappa) if kappa > FLAT else math.inf


def _peak(n: Floats, of: Floats, spread: float) -> Interval:
    """N* with a bootstrap interval: points drawn around the curve and fitted again.

    Noise is proportional to throughput, so the points near the peak, which decide, are the noisiest. The spread is estimated from
    few points, so each draw scales it by a chi-square variate.
    """
    value, degrees = peak_of(of), len(n) - 3
    curve, noise = throughput(n, of), np.random.default_rng(len(n))
    shares = spread / math.sqrt(float((curve**2).mean())) * np.sqrt(degrees / noise.chisquare(degrees, DRAWS))
    drawn = [curve * np.maximum(1 + each * noise.standard_normal(len(n)), 0.01) for each in shares]
    peaks = np.array([peak_of(_linear(n, x, curve**2 / n)) for x in drawn])
    lower, upper = (float(end) for end in np.quantile(peaks, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf"))
    if not math.isfinite(value):
        return Interval(None, lower if math.isfinite(lower) else None, None, "no curvature")
    return Interval(value, min(lower, value), max(upper, value) if math.isfinite(upper) else None, "from a parametric bootstrap")


def _note(peak: Interval, levels: tuple[float, float]) -> str:
    within = f"no peak within the measured levels ({brief(levels[0])} to {brief(levels[1])})"
    if peak.value is None:
        return within
    if peak.value > levels[1]:
        return f"{within}; the curve peaks beyond, near {brief(peak.value)}"
    return (
        ""
        if peak.upper is not None
        else f"the peak is uncertain: anywhere from {brief(peak.lower)} up (the curve peaks near {brief(peak.value)})"
    )


def fitted(of: Usl, n: Any) -> Floats:
    """The law's throughput along ``n``."""
    return np.array([of.per_s(float(each)) for each in n])
