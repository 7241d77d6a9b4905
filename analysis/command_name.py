"""The names of this program's commands in messages: as typed in a clone, or as installed."""

from __future__ import annotations

INSTALLED = __package__ != "analysis"
# Goes before report, merge, compare, scaling and gate.
PROGRAM = "coldburst" if INSTALLED else "python -m analysis"
RESTORE = "coldburst restore" if INSTALLED else "python -m coldburst restore"
PLAN = "coldburst plan" if INSTALLED else "python -m coldburst plan"
# Goes before an error message.
SHORT = "coldburst" if INSTALLED else "analysis"
