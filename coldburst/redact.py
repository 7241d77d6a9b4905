"""Keeps keys out of everything that a service says."""

from __future__ import annotations

from coldburst.targets.http import Exchange


def redact(exchange: Exchange, key: str) -> None:
    """Blots ``key`` out of the answer before anything is read in it: a service may repeat what it was shown."""
    if not key:
        return
    exchange.body = exchange.body.replace(key.encode(), b"[key]")
    exchange.headers = {name: value.replace(key, "[key]") if isinstance(value, str) else value for name, value in exchange.headers.items()}
    exchange.error = exchange.error.replace(key, "[key]")
