"""Masks API keys and other secrets in whatever an endpoint answers. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable

MARK = "[key]"


def redact(text: str, secrets: Iterable[str], mark: str = MARK) -> str:
    """``text`` with ``mark`` in the place of each secret: a service may repeat what it was sent. Empty secrets are ignored."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, mark)
    return text


def redact_bytes(body: bytes, secret: str) -> bytes:
    """``body`` with MARK in the place of the secret."""
    return body.replace(secret.encode(), MARK.encode()) if secret else body
