"""Names of the messages between master and generators, and how often they are sent. Standard library only."""

from __future__ import annotations

PLAN, BEAT, ROWS, CLOCK = "coldburst-plan", "coldburst-beat", "coldburst-rows", "coldburst-clock"
BEAT_S = 0.5
"""From a beat to the next, of the master's and of a generator's."""
