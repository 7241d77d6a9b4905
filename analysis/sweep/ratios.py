"""The arithmetic of settings against each other: one formula a function, as docs/methodology.md states them under Sweeps."""

from __future__ import annotations

import math

from .sweep_settings import Card

TARGET, BOTTLENECK = 0.90, 0.80
"""Scaling efficiency: above the first all is well; below the second, look for a bottleneck."""
LITTLE_ROOM = 1.02
"""What rounding and the last answers may add to the requests in flight."""


def contention(times: float, share: float) -> float:
    """1 − multiplier ÷ (c ÷ c of the baseline): what is lost to the others, 0 to 1, lower is better."""
    return 1 - times / share


def worth_it(times: float, share: float, worth: float) -> bool:
    """Whether multiplier ≥ worth × (c ÷ c of the baseline); a share of a billionth is forgiven, as rounding."""
    return times >= worth * share * (1 - 1e-9)


def savings(times: float) -> float:
    """Share of worker-seconds that is saved at the baseline's wall time: 1 − 1 ÷ multiplier."""
    return 1 - 1 / times


def workers_needed(workers: float, times: float) -> float:
    """Endpoint workers that do the baseline's work in the baseline's wall time: workers ÷ multiplier (then round up)."""
    return workers / times


def usd_per_hour(usd_per_s: float, workers: float) -> float:
    """Price of ``workers`` endpoint workers that run for an hour."""
    return usd_per_s * workers * 3600


def usd_per_1000(usd_per_s: float, workers: float, per_s: float) -> float:
    """Price of 1,000 requests answered ok, while the endpoint is kept busy."""
    return usd_per_s * workers / per_s * 1000


def usd_per_audio_hour(usd_per_s: float, workers: float, audio_per_s: float) -> float:
    """Price of an hour of audio; ``audio_per_s`` is audio seconds of answered ok per second of wall time."""
    return usd_per_s * workers / audio_per_s * 3600


def in_flight(per_s: float, mean_s: float) -> float:
    """Little's law: requests in flight on average = rate × mean time each."""
    return per_s * mean_s


def exceeds_asked_concurrency(per_s: float, mean_s: float, asked: float) -> bool:
    """Whether rate × mean time needs more in flight than were allowed: then one of the three figures is wrong."""
    return in_flight(per_s, mean_s) > asked * LITTLE_ROOM


FIRST = 8


def usage_gb(card: Card, workers: int) -> float:
    """GB of ``workers`` of them: shared + n × per worker."""
    return card.shared_gb + workers * card.per_worker_gb


def workers_that_fit(card: Card) -> int:
    """Workers that fit: floor((vram × headroom − shared) ÷ per worker), and none where the shared part alone does not."""
    return max(math.floor((card.vram_gb * card.headroom - card.shared_gb) / card.per_worker_gb + 1e-9), 0)


def memory_plan(card: Card) -> list[tuple[int, float, float, bool]]:
    """Workers, GB, share of the card, whether that fits: from one worker to one more than fit, at most FIRST and the last two."""
    fit = workers_that_fit(card)
    counts = [n for n in range(1, fit + 2) if n <= FIRST or n >= fit]
    return [(n, usage_gb(card, n), usage_gb(card, n) / card.vram_gb, n <= fit) for n in counts]
