"""Formulas that compare settings, one per function, as in docs/methodology.md (Sweeps), and the memory plan."""

from __future__ import annotations

import math

from .sweep_settings import Card

# Scaling efficiency: above the target is good, below the second look for a bottleneck.
TARGET, BOTTLENECK = 0.90, 0.80
# Tolerance of Little's law for rounding and the last answers.
LITTLE_ROOM = 1.02


def contention(times: float, share: float) -> float:
    """1 − multiplier ÷ (c ÷ c of the baseline), from 0 to 1, lower is better."""
    return 1 - times / share


def worth_it(times: float, share: float, worth: float) -> bool:
    """Whether multiplier ≥ worth × (c ÷ c of the baseline), apart from rounding."""
    return times >= worth * share * (1 - 1e-9)


def savings(times: float) -> float:
    """Share of worker-seconds saved at the baseline's wall time: 1 − 1 ÷ multiplier."""
    return 1 - 1 / times


def workers_needed(workers: float, times: float) -> float:
    """Workers needed to match the baseline's wall time: workers ÷ multiplier, to be rounded up."""
    return workers / times


def usd_per_hour(usd_per_s: float, workers: float) -> float:
    """Price of an hour of ``workers`` endpoint workers."""
    return usd_per_s * workers * 3600


def usd_per_1000(usd_per_s: float, workers: float, per_s: float) -> float:
    """Price of 1,000 requests answered ok on a busy endpoint."""
    return usd_per_s * workers / per_s * 1000


def usd_per_audio_hour(usd_per_s: float, workers: float, audio_per_s: float) -> float:
    """Price of an hour of audio; ``audio_per_s`` is audio seconds answered ok per second of wall time."""
    return usd_per_s * workers / audio_per_s * 3600


def in_flight(per_s: float, mean_s: float) -> float:
    """Little's law: mean requests in flight = rate × mean time."""
    return per_s * mean_s


def exceeds_asked_concurrency(per_s: float, mean_s: float, asked: float) -> bool:
    """Whether rate × mean time exceeds the requests allowed in flight, so that one of the three figures is wrong."""
    return in_flight(per_s, mean_s) > asked * LITTLE_ROOM


FIRST = 8


def usage_gb(card: Card, workers: int) -> float:
    """Memory of ``workers`` in GB: shared + n × per worker."""
    return card.shared_gb + workers * card.per_worker_gb


def workers_that_fit(card: Card) -> int:
    """Workers that fit on the card: floor((vram × headroom − shared) ÷ per worker), at least 0."""
    return max(math.floor((card.vram_gb * card.headroom - card.shared_gb) / card.per_worker_gb + 1e-9), 0)


def memory_plan(card: Card) -> list[tuple[int, float, float, bool]]:
    """Rows of workers, GB, share of the card, fits: from one worker to one too many, shortened in the middle."""
    fit = workers_that_fit(card)
    counts = [n for n in range(1, fit + 2) if n <= FIRST or n >= fit]
    return [(n, usage_gb(card, n), usage_gb(card, n) / card.vram_gb, n <= fit) for n in counts]
