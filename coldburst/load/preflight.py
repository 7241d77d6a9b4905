"""Checks an endpoint once before the load, so that a wrong name, port, key or type costs one sentence and not a run.

The check wakes no endpoint worker: it asks RunPod's API for /health, and sends a service an empty request, which it rejects without work.
A handler behind a plain address gets a connection and no request.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from coldburst.option import OptionError
from coldburst.targets import answer, socket_state
from coldburst.targets.address import EndpointAddress, without_overlap
from coldburst.targets.exchange import Exchange, Timeouts
from coldburst.targets.http import HttpClient

# A check may take this long, in seconds. An endpoint that connects and then answers more slowly is tested all the same.
LIMIT_S = 2.0
LIMITS = Timeouts(LIMIT_S, LIMIT_S, LIMIT_S)
SKIP = "--no-preflight"
ADVICE = f"nothing was sent; {SKIP} skips this check"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key with the environment variable that it comes from, and how it is sent ("bearer" or "x-api-key")."""

    key: str
    variable: str
    auth: str = "bearer"


def check(address: EndpointAddress, credentials: Credentials, route: str = "") -> None:
    """Raises OptionError if the endpoint cannot be reached, does not accept the key, or does not exist.

    Args:
        route: of requests to a service.
    """
    if address.endpoint_id:
        if not (exchange := _ask("GET", address.api, "/health", replace(credentials, auth="bearer"))):
            return
        if exchange.status == 404:
            raise OptionError(f"no endpoint '{address.endpoint_id}' at {address.api} ({_text(exchange)}): check the id in --host; {ADVICE}")
        if exchange.status == 400:
            raise OptionError(f"{address.api} rejected /health ({_text(exchange)}); is it the right type of endpoint? {ADVICE}")
    elif address.kind in ("transcription", "chat", "speech", "video"):
        base = without_overlap(address.url, route)
        exchange = _ask("POST", base, route, credentials)
        if exchange and exchange.status == 404:
            raise OptionError(f"no route {route} at {base} ({_text(exchange)}): check --host, or name the route with --path; {ADVICE}")
    else:
        _connect(address.url)


def _ask(method: str, base: str, path: str, credentials: Credentials) -> Exchange | None:
    """The answer, None if there is none in time. Raises OptionError if there is no connection or the key is not accepted."""
    headers = {"User-Agent": "coldburst", "Accept": "application/json"}
    client, exchange = HttpClient(base, LIMITS, headers | answer.credentials(credentials.key, credentials.auth)), Exchange()
    try:
        client.send(exchange, method, path)
    finally:
        client.close()
    if exchange.fault == "connect":
        raise OptionError(_unreachable(base, exchange.error))
    if exchange.fault:
        return None
    if exchange.status in (401, 403):
        hint = answer.key_hint(exchange.status, credentials.key, credentials.variable)
        raise OptionError(f"{base} did not accept the key ({exchange.status}){hint}; {ADVICE}")
    return exchange


def _connect(url: str) -> None:
    parts = urlsplit(url)
    tls = socket_state.tls_context() if parts.scheme == "https" else None
    try:
        socket_state.connect(parts.hostname or "", parts.port or (443 if tls else 80), tls, LIMIT_S).close()
    except OSError as error:
        raise OptionError(_unreachable(url, str(error))) from error


def _unreachable(url: str, error: str) -> str:
    return f"could not connect to {url}: {error}; check --host, and whether the service runs; {ADVICE}"


def _text(exchange: Exchange) -> str:
    return f"{exchange.status}: {answer.reason(exchange, answer.parse_json(exchange.body))}"
