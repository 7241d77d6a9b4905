"""Tells whether two processes share one 127.0.0.1. Standard library only."""

from __future__ import annotations

import platform
from pathlib import Path


def loopback() -> str:
    """An id of this process's loopback interface: containers and network namespaces have their own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/net').readlink()}"
    except OSError:  # not Linux
        return platform.node()
