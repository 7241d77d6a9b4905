"""Restricts the web UI to the names that it was started for, and what changes something to its own pages."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

import psutil
from flask import Response, request

from coldburst.lines import one_line

ALLOW = "access-control-allow-"
EVERY_INTERFACE = ("", "*", "0.0.0.0", "::")
HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?", re.ASCII)
Start = Callable[..., Any]


class HostNames:
    """The names under which the web UI may be asked for.

    Any other name may be one that a page of another site has pointed to this machine (DNS rebinding): a browser takes the two for
    one origin, so that such a page could start runs. An address cannot be rebound.

    Args:
        bound: the value of --web-host.
        allowed: the value of --web-allowed-hosts: further names, separated by commas.
    """

    def __init__(self, bound: str, allowed: str) -> None:
        self._every_interface = bound in EVERY_INTERFACE
        self.allowed = frozenset(name.strip().lower() for name in allowed.split(",") if name.strip())
        self._names = self.allowed | {"localhost", bound.lower()}

    def __contains__(self, host: str) -> bool:
        """Whether a Host header, with or without a port, is one of them."""
        match = HOST.fullmatch(host.lower())
        if match is None:
            return False
        name = match[1] or match[2]
        return name in self._names or self._is_own_address(name)

    def _is_own_address(self, name: str) -> bool:
        try:
            address = ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or (self._every_interface and address in _addresses())


def _addresses() -> set[IPv4Address | IPv6Address]:
    """The addresses of this machine's interfaces."""
    found = (address for interface in psutil.net_if_addrs().values() for address in interface)
    return {ip_address(one.address.partition("%")[0]) for one in found if one.family in (socket.AF_INET, socket.AF_INET6)}


def restrict(web_ui: Any, names: HostNames) -> None:
    """Has the web UI answer only requests for its ``names``, and refuse what pages of other origins post.

    A POST to a locustfile's own routes is not refused: a login may come from another site.
    """
    web_ui.app.wsgi_app = SameOrigin(web_ui.app.wsgi_app, names)
    web_ui.app.before_request(lambda: refuse_others(names))


class SameOrigin:
    """A WSGI application that answers for ``names`` only, without the permissions for other origins that ``inner`` gives.

    Locust allows every page of every site to read its answers. The header is removed outside the application because Flask's hooks
    run before the one that sets it; a locustfile's own routes lose it too.
    """

    def __init__(self, inner: Callable[..., Iterable[bytes]], names: HostNames) -> None:
        self._inner, self._names = inner, names

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """See PEP 3333."""
        host = environ.get("HTTP_HOST", "")
        if host not in self._names:
            shown = one_line(host, 80)
            sentence = f"The web UI does not answer to the name '{shown}': use http://127.0.0.1, or start it with --web-allowed-hosts NAME"
            return _forbidden(sentence)(environ, start)

        def begin(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start(status, [header for header in headers if not header[0].lower().startswith(ALLOW)], *more)

        return self._inner(environ, begin)


def refuse_others(names: HostNames) -> Response | None:
    """403 for a POST from a page of another origin (https://www.w3.org/TR/fetch-metadata/).

    Browsers send Sec-Fetch-Site over HTTPS and to this machine, and Origin with every POST. Origin must be Host, or one of the names
    that --web-allowed-hosts gives: a proxy may change Host. A program that sends neither header is not a browser.
    """
    if request.blueprint not in ("locust", "coldburst") or request.method in ("GET", "HEAD", "OPTIONS"):
        return None
    site, origin = request.headers.get("Sec-Fetch-Site", "none"), request.headers.get("Origin")
    if site in ("same-origin", "none") and (origin is None or _is_own(origin, request.host, names)):
        return None
    return _forbidden("a page of another origin cannot start or stop anything here: behind a proxy, start with --web-allowed-hosts NAME")


def _is_own(origin: str, host: str, names: HostNames) -> bool:
    try:
        url = urlsplit(origin)
    except ValueError:
        return False
    return url.netloc == host or (url.hostname or "") in names.allowed


def _forbidden(sentence: str) -> Response:
    return Response(sentence, 403, {"X-Content-Type-Options": "nosniff"}, mimetype="text/plain")
