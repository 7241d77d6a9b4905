"""Webhooks: an ended job is posted to the client's URL, in up to three tries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import aiohttp
from yarl import URL

from coldburst.emulator_token import is_loopback

HEADERS = {"Content-Type": "application/json", "User-Agent": "Go-http-client/2.0"}


class Webhooks:
    """Posts in the background.

    Args:
        waits_s: seconds before each retry; RunPod was seen to wait 5 and then 15.
        timeout_s: for one try.
        hosts: allowed besides this machine; "*" = any.
    """

    def __init__(self, waits_s: Sequence[float], timeout_s: float, hosts: Collection[str] = ()) -> None:
        self._hosts = hosts
        self._waits_s, self._timeout_s = tuple(waits_s), timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._posting: set[asyncio.Task[None]] = set()

    def forbidden_host(self, url: str) -> str:
        """The host in ``url`` if webhooks may not go there, else ""."""
        try:
            host = (URL(url).host or "").lower()
        except ValueError:
            return ""
        return "" if is_loopback(host) or host in self._hosts or "*" in self._hosts else host

    def post(self, url: str, body: Mapping[str, Any]) -> None:
        """Post ``body`` to ``url`` in the background; the job does not depend on it."""
        task = asyncio.create_task(self._post(url, json.dumps(body, allow_nan=False).encode()))
        self._posting.add(task)
        task.add_done_callback(self._posting.discard)

    async def close(self) -> None:
        """Cancel open posts."""
        for task in self._posting:
            task.cancel()
        await asyncio.gather(*self._posting, return_exceptions=True)
        if self._session:
            await self._session.close()

    async def _post(self, url: str, body: bytes) -> None:
        for wait_s in (0.0, *self._waits_s):
            await asyncio.sleep(wait_s)
            if await self._accepted(url, body):
                return

    async def _accepted(self, url: str, body: bytes) -> bool:
        if self.forbidden_host(url):
            return False
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(self._timeout_s))
        try:
            async with self._session.post(url, data=body, headers=HEADERS, allow_redirects=False) as answer:
                return 200 <= answer.status < 300
        # ValueError: not a URL.
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return False
