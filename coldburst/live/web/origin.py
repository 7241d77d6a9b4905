"""Restricts the web UI to requests of its own origin."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from flask import Response, request

ALLOW = "access-control-allow-"
Start = Callable[..., Any]


def keep(web_ui: Any) -> None:
    """Has the web UI answer to pages of its own alone.

    Locust allows every page of every site to read its answers (Access-Control-Allow-Origin is whatever Origin was sent). The
    header is taken off outside of the application: Flask's hooks run before the one that sets it; a locustfile's own routes
    lose it too. What another site's page posts to Locust's routes, as a form can without any permission, is refused where
    the browser says where it comes from: a run costs money. What is posted to a locustfile's own routes is not: a login may
    come from elsewhere.
    """
    web_ui.app.wsgi_app = SameOrigin(web_ui.app.wsgi_app)
    web_ui.app.before_request(refuse_others)


class SameOrigin:
    """A WSGI application without the permissions for other origins that ``inner`` gives."""

    def __init__(self, inner: Callable[..., Iterable[bytes]]) -> None:
        self._inner = inner

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """See PEP 3333."""

        def begin(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start(status, [header for header in headers if not header[0].lower().startswith(ALLOW)], *more)

        return self._inner(environ, begin)


def refuse_others() -> Response | None:
    """403 for what a page of another origin posts (https://www.w3.org/TR/fetch-metadata/).

    Over plain HTTP browsers send Sec-Fetch-Site to this machine alone, and Origin with what is posted everywhere: it is held
    against Host, which a proxy has to pass on.
    """
    site, sent = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    other = site in ("cross-site", "same-site") if site else bool(sent) and urlsplit(sent).netloc != request.host
    if request.blueprint == "locust" and request.method == "POST" and other:
        return Response("a page of another origin cannot start or stop anything here", 403, mimetype="text/plain")
    return None
