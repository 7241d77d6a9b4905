"""The memory plan: how many endpoint workers fit on a card."""

from __future__ import annotations

import math
from dataclasses import dataclass

FIRST = 8


@dataclass(frozen=True)
class Card:
    """A card and what a worker takes of it, in GB; ``headroom`` is the share of the card that may be used."""

    vram_gb: float
    shared_gb: float
    per_worker_gb: float
    headroom: float = 1.0

    @property
    def room_gb(self) -> float:
        """GB that may be used."""
        return self.vram_gb * self.headroom

    def usage_gb(self, workers: int) -> float:
        """GB of ``workers`` of them: shared + n × per worker."""
        return self.shared_gb + workers * self.per_worker_gb

    @property
    def fit(self) -> int:
        """Workers that fit: floor((vram × headroom − shared) ÷ per worker), and none where the shared part alone does not."""
        return max(math.floor((self.room_gb - self.shared_gb) / self.per_worker_gb + 1e-9), 0)

    def rows(self) -> list[tuple[int, float, float, bool]]:
        """Workers, GB, share of the card, whether that fits: from one worker to one more than fit, at most FIRST and the last two."""
        counts = [n for n in range(1, self.fit + 2) if n <= FIRST or n >= self.fit]
        return [(n, self.usage_gb(n), self.usage_gb(n) / self.vram_gb, n <= self.fit) for n in counts]
