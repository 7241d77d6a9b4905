"""The emulator's answers: JSON bodies, and errors in every form that RunPod's clients read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, NoReturn

from aiohttp import web

JSON = {"Content-Type": "application/json"}
PROBLEM = {"Content-Type": "application/problem+json"}


class HttpError(Exception):
    """An error response.

    Args:
        detail: one sentence.
        error: value of "error"; "" = ``detail``.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None, *, title: str = "", error: str = "") -> None:
        super().__init__(detail)
        self.status, self.headers = status, headers or {}
        self.body: dict[str, Any] = {"error": error or detail, "status": status, "title": title or phrase(status), "detail": detail}


def phrase(status: int) -> str:
    """Name of an HTTP status; 524 is Cloudflare's."""
    try:
        return "A Timeout Occurred" if status == 524 else HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def answer(content: Any, status: int = 200, headers: Mapping[str, str] = JSON) -> web.Response:
    """``content`` as a JSON response."""
    return web.Response(body=json.dumps(content, allow_nan=False).encode(), status=status, headers=headers)


def refusal(error: HttpError, kind: Mapping[str, str] = JSON) -> web.Response:
    """The response for an error."""
    return answer(error.body, error.status, {**kind, **error.headers})


def require_settled(changing_s: float) -> None:
    """HttpError 409 while an endpoint's settings are being changed."""
    if changing_s > 0:
        raise HttpError(409, "the endpoint is being updated: try again later")


def retry_after(seconds: float) -> dict[str, str]:
    """The header for a pause: whole seconds, at least 1."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def rate_limit(name: str, full: int, left: int, window_s: float, ends_s: float) -> dict[str, str]:
    """The headers for a window of a rate limit, as REST v2 writes them."""
    state = f'"{name}";r={left};t={max(1, math.ceil(ends_s))}'
    return {"RateLimit": state, "RateLimit-Policy": f'"{name}";q={full};w={math.ceil(window_s)}'}


def content(body: bytes, what: str = "the request's body", *, strict: bool = True) -> dict[str, Any]:
    """The JSON object in ``body``; HttpError 400.

    Args:
        what: names the body in the error.
        strict: refuse NaN, Infinity and numbers beyond a double, as other languages' parsers do; False where the caller checks each number.
    """
    try:
        found = _strict_parser(what)(body) if strict else json.loads(body)
    except (ValueError, RecursionError):
        raise HttpError(400, f'{what} is not JSON: send an object, as in {{"input": {{…}}}}') from None
    if not isinstance(found, dict):
        raise HttpError(400, f'{what} is not a JSON object: send one, as in {{"input": {{…}}}}')
    return found


def _strict_parser(what: str) -> Callable[[bytes], Any]:
    """json.loads without NaN, Infinity and numbers beyond a double."""

    def refuse(word: str) -> NoReturn:
        raise HttpError(400, f"{what} contains {word[:60]}, which is not valid JSON: send null instead")

    def finite(text: str) -> float:
        number = float(text)
        return number if math.isfinite(number) else refuse(text)

    return partial(json.loads, parse_constant=refuse, parse_float=finite)
