"""The memory plan: how many endpoint workers fit on a card."""

from __future__ import annotations

import math

from .sweep_settings import Card

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
