"""Matplotlib's modules by name (``ticker``, ``path``), each imported when it is first used: a report without figures needs none."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    return import_module(f"matplotlib.{name}")
