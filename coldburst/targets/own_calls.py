"""The HTTP calls that a custom request makes: one try each, timed, and noted in the attempt that they belong to."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode

from coldburst.targets.exchange import Exchange


class HttpError(Exception):
    """A call without a complete answer: no connection, a broken one, or the time limit passed.

    Attributes:
        fault: "connect", "reset" or "deadline".
    """

    def __init__(self, fault: str, message: str) -> None:
        super().__init__(message)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """The answer to a call.

    Attributes:
        headers: names in lower case.
        content: the body; empty if it is longer than 20 MB.
        elapsed_s: from sending to the last byte.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    elapsed_s: float

    @property
    def status_code(self) -> int:
        """The status, by the name that requests has for it."""
        return self.status

    @property
    def ok(self) -> bool:
        """Whether the status is 200 to 299."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.content.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """The body as JSON. Raises ValueError if it is none."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the answer ({self.status}) is not JSON: {self.text[:80]!r}") from error


class Send(Protocol):
    """Makes one call."""

    def __call__(self, method: str, path: str, body: bytes, headers: Mapping[str, str], accept: Collection[int]) -> Exchange:
        """Sends it and returns its exchange. Raises HttpError if there is no complete answer."""


class Http:
    """Sends requests below ``--host``, with its key. No call is repeated; the attempt's deadline ends it.

    Every method takes ``path``, which begins with a slash, and by name:

        json: the body, sent as JSON.
        data: the body as bytes or text, or a mapping, sent as a form.
        headers: further headers.
        accept: statuses besides 200 to 299 that are no failure.
    """

    def __init__(self, send: Send) -> None:
        self._send = send

    def get(self, path: str, **how: Any) -> HttpAnswer:
        """See ``request``."""
        return self.request("GET", path, **how)

    def post(self, path: str, **how: Any) -> HttpAnswer:
        """See ``request``."""
        return self.request("POST", path, **how)

    def put(self, path: str, **how: Any) -> HttpAnswer:
        """See ``request``."""
        return self.request("PUT", path, **how)

    def patch(self, path: str, **how: Any) -> HttpAnswer:
        """See ``request``."""
        return self.request("PATCH", path, **how)

    def delete(self, path: str, **how: Any) -> HttpAnswer:
        """See ``request``."""
        return self.request("DELETE", path, **how)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        data: bytes | str | Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Collection[int] = (),
    ) -> HttpAnswer:
        """Sends one request and returns its answer, whatever its status.

        Raises:
            HttpError: no complete answer.
            ValueError: the path or a header cannot be sent.
        """
        if not path.startswith("/") or not path.isprintable() or " " in path:
            raise ValueError(f"'{path}' is not a path below --host: it must begin with a slash and have no spaces, as in '/v1/models'")
        body, kind = _body(json, data)
        exchange = self._send(method, path, body, {**({"Content-Type": kind} if kind else {}), **(headers or {})}, accept)
        elapsed_s = (exchange.done or 0.0) - (exchange.sent or 0.0)
        return HttpAnswer(exchange.status or 0, exchange.headers, exchange.body, elapsed_s)


def as_json(value: Any) -> bytes:
    """``value`` as JSON; rows of a data set are objects, and bytes are text such as base64."""
    return json.dumps(value, default=_plain).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, bytes):
        return value.decode("ascii")
    raise TypeError(f"{type(value).__name__} is not JSON")


def _body(content: Any, data: bytes | str | Mapping[str, Any] | None) -> tuple[bytes, str]:
    """The body and its type."""
    if data is None:
        return (b"", "") if content is None else (as_json(content), "application/json")
    if isinstance(data, Mapping):
        return urlencode(data).encode(), "application/x-www-form-urlencoded"
    return data.encode() if isinstance(data, str) else bytes(data), ""
