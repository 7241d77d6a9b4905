"""Reads the answers of services: reasons of failures, errors inside a success, times; and hints for the user."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from coldburst.redact import redact, redact_bytes
from coldburst.targets.exchange import Exchange
from coldburst.targets.outcome import Evidence

PLACES = ("error", "detail", "message", "title")
"""Where services put the reason of a failure; RunPod's gateway and REST v2 use error, title and detail (RFC 9457)."""


LONGEST_MS = 366 * 86_400_000
"""A platform's time beyond a year is none: RunPod's longest is a week."""


def mask_key(exchange: Exchange, key: str) -> None:
    """Masks ``key`` in the answer, before anything else reads it."""
    if not key:
        return
    exchange.body = redact_bytes(exchange.body, key)
    exchange.headers = {name: redact(value, (key,)) for name, value in exchange.headers.items()}
    exchange.error = redact(exchange.error, (key,))


def bearer(key: str) -> dict[str, str]:
    """The header that carries ``key``, none where there is no key."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def parse_json(body: bytes) -> Any:
    """``body`` read as JSON; None where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def reason(exchange: Exchange, content: Any) -> str:
    """The service's own words on a failure, in whichever of the usual places they stand; ``content`` is its body as JSON."""
    if isinstance(content, dict):
        for place in PLACES:
            value = content.get(place)
            if isinstance(value, dict):
                value = value.get("message") or value
            if value:
                return str(value)
    return excerpt(exchange.body) or str(exchange.headers.get("content-type", "an empty body"))


def excerpt(body: bytes) -> str:
    """The beginning of ``body`` as text of one line, without markup."""
    return re.sub(r"<[^>]*>|\s+", " ", body[:2000].decode("utf-8", errors="replace")).strip()[:120]


def is_page(exchange: Exchange) -> bool:
    """Whether the answer is a page of HTML: a proxy's word, which says nothing of what was asked after."""
    return str(exchange.headers.get("content-type", "")).startswith("text/html") or exchange.body.lstrip()[:1] == b"<"


def says_gone(exchange: Exchange, content: Any) -> bool:
    """Whether a poll's answer is the service's word that it does not know the job, and no page of a proxy."""
    if exchange.fault or is_page(exchange):
        return False
    return exchange.status in (404, 410) or (exchange.status == 400 and content is not None)


def refusal(exchange: Exchange, content: Any, known: Mapping[str, Any]) -> Evidence:
    """What an answer outside 200..299 says: its reason, and the two kinds of 503 told apart."""
    text, says = f"{exchange.status}: {reason(exchange, content)}", ""
    if exchange.status == 503:
        says = "busy" if isinstance(content, dict) else ""
        text += "" if says else " (not the service's own word: a proxy's limit, or nothing behind it)"
    return Evidence(says, {**known, "error": text})


def key_hint(status: int | None, key: str, variable: str) -> str:
    """What to do about a 401 or 403, "" on any other status."""
    if status not in (401, 403):
        return ""
    return f" (is the key in {variable} the right one?)" if key else f" (no key was sent: set {variable} in the environment)"


def address_hint(status: int | None, what: str) -> str:
    """What to do about a 404, "" on any other status; ``what`` in the address may be wrong."""
    return f" (is {what} right?)" if status == 404 else ""


def error_in(output: Any, places: Iterable[str]) -> str:
    """The first error that ``output`` holds in one of ``places``, in words; "" where it holds none.

    A place is a path of keys with dots between them; one that begins with ``output.`` may leave that out. It holds an
    error where it holds text that is not empty, ``true``, a list or object that is not empty, or a number other than 0
    and 200..399 (a code).
    """
    for place in places:
        for path in (place, place.removeprefix("output.")):
            value = _at(output, path)
            if isinstance(value, int | float) and not isinstance(value, bool):
                if value != 0 and not 200 <= value < 400:
                    return f"{path} {value}"
            elif value:
                return _words(value) if value is not True else f"{path} is true"
    return ""


def failure(error: Any) -> str:
    """RunPod's ``error`` of a job in words; the SDK puts a JSON object with error_type and error_message into the text."""
    inner = parse_json(error.encode(errors="replace")) if isinstance(error, str) else error
    if not isinstance(inner, dict) or "error_message" not in inner:
        return _words(error)
    kind = re.sub(r"<class '(?:builtins\.)?(.*)'>", r"\1", str(inner.get("error_type", "")))
    return f"{kind}: {inner['error_message']}" if kind else str(inner["error_message"])


def seconds(milliseconds: Any) -> float | None:
    """A platform's milliseconds as seconds; None where it is no number from 0 to LONGEST_MS."""
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return None
    return milliseconds / 1000 if 0 <= milliseconds <= LONGEST_MS else None


def _at(value: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _words(value: Any) -> str:
    if isinstance(value, dict) and isinstance(value.get("message"), str) and value["message"]:
        return str(value["message"])
    return value if isinstance(value, str) else json.dumps(value)
