"""Who may speak with the web UI: only pages of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Response, request

ALLOW = "access-control-allow-"
Start = Callable[..., Any]


def keep(web_ui: Any) -> None:
    """Has the web UI answer to pages of its own alone.

    Locust allows every page of every site to read its answers (Access-Control-Allow-Origin is whatever Origin was sent). The
    header is taken off outside of the application: Flask's hooks run before the one that sets it. What another site's page
    posts to Locust's routes, as a form can without any permission, is refused where the browser says where it comes from: a run
    costs money. Routes that a locustfile adds are its own business: a login may be posted to them from elsewhere.
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
    """403 for what a page of another origin posts (https://www.w3.org/TR/fetch-metadata/)."""
    if request.blueprint == "locust" and request.method == "POST" and request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        return Response("a page of another origin cannot start or stop anything here", 403, mimetype="text/plain")
    return None
