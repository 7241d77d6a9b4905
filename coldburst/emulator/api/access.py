"""Access to the emulator: Host and Origin of requests, keys, and the token for changes."""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import web

from coldburst.emulator.api.responses import HttpError
from coldburst.emulator_token import is_loopback

_HOST = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([\w.-]+))(?::\d+)?", re.ASCII)


class Access:
    """Checks requests before anything else reads them.

    A web page can make a browser send requests here: from its own origin (Origin, Sec-Fetch-Site), or under a name that it resolves to
    this machine (Host). Programs send neither Origin nor Sec-Fetch-Site.

    Args:
        bound: host that the emulator listens on.
        allowed: further host names, for Host and Origin.
        key: required in every client's request; "" = none is.
        token: required to change settings and to inject faults; the key, if there is one, also works.
    """

    def __init__(self, bound: str, allowed: Collection[str], key: str, token: str) -> None:
        self._bound, self._allowed = bound.lower(), {name.lower() for name in allowed}
        self._closed = bool(key)
        self._accepted = [secret.encode() for secret in {key, token} if secret]

    def check_source(self, request: web.BaseRequest) -> str:
        """The host name that a request is for; HttpError 421 for a foreign name, 403 for a web page of another origin."""
        hosts = request.headers.getall("Host", [])
        match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        name = (match[1] or match[2]).lower() if match else ""
        if not self._is_own(name, request):
            shown = ", ".join(hosts)[:60]
            raise HttpError(421, f"Host '{shown}' is not a name of this emulator: start it with --allow-host {name or 'NAME'} to serve it")
        if self._is_foreign(request, hosts[0]):
            raise HttpError(403, "requests from web pages of other origins are refused: add the page's host with --allow-host")
        return name

    def require_key(self, request: web.BaseRequest) -> None:
        """Check a client's key; HttpError 401, with bodies as from RunPod's gateway."""
        if self._closed:
            self._require(request, "no token provided")

    def require_worker_key(self, request: web.BaseRequest, key: str) -> None:
        """Check the key in a worker's URL; HttpError 401."""
        if self._closed and not hmac.compare_digest(request.query.get("key", "").encode(errors="surrogateescape"), key.encode()):
            raise HttpError(401, "not a worker of this endpoint")

    def require_token(self, request: web.BaseRequest) -> None:
        """Check the token that changes need; HttpError 401."""
        self._require(request, "no token provided: send the one printed at the start, as 'Authorization: Bearer TOKEN'")

    def _is_own(self, name: str, request: web.BaseRequest) -> bool:
        if name in self._allowed or name == self._bound or is_loopback(name) or name.endswith((".localhost", ".api.runpod.ai")):
            return bool(name)
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        local = request.transport.get_extra_info("sockname") if request.transport else None
        return local is not None and address == ipaddress.ip_address(local[0])

    def _is_foreign(self, request: web.BaseRequest, host: str) -> bool:
        for origin in request.headers.getall("Origin", []):
            try:
                parts = urlsplit(origin)
                if parts.hostname not in self._allowed and parts.netloc.lower() != host.lower():
                    return True
            except ValueError:
                return True
            if parts.hostname in self._allowed:
                return False
        return request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")

    def _require(self, request: web.BaseRequest, missing: str) -> None:
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ").encode(errors="surrogateescape")
        if not any(hmac.compare_digest(shown, secret) for secret in self._accepted):
            raise HttpError(401, "invalid api key" if shown else missing)
