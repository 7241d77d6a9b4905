"""Queueing theory beside a prediction: what must hold whatever the platform does, and textbook queues where they apply."""

from __future__ import annotations

import math


def utilisation(rate_per_s: float, service_s: float, servers: int) -> float:
    """Little's law: the share of time that ``servers`` work; from 1 on the queue grows for as long as the load lasts."""
    return rate_per_s * service_s / servers


def erlang_c(servers: int, load: float) -> float:
    """The share of requests that wait in M/M/c; ``load`` = rate × service time in erlangs, below ``servers``.

    By the recursion of Erlang B (Cooper, Introduction to Queueing Theory, 3.2), which does not overflow.
    """
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def mmc_response_percentile_s(rate_per_s: float, service_s: float, servers: int, share: float) -> float:
    """A percentile of the response time in M/M/c, first come first served; infinite if overloaded.

    P(T > t) of waiting with probability C, then exponential service (Gross and Harris, Fundamentals of Queueing Theory, 2.3).
    """
    load = rate_per_s * service_s
    if load >= servers:
        return math.inf
    waits, mu = erlang_c(servers, load), 1 / service_s
    theta = servers * mu - rate_per_s

    def above(t_s: float) -> float:
        if math.isclose(theta, mu, rel_tol=1e-9):
            return math.exp(-mu * t_s) * (1 + waits * mu * t_s)
        return math.exp(-mu * t_s) * (1 - waits) + waits * (theta * math.exp(-mu * t_s) - mu * math.exp(-theta * t_s)) / (theta - mu)

    low_s, high_s = 0.0, service_s
    while above(high_s) > 1 - share:
        high_s *= 2
    for _ in range(60):
        middle_s = (low_s + high_s) / 2
        low_s, high_s = (middle_s, high_s) if above(middle_s) > 1 - share else (low_s, middle_s)
    return high_s


def mgc_wait_s(rate_per_s: float, service_s: float, variance: float, servers: int) -> float:
    """The mean wait in M/G/c; infinite if overloaded.

    Pollaczek and Khinchine for one server, the approximation of Lee and Longton for more.
    """
    load = rate_per_s * service_s
    if load >= servers:
        return math.inf
    variation = variance / service_s**2
    return erlang_c(servers, load) * service_s / (servers - load) * (1 + variation) / 2


def least_servers(rate_per_s: float, service_s: float, most_utilised: float = 1.0) -> int:
    """The fewest servers whose utilisation stays below ``most_utilised``."""
    return math.floor(rate_per_s * service_s / most_utilised + 1e-9) + 1
