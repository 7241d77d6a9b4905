"""What messages call the commands of this program: as they are typed from a clone, or where it is installed."""

from __future__ import annotations

INSTALLED = __package__ != "analysis"
PROGRAM = "coldburst" if INSTALLED else "python -m analysis"
"""Stands before report, merge, compare, scaling and gate."""
RESTORE = "coldburst restore" if INSTALLED else "python -m coldburst restore"
SHORT = "coldburst" if INSTALLED else "analysis"
"""Stands before a refusal on stderr."""
