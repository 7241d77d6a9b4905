"""Independent random streams from one seed. Standard library only."""

from __future__ import annotations

import random


def stream(seed: int, purpose: str) -> random.Random:
    """A random stream of its own for each purpose: the same in every process and on every machine."""
    return random.Random(f"{seed}/{purpose}")
