"""Messages between master and generators. Standard library only."""

from __future__ import annotations

import platform
from pathlib import Path

PLAN, BEAT, ROWS, CLOCK = "coldburst-plan", "coldburst-beat", "coldburst-rows", "coldburst-clock"
# Between two beats of the master, or of a generator.
BEAT_S = 0.5
# A beat that is later than this shows that its process stood still.
STALL_S = 1.5


def loopback() -> str:
    """Id of this process's loopback interface: containers and network namespaces have their own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/net').readlink()}"
    # Not Linux.
    except OSError:
        return platform.node()
